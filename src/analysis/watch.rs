// SPDX-License-Identifier: GPL-2.0-only
//! What following a trace tells to whoever watches.

use super::event::{Comm, Context, Left, Pid, Told};

/// What a task did when it was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Was {
    /// It slept: a wakeup is under way.
    Asleep,
    /// It had just been made.
    Newborn,
    /// It waited, for so long in ns, since it had to leave a CPU.
    Waiting(u64),
    /// It waited, for so long in ns, since it was woken.
    Woken(u64),
    /// It waited, for so long in ns, since it was born.
    Born(u64),
    /// It ran.
    Running,
    /// No event has told.
    Unknown,
}

/// How many tasks run or wait on a CPU; `None` while that is not known.
pub type Load = Option<u32>;

/// A task that got another CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// When, in ns.
    pub at_ns: u64,
    /// Who.
    pub pid: Pid,
    /// Its name.
    pub comm: Comm,
    /// Its place in the tables of whoever watches.
    pub slot: usize,
    /// The CPU before.
    pub from: u32,
    /// The CPU from then on.
    pub to: u32,
    /// What it did.
    pub was: Was,
    /// Tasks on the CPU before, this one among them if it waited there.
    pub source: Load,
    /// Tasks on the CPU from then on, without this one.
    pub target: Load,
    /// The CPU that executed the move.
    pub by_cpu: u32,
    /// Who ran there.
    pub by_pid: Pid,
    /// The name of who ran there.
    pub by_comm: Comm,
    /// In which kind of code.
    pub context: Context,
    /// How the next switch of the CPU it went to came about, and how long after the move, in ns.
    pub then: Option<(Left, u64)>,
    /// How long after the move it was woken, in ns; `None` if it was not before it ran.
    pub woken_after_ns: Option<u64>,
    /// How long after the move it ran, in ns; `None` if something else came first.
    pub ran_after_ns: Option<u64>,
    /// NUMA balancing had announced it.
    pub numa: bool,
    /// No event told the move; the task was just seen elsewhere.
    pub implied: bool,
    /// What the scheduler itself recorded of it.
    pub told: Option<Told>,
}

/// Who is told what happens. Times never fall, except that of a [`Move`], which is told late.
pub trait Watch {
    /// A CPU has another load.
    fn load(&mut self, at_ns: u64, cpu: u32, load: Load);
    /// CPUs that idle, and tasks that wait, from now on.
    fn gauge(&mut self, at_ns: u64, idle: u32, waiting: u32);
    /// A task ran on a CPU until now.
    fn ran(&mut self, at_ns: u64, slot: usize, cpu: u32, ran_ns: u64, left: Left);
    /// A task waited until now, and runs.
    fn waited(&mut self, at_ns: u64, comm: Comm, waited_ns: u64);
    /// A task was moved.
    fn moved(&mut self, moved: &Move);
    /// Another task has this slot from now on.
    fn anew(&mut self, slot: usize);
    /// Events are missing.
    fn gap(&mut self, at_ns: u64);
}
