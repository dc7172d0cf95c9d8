// SPDX-License-Identifier: GPL-2.0-only
//! Every task and CPU followed through a trace, one event at a time: who waits where, who is moved.
//!
//! A trace begins in the middle of things. A task is unknown until its first event, and a CPU until
//! its first switch; what is unknown counts nowhere. After a gap everything is unknown again, except
//! where tasks were: a wait that spans a gap has no length.
//!
//! Where two events contradict each other the later one is believed, and [`Follower::repairs`] counts
//! it.
//!
//! A move is told when it is known what came of it: the task runs, sleeps, ends, is moved again, or
//! the trace has a gap or its end.
//!
//! Memory is bounded whatever a trace claims: it grows with the tasks that were really met, up to
//! [`TASKS_MAX`] of them and [`OPEN_MAX`] moves.
//!
//! Bad at: more tasks than that at a time. One that neither runs nor waits is forgotten for each new
//! one, which [`Follower::forgotten`] counts, and is as unknown as at the beginning when it comes back.

use super::event::{Comm, Context, Event, Left, PID_MAX, Pid, What};
use super::watch::{Load, Move, Was, Watch};
use rustc_hash::FxHashMap;

/// Tasks that are followed at a time.
pub const TASKS_MAX: usize = 1 << 16;
/// Moves of which it is not known what came of them; beyond that all are told as they are.
pub const OPEN_MAX: usize = 1 << 14;
/// Tasks that are looked at for one that can be forgotten, before any is.
const PROBES: usize = 64;

/// A wakeup may carry an earlier time than the going to sleep that it ended, by this much.
const CLOCK_SLACK_NS: u64 = 100_000;
/// Moves that wait for the next switch of a CPU; beyond that the switch tells about the first ones.
const ARRIVING_MAX: usize = 256;
/// A CPU keeps room for so many of them.
const ARRIVING_KEPT: usize = 16;

/// Why a task waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Preempted,
    Woken,
    Born,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unknown,
    Asleep { since_ns: u64, woken_early: bool },
    Newborn,
    Waiting { since_ns: u64, cause: Cause },
    Running { since_ns: u64, woken_ns: u64 },
}

#[derive(Clone, Debug)]
struct Task {
    pid: Pid,
    comm: Comm,
    state: State,
    cpu: Option<u32>,
    numa: bool,
    open: Option<Box<Move>>,
}

#[derive(Clone, Debug, Default)]
struct Cpu {
    /// Who runs, as a slot; `Some(None)`: nobody; `None`: not known.
    current: Option<Option<usize>>,
    waiting: u32,
    /// Tasks that were moved here since the last switch, and when.
    arriving: Vec<(usize, u64)>,
}

impl Cpu {
    fn load(&self) -> Load {
        self.current.map(|current| self.waiting + u32::from(current.is_some()))
    }
}

/// Follows events.
#[derive(Debug, Default)]
pub struct Follower {
    tasks: Vec<Task>,
    free: Vec<usize>,
    /// The slot of each number.
    slots: FxHashMap<Pid, usize>,
    /// Where to look next for a task to forget.
    hand: usize,
    /// Moves that are not told yet.
    untold: usize,
    /// Moves that wait for the next switch of a CPU.
    arriving: usize,
    cpus: Vec<Cpu>,
    idle: u32,
    waiting: u32,
    now_ns: u64,
    /// Events that contradicted those before.
    pub repairs: u64,
    /// Numbers that were given to another task while the one before had not ended.
    pub reused: u64,
    /// Tasks that were forgotten because there were more than [`TASKS_MAX`].
    pub forgotten: u64,
    /// Most tasks that were alive at a time.
    pub tasks_max: usize,
}

impl Follower {
    /// Take in one event and tell what comes of it.
    pub fn follow(&mut self, event: &Event, watch: &mut impl Watch) {
        self.now_ns = event.at_ns;
        self.cpu(event.cpu);
        match event.what {
            What::Switch { prev, prev_comm, left, next, next_comm } => {
                self.switch(event.cpu, (prev, prev_comm, left), (next, next_comm), watch);
            }
            What::Wakeup { pid, comm, cpu, new } => {
                self.wakeup(event, (pid, comm), cpu, new, watch)
            }
            What::Migrate { pid, comm, from, to } => {
                self.cpu(from);
                self.cpu(to);
                if let Some(slot) = self.slot(pid, comm, watch) {
                    self.tasks[slot].cpu.get_or_insert(from);
                    self.change_cpu(event, slot, from, to, false, watch);
                }
            }
            What::Told { pid, comm, from, to, told } => {
                let moved = What::Migrate { pid, comm, from, to };
                self.follow(&Event { what: moved, ..*event }, watch);
                if let Some(slot) = self.known(pid)
                    && let Some(moved) = self.tasks[slot].open.as_mut()
                {
                    moved.told = Some(told);
                }
            }
            What::Fork { child, comm } => {
                self.forget(child, watch);
                if let Some(slot) = self.slot(child, comm, watch) {
                    self.tasks[slot].state = State::Newborn;
                    self.tasks[slot].cpu = Some(event.cpu);
                }
            }
            What::Numa { pid, other } => {
                for pid in [pid, other] {
                    if let Some(slot) = self.known(pid) {
                        self.tasks[slot].numa = true;
                    }
                }
            }
            What::Exec { .. } | What::Exit { .. } => {}
            What::Lost(_) => self.gap(watch),
        }
    }

    /// The trace is over.
    pub fn finish(&mut self, watch: &mut impl Watch) {
        self.close_all(watch);
    }

    fn cpu(&mut self, cpu: u32) -> &mut Cpu {
        let at = cpu as usize;
        if at >= self.cpus.len() {
            self.cpus.resize_with(at + 1, Cpu::default);
        }
        &mut self.cpus[at]
    }

    fn known(&self, pid: Pid) -> Option<usize> {
        self.slots.get(&pid).copied()
    }

    /// The living task of number `pid`, with its newest name; `None` for an idle task.
    fn slot(&mut self, pid: Pid, comm: Comm, watch: &mut impl Watch) -> Option<usize> {
        if pid == 0 || pid > PID_MAX {
            return None;
        }
        if let Some(slot) = self.known(pid) {
            self.tasks[slot].comm = comm;
            return Some(slot);
        }
        if self.free.is_empty() && self.tasks.len() >= TASKS_MAX {
            self.make_room(watch);
        }
        let task = Task { pid, comm, state: State::Unknown, cpu: None, numa: false, open: None };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.tasks[slot] = task;
                slot
            }
            None => {
                self.tasks.push(task);
                self.tasks.len() - 1
            }
        };
        self.slots.insert(pid, slot);
        self.tasks_max = self.tasks_max.max(self.tasks.len() - self.free.len());
        watch.anew(slot);
        Some(slot)
    }

    /// A number is given to another task; the one before should have ended.
    fn forget(&mut self, pid: Pid, watch: &mut impl Watch) {
        if let Some(slot) = self.known(pid) {
            self.reused += 1;
            self.end(slot, watch);
        }
    }

    /// Forget a task, of the next few one that neither runs nor waits.
    fn make_room(&mut self, watch: &mut impl Watch) {
        let nr_tasks = self.tasks.len();
        let busy =
            |task: &Task| matches!(task.state, State::Running { .. } | State::Waiting { .. });
        let near = (0..PROBES).map(|step| (self.hand + step) % nr_tasks);
        let slot = near.clone().find(|&slot| !busy(&self.tasks[slot])).unwrap_or(self.hand);
        self.hand = (slot + 1) % nr_tasks;
        self.forgotten += 1;
        self.end(slot, watch);
    }

    fn end(&mut self, slot: usize, watch: &mut impl Watch) {
        self.close(slot, None, watch);
        if let Some(cpu) = self.unqueue(slot) {
            self.tell(cpu, watch);
        }
        for cpu in &mut self.cpus {
            if cpu.current == Some(Some(slot)) {
                cpu.current = None;
            }
        }
        self.release(slot);
    }

    fn release(&mut self, slot: usize) {
        self.slots.remove(&self.tasks[slot].pid);
        self.free.push(slot);
    }

    /// Tell about the move of `slot` that is not told yet.
    fn close(&mut self, slot: usize, ran_at_ns: Option<u64>, watch: &mut impl Watch) {
        if let Some(mut moved) = self.tasks[slot].open.take() {
            self.untold -= 1;
            moved.ran_after_ns = ran_at_ns.map(|at_ns| at_ns.saturating_sub(moved.at_ns));
            watch.moved(&moved);
        }
    }

    /// Tell about all moves, and wait for nothing more.
    fn close_all(&mut self, watch: &mut impl Watch) {
        (0..self.tasks.len()).for_each(|slot| self.close(slot, None, watch));
        self.cpus.iter_mut().for_each(|cpu| cpu.arriving = Vec::new());
        self.arriving = 0;
    }

    // ---- queues ---------------------------------------------------------------------------------

    fn queue(&mut self, slot: usize, cpu: u32, since_ns: u64, cause: Cause) {
        self.tasks[slot].state = State::Waiting { since_ns, cause };
        self.tasks[slot].cpu = Some(cpu);
        self.cpu(cpu).waiting += 1;
        self.waiting += 1;
    }

    /// Take `slot` out of its queue; the CPU whose queue that was.
    fn unqueue(&mut self, slot: usize) -> Option<u32> {
        let task = &self.tasks[slot];
        let (State::Waiting { .. }, Some(cpu)) = (task.state, task.cpu) else { return None };
        let queue = self.cpu(cpu);
        queue.waiting = queue.waiting.saturating_sub(1);
        self.waiting = self.waiting.saturating_sub(1);
        Some(cpu)
    }

    fn tell(&mut self, cpu: u32, watch: &mut impl Watch) {
        let load = self.cpu(cpu).load();
        watch.load(self.now_ns, cpu, load);
        watch.gauge(self.now_ns, self.idle, self.waiting);
    }

    fn set_current(&mut self, cpu: u32, current: Option<Option<usize>>) {
        let was = std::mem::replace(&mut self.cpu(cpu).current, current);
        self.idle = self.idle + u32::from(current == Some(None)) - u32::from(was == Some(None));
    }

    // ---- what events do -------------------------------------------------------------------------

    fn switch(
        &mut self,
        cpu: u32,
        (prev, prev_comm, left): (Pid, Comm, Left),
        (next, next_comm): (Pid, Comm),
        watch: &mut impl Watch,
    ) {
        self.arrived(cpu, if prev == 0 { Left::Asleep } else { left });
        let prev = self.slot(prev, prev_comm, watch);
        match self.cpu(cpu).current {
            Some(Some(other)) if Some(other) != prev => {
                // Whoever was believed to run here left unseen.
                self.repairs += 1;
                self.tasks[other].state = State::Unknown;
            }
            Some(None) if prev.is_some() => self.repairs += 1,
            _ => {}
        }
        self.set_current(cpu, Some(None));
        if let Some(prev) = prev {
            self.leave(prev, cpu, left, watch);
        }
        let next = self.slot(next, next_comm, watch);
        if let Some(next) = next {
            self.enter(next, cpu, watch);
        }
        self.set_current(cpu, Some(next));
        self.tell(cpu, watch);
    }

    /// The first switch of a CPU after tasks came there: it tells what the CPU was about to do.
    fn arrived(&mut self, cpu: u32, left: Left) {
        let now_ns = self.now_ns;
        let mut arriving = std::mem::take(&mut self.cpu(cpu).arriving);
        self.arriving -= arriving.len();
        for (slot, at_ns) in arriving.drain(..) {
            let open = self.tasks.get_mut(slot).and_then(|task| task.open.as_mut());
            if let Some(moved) = open.filter(|moved| moved.at_ns == at_ns && moved.to == cpu) {
                moved.then = Some((left, now_ns - at_ns));
            }
        }
        if arriving.capacity() <= ARRIVING_KEPT {
            self.cpu(cpu).arriving = arriving;
        }
    }

    fn leave(&mut self, slot: usize, cpu: u32, left: Left, watch: &mut impl Watch) {
        let now_ns = self.now_ns;
        let mut woken_early = false;
        match self.tasks[slot].state {
            State::Running { since_ns, woken_ns } if self.tasks[slot].cpu == Some(cpu) => {
                watch.ran(now_ns, slot, cpu, now_ns - since_ns, left);
                woken_early = woken_ns > 0 && now_ns - woken_ns <= CLOCK_SLACK_NS;
            }
            State::Running { .. } => {
                // It has already entered another CPU, so this event is late.
                self.repairs += 1;
                return;
            }
            State::Waiting { .. } => {
                self.repairs += 1;
                if let Some(other) = self.unqueue(slot).filter(|&other| other != cpu) {
                    self.tell(other, watch);
                }
            }
            State::Asleep { .. } => self.repairs += 1,
            State::Newborn | State::Unknown => {}
        }
        self.close(slot, None, watch);
        self.tasks[slot].cpu = Some(cpu);
        match left {
            Left::Runnable => self.queue(slot, cpu, now_ns, Cause::Preempted),
            Left::Asleep => {
                self.tasks[slot].state = State::Asleep { since_ns: now_ns, woken_early }
            }
            Left::Untold => self.tasks[slot].state = State::Unknown,
            Left::Dead => {
                self.tasks[slot].state = State::Asleep { since_ns: now_ns, woken_early: false };
                self.release(slot);
            }
        }
    }

    fn enter(&mut self, slot: usize, cpu: u32, watch: &mut impl Watch) {
        let now_ns = self.now_ns;
        let comm = self.tasks[slot].comm;
        match self.tasks[slot].state {
            State::Waiting { since_ns, .. } => {
                if let Some(other) = self.unqueue(slot).filter(|&other| other != cpu) {
                    self.tell(other, watch);
                }
                watch.waited(now_ns, comm, now_ns - since_ns);
            }
            State::Asleep { since_ns, woken_early: true } => {
                watch.waited(now_ns, comm, now_ns - since_ns)
            }
            State::Asleep { .. } | State::Running { .. } => self.repairs += 1,
            State::Newborn | State::Unknown => {}
        }
        let before = self.tasks[slot].cpu;
        if let Some(from) =
            before.filter(|&from| from != cpu && self.tasks[slot].state != State::Unknown)
        {
            // Nobody told: a trace without moves, or one that was lost.
            self.close(slot, None, watch);
            self.open(None, slot, from, cpu, watch);
        }
        self.close(slot, Some(now_ns), watch);
        self.tasks[slot].cpu = Some(cpu);
        self.tasks[slot].state = State::Running { since_ns: now_ns, woken_ns: 0 };
    }

    fn wakeup(
        &mut self,
        event: &Event,
        (pid, comm): (Pid, Comm),
        cpu: u32,
        new: bool,
        watch: &mut impl Watch,
    ) {
        self.cpu(cpu);
        let newborn = |slot: usize| self.tasks[slot].state == State::Newborn;
        if new && !self.known(pid).is_none_or(newborn) {
            self.forget(pid, watch);
        }
        let Some(slot) = self.slot(pid, comm, watch) else { return };
        if new && self.tasks[slot].state == State::Unknown {
            self.tasks[slot].state = State::Newborn;
            self.tasks[slot].cpu = Some(event.cpu);
        }
        let now_ns = self.now_ns;
        if let Some(moved) = self.tasks[slot].open.as_mut() {
            moved.woken_after_ns.get_or_insert(now_ns - moved.at_ns);
            // The first that is heard of it besides: it slept until now.
            if moved.was == Was::Unknown {
                moved.was = Was::Asleep;
            }
        }
        match self.tasks[slot].state {
            State::Unknown | State::Asleep { .. } | State::Newborn => {
                if let Some(from) = self.tasks[slot].cpu.filter(|&from| from != cpu) {
                    self.change_cpu(event, slot, from, cpu, true, watch);
                }
                let cause = if new { Cause::Born } else { Cause::Woken };
                self.queue(slot, cpu, now_ns, cause);
                self.tell(cpu, watch);
            }
            State::Running { since_ns, .. } => {
                self.tasks[slot].state = State::Running { since_ns, woken_ns: self.now_ns };
            }
            State::Waiting { .. } => {}
        }
    }

    /// A task gets CPU `to`.
    fn change_cpu(
        &mut self,
        event: &Event,
        slot: usize,
        from: u32,
        to: u32,
        implied: bool,
        watch: &mut impl Watch,
    ) {
        self.close(slot, None, watch);
        if self.tasks[slot].cpu != Some(from) {
            self.repairs += 1;
        }
        self.open(Some(event).filter(|_| !implied), slot, from, to, watch);
        match self.tasks[slot].state {
            State::Waiting { since_ns, cause } => {
                let was_on = self.unqueue(slot);
                self.queue(slot, to, since_ns, cause);
                was_on.into_iter().chain([to]).for_each(|cpu| self.tell(cpu, watch));
            }
            State::Running { .. } => {
                // A task that runs cannot be moved: it had left unseen.
                self.repairs += 1;
                self.set_current(self.tasks[slot].cpu.unwrap_or(from), None);
                self.tasks[slot].state = State::Unknown;
                self.tasks[slot].cpu = Some(to);
            }
            _ => self.tasks[slot].cpu = Some(to),
        }
    }

    /// Note a move, to be told later. Loads are those before it.
    fn open(
        &mut self,
        event: Option<&Event>,
        slot: usize,
        from: u32,
        to: u32,
        watch: &mut impl Watch,
    ) {
        if self.untold >= OPEN_MAX || self.arriving >= OPEN_MAX {
            self.close_all(watch);
        }
        let now_ns = self.now_ns;
        let was = match self.tasks[slot].state {
            State::Unknown => Was::Unknown,
            State::Asleep { .. } => Was::Asleep,
            State::Newborn => Was::Newborn,
            State::Waiting { since_ns, cause } => {
                let waited_ns = now_ns - since_ns;
                match cause {
                    Cause::Preempted => Was::Waiting(waited_ns),
                    Cause::Woken => Was::Woken(waited_ns),
                    Cause::Born => Was::Born(waited_ns),
                }
            }
            State::Running { .. } => Was::Running,
        };
        let (source, target) = (self.cpu(from).load(), self.cpu(to).load());
        let arriving = &mut self.cpu(to).arriving;
        if arriving.len() < ARRIVING_MAX {
            arriving.push((slot, now_ns));
            self.arriving += 1;
        }
        self.untold += 1;
        let task = &mut self.tasks[slot];
        task.open = Some(Box::new(Move {
            at_ns: now_ns,
            pid: task.pid,
            comm: task.comm,
            slot,
            from,
            to,
            was,
            source,
            target,
            by_cpu: event.map_or(to, |event| event.cpu),
            by_pid: event.map_or(0, |event| event.current),
            by_comm: event.map_or(Comm::default(), |event| event.current_comm),
            context: event.map_or(Context::Unknown, |event| event.context),
            then: None,
            woken_after_ns: None,
            ran_after_ns: None,
            numa: std::mem::take(&mut task.numa),
            implied: event.is_none(),
            told: None,
        }));
    }

    /// Anything may have happened.
    fn gap(&mut self, watch: &mut impl Watch) {
        self.close_all(watch);
        for task in &mut self.tasks {
            (task.state, task.cpu) = (State::Unknown, None);
        }
        for cpu in &mut self.cpus {
            (cpu.current, cpu.waiting) = (None, 0);
        }
        (self.idle, self.waiting) = (0, 0);
        watch.gap(self.now_ns);
        watch.gauge(self.now_ns, 0, 0);
        for cpu in 0..self.cpus.len() {
            watch.load(self.now_ns, cpu as u32, None);
        }
    }
}
