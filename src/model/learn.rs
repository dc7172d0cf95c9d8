// SPDX-License-Identifier: GPL-2.0-only
//! The fixed cost of a move, refined while the scheduler runs.
//!
//! # Problem
//! A table may be wrong: made for another machine, measured on a bad day, or built in. What a
//! move really takes shows each time that a task is woken up on an idle CPU: how long from then
//! until it runs there.
//!
//! # Approach
//! 1. The BPF half counts these [`Delays`] by distance: the task stayed on its CPU, or moved
//!    within its LLC, to another LLC of the node, to another node (`src/bpf/learn.bpf.h`).
//! 2. What a level costs is how much later a moved task runs: the 10th percentile of the moved
//!    minus that of those that stayed. Noise only ever adds time, and p10 is below most of it.
//! 3. Every [`SAMPLES_MIN`] samples the price of the level takes a step towards that: half the
//!    way on a scale of ratios, and at most [`STEP_MAX`] times as much or as little.
//! 4. It never leaves the range from 1/[`REACH`] to [`REACH`] times the number that it began
//!    with, its base: what was measured may be off, but not by everything.
//!
//! With too few samples nothing changes.
//!
//! # What is learned
//! The hop of a class that is built in or measured, and with it, in the same proportion, the
//! measured hops of its pairs. A number that was given stays as it was given, and no learned one
//! contradicts it (a farther class is never cheaper). A base of 0 stays 0.
//!
//! # What this is bad at
//! Moved tasks are seen when their LLC is busy and those that stayed when it is not; idle CPUs
//! sleep more or less deeply; and the lines that a moved task misses after it has begun to run
//! are the business of [`refill`]. A level that nothing crosses, for instance because it is far too dear,
//! is not learned. Differences below the width of a bucket, an eighth, are noise.

use crate::model::penalty::{Cell, PenaltyTable, Provenance};
use crate::topology::{Level, Topology};
use crate::units::Ns;
use refill::LearnedRefill;

pub mod refill;

/// Buckets of a histogram, `TOLL_DELAY_BUCKETS`.
pub const BUCKETS: usize = 128;
/// Histograms: stayed, and one for each [`Level`]; `TOLL_NR_DISTANCES`.
pub const DISTANCES: usize = 1 + Level::ALL.len();
/// Fewest samples, of those that moved and of those that stayed, behind a step. A guess: the
/// 10th percentile then has six samples below it.
pub const SAMPLES_MIN: u64 = 64;
/// Most that one step multiplies or divides by.
pub const STEP_MAX: f64 = 1.25;
/// How far from its base a number may go, each way. A factor of four must be recoverable.
pub const REACH: f64 = 8.0;
/// Share by which a number has to change to be worth a new policy.
const CHANGE_MIN: f64 = 0.01;
/// Shortest base that is learned from: below, a bucket says nothing.
const BASE_MIN: Ns = Ns::new(50);

/// A histogram of delays as `toll_delay_bucket()` counts them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: [0; BUCKETS] }
    }
}

/// Where bucket `bucket` begins, in ns. The first also holds what is shorter.
fn begins(bucket: usize) -> f64 {
    ((8 + bucket % 8) << (bucket / 8) << 3) as f64
}

impl Histogram {
    /// The histogram with these `counts`.
    pub fn new(counts: [u64; BUCKETS]) -> Histogram {
        Histogram { counts }
    }

    /// How many delays it holds.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Add what `other` holds.
    pub fn add(&mut self, other: &Histogram) {
        for (to, from) in self.counts.iter_mut().zip(&other.counts) {
            *to = to.saturating_add(*from);
        }
    }

    /// What was counted after `before`. Counters of 32 bits may have wrapped in between.
    pub fn since(&self, before: &Histogram) -> Histogram {
        let mut counts = [0; BUCKETS];
        for (i, count) in counts.iter_mut().enumerate() {
            *count = u64::from((self.counts[i] as u32).wrapping_sub(before.counts[i] as u32));
        }
        Histogram { counts }
    }

    /// The delay that `pct` per cent do not exceed, in ns, taken to lie in its bucket in
    /// proportion; `None` when the histogram is empty.
    pub fn percentile(&self, pct: u64) -> Option<f64> {
        let rank = self.total() as f64 * pct as f64 / 100.0;
        let mut below = 0.0;
        for (bucket, &count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = count as f64;
            if below + count >= rank {
                let (from, to) = (begins(bucket), begins(bucket + 1));
                return Some(from + (to - from) * ((rank - below) / count).clamp(0.0, 1.0));
            }
            below += count;
        }
        None
    }
}

/// Delays of tasks that woke up on an idle CPU, by distance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delays {
    /// On the CPU where they last ran.
    pub stayed: Histogram,
    /// On another one, by [`Level`].
    pub moved: [Histogram; 3],
}

impl Delays {
    fn since(&self, before: &Delays) -> Delays {
        let moved = Level::ALL.map(|level| {
            let i = level.index();
            self.moved[i].since(&before.moved[i])
        });
        Delays { stayed: self.stayed.since(&before.stayed), moved }
    }
}

/// What was learned about one class.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnedHop {
    /// The number that it began with.
    pub base: Ns,
    /// The number now.
    pub hop: Ns,
    /// Moves that were timed for it, all steps together.
    pub samples: u64,
    /// `(median − p10) / p10` of the moves behind the last step.
    pub spread: f64,
    /// When the last step was made, UTC.
    pub date: String,
}

impl LearnedHop {
    /// The nearest number to `ns` that may be learned from the base `base`.
    pub fn bounded(base: Ns, ns: f64) -> Ns {
        let base = base.get() as f64;
        Ns::clamped_from_f64(ns.clamp(base / REACH, base * REACH))
    }
}

/// What was learned, by [`Level`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Learned {
    /// Fixed costs; `None`: nothing about this class.
    pub hops: [Option<LearnedHop>; 3],
    /// Refill factors, likewise.
    pub refills: [Option<LearnedRefill>; 3],
}

/// May a number of this origin be refined?
fn may_learn(from: Provenance) -> bool {
    matches!(from, Provenance::Default | Provenance::Measured)
}

/// The hop of class `level` in `base`, if it may be refined.
pub fn learnable(base: &PenaltyTable, level: Level) -> Option<Ns> {
    let hop = base.class(level).hop;
    (may_learn(hop.from) && hop.value >= BASE_MIN).then_some(hop.value)
}

impl Learned {
    /// Forget what does not belong to the table `base`: a class that began with another number,
    /// or that may not be learned. And keep the rest within its bounds.
    pub fn fit(mut self, base: &PenaltyTable) -> Learned {
        for level in Level::ALL {
            let slot = &mut self.hops[level.index()];
            *slot = slot.take().filter(|l| learnable(base, level) == Some(l.base));
            if let Some(learned) = slot {
                learned.hop = LearnedHop::bounded(learned.base, learned.hop.get() as f64);
            }
            let slot = &mut self.refills[level.index()];
            *slot = slot.take().filter(|l| refill::learnable(base, level) == Some(l.base));
            if let Some(learned) = slot {
                let factor = learned.factor.as_f64();
                learned.factor = LearnedRefill::bounded(learned.base, factor);
            }
        }
        self
    }

    /// The table in force: `base` with what was learned about it on the machine `topo`.
    pub fn apply(&self, base: &PenaltyTable, topo: &Topology) -> PenaltyTable {
        let mut table = base.clone();
        for level in Level::ALL {
            if let Some(learned) = &self.refills[level.index()]
                && refill::learnable(base, level) == Some(learned.base)
            {
                table.class_mut(level).refill = Cell::new(learned.factor, Provenance::Learned);
            }
            let Some(learned) = &self.hops[level.index()] else { continue };
            if learnable(base, level) != Some(learned.base) {
                continue;
            }
            table.class_mut(level).hop = Cell::new(learned.hop, Provenance::Learned);
            let ratio = learned.hop.get() as f64 / learned.base.get() as f64;
            for (&(from, to), hop) in &mut table.pairs {
                if topo.level(from, to) == level && may_learn(hop.from) {
                    *hop = Cell::new(hop.value.times(ratio), Provenance::Learned);
                }
            }
        }
        if table != *base {
            order(&mut table, topo);
        }
        table
    }
}

/// Keep learned numbers in the order of the levels: a class within those that were given, a
/// farther class no cheaper than a nearer one, and pairs as in [`crate::model::from_measured`].
fn order(table: &mut PenaltyTable, topo: &Topology) {
    let mut hops = table.classes.map(|class| class.hop);
    let mut refills = table.classes.map(|class| class.refill);
    order_classes(&mut hops);
    order_classes(&mut refills);
    for (class, (hop, refill)) in table.classes.iter_mut().zip(hops.into_iter().zip(refills)) {
        (class.hop, class.refill) = (hop, refill);
    }
    let class = |level: Level| table.classes[level.index()].hop.value;
    let (core, node) = (class(Level::Core), class(Level::Node));
    for (&(from, to), hop) in &mut table.pairs {
        if hop.from != Provenance::Given {
            hop.value = match topo.level(from, to) {
                Level::Node => hop.value.max(node),
                _ => hop.value.max(core).min(node.max(core)),
            };
        }
    }
}

/// The same for one number of each class.
fn order_classes<T: Copy + Ord>(cells: &mut [Cell<T>; 3]) {
    let before = *cells;
    let given = |cell: &&Cell<T>| cell.from == Provenance::Given;
    for (i, cell) in cells.iter_mut().enumerate() {
        if cell.from == Provenance::Learned {
            let least = before[..i].iter().filter(given).map(|cell| cell.value).max();
            let most = before[i + 1..].iter().filter(given).map(|cell| cell.value).min();
            cell.value = least.map_or(cell.value, |least| cell.value.max(least));
            cell.value = most.map_or(cell.value, |most| cell.value.min(most));
        }
    }
    for far in 1..cells.len() {
        for near in 0..far {
            let (a, b) = (cells[near], cells[far]);
            if a.value <= b.value || a.from == Provenance::Given || b.from == Provenance::Given {
                continue;
            }
            // Of two that contradict each other the one that was not learned gives way.
            match b.from == Provenance::Learned && a.from != Provenance::Learned {
                true => cells[near].value = b.value,
                false => cells[far].value = a.value,
            }
        }
    }
}

/// Turns delays into steps. One for each run of the BPF half, whose counters begin at 0.
#[derive(Debug, Clone, Default)]
pub struct Learner {
    seen: Delays,
    /// By level: what moved and what stayed since the level's last step.
    open: [(Histogram, Histogram); 3],
}

impl Learner {
    /// Take in what the BPF half has counted up to now.
    pub fn observe(&mut self, now: Delays) {
        let new = now.since(&self.seen);
        for ((moved, stayed), new_moved) in self.open.iter_mut().zip(&new.moved) {
            moved.add(new_moved);
            stayed.add(&new.stayed);
        }
        self.seen = now;
    }

    /// Take in what has been counted without drawing anything from it: learning is off, or what
    /// it began with has changed.
    pub fn skip(&mut self, now: Delays) {
        *self = Learner { seen: now, ..Learner::default() };
    }

    /// One step from `learned`, which refines `base`, for each class with enough samples.
    /// `None` when that changes nothing. `date` is now, UTC.
    pub fn step(&mut self, base: &PenaltyTable, learned: &Learned, date: &str) -> Option<Learned> {
        let mut next = learned.clone();
        let mut changed = false;
        for level in Level::ALL {
            let i = level.index();
            let Some(hop) = learnable(base, level) else { continue };
            let (moved, stayed) = &self.open[i];
            if moved.total().min(stayed.total()) < SAMPLES_MIN {
                continue;
            }
            let stepped = step_from(hop, learned.hops[i].as_ref(), moved, stayed, date);
            self.open[i] = Default::default();
            let Some(stepped) = stepped else { continue };
            changed = true;
            next.hops[i] = Some(stepped);
        }
        changed.then_some(next)
    }
}

/// Half the way from `now` to `seen` on a scale of ratios, at most [`STEP_MAX`] times as much or as
/// little; `None` when that is too short to matter.
fn stepped(now: f64, seen: f64) -> Option<f64> {
    let step = (seen / now).sqrt().clamp(1.0 / STEP_MAX, STEP_MAX);
    ((step - 1.0).abs() >= CHANGE_MIN).then_some(now * step)
}

/// The step of one class; `None` when it is too short to matter.
fn step_from(
    base: Ns,
    learned: Option<&LearnedHop>,
    moved: &Histogram,
    stayed: &Histogram,
    date: &str,
) -> Option<LearnedHop> {
    let (p10, p50) = (moved.percentile(10)?, moved.percentile(50)?);
    let seen = LearnedHop::bounded(base, p10 - stayed.percentile(10)?);
    let (hop, before) = learned.map_or((base, 0), |learned| (learned.hop, learned.samples));
    let next = stepped(hop.get() as f64, seen.get() as f64)?;
    Some(LearnedHop {
        base,
        hop: LearnedHop::bounded(base, next),
        samples: before.saturating_add(moved.total()),
        spread: (p50 - p10) / p10,
        date: date.into(),
    })
}
