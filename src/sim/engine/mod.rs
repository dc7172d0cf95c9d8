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

mod interrupt;
mod life;
mod switch;
mod wake;

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
