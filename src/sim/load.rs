// SPDX-License-Identifier: GPL-2.0-only
//! What tasks do: the interface between the engine and a workload.

use super::abi::CpuMask;
use super::machine::Machine;
use super::worker::Workers;
use super::world::TaskId;
use toll_bench::lab::figures::{Figure, Paid};

/// A task to be born.
#[derive(Clone)]
pub struct Hire {
    /// Its name; at most 15 bytes are kept.
    pub name: String,
    /// Its working set, KiB.
    pub set_kib: u64,
    /// CPUs that it may use; none: all.
    pub cpus: Option<CpuMask>,
    /// CPUs that it may use while it is born, and touches its memory; none: as later.
    pub born_on: Option<CpuMask>,
    /// Its weight, 100 for nice 0.
    pub weight: u32,
}

impl Hire {
    /// A task of usual weight that may use all CPUs.
    pub fn new(name: &str, set_kib: u64) -> Hire {
        Hire { name: name.into(), set_kib, cpus: None, born_on: None, weight: 100 }
    }
}

/// What a task does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It works for so many ns of CPU time at home. `u64::MAX`: without end.
    Work(u64),
    /// It sleeps until that instant.
    Until(u64),
    /// It waits until somebody wakes it.
    Block,
    /// It ends.
    End,
}

/// When a run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// So many ns after the release.
    After(u64),
    /// When all tasks have ended; if that has not happened after so many ns the run has failed.
    Done(u64),
}

impl Ends {
    /// When all tasks have ended; a load of `span_ns` that takes twenty times as long has failed.
    pub fn when_done(span_ns: u64) -> Ends {
        const PATIENCE: u64 = 20;
        Ends::Done(PATIENCE * span_ns.max(1_000_000_000))
    }
}

/// What a workload does besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Wake a task; nothing happens to one that is awake. `sync`: whoever wakes it is about to sleep.
    Wake {
        /// The task.
        task: u32,
        /// See above.
        sync: bool,
    },
    /// [`Load::phase`] is called at that instant.
    Phase {
        /// When.
        at: u64,
        /// What for.
        number: u64,
    },
}

/// What a workload sees of the simulation, and may ask of it.
pub struct Cx<'a> {
    /// Simulated time, ns.
    pub now: u64,
    /// When the tasks were released.
    pub released: u64,
    /// CPU that the task at hand runs on.
    pub cpu: usize,
    /// The machine.
    pub machine: &'a Machine,
    /// What work costs.
    pub(super) workers: &'a mut Workers,
    /// The number in the world of the first that was hired.
    pub(super) first: TaskId,
    /// Carried out in turn when the callback returns.
    pub(super) orders: Vec<Order>,
}

impl Cx<'_> {
    /// Wake `task`.
    pub fn wake(&mut self, task: u32, sync: bool) {
        self.orders.push(Order::Wake { task, sync });
    }

    /// `task` gets `kib` of data that another has modified on CPU `from`, and pays for it.
    pub fn receive(&mut self, task: u32, from: usize, kib: u64) {
        self.workers.receive(self.first + task, from, kib, self.machine);
    }

    /// Call [`Load::phase`] with `number` at `at`.
    pub fn at(&mut self, at: u64, number: u64) {
        self.orders.push(Order::Phase { at, number });
    }
}

/// A workload. Tasks are numbered as they were hired, from 0.
pub trait Load {
    /// Who is hired. All are born one after the other by one parent, touch their memory, wait, and are
    /// released at once.
    fn staff(&mut self) -> Vec<Hire>;

    /// When it is over.
    fn ends(&self) -> Ends;

    /// `task` has been released, has done its work, or was woken: what next?
    fn next(&mut self, task: u32, cx: &mut Cx) -> Step;

    /// All were released just now.
    fn released(&mut self, _cx: &mut Cx) {}

    /// An instant that the workload asked for.
    fn phase(&mut self, _number: u64, _cx: &mut Cx) {}

    /// What was found, when it is over; `elapsed` ns after the release.
    fn figures(&self, workers: &StaffView, elapsed: u64) -> Vec<Figure>;
}

/// What tasks of a staff have done.
pub struct StaffView<'a> {
    /// All workers.
    pub workers: &'a Workers,
    /// The number in the world of the first that was hired.
    pub first: TaskId,
    /// How many were hired.
    pub nr: usize,
}

impl StaffView<'_> {
    /// What task `nr` of the staff did and paid.
    pub fn paid(&self, nr: usize) -> Paid {
        self.workers.paid(self.first + nr as TaskId)
    }

    /// What all did and paid in sum.
    pub fn all_paid(&self) -> Paid {
        (0..self.nr).map(|nr| self.paid(nr)).fold(Paid::default(), |sum, paid| Paid {
            work_ns: sum.work_ns + paid.work_ns,
            refill_ns: sum.refill_ns + paid.refill_ns,
            remote_ns: sum.remote_ns + paid.remote_ns,
            llc_moves: sum.llc_moves + paid.llc_moves,
            node_moves: sum.node_moves + paid.node_moves,
        })
    }
}
