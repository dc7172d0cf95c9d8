// SPDX-License-Identifier: GPL-2.0-only
//! What work takes: caches and memory as state, by the lab's cost model.
//!
//! 1. Work is a demand of CPU time at home. What is owed for moves is worked off first.
//! 2. A task that runs in another LLC than it ran in before owes the fixed cost of the move, and the
//!    loading of what was warm there and is not here.
//! 3. Away from its home, the node where it first ran, work takes some thousandths longer; on a CPU
//!    of less capacity in proportion.
//! 4. Its working set becomes warm while it works, and is worn by what others run in the same LLC.
//!
//! `tools/bench/src/lab/worker.rs` charges real tasks so; it looks every 10 µs or so, this looks at
//! each switch and each tick.

use super::machine::Machine;
use super::world::TaskId;
use crate::topology::{CAPACITY_ONE, Level};
use toll_bench::lab::costs::Costs;
use toll_bench::lab::figures::Paid;

/// What is warm of a working set in one LLC.
#[derive(Debug, Clone, Copy)]
struct Warm {
    llc: u32,
    kib: f64,
    /// The LLC's busy clock when that was true, without the task's own time since.
    busy_at: u64,
}

/// A task that works and pays.
#[derive(Debug, Clone, Default)]
struct Worker {
    set_kib: f64,
    /// Where it ran last.
    llc: Option<u32>,
    last_cpu: usize,
    home: Option<u32>,
    warm: Vec<Warm>,
    /// Work that it still has to do, ns.
    left_ns: u64,
    /// Owed for moves, ns.
    debt_ns: u64,
    /// Fractions of ns of work that did not make a whole one yet.
    rest: u64,
    paid: Paid,
}

/// All of them.
pub struct Workers {
    costs: Costs,
    /// CPU time used in each LLC.
    busy: Vec<u64>,
    workers: Vec<Worker>,
}

impl Workers {
    /// None yet, on a machine with so many LLCs.
    pub fn new(costs: Costs, nr_llcs: usize) -> Workers {
        Workers { costs, busy: vec![0; nr_llcs], workers: Vec::new() }
    }

    /// A new one, with a working set of `set_kib`.
    pub fn add(&mut self, set_kib: u64) {
        self.workers.push(Worker { set_kib: set_kib as f64, ..Worker::default() });
    }

    /// What a move across `level` costs at most, ns.
    pub fn dearest_move_ns(&self, level: Level) -> u64 {
        let most = self.workers.iter().map(|worker| worker.set_kib).fold(0.0, f64::max);
        let level = level.index();
        self.costs.hop_ns[level] + (self.costs.refill_ns_per_kib[level] * most) as u64
    }

    /// True if moves cost something.
    pub fn are_charged(&self) -> bool {
        self.costs != Costs::FREE
    }

    /// Give `task` more work.
    pub fn demand(&mut self, task: TaskId, ns: u64) {
        let worker = &mut self.workers[task as usize];
        worker.left_ns = worker.left_ns.saturating_add(ns);
    }

    /// `task` gets `kib` of data that another task has modified on CPU `from`.
    pub fn receive(&mut self, task: TaskId, from: usize, kib: u64, machine: &Machine) {
        let worker = &mut self.workers[task as usize];
        let level = machine.level(from, worker.last_cpu).index();
        worker.debt_ns += (self.costs.refill_ns_per_kib[level] * kib as f64) as u64;
    }

    /// `task` begins to run on `cpu`: what it owes for getting there.
    pub fn arrive(&mut self, task: TaskId, cpu: usize, machine: &Machine) {
        let to = machine.llc(cpu) as u32;
        let from = self.workers[task as usize].llc.replace(to);
        let last = std::mem::replace(&mut self.workers[task as usize].last_cpu, cpu);
        let Some(from) = from.filter(|from| *from != to) else { return };
        let level = machine.level(last, cpu);
        let there = self.warm_kib(task, from);
        let here = self.warm_kib(task, to);
        let refill = self.costs.refill_ns_per_kib[level.index()] * (there - here).max(0.0);
        let hop = self.costs.hop_ns[level.index()];
        self.set_warm(task, to, there.max(here));
        let worker = &mut self.workers[task as usize];
        worker.debt_ns += hop + refill as u64;
        match level {
            Level::Node => worker.paid.node_moves += 1,
            _ => worker.paid.llc_moves += 1,
        }
    }

    /// The node where `task` runs is its home from now on.
    pub fn settle(&mut self, task: TaskId, machine: &Machine) {
        let worker = &mut self.workers[task as usize];
        worker.home = Some(machine.node(worker.last_cpu) as u32);
    }

    /// Thousandths of CPU time that a thousandth of work takes on `cpu`.
    fn slow_pm(&self, task: TaskId, cpu: usize, machine: &Machine) -> u64 {
        let home = self.workers[task as usize].home;
        let away = home.is_some_and(|home| home != machine.node(cpu) as u32);
        let remote = if away { self.costs.remote_pm } else { 0 };
        (1000 + remote) * u64::from(CAPACITY_ONE) / u64::from(machine.capacity(cpu).max(1))
    }

    /// CPU time until `task` has done on `cpu` all that it has to.
    pub fn need_ns(&self, task: TaskId, cpu: usize, machine: &Machine) -> u64 {
        let worker = &self.workers[task as usize];
        if worker.left_ns == u64::MAX {
            return u64::MAX / 2;
        }
        let slow = self.slow_pm(task, cpu, machine);
        let work = u128::from(worker.left_ns) * u128::from(slow);
        worker.debt_ns + (work.div_ceil(1000) as u64)
    }

    /// `task` has run for `used` ns on `cpu`, of which `overhead` were the kernel's.
    pub fn account(
        &mut self,
        task: TaskId,
        cpu: usize,
        used: u64,
        overhead: u64,
        machine: &Machine,
    ) {
        let slow = self.slow_pm(task, cpu, machine);
        let worker = &mut self.workers[task as usize];
        let own = used - overhead;
        let paid = own.min(worker.debt_ns);
        worker.debt_ns -= paid;
        worker.paid.refill_ns += paid;
        let worked = own - paid;
        let thousandths = worked * 1000 + worker.rest;
        let work = thousandths / slow;
        worker.rest = thousandths % slow;
        worker.paid.work_ns += work;
        worker.paid.remote_ns += worked.saturating_sub(work);
        if worker.left_ns != u64::MAX {
            worker.left_ns = worker.left_ns.saturating_sub(work);
        }
        self.grow_warm(task, machine.llc(cpu) as u32, used, worked);
    }

    /// What was to be done is done; what rounding has left is forgotten.
    pub fn finish(&mut self, task: TaskId) {
        let worker = &mut self.workers[task as usize];
        (worker.left_ns, worker.debt_ns) = (0, 0);
    }

    fn grow_warm(&mut self, task: TaskId, llc: u32, used: u64, worked: u64) {
        self.busy[llc as usize] += used;
        if self.costs.fill_kib_per_ns == 0.0 {
            return;
        }
        // Its own run time does not wear its own lines.
        if let Some(warm) = self.workers[task as usize].warm.iter_mut().find(|w| w.llc == llc) {
            warm.busy_at += used;
        }
        let grown = self.warm_kib(task, llc) + worked as f64 * self.costs.fill_kib_per_ns;
        let most = self.workers[task as usize].set_kib;
        self.set_warm(task, llc, grown.min(most));
    }

    /// What is still warm of the working set of `task` in `llc`.
    fn warm_kib(&self, task: TaskId, llc: u32) -> f64 {
        let warm = &self.workers[task as usize].warm;
        let Some(warm) = warm.iter().find(|warm| warm.llc == llc) else { return 0.0 };
        let others = self.busy[llc as usize].saturating_sub(warm.busy_at);
        if others == 0 {
            return warm.kib;
        }
        warm.kib * (-(others as f64) / self.costs.wear_ns).exp()
    }

    fn set_warm(&mut self, task: TaskId, llc: u32, kib: f64) {
        let now = Warm { llc, kib, busy_at: self.busy[llc as usize] };
        let warm = &mut self.workers[task as usize].warm;
        match warm.iter_mut().find(|warm| warm.llc == llc) {
            Some(old) => *old = now,
            None => warm.push(now),
        }
    }

    /// What `task` did and paid.
    pub fn paid(&self, task: TaskId) -> Paid {
        self.workers[task as usize].paid
    }

    /// CPU time used in LLC `llc`.
    pub fn busy_ns(&self, llc: usize) -> u64 {
        self.busy[llc]
    }
}

/// CPU time that one task was served.
pub fn served_ns(paid: &Paid) -> u64 {
    paid.work_ns + paid.refill_ns + paid.remote_ns
}
