// SPDX-License-Identifier: GPL-2.0-only
//! The rule `ΔL > P` in user space: what `--policy user` decides by.
//!
//! 1. A task wants to run ([`Desk::arrive`]): what it ran is accounted, what it has warm is worn and
//!    grown, and it waits in the queue of an LLC, by virtual deadline. That is its own LLC, or another
//!    one where it waits less, if the wait saved exceeds the price ([`crate::model::rule`]).
//! 2. CPUs that have ended what they were given are free: their task came back, or the kernel calls
//!    them idle ([`Desk::idle`]).
//! 3. Free CPUs take tasks ([`Desk::assign`]): the next of their own LLC's queue, or else, outward,
//!    the best-paying of the first few of another one. Beyond the age bound a task is taken whatever
//!    it costs.
//!
//! Nothing here makes a system call or reads a clock; the caller brings events and carries orders out.
//!
//! What it is bad at, for want of knowledge: it is not told when a task goes to sleep, so a CPU is
//! believed to be busy until the kernel calls it idle or a turn has passed; W is made from
//! expectations alone. The resident set of a task is not known, so it is taken to fill its share of
//! the cache. Weights of cgroups are not seen. Cores of two capacities are not told apart.

mod desk;
mod task;

pub use desk::Desk;

/// Which CPUs a task may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// All.
    All,
    /// These, by ascending number; at least one.
    These(Vec<u32>),
}

impl Allowed {
    /// True if `cpu` is among them.
    pub fn has(&self, cpu: u32) -> bool {
        match self {
            Allowed::All => true,
            Allowed::These(cpus) => cpus.binary_search(&cpu).is_ok(),
        }
    }
}

/// A task that wants to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The thread.
    pub pid: i32,
    /// The CPU where it was last.
    pub cpu: u32,
    /// Where it may run.
    pub allowed: Allowed,
    /// Run time since it woke up, in ns; 0: it has just woken up.
    pub run_ns: u64,
    /// When its last stretch on a CPU began, in ns of the kernel's clock; 0: it has had none,
    pub start_ns: u64,
    /// and when it ended.
    pub stop_ns: u64,
    /// Weight; 100 is that of nice 0.
    pub weight: u64,
    /// Flags of the kernel, to be handed back.
    pub flags: u64,
    /// Number of this arrival, to be handed back.
    pub seq: u64,
}

/// A task that is to run on a CPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The thread.
    pub pid: i32,
    /// Where.
    pub cpu: u32,
    /// For how long at most, in ns.
    pub slice_ns: u64,
    /// Virtual deadline.
    pub deadline_ns: u64,
    /// As it came.
    pub flags: u64,
    /// As it came.
    pub seq: u64,
}
