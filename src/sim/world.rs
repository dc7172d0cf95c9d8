// SPDX-License-Identifier: GPL-2.0-only
//! The state of the simulated kernel: all that kfuncs may touch while a callback runs.
//!
//! What calls callbacks is [`super::engine`]; nothing here does. So no reference into the world is
//! alive while a scheduler runs, and a kfunc may take one.

use super::abi::{self, CpuMask, Host, Iter, Mm, Task};
use super::dsq::{Dsq, Entry, Place};
use super::events::{Event, Events};
use super::machine::Machine;
use super::timing::Timing;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// Spreads the numbers of queues, which are looked up all the time.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(self.0 << 8 | u64::from(byte)));
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A task's number, from 0 in the order of birth.
pub type TaskId = u32;

/// What a task is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Born, and not woken yet.
    New,
    /// It waits for something else than a CPU.
    Asleep,
    /// It waits for a CPU.
    Waiting,
    /// It runs.
    Running,
    /// It has ended.
    Gone,
}

/// The kernel's half of a task.
pub struct TaskState {
    /// The half that schedulers see; ours, freed with the world.
    pub raw: *mut Task,
    /// What it is doing.
    pub state: State,
    /// The queue that it is in.
    pub place: Option<Place>,
    /// Where an insertion from select_cpu() or enqueue() has sent it: queue, flags, vtime order.
    pub sent: Option<Sent>,
    /// Its insertion into another CPU's local queue is put off until the run queue is let go.
    pub deferred: bool,
    /// With the scheduler since its enqueue() of this number; 0: it is not.
    pub held: u64,
    /// Since when it waits.
    pub runnable_at: u64,
    /// Starts of its timer: an expiry of an earlier one means nothing.
    pub timer: u64,
    /// CPU where it last ran; for what it moves.
    pub ran_cpu: Option<usize>,
    /// CPU time that it has had.
    pub ran_ns: u64,
    /// Turns that it has had.
    pub turns: u64,
}

/// What an insertion asked for.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// The queue.
    pub dsq: u64,
    /// Flags of the insertion.
    pub flags: u64,
    /// Ordered by virtual time.
    pub by_vtime: bool,
}

/// An insertion from dispatch(), which is carried out when that returns.
#[derive(Debug, Clone, Copy)]
pub struct Buffered {
    /// The task.
    pub task: TaskId,
    /// With the scheduler since this enqueue().
    pub held: u64,
    /// What was asked for.
    pub sent: Sent,
}

/// A CPU and its run queue.
#[derive(Default)]
pub struct CpuState {
    /// What runs; none: it is idle.
    pub curr: Option<TaskId>,
    /// It has to call the scheduler.
    pub need_resched: bool,
    /// The scheduler is choosing what it runs next: what comes to its local queue is seen.
    pub in_balance: bool,
    /// Tasks whose insertion into another CPU's local queue was put off here.
    pub deferred: Vec<TaskId>,
    /// A tick is on its way.
    pub tick_armed: bool,
    /// Changes of what runs: the end of an earlier burst means nothing.
    pub stretch: u64,
    /// Since when what runs is not accounted for.
    pub since: u64,
    /// Since when it is idle.
    pub idle_since: u64,
    /// Turns on and off with hotplug.
    pub online: bool,
    /// How far its clock is ahead of the simulated time.
    pub skew: u64,
}

/// The whole of it.
pub struct World {
    /// What the scheduler sees.
    pub host: *mut Host,
    /// Simulated time.
    pub now: u64,
    /// What is to happen.
    pub events: Events,
    /// The machine.
    pub machine: Arc<Machine>,
    /// How long things take.
    pub timing: Timing,
    /// CPUs by number.
    pub cpus: Vec<CpuState>,
    /// Tasks by number.
    pub tasks: Vec<TaskState>,
    /// Queues: the CPUs' local ones, the global one, then those that the scheduler has made.
    pub dsqs: Vec<Dsq>,
    by_id: HashMap<u64, usize, BuildHasherDefault<Spread>>,
    by_pid: HashMap<i32, TaskId>,
    /// Insertions so far.
    pub seq: u64,
    /// Calls of enqueue() so far.
    pub enqueues: u64,
    /// The task that select_cpu() or enqueue() is about.
    pub directing: Option<TaskId>,
    /// Insertions that dispatch() has made; none while no dispatch() runs.
    pub buffer: Option<Vec<Buffered>>,
    /// What the scheduler did wrong: the kernel would have thrown it out.
    pub failure: Option<String>,
    /// Idle CPUs, and cores of which every thread is idle, by the kernel's own account.
    pub idle_cpus: Box<CpuMask>,
    /// See `idle_cpus`.
    pub idle_cores: Box<CpuMask>,
    /// Records that the scheduler has sent through its ring buffer.
    pub ring: Vec<Vec<u8>>,
    /// Tasks that went from one CPU to another, by distance.
    pub migrations: [u64; 3],
    distribute: Vec<u32>,
}

impl World {
    /// A machine with all CPUs idle.
    pub fn new(machine: Arc<Machine>, timing: Timing, events: Events) -> Box<World> {
        let nr = machine.nr_cpu_ids();
        let mut dsqs: Vec<Dsq> = (0..nr).map(|_| Dsq::new(abi::DSQ_LOCAL)).collect();
        dsqs.push(Dsq::new(abi::DSQ_GLOBAL));
        let idle = machine.online_mask();
        let cpus = (0..nr).map(|cpu| CpuState {
            online: machine.is_online(cpu),
            skew: timing.skew(cpu),
            ..CpuState::default()
        });
        Box::new(World {
            host: std::ptr::null_mut(),
            now: 0,
            events,
            cpus: cpus.collect(),
            tasks: Vec::new(),
            dsqs,
            by_id: std::iter::once((abi::DSQ_GLOBAL, nr)).collect(),
            by_pid: HashMap::new(),
            seq: 1,
            enqueues: 0,
            directing: None,
            buffer: None,
            failure: None,
            idle_cpus: Box::new(idle.clone()),
            idle_cores: Box::new(idle),
            ring: Vec::new(),
            migrations: [0; 3],
            distribute: vec![0; nr],
            machine,
            timing,
        })
    }

    /// What a scheduler is given, with the world behind it.
    ///
    /// # Safety
    /// The world is alive, and no reference into it.
    pub unsafe fn host(world: *mut World, random: u64) -> Box<Host> {
        // SAFETY: by the caller.
        let w = unsafe { &mut *world };
        let nr = w.cpus.len();
        let mut host = Box::new(Host {
            abi: abi::ABI,
            cpu: 0,
            clock: 0,
            random: random | 1,
            current: std::ptr::null_mut(),
            nr_cpu_ids: nr as u32,
            mask_words: nr.div_ceil(64) as u32,
            distribute: w.distribute.as_mut_ptr(),
            idle_cpus: &raw mut *w.idle_cpus,
            idle_cores: &raw mut *w.idle_cores,
            kernel: world.cast(),
            error: super::kfuncs::error,
            select_cpu_and: super::kfuncs::select_cpu_and,
            test_and_clear_idle: super::kfuncs::test_and_clear_idle,
            pick_idle: super::kfuncs::pick_idle,
            kick: super::kfuncs::kick,
            create_dsq: super::kfuncs::create_dsq,
            destroy_dsq: super::kfuncs::destroy_dsq,
            nr_queued: super::kfuncs::nr_queued,
            insert: super::kfuncs::insert,
            move_to_local: super::kfuncs::move_to_local,
            move_task: super::kfuncs::move_task,
            iterate: super::kfuncs::iterate,
            next: super::kfuncs::next,
            peek: super::kfuncs::peek,
            reenqueue_local: super::kfuncs::reenqueue_local,
            task_from_pid: super::kfuncs::task_from_pid,
            start_timer: super::kfuncs::start_timer,
            ring: super::kfuncs::ring,
        });
        w.host = &raw mut *host;
        host
    }

    // ---- context -------------------------------------------------------------------------------

    /// CPU `cpu` executes from here on.
    pub fn enter(&mut self, cpu: usize, idle: *mut Task) {
        let current = self.cpus[cpu].curr.map_or(idle, |task| self.tasks[task as usize].raw);
        let clock = self.now + self.cpus[cpu].skew;
        // SAFETY: the host lives as long as the world, and only the thread that runs this uses it.
        let host = unsafe { &mut *self.host };
        host.cpu = cpu as i32;
        host.clock = clock;
        host.current = current;
    }

    /// The CPU that executes.
    pub fn here(&self) -> usize {
        // SAFETY: as in `enter`.
        unsafe { (*self.host).cpu as usize }
    }

    /// The scheduler did what the kernel does not forgive.
    pub fn fail(&mut self, why: impl Into<String>) {
        self.failure.get_or_insert_with(|| why.into());
    }

    // ---- tasks ---------------------------------------------------------------------------------

    /// The half of task `id` that schedulers see.
    pub fn raw(&mut self, id: TaskId) -> &mut Task {
        // SAFETY: tasks live as long as the world; the scheduler, which has their address too, does
        // not run while this reference is alive.
        unsafe { &mut *self.tasks[id as usize].raw }
    }

    /// The run queue that task `id` belongs to.
    pub fn cpu_of(&self, id: TaskId) -> usize {
        // SAFETY: as in `raw`.
        unsafe { (*self.tasks[id as usize].raw).cpu as usize }
    }

    /// True if `cpu` is among those that task `id` may use.
    pub fn may_use(&self, id: TaskId, cpu: usize) -> bool {
        // SAFETY: as in `raw`; the mask lives as long as its task.
        unsafe { (*(*self.tasks[id as usize].raw).cpus).has(cpu) }
    }

    /// Make a task; `raw` becomes the world's.
    pub fn add_task(&mut self, mut raw: Box<Task>) -> TaskId {
        let id = self.tasks.len() as TaskId;
        raw.index = u64::from(id);
        self.by_pid.insert(raw.pid, id);
        let raw = Box::into_raw(raw);
        self.tasks.push(TaskState {
            raw,
            state: State::New,
            place: None,
            sent: None,
            deferred: false,
            held: 0,
            runnable_at: 0,
            timer: 0,
            ran_cpu: None,
            ran_ns: 0,
            turns: 0,
        });
        id
    }

    /// The task called `pid`, unless it has ended.
    pub fn task_from_pid(&self, pid: i32) -> Option<TaskId> {
        let id = *self.by_pid.get(&pid)?;
        (self.tasks[id as usize].state != State::Gone).then_some(id)
    }

    /// Task `id` belongs to the run queue of `cpu` from here on.
    pub fn set_cpu(&mut self, id: TaskId, cpu: usize) {
        let from = self.cpu_of(id);
        if from != cpu {
            let level = self.machine.level(from, cpu);
            self.migrations[level.index()] += 1;
            self.raw(id).cpu = cpu as i32;
        }
    }

    // ---- queues --------------------------------------------------------------------------------

    /// Index of the global queue.
    pub fn global(&self) -> usize {
        self.cpus.len()
    }

    /// Index of the queue called `id`; `SCX_DSQ_LOCAL` is that of `cpu`.
    pub fn dsq(&self, id: u64, cpu: usize) -> Option<usize> {
        if id == abi::DSQ_LOCAL {
            return Some(cpu);
        }
        if id & abi::DSQ_LOCAL_ON == abi::DSQ_LOCAL_ON {
            let cpu = (id & 0xffff_ffff) as usize;
            return (cpu < self.cpus.len()).then_some(cpu);
        }
        self.by_id.get(&id).copied()
    }

    /// Make a queue. False if there is one of that name.
    pub fn create_dsq(&mut self, id: u64) -> bool {
        if id & abi::DSQ_BUILTIN != 0 || self.by_id.contains_key(&id) {
            return false;
        }
        self.by_id.insert(id, self.dsqs.len());
        self.dsqs.push(Dsq::new(id));
        true
    }

    /// Its name is free again.
    pub fn destroy_dsq(&mut self, id: u64) {
        if id & abi::DSQ_BUILTIN == 0 {
            self.by_id.remove(&id);
        }
    }

    /// Put a task into queue number `dsq`, and do what the kernel does when it is a local one.
    pub fn enqueue(&mut self, id: TaskId, dsq: usize, flags: u64, by_vtime: bool) {
        if by_vtime && dsq <= self.global() {
            self.fail("cannot use vtime ordering for built-in DSQs");
        }
        self.seq += 1;
        let seq = self.seq;
        let key = match () {
            () if by_vtime => self.raw(id).scx.dsq_vtime as i64,
            () if flags & (abi::ENQ_HEAD | abi::ENQ_PREEMPT) != 0 => -(seq as i64),
            () => 0,
        };
        let entry = Entry { key, seq, task: id };
        if !self.dsqs[dsq].insert(entry, by_vtime) {
            let name = self.dsqs[dsq].id;
            self.fail(format!("DSQ {name:#x} mixes FIFO and vtime ordering"));
            return;
        }
        let task = &mut self.tasks[id as usize];
        task.place = Some(Place { dsq, entry });
        task.held = 0;
        if dsq < self.cpus.len() {
            self.came_to_local(dsq, flags);
        }
    }

    /// Something came to the local queue of `cpu`.
    fn came_to_local(&mut self, cpu: usize, flags: u64) {
        if self.cpus[cpu].in_balance {
            return;
        }
        match self.cpus[cpu].curr {
            None => self.resched(cpu),
            Some(curr) if flags & abi::ENQ_PREEMPT != 0 => {
                self.raw(curr).scx.slice = 0;
                self.resched(cpu);
            }
            Some(_) => {}
        }
    }

    /// Take a task out of the queue that it is in, if any.
    pub fn dequeue(&mut self, id: TaskId) {
        if let Some(place) = self.tasks[id as usize].place.take() {
            self.dsqs[place.dsq].remove(&place.entry);
        }
    }

    /// Move a task that waits in a queue to the local queue of `cpu`.
    pub fn to_local(&mut self, id: TaskId, cpu: usize, flags: u64) {
        self.dequeue(id);
        self.set_cpu(id, cpu);
        self.enqueue(id, cpu, flags, false);
    }

    /// True if `cpu` may fetch task `id` from another run queue.
    pub fn may_fetch(&mut self, id: TaskId, cpu: usize) -> bool {
        self.raw(id).migration_disabled == 0 && self.may_use(id, cpu) && self.cpus[cpu].online
    }

    /// Insert a task, which waits in no queue, where `sent` says, on behalf of the run queue of
    /// `cpu`: what goes to another CPU's local queue is checked, as the kernel does.
    pub fn deliver(&mut self, id: TaskId, sent: Sent, cpu: usize) {
        let Some(dsq) = self.dsq(sent.dsq, cpu) else {
            self.fail(format!("non-existent DSQ {:#x}", sent.dsq));
            return;
        };
        if dsq >= self.cpus.len() || dsq == self.cpu_of(id) {
            self.enqueue(id, dsq, sent.flags, sent.by_vtime);
            return;
        }
        if self.checked(id, dsq) {
            self.set_cpu(id, dsq);
            self.enqueue(id, dsq, sent.flags, sent.by_vtime);
        } else {
            let global = self.global();
            self.enqueue(id, global, sent.flags & !abi::ENQ_PREEMPT, false);
        }
    }

    /// True if task `id` may be put into the local queue of `cpu`; anything else ends the scheduler.
    pub fn checked(&mut self, id: TaskId, cpu: usize) -> bool {
        let pid = self.raw(id).pid;
        if self.raw(id).migration_disabled != 0 {
            self.fail(format!("SCX_DSQ_LOCAL[_ON] cannot move migration disabled task {pid}"));
        } else if !self.may_use(id, cpu) {
            self.fail(format!("SCX_DSQ_LOCAL[_ON] target CPU {cpu} not allowed for task {pid}"));
        } else if self.cpus[cpu].online {
            return true;
        }
        false
    }

    /// The tasks of queue `dsq` in order that `cpu` may have: the first of them is fetched into its
    /// local queue. False if there is none.
    pub fn consume(&mut self, dsq: usize, cpu: usize) -> bool {
        let entries = self.dsqs[dsq].iter().map(|entry| entry.task);
        let mut found = None;
        for id in entries {
            let task = &self.tasks[id as usize];
            // SAFETY: as in `raw`.
            let raw = unsafe { &*task.raw };
            // What belongs to this run queue is taken without further questions.
            let fits = raw.cpu as usize == cpu
                || (raw.migration_disabled == 0
                    // SAFETY: the mask lives as long as its task.
                    && unsafe { (*raw.cpus).has(cpu) }
                    && self.cpus[cpu].online);
            if fits {
                found = Some(id);
                break;
            }
        }
        match found {
            Some(id) => {
                self.to_local(id, cpu, 0);
                true
            }
            None => false,
        }
    }

    /// Carry out what dispatch() on `cpu` has inserted so far. Returns how many were.
    pub fn flush(&mut self, cpu: usize) -> usize {
        let Some(buffer) = self.buffer.replace(Vec::new()) else {
            self.buffer = None;
            return 0;
        };
        let nr = buffer.len();
        for Buffered { task, held, sent } in buffer {
            // It may have been dequeued, or enqueued anew, meanwhile.
            if self.tasks[task as usize].held == held && held != 0 {
                self.deliver(task, sent, cpu);
            }
        }
        nr
    }

    // ---- idle CPUs -----------------------------------------------------------------------------

    /// Take `cpu` for idle, or not.
    pub fn set_idle(&mut self, cpu: usize, idle: bool) {
        self.idle_cpus.set(cpu, idle);
        let core = self.machine.core(cpu);
        let whole = idle && core.iter().all(|&thread| self.idle_cpus.has(thread));
        for &thread in core {
            self.idle_cores.set(thread, whole);
        }
    }

    /// Claim an idle CPU. False if it is not, or is not any more.
    pub fn claim(&mut self, cpu: usize) -> bool {
        for &thread in self.machine.core(cpu) {
            self.idle_cores.set(thread, false);
        }
        let idle = self.idle_cpus.has(cpu);
        self.idle_cpus.set(cpu, false);
        idle
    }

    /// Claim an idle CPU of `allowed`, a whole core if `core`.
    pub fn pick_idle(&mut self, allowed: &CpuMask, core: bool) -> Option<usize> {
        let words = self.cpus.len().div_ceil(64);
        loop {
            let of = if core { &self.idle_cores } else { &self.idle_cpus };
            let here = self.here();
            let from = self.distribute[here] as usize + 1;
            let cpu = of.next_of_both(allowed, from, words)?;
            self.distribute[here] = cpu as u32;
            if self.claim(cpu) {
                return Some(cpu);
            }
        }
    }

    // ---- calls between CPUs --------------------------------------------------------------------

    /// `cpu` is to call the scheduler: at once if it executes this, else when the interrupt arrives.
    pub fn resched(&mut self, cpu: usize) {
        if self.cpus[cpu].need_resched || !self.machine.is_online(cpu) {
            return;
        }
        self.cpus[cpu].need_resched = true;
        if cpu == self.here() {
            return;
        }
        let idle = self.cpus[cpu].curr.is_none();
        let after = self.timing.interrupt(idle, &mut self.events);
        self.events.push(self.now + after, Event::Resched { cpu });
    }

    /// An iteration over queue `id` begins.
    pub fn iterate(&mut self, it: &mut Iter, id: u64) {
        *it = Iter {
            dsq_id: id,
            until_seq: self.seq,
            key: i64::MIN,
            seq: 0,
            slice: 0,
            vtime: 0,
            begun: 0,
            has: 0,
        };
    }

    /// Its next task.
    pub fn next(&mut self, it: &mut Iter) -> Option<TaskId> {
        let dsq = self.dsq(it.dsq_id, self.here())?;
        loop {
            let entry = self.dsqs[dsq].behind(it.key, it.seq)?;
            (it.key, it.seq, it.begun) = (entry.key, entry.seq, 1);
            if entry.seq <= it.until_seq {
                return Some(entry.task);
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for task in &self.tasks {
            // SAFETY: made by Box::into_raw in `add_task` and by `task::make`, freed only here.
            unsafe {
                let raw = Box::from_raw(task.raw);
                drop(Box::from_raw(raw.cpus));
                if !raw.mm.is_null() {
                    drop::<Box<Mm>>(Box::from_raw(raw.mm));
                }
            }
        }
    }
}
