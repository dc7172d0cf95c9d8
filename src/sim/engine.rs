// SPDX-License-Identifier: GPL-2.0-only
//! The simulated kernel at work: it calls the scheduler as `kernel/sched/core.c` and `ext.c` do.
//!
//!   wakeup    select_cpu, runnable, enqueue; an insertion into another CPU's local queue is put
//!             off until the run queue is let go                           wake, put, run_deferred
//!   switch    stopping and quiescent of what sleeps; what has time left goes on; dispatch until
//!             something is there; stopping and enqueue of what is put back, with 20 ms if it goes on
//!             without time left; running                                  schedule, balance
//!   idle      update_idle when a CPU begins to idle or ends it            schedule
//!   tick      tick, and a switch when no time is left                     tick
//!   kick      through an interrupt; whoever is busy needs none            Event::Kick
//!   watchdog  a task that waits longer than the scheduler promised ends it    check_waits
//!
//! Everything happens at one instant of simulated time and takes none; what takes time lies between
//! events. What it is bad at: no callback runs beside another, so races within one are not seen; there
//! are no interrupts, real-time tasks or kernel threads; threads of a core do not slow each other.

use super::abi::{self, CpuMask, ExitInfo, ExitTaskArgs, InitTaskArgs, Mm, Ops, Task};
use super::audit::Audit;
use super::cgroups::Cgroups;
use super::events::{Event, Events};
use super::load::{Cx, Ends, Hire, Load, Order, StaffView, Step};
use super::machine::Machine;
use super::object::Object;
use super::timing::Timing;
use super::worker::Workers;
use super::world::{CpuState, Sent, State, TaskId, TaskState, World};
use anyhow::{Result, bail};
use std::ffi::{CString, c_char};
use std::ptr::null_mut;
use std::sync::Arc;

/// Calls of dispatch() that bring nothing, after which the kernel gives up for now.
const DISPATCH_LOOPS: u32 = 32;
/// CPU time of a fork, for the parent.
const FORK_NS: u64 = 20_000;
/// CPU time that touching a KiB of memory takes, for a newborn.
const TOUCH_NS_PER_KIB: u64 = 100;
/// The tasks are left alone for this long before their release, as in the lab.
const SETTLE_NS: u64 = 20_000_000;
/// How often the parent looks whether all are there.
const POLL_NS: u64 = 2_000_000;
/// Resident set of a task besides its working set, KiB: the program itself.
const PROGRAM_KIB: u64 = 2048;
/// Pid of the parent of all tasks; theirs follow it.
const PARENT_PID: i32 = 1000;
/// How often the invariants are looked at.
const AUDIT_NS: u64 = 1_000_000;
/// The scheduler is asked to keep a task waiting no longer than this, if it does not say.
const WATCHDOG_NS: u64 = 30_000_000_000;

/// The parent of all: it forks, waits until all are there, releases them, and waits for the end.
const PARENT: TaskId = 0;

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Switches from one task, or none, to another.
    pub switches: u64,
    /// Tasks that woke up.
    pub wakeups: u64,
    /// Callbacks.
    pub callbacks: u64,
    /// CPU time of idle CPUs while as many tasks waited, ns.
    pub wasted_ns: u64,
    /// Longest time that a task waited, ns, and the sum over all turns.
    pub longest_wait_ns: u64,
    /// See above.
    pub wait_ns: u64,
}

/// A simulation.
pub struct Engine<'a> {
    world: *mut World,
    ops: Ops,
    /// Before the world in drop order does not matter: both are dropped by hand.
    host: Box<abi::Host>,
    machine: Arc<Machine>,
    object: Object,
    load: Box<dyn Load + 'a>,
    workers: Workers,
    cgroups: Cgroups,
    hired: Vec<Hire>,
    /// Tasks that have touched their memory.
    ready: usize,
    forked: usize,
    released: Option<u64>,
    gone: usize,
    idle_task: Box<Task>,
    idle_mask: Box<CpuMask>,
    overhead: Vec<u64>,
    counts: Counts,
    nr_idle: usize,
    nr_waiting: usize,
    wasted_at: u64,
    hash: u64,
    audit: Audit,
    timeout_ns: u64,
}

/// How a run ended.
pub struct Ended {
    /// Why the scheduler was thrown out, if it was.
    pub failure: Option<String>,
    /// A hash over every switch: who ran where and when.
    pub hash: u64,
    /// What was counted.
    pub counts: Counts,
    /// Tasks that went from CPU to CPU, by distance.
    pub migrations: [u64; 3],
    /// Release and end, ns.
    pub released: u64,
    /// See above.
    pub until: u64,
    /// Events that happened.
    pub events: u64,
}

impl<'a> Engine<'a> {
    /// A machine on which `object` is about to be attached.
    ///
    /// # Errors
    /// When the object is no scheduler that this can drive.
    pub fn new(
        object: Object,
        machine: Machine,
        timing: Timing,
        workers: Workers,
        mut load: Box<dyn Load + 'a>,
        seed: u64,
    ) -> Result<Engine<'a>> {
        let mut events = Events::new(seed);
        let random = events.rng.bits();
        let hired = load.staff();
        let nr = machine.nr_cpu_ids();
        if nr > abi::MAX_CPUS {
            bail!("the machine has {nr} CPUs, at most {} are supported", abi::MAX_CPUS);
        }
        let nr_online = machine.online_mask().weight();
        let machine = Arc::new(machine);
        let world = Box::into_raw(World::new(Arc::clone(&machine), timing, events));
        // SAFETY: made just above.
        let mut host = unsafe { World::host(world, random) };
        let mut idle_mask = Box::new(CpuMask::EMPTY);
        let idle_task = Box::new(blank(0, &raw mut *idle_mask, null_mut()));
        // SAFETY: the host is boxed and lives in the engine, as long as the object.
        let ops = unsafe { object.bind(&raw mut *host) }.inspect_err(|_| {
            // SAFETY: made just above; nobody else has it.
            drop(unsafe { Box::from_raw(world) });
        })?;
        let timeout_ns = match ops.timeout_ms {
            0 => WATCHDOG_NS,
            ms => u64::from(ms) * 1_000_000,
        };
        Ok(Engine {
            world,
            ops,
            host,
            machine,
            object,
            load,
            workers,
            cgroups: Cgroups::root_only(),
            hired,
            ready: 0,
            forked: 0,
            released: None,
            gone: 0,
            idle_task,
            idle_mask,
            overhead: vec![0; nr],
            counts: Counts::default(),
            nr_idle: nr_online,
            nr_waiting: 0,
            wasted_at: 0,
            hash: 0xcbf2_9ce4_8422_2325,
            audit: Audit::default(),
            timeout_ns,
        })
    }

    /// What checks the invariants.
    pub fn set_audit(&mut self, audit: Audit) {
        self.audit = audit;
    }

    /// The scheduler.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// What the audit found.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// What tasks did.
    pub fn staff_view(&self) -> StaffView<'_> {
        StaffView { workers: &self.workers, first: PARENT + 1, nr: self.hired.len() }
    }

    /// The figures of the load, `elapsed` ns after the release.
    pub fn figures(&self, elapsed: u64) -> Vec<toll_bench::lab::figures::Figure> {
        self.load.figures(&self.staff_view(), elapsed)
    }

    /// The world, for looking at it between events.
    pub fn world(&self) -> &World {
        // SAFETY: made in `new`, freed in `drop`; no callback runs while this reference is alive,
        // since calling one takes `&mut self`.
        unsafe { &*self.world }
    }

    fn w(&mut self) -> &mut World {
        // SAFETY: as in `world`. Callbacks are called with no such reference alive.
        unsafe { &mut *self.world }
    }

    fn cpu(&mut self, cpu: usize) -> &mut CpuState {
        &mut self.w().cpus[cpu]
    }

    fn task(&mut self, task: TaskId) -> &mut TaskState {
        &mut self.w().tasks[task as usize]
    }

    fn enter(&mut self, cpu: usize) {
        let idle = &raw mut *self.idle_task;
        self.w().enter(cpu, idle);
    }

    // ---- the run -------------------------------------------------------------------------------

    /// Attach the scheduler, run to the end, and detach it.
    ///
    /// # Errors
    /// When the scheduler refuses the machine. What it does wrong later is in what is returned.
    pub fn run(&mut self, mut progress: impl FnMut(u64, Option<u64>)) -> Result<Ended> {
        self.attach()?;
        let parent = self.birth(&Hire::new("parent", 0), PARENT_PID)?;
        debug_assert_eq!(parent, PARENT);
        self.wake_new(parent, 0);
        self.settle(0);
        self.w().events.push(AUDIT_NS, Event::Audit);
        let mut until = 0;
        while self.world().failure.is_none() {
            let Some((at, event)) = self.w().events.pop() else { break };
            if let Some(end) = self.end().filter(|end| at > *end) {
                until = end;
                break;
            }
            self.pass_time(at);
            self.happen(event);
            if event == Event::Audit {
                progress(at, self.released);
            }
            until = at;
            if matches!(self.load.ends(), Ends::Done(_)) && self.gone == self.hired.len() {
                break;
            }
        }
        self.pass_time(until);
        for cpu in 0..self.world().cpus.len() {
            self.update_curr(cpu);
        }
        self.check_waits();
        self.look();
        if let (Ends::Done(_), true) = (self.load.ends(), self.gone < self.hired.len()) {
            let (gone, all) = (self.gone, self.hired.len());
            self.w().fail(format!("only {gone} of {all} tasks have ended in time"));
        }
        self.detach();
        Ok(Ended {
            failure: self.world().failure.clone(),
            hash: self.hash,
            counts: self.counts,
            migrations: self.world().migrations,
            released: self.released.unwrap_or(until),
            until,
            events: self.world().events.pushed(),
        })
    }

    fn end(&self) -> Option<u64> {
        let (Ends::After(ns) | Ends::Done(ns)) = self.load.ends();
        self.released.map(|at| at + ns)
    }

    fn attach(&mut self) -> Result<()> {
        self.enter(0);
        if let Some(init) = self.ops.init {
            // SAFETY: a callback of the bound object.
            let err = unsafe { init() };
            if err != 0 {
                bail!("the scheduler's init() failed with {err}");
            }
        }
        if let Some(init) = self.ops.cgroup_init {
            for (cgroup, mut args) in self.cgroups.all() {
                // SAFETY: cgroups live as long as the engine.
                let err = unsafe { init(cgroup, &raw mut args) };
                if err != 0 {
                    bail!("the scheduler's cgroup_init() failed with {err}");
                }
            }
        }
        match &self.world().failure {
            Some(why) => bail!("the scheduler failed while it was attached: {why}"),
            None => Ok(()),
        }
    }

    fn detach(&mut self) {
        if let Some(exit) = self.ops.exit {
            let why = self.world().failure.clone().unwrap_or_default();
            let msg = CString::new(why.replace('\0', " ")).unwrap_or_default();
            let kind = if msg.is_empty() { 64 } else { 1025 };
            let (msg, reason) = (msg.as_ptr(), c"".as_ptr());
            let mut info = ExitInfo { kind, exit_code: 0, reason, msg };
            // SAFETY: the texts live until it returns.
            unsafe { exit(&raw mut info) };
        }
    }

    fn pass_time(&mut self, at: u64) {
        let wasted = (at - self.wasted_at) * self.nr_idle.min(self.nr_waiting) as u64;
        if self.released.is_some() {
            self.counts.wasted_ns += wasted;
        }
        self.wasted_at = at;
        self.w().now = at;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wake { task, timer } => {
                let state = self.task(task);
                if state.timer != timer || state.state != State::Asleep {
                    return;
                }
                // The timer's interrupt comes on the CPU where it was started.
                let cpu = self.world().cpu_of(task);
                self.enter(cpu);
                self.wake(task, abi::WAKE_TTWU);
                self.settle(cpu);
            }
            Event::Resched { cpu } => {
                self.enter(cpu);
                self.settle(cpu);
            }
            Event::Kick { by, cpu, flags } => {
                self.enter(by);
                self.kick(cpu, flags);
                self.settle(by);
            }
            Event::Tick { cpu } => self.tick(cpu),
            Event::Done { cpu, stretch } => {
                if self.cpu(cpu).stretch == stretch {
                    self.done(cpu);
                }
            }
            Event::Deferred { cpu } => {
                self.enter(cpu);
                self.run_deferred(cpu);
                self.settle(cpu);
            }
            Event::Timer { cpu, timer, started } => self.timer(cpu, timer, started),
            Event::Reenqueue { cpu } => self.reenqueue(cpu),
            Event::Phase { number } => {
                self.enter(0);
                self.call_load(0, |load, cx| load.phase(number, cx));
                self.settle(0);
            }
            Event::Audit => {
                self.check_waits();
                self.look();
                let at = self.world().now + AUDIT_NS;
                self.w().events.push(at, Event::Audit);
            }
        }
    }

    /// What is due on `cpu` before it goes on.
    fn settle(&mut self, cpu: usize) {
        while self.cpu(cpu).need_resched && self.world().failure.is_none() {
            self.schedule(cpu);
        }
    }

    // ---- tasks come and go ---------------------------------------------------------------------

    fn birth(&mut self, hire: &Hire, pid: i32) -> Result<TaskId> {
        let all = self.world().machine.online_mask();
        let cpus = hire.born_on.as_ref().or(hire.cpus.as_ref()).unwrap_or(&all).clone();
        let cpus = Box::into_raw(Box::new(cpus));
        let pages = ((PROGRAM_KIB + hire.set_kib) / 4) as i64;
        let mm = Box::into_raw(Box::new(Mm { anon_pages: pages, ..Mm::default() }));
        let mut raw = Box::new(blank(pid, cpus, mm));
        // SAFETY: made just above.
        raw.nr_cpus_allowed = unsafe { (*cpus).weight() } as i32;
        raw.scx.weight = hire.weight;
        raw.cgroups = self.cgroups.css_set();
        for (to, from) in raw.comm.iter_mut().take(15).zip(hire.name.bytes()) {
            *to = from as c_char;
        }
        let here = self.world().here();
        raw.cpu = here as i32;
        let task = self.w().add_task(raw);
        self.workers.add(hire.set_kib);
        let raw = self.task(task).raw;
        // SAFETY: the task lives as long as the world.
        unsafe { (*raw).group_leader = raw };
        if let Some(init_task) = self.ops.init_task {
            let mut args = InitTaskArgs { fork: true, cgroup: self.cgroups.root() };
            // SAFETY: a callback of the bound object, about a live task.
            let err = unsafe { init_task(raw, &raw mut args) };
            if err != 0 {
                bail!("the scheduler's init_task() failed with {err}");
            }
        }
        if let Some(enable) = self.ops.enable {
            // SAFETY: as above.
            unsafe { enable(raw) };
        }
        self.counts.callbacks += 2;
        Ok(task)
    }

    fn bury(&mut self, task: TaskId) {
        let raw = self.task(task).raw;
        if let Some(disable) = self.ops.disable {
            // SAFETY: a callback of the bound object, about a live task.
            unsafe { disable(raw) };
        }
        if let Some(exit_task) = self.ops.exit_task {
            let mut args = ExitTaskArgs { cancelled: false };
            // SAFETY: as above.
            unsafe { exit_task(raw, &raw mut args) };
        }
        self.counts.callbacks += 2;
        // SAFETY: no callback about it follows.
        unsafe { self.object.forget_task(raw) };
        if task != PARENT {
            self.gone += 1;
        }
    }

    /// What task `task` does next.
    fn next_step(&mut self, task: TaskId, cpu: usize) -> Step {
        if task == PARENT {
            return self.parent(cpu);
        }
        let nr = (task - PARENT - 1) as usize;
        if self.released.is_none() {
            // It has touched its memory, which makes this its home, and waits.
            self.workers.settle(task, &self.machine);
            self.ready += 1;
            if let (Some(_), cpus) = (&self.hired[nr].born_on, self.hired[nr].cpus.clone()) {
                let cpus = cpus.unwrap_or_else(|| self.world().machine.online_mask());
                self.set_cpus(task, cpus);
            }
            return Step::Block;
        }
        self.call_load(cpu, |load, cx| load.next(nr as u32, cx))
    }

    fn parent(&mut self, cpu: usize) -> Step {
        if self.released.is_some() {
            return Step::Block;
        }
        if self.forked < self.hired.len() {
            let nr = self.forked;
            self.forked += 1;
            let hire = self.hired[nr].clone();
            match self.birth(&hire, PARENT_PID + 1 + nr as i32) {
                Ok(task) => {
                    self.workers.demand(task, hire.set_kib * TOUCH_NS_PER_KIB + 1);
                    self.wake_new(task, cpu);
                }
                Err(why) => self.w().fail(format!("{why:#}")),
            }
            return Step::Work(FORK_NS);
        }
        let now = self.world().now;
        if self.ready < self.hired.len() {
            return Step::Until(now + POLL_NS);
        }
        if self.ready == self.hired.len() {
            // Once more, after a rest.
            self.ready += 1;
            return Step::Until(now + SETTLE_NS);
        }
        self.released = Some(now);
        self.audit.released(now);
        self.call_load(cpu, |load, cx| load.released(cx));
        for nr in 0..self.hired.len() {
            self.wake(PARENT + 1 + nr as TaskId, abi::WAKE_TTWU);
        }
        Step::Block
    }

    /// Let the load decide something on `cpu`, and carry out what it orders.
    fn call_load<T>(&mut self, cpu: usize, call: impl FnOnce(&mut dyn Load, &mut Cx) -> T) -> T {
        let mut cx = Cx {
            now: self.world().now,
            released: self.released.unwrap_or(0),
            cpu,
            machine: &self.machine,
            workers: &mut self.workers,
            first: PARENT + 1,
            orders: Vec::new(),
        };
        let answer = call(&mut *self.load, &mut cx);
        let orders = cx.orders;
        for order in orders {
            match order {
                Order::Wake { task, sync } => {
                    let sync = if sync { abi::WAKE_SYNC } else { 0 };
                    self.wake(PARENT + 1 + task, abi::WAKE_TTWU | sync);
                }
                Order::Phase { at, number } => self.w().events.push(at, Event::Phase { number }),
            }
        }
        answer
    }

    /// `cpus` are those that the running task `task` may use from now on.
    fn set_cpus(&mut self, task: TaskId, cpus: CpuMask) {
        let raw = self.task(task).raw;
        // SAFETY: the task and its mask live as long as the world, and no callback runs.
        unsafe {
            (*raw).nr_cpus_allowed = cpus.weight() as i32;
            *(*raw).cpus = cpus;
            if let Some(set_cpumask) = self.ops.set_cpumask {
                set_cpumask(raw, (*raw).cpus);
            }
        }
    }

    // ---- a task wakes up -----------------------------------------------------------------------

    fn wake(&mut self, task: TaskId, flags: u64) {
        if self.task(task).state != State::Asleep {
            return;
        }
        self.counts.wakeups += 1;
        self.audit.wakes(task);
        let cpu = self.select_cpu(task, flags);
        self.activate(task, cpu, abi::ENQ_WAKEUP);
    }

    fn wake_new(&mut self, task: TaskId, _parent: usize) {
        let cpu = self.select_cpu(task, abi::WAKE_FORK);
        self.activate(task, cpu, 0);
    }

    fn select_cpu(&mut self, task: TaskId, flags: u64) -> usize {
        let raw = self.task(task).raw;
        let prev = self.world().cpu_of(task);
        // SAFETY: the task lives as long as the world.
        let (fixed, cpus) = unsafe {
            let task = &*raw;
            (task.nr_cpus_allowed <= 1 || task.migration_disabled != 0, &*task.cpus)
        };
        let mut cpu = prev;
        if !fixed {
            cpu = match self.ops.select_cpu {
                Some(select_cpu) => {
                    self.w().directing = Some(task);
                    self.counts.callbacks += 1;
                    // SAFETY: a callback of the bound object, about a live task.
                    let cpu = unsafe { select_cpu(raw, prev as i32, flags) };
                    self.w().directing = None;
                    cpu as usize
                }
                None => self.select_cpu_by_default(task, raw, prev),
            };
        }
        if cpu >= self.world().cpus.len() {
            self.w().fail(format!("invalid CPU {} from ops.select_cpu()", cpu as i32));
            return prev;
        }
        match cpus.has(cpu) && self.world().machine.is_online(cpu) {
            true => cpu,
            false => cpus.and(&self.world().machine.online_mask()).iter().next().unwrap_or(prev),
        }
    }

    fn select_cpu_by_default(&mut self, task: TaskId, raw: *mut Task, prev: usize) -> usize {
        let mut all = self.world().machine.online_mask();
        let kernel = self.world.cast();
        // SAFETY: the world is alive, and no reference into it is.
        let found =
            unsafe { super::kfuncs::select_cpu_and(kernel, raw, prev as i32, 0, &raw mut all, 0) };
        if found < 0 {
            return prev;
        }
        self.w().raw(task).scx.slice = abi::SLICE_DFL;
        self.task(task).sent = Some(Sent { dsq: abi::DSQ_LOCAL, flags: 0, by_vtime: false });
        found as usize
    }

    /// Put `task` into the run queue of `cpu`.
    fn activate(&mut self, task: TaskId, cpu: usize, flags: u64) {
        let now = self.world().now;
        let w = self.w();
        w.set_cpu(task, cpu);
        w.raw(task).scx.flags |= abi::TASK_QUEUED;
        let state = &mut w.tasks[task as usize];
        state.state = State::Waiting;
        state.runnable_at = now;
        let raw = state.raw;
        self.nr_waiting += 1;
        if let Some(runnable) = self.ops.runnable {
            self.counts.callbacks += 1;
            // SAFETY: a callback of the bound object, about a live task.
            unsafe { runnable(raw, flags) };
        }
        self.put(task, cpu, flags);
        // Any task is better than none.
        if self.cpu(cpu).curr.is_none() {
            self.w().resched(cpu);
        }
        self.run_deferred(cpu);
    }

    /// Hand a task that waits to the scheduler, or to where the scheduler has sent it already.
    fn put(&mut self, task: TaskId, cpu: usize, flags: u64) {
        let raw = self.task(task).raw;
        // SAFETY: the task lives as long as the world.
        let (exits, stays) =
            unsafe { ((*raw).flags & abi::PF_EXITING != 0, (*raw).migration_disabled != 0) };
        if self.task(task).sent.is_none() {
            let local = (exits && self.ops.flags & abi::OPS_ENQ_EXITING == 0)
                || (stays && self.ops.flags & abi::OPS_ENQ_MIGRATION_DISABLED == 0);
            let Some(enqueue) = self.ops.enqueue.filter(|_| !local) else {
                let dsq = if local { cpu } else { self.world().global() };
                let w = self.w();
                w.raw(task).scx.slice = abi::SLICE_DFL;
                return w.enqueue(task, dsq, flags, false);
            };
            let w = self.w();
            w.enqueues += 1;
            w.tasks[task as usize].held = w.enqueues;
            w.directing = Some(task);
            self.counts.callbacks += 1;
            // SAFETY: a callback of the bound object, about a live task.
            unsafe { enqueue(raw, flags) };
            self.w().directing = None;
        }
        let Some(mut sent) = self.task(task).sent.take() else { return };
        sent.flags |= flags;
        self.task(task).held = 0;
        let w = self.w();
        match w.dsq(sent.dsq, cpu) {
            Some(dsq) if dsq < w.cpus.len() && dsq != cpu => {
                // Two run queues cannot be locked from here.
                w.tasks[task as usize].deferred = true;
                w.tasks[task as usize].sent = Some(sent);
                w.cpus[cpu].deferred.push(task);
            }
            _ => w.deliver(task, sent, cpu),
        }
    }

    /// Carry out what was put off while the run queue of `cpu` was held.
    fn run_deferred(&mut self, cpu: usize) {
        let w = self.w();
        for task in std::mem::take(&mut w.cpus[cpu].deferred) {
            let state = &mut w.tasks[task as usize];
            if std::mem::take(&mut state.deferred)
                && let Some(sent) = state.sent.take()
            {
                w.deliver(task, sent, cpu);
            }
        }
    }

    // ---- a CPU switches ------------------------------------------------------------------------

    /// Account for what runs on `cpu` up to now.
    fn update_curr(&mut self, cpu: usize) {
        let now = self.world().now;
        let Some(task) = self.cpu(cpu).curr else { return };
        let used = now - std::mem::replace(&mut self.cpu(cpu).since, now);
        if used == 0 {
            return;
        }
        let overhead = used.min(self.overhead[cpu]);
        self.overhead[cpu] -= overhead;
        let w = self.w();
        w.tasks[task as usize].ran_ns += used;
        let slice = &mut w.raw(task).scx.slice;
        if *slice != u64::MAX {
            *slice = slice.saturating_sub(used);
        }
        self.workers.account(task, cpu, used, overhead, &self.machine);
    }

    /// Choose what runs on `cpu`, which executes this, and switch to it.
    fn schedule(&mut self, cpu: usize) {
        self.cpu(cpu).need_resched = false;
        self.update_curr(cpu);
        let prev = self.cpu(cpu).curr;
        let sleeps = prev.filter(|&task| self.task(task).state != State::Running);
        if let Some(task) = sleeps {
            self.sleep(task);
        }
        let runs = prev.filter(|_| sleeps.is_none());
        self.cpu(cpu).in_balance = true;
        let keep = self.balance(cpu, prev, runs);
        self.cpu(cpu).in_balance = false;
        let next = match keep {
            true => prev,
            false => self.world().dsqs[cpu].first().map(|entry| entry.task),
        };
        if let Some(task) = next {
            let scx = &mut self.w().raw(task).scx;
            if scx.slice == 0 {
                scx.slice = abi::SLICE_DFL;
            }
        }
        match (prev, next) {
            (None, None) => self.w().set_idle(cpu, true),
            (prev, next) if prev != next => self.switch(cpu, prev, runs, next),
            _ => {}
        }
        if !self.cpu(cpu).deferred.is_empty() {
            let w = self.w();
            let after = w.timing.irq_work(&mut w.events);
            w.events.push(w.now + after, Event::Deferred { cpu });
        }
    }

    /// The running task `task` goes to sleep, or ends.
    fn sleep(&mut self, task: TaskId) {
        let raw = self.task(task).raw;
        if let Some(stopping) = self.ops.stopping {
            self.counts.callbacks += 1;
            // SAFETY: a callback of the bound object, about a live task.
            unsafe { stopping(raw, false) };
        }
        if let Some(quiescent) = self.ops.quiescent {
            self.counts.callbacks += 1;
            // SAFETY: as above.
            unsafe { quiescent(raw, abi::DEQ_SLEEP) };
        }
        self.w().raw(task).scx.flags &= !abi::TASK_QUEUED;
    }

    /// Bring something to the local queue of `cpu`; true if `runs`, what it has run so far, goes on.
    fn balance(&mut self, cpu: usize, prev: Option<TaskId>, runs: Option<TaskId>) -> bool {
        let has_time =
            |engine: &mut Self| runs.is_some_and(|task| engine.w().raw(task).scx.slice > 0);
        if has_time(self) {
            return true;
        }
        let global = self.world().global();
        if !self.world().dsqs[cpu].is_empty() || self.w().consume(global, cpu) {
            return false;
        }
        let Some(dispatch) = self.ops.dispatch else {
            return runs.is_some() && self.ops.flags & abi::OPS_ENQ_LAST == 0;
        };
        let prev = prev.map_or(null_mut(), |task| self.task(task).raw);
        for left in (0..DISPATCH_LOOPS).rev() {
            self.w().buffer = Some(Vec::new());
            self.counts.callbacks += 1;
            // SAFETY: a callback of the bound object; `prev` is alive, or null.
            unsafe { dispatch(cpu as i32, prev) };
            let inserted = self.w().flush(cpu);
            self.w().buffer = None;
            if has_time(self) {
                return true;
            }
            if !self.world().dsqs[cpu].is_empty() || self.w().consume(global, cpu) {
                return false;
            }
            if inserted == 0 {
                break;
            }
            if left == 0 {
                let w = self.w();
                w.events.push(w.now, Event::Kick { by: cpu, cpu, flags: 0 });
            }
        }
        runs.is_some() && self.ops.flags & abi::OPS_ENQ_LAST == 0
    }

    /// From `prev`, which waits again if it `runs`, to `next`.
    fn switch(
        &mut self,
        cpu: usize,
        prev: Option<TaskId>,
        runs: Option<TaskId>,
        next: Option<TaskId>,
    ) {
        self.counts.switches += 1;
        if prev.is_none() {
            self.update_idle(cpu, false);
        }
        if let Some(task) = runs {
            self.put_back(task, cpu, next.is_none());
        }
        self.cpu(cpu).curr = next;
        self.cpu(cpu).stretch += 1;
        self.note_switch(cpu, next);
        match next {
            Some(task) => self.set_next(task, cpu),
            None => self.update_idle(cpu, true),
        }
        if let Some(task) = prev.filter(|_| runs.is_none())
            && self.task(task).state == State::Gone
        {
            self.bury(task);
        }
    }

    fn put_back(&mut self, task: TaskId, cpu: usize, last: bool) {
        let now = self.world().now;
        let raw = self.task(task).raw;
        if let Some(stopping) = self.ops.stopping {
            self.counts.callbacks += 1;
            // SAFETY: a callback of the bound object, about a live task.
            unsafe { stopping(raw, true) };
        }
        let state = self.task(task);
        (state.state, state.runnable_at) = (State::Waiting, now);
        self.nr_waiting += 1;
        if self.w().raw(task).scx.slice > 0 {
            self.w().enqueue(task, cpu, abi::ENQ_HEAD, false);
        } else {
            self.put(task, cpu, if last { abi::ENQ_LAST } else { 0 });
        }
    }

    fn set_next(&mut self, task: TaskId, cpu: usize) {
        let now = self.world().now;
        let w = self.w();
        w.dequeue(task);
        let state = &mut w.tasks[task as usize];
        state.state = State::Running;
        state.turns += 1;
        state.ran_cpu = Some(cpu);
        let waited = now - state.runnable_at;
        let raw = state.raw;
        let overhead = w.timing.switch_ns;
        w.cpus[cpu].since = now;
        self.overhead[cpu] = overhead;
        self.nr_waiting -= 1;
        self.waited(task, waited);
        let llc = self.machine.llc(cpu);
        self.audit.runs(task, llc, self.workers.home(task), now);
        if let Some(running) = self.ops.running {
            self.counts.callbacks += 1;
            // SAFETY: a callback of the bound object, about a live task.
            unsafe { running(raw) };
        }
        self.workers.arrive(task, cpu, &self.machine);
        self.expect_end(task, cpu);
        self.arm_tick(cpu);
    }

    /// When will what runs on `cpu` have done what it has to?
    fn expect_end(&mut self, task: TaskId, cpu: usize) {
        let need = self.workers.need_ns(task, cpu, &self.machine);
        let at = self.world().now.saturating_add(self.overhead[cpu].saturating_add(need));
        if at < u64::MAX / 4 {
            let stretch = self.cpu(cpu).stretch;
            self.w().events.push(at, Event::Done { cpu, stretch });
        }
    }

    fn arm_tick(&mut self, cpu: usize) {
        let w = self.w();
        if !std::mem::replace(&mut w.cpus[cpu].tick_armed, true) {
            let at = (w.now / w.timing.tick_ns + 1) * w.timing.tick_ns;
            w.events.push(at, Event::Tick { cpu });
        }
    }

    fn update_idle(&mut self, cpu: usize, idle: bool) {
        if idle {
            self.nr_idle += 1;
        } else {
            self.nr_idle -= 1;
        }
        let now = self.world().now;
        self.cpu(cpu).idle_since = now;
        self.w().set_idle(cpu, idle);
        if let Some(update_idle) = self.ops.update_idle {
            self.counts.callbacks += 1;
            // SAFETY: a callback of the bound object.
            unsafe { update_idle(cpu as i32, idle) };
        }
    }

    fn note_switch(&mut self, cpu: usize, next: Option<TaskId>) {
        let next = next.map_or(u64::MAX, u64::from);
        for word in [self.world().now, cpu as u64, next] {
            self.hash = (self.hash ^ word).wrapping_mul(0x0100_0000_01b3);
            self.hash ^= self.hash >> 29;
        }
    }

    fn waited(&mut self, task: TaskId, waited: u64) {
        if self.released.is_some() {
            self.counts.wait_ns += waited;
            self.counts.longest_wait_ns = self.counts.longest_wait_ns.max(waited);
        }
        if waited > self.timeout_ns {
            self.stalled(task, waited);
        }
    }

    fn stalled(&mut self, task: TaskId, waited: u64) {
        let pid = self.w().raw(task).pid;
        self.w().fail(format!(
            "runnable task stall (task {pid} failed to run for {:.3}s)",
            waited as f64 / 1e9
        ));
    }

    // ---- interrupts ----------------------------------------------------------------------------

    fn kick(&mut self, cpu: usize, flags: u64) {
        let curr = self.cpu(cpu).curr;
        if flags & abi::KICK_IDLE != 0 {
            if curr.is_none() {
                self.w().resched(cpu);
            }
            return;
        }
        if flags & abi::KICK_PREEMPT != 0
            && let Some(task) = curr
        {
            self.w().raw(task).scx.slice = 0;
        }
        self.w().resched(cpu);
    }

    fn tick(&mut self, cpu: usize) {
        self.enter(cpu);
        self.cpu(cpu).tick_armed = false;
        let Some(task) = self.cpu(cpu).curr else { return };
        self.update_curr(cpu);
        if let Some(tick) = self.ops.tick {
            let raw = self.task(task).raw;
            self.counts.callbacks += 1;
            // SAFETY: a callback of the bound object, about a live task.
            unsafe { tick(raw) };
        }
        if self.w().raw(task).scx.slice == 0 {
            self.cpu(cpu).need_resched = true;
        }
        self.arm_tick(cpu);
        self.settle(cpu);
    }

    fn timer(&mut self, cpu: usize, timer: usize, started: u64) {
        self.enter(cpu);
        let timer = timer as *mut abi::Timer;
        // SAFETY: a timer in one of the object's maps, which live as long as it does.
        let due = unsafe {
            match (*timer).started == started {
                true => (*timer).callback.map(|callback| (callback, (*timer).map)),
                false => None,
            }
        };
        let Some((callback, map)) = due else { return };
        let mut key = 0;
        self.counts.callbacks += 1;
        // SAFETY: the scheduler has set it for this timer.
        unsafe { callback(map, &raw mut key, timer) };
        self.settle(cpu);
    }

    fn reenqueue(&mut self, cpu: usize) {
        self.enter(cpu);
        let tasks: Vec<TaskId> = self.world().dsqs[cpu].iter().map(|entry| entry.task).collect();
        for task in tasks {
            self.w().dequeue(task);
            self.put(task, cpu, abi::ENQ_REENQ);
        }
        self.run_deferred(cpu);
        self.settle(cpu);
    }

    /// What runs on `cpu` has done what it had to: what does it do next?
    fn done(&mut self, cpu: usize) {
        self.enter(cpu);
        self.update_curr(cpu);
        let Some(task) = self.cpu(cpu).curr else { return };
        self.workers.finish(task);
        let now = self.world().now;
        let step = self.next_step(task, cpu);
        match step {
            Step::Work(ns) => {
                self.workers.demand(task, ns.max(1));
                self.cpu(cpu).stretch += 1;
                self.expect_end(task, cpu);
                self.settle(cpu);
                return;
            }
            Step::Until(at) => {
                let state = self.task(task);
                state.state = State::Asleep;
                state.timer += 1;
                let timer = state.timer;
                self.w().events.push(at.max(now), Event::Wake { task, timer });
            }
            Step::Block => self.task(task).state = State::Asleep,
            Step::End => {
                self.w().raw(task).flags |= abi::PF_EXITING;
                self.task(task).state = State::Gone;
            }
        }
        self.cpu(cpu).need_resched = true;
        self.settle(cpu);
    }

    // ---- looking on ----------------------------------------------------------------------------

    /// The watchdog.
    fn check_waits(&mut self) {
        let now = self.world().now;
        let waits = self.world().tasks.iter().enumerate().filter(|(_, task)| {
            task.state == State::Waiting && now - task.runnable_at > self.timeout_ns
        });
        let late = waits.map(|(id, task)| (id as TaskId, now - task.runnable_at)).next();
        if let Some((task, waited)) = late {
            self.stalled(task, waited);
        }
    }

    fn look(&mut self) {
        let mut audit = std::mem::take(&mut self.audit);
        audit.look(self.world(), &self.object);
        let records = std::mem::take(&mut self.w().ring);
        audit.records(&records);
        self.audit = audit;
    }
}

impl Drop for Engine<'_> {
    fn drop(&mut self) {
        for task in 0..self.world().tasks.len() {
            let raw = self.world().tasks[task].raw;
            // SAFETY: the task is alive, and no callback follows.
            unsafe { self.object.forget_task(raw) };
        }
        // SAFETY: made in `new`; nothing else has its address any more.
        drop(unsafe { Box::from_raw(self.world) });
        let _ = (&self.host, &self.idle_mask);
    }
}

/// A task of which nothing is known yet.
fn blank(pid: i32, cpus: *mut CpuMask, mm: *mut Mm) -> Task {
    Task {
        scx: abi::Entity { slice: abi::SLICE_DFL, weight: 100, ..abi::Entity::default() },
        pid,
        tgid: pid,
        flags: 0,
        nr_cpus_allowed: 1,
        migration_disabled: 0,
        cpu: 0,
        cpus,
        mm,
        group_leader: null_mut(),
        cgroups: null_mut(),
        comm: [0; 16],
        storage: [null_mut(); abi::STORAGES],
        index: 0,
    }
}
