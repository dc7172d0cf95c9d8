// SPDX-License-Identifier: GPL-2.0-only
//! What moves cost and saved, by the formulas that the scheduler uses itself ([`crate::model`]).
//!
//! - W of a CPU is what runs and waits there, times the mean turn on it; the task itself is left out.
//! - ΔL = turns × (W before − W after), P = (hop + refill + remote) × what others pay.
//! - Warmth grows while a task runs in an LLC, and wears by what others run there.
//! - Where a task's memory is, a trace does not tell: the node on which it has run longest counts.
//!
//! Bad at: tasks that had run before the trace began; they look colder than they are.

use super::layout::Layout;
use super::watch::{Move, Was};
use crate::model::decide;
use crate::model::{DecayTable, PenaltyMatrix, PenaltyTable};
use crate::policy::MAX_TURNS;
use crate::units::LlcId;

/// The share of the newest turn in the mean: one eighth.
const MEAN_SHIFT: u32 = 3;

/// A move in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priced {
    /// The wait that it saved.
    pub gain_ns: i64,
    /// What it cost.
    pub penalty_ns: i64,
}

impl Priced {
    /// ΔL > P.
    pub const fn paid(&self) -> bool {
        self.gain_ns > self.penalty_ns
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Warm {
    llc: Option<LlcId>,
    warm_ns: u64,
    /// Busy time of the LLC when the task last left a CPU.
    busy_ns: u64,
    burst_ns: u64,
    avg_burst_ns: u64,
    /// Run time by node: the node with most so far, and by how much it leads.
    home: Option<u32>,
    lead_ns: u64,
}

/// Follows warmth and turns, and prices moves.
#[derive(Debug)]
pub struct Pricer {
    matrix: PenaltyMatrix,
    decay: DecayTable,
    fill_q10: u32,
    ns_per_kib: u64,
    tasks: Vec<Warm>,
    busy_ns: Vec<u64>,
    mean_turn_ns: Vec<u64>,
}

impl Pricer {
    /// Price by `table` on the machine of `layout`.
    pub fn new(table: &PenaltyTable, layout: &Layout) -> Pricer {
        Pricer {
            matrix: PenaltyMatrix::new(table, &layout.topo),
            decay: DecayTable::new(&table.warmth, &layout.topo),
            fill_q10: table.warmth.fill_share.value.raw(),
            ns_per_kib: u64::from(table.warmth.ns_per_kib.value),
            tasks: Vec::new(),
            busy_ns: vec![0; layout.topo.llcs.len()],
            mean_turn_ns: Vec::new(),
        }
    }

    fn task(&mut self, slot: usize) -> &mut Warm {
        if slot >= self.tasks.len() {
            self.tasks.resize(slot + 1, Warm::default());
        }
        &mut self.tasks[slot]
    }

    /// Another task has this slot.
    pub fn anew(&mut self, slot: usize) {
        *self.task(slot) = Warm::default();
    }

    /// A task ran; `ends`: its burst is over.
    pub fn ran(&mut self, layout: &Layout, slot: usize, cpu: u32, ran_ns: u64, ends: bool) {
        let at = cpu as usize;
        if at >= self.mean_turn_ns.len() {
            self.mean_turn_ns.resize(at + 1, 0);
        }
        let mean = &mut self.mean_turn_ns[at];
        *mean = match *mean {
            0 => ran_ns,
            mean => mean - (mean >> MEAN_SHIFT) + (ran_ns >> MEAN_SHIFT),
        };
        let (Some(llc), Some(node)) = (layout.llc(cpu), layout.node(cpu)) else { return };
        let cap_ns =
            layout.topo.llc(llc).map_or(0, |llc| u64::from(llc.cache_kib) * self.ns_per_kib);
        let (fill_q10, left) = (self.fill_q10, self.left_in(slot, llc));
        let busy_ns = self.busy_ns[llc.index()].saturating_add(ran_ns);
        self.busy_ns[llc.index()] = busy_ns;
        let task = self.task(slot);
        task.llc = Some(llc);
        task.warm_ns = decide::warm_grow(left, ran_ns, fill_q10, cap_ns);
        task.busy_ns = busy_ns;
        task.burst_ns = task.burst_ns.saturating_add(ran_ns);
        if ends {
            task.avg_burst_ns = decide::average(task.avg_burst_ns, task.burst_ns);
            task.burst_ns = 0;
        }
        // The majority by run time, in constant memory.
        if task.home == Some(node) {
            task.lead_ns = task.lead_ns.saturating_add(ran_ns);
        } else if task.lead_ns > ran_ns {
            task.lead_ns -= ran_ns;
        } else {
            (task.home, task.lead_ns) = (Some(node), ran_ns - task.lead_ns);
        }
    }

    /// Warmth of a task in an LLC now.
    fn left_in(&self, slot: usize, llc: LlcId) -> u64 {
        let Some(task) = self.tasks.get(slot).filter(|task| task.llc == Some(llc)) else {
            return 0;
        };
        let others_ns = self.busy_ns[llc.index()].saturating_sub(task.busy_ns);
        decide::warm_left(task.warm_ns, others_ns, &self.decay.q10, self.decay.step.get())
    }

    /// ΔL and P of a move; `None` where the machine or the loads are not known.
    pub fn price(&self, layout: &Layout, moved: &Move) -> Option<Priced> {
        let (from, to) = (layout.llc(moved.from)?, layout.llc(moved.to)?);
        let level = layout.level(moved.from, moved.to)?;
        let here = u64::from(matches!(moved.was, Was::Waiting(_) | Was::Woken(_) | Was::Born(_)));
        let ahead = u64::from(moved.source?).saturating_sub(here);
        let behind = u64::from(moved.target?);
        let task = self.tasks.get(moved.slot).copied().unwrap_or_default();
        let stay_ns = decide::expect_stay(task.avg_burst_ns, task.burst_ns);
        let turn_ns = |cpu: u32| self.mean_turn_ns.get(cpu as usize).copied().unwrap_or(0);
        let turns = decide::turns(stay_ns, turn_ns(moved.from), MAX_TURNS);
        let gain_ns = decide::gain(
            ahead.saturating_mul(turn_ns(moved.from)),
            behind.saturating_mul(turn_ns(moved.to)),
            turns,
        );
        let factor = self.matrix.refill[level.index()].raw();
        let refill =
            decide::refill(self.left_in(moved.slot, from), self.left_in(moved.slot, to), factor);
        let node = |cpu: u32| layout.node(cpu);
        let rate = |cpu: u32| {
            let (memory, cpu) = (task.home.or(node(moved.from))?, node(cpu)?);
            let row = self.matrix.remote.get(memory as usize)?;
            row.get(cpu as usize).map(|rate| rate.get())
        };
        let remote =
            decide::remote(stay_ns, rate(moved.to).unwrap_or(0), rate(moved.from).unwrap_or(0));
        let hop_ns = self.matrix.hop(from, to).get();
        let penalty_ns = decide::penalty(hop_ns, refill, remote, self.matrix.price.raw());
        Some(Priced { gain_ns, penalty_ns })
    }
}
