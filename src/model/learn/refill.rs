// SPDX-License-Identifier: GPL-2.0-only
//! Refill factors, refined while the scheduler runs on a CPU with counters.
//!
//! # Problem
//! What a task loses with its cache lines is hidden in its run time: it waits for memory while it
//! runs. A cycle counter shows it. Right after a move the same instructions take more cycles.
//!
//! # Approach
//! 1. The BPF half works out for each move what factor it turned out to have (`toll_refill_found()`
//!    in `src/bpf/decide.h`) and counts these by level (`src/bpf/refill.bpf.h`).
//! 2. What a level has is the median: a task that happens to do other work after its move errs
//!    either way, and by any amount.
//! 3. Every [`SAMPLES_MIN`] moves the factor takes a step towards that, like a fixed cost: half the
//!    way on a scale of ratios, at most [`STEP_MAX`](super::STEP_MAX) times as much or as little,
//!    and never beyond [`REACH`] times its base either way.
//!
//! # What is learned
//! The refill factor of a class that is built in or measured; the time per KiB and how lines
//! become warm and fade stay as they are, so the factor takes on what is wrong with those too. A
//! number that was given stays as it was given, and no learned one contradicts it.
//!
//! # What this is bad at
//! Tasks whose work always changes when they move. Tasks that own little, or move again before
//! they have settled, are not seen. What a task also misses when it wakes up at home is in its
//! usual pace and so is not counted against the move.

use super::{Histogram, Learned, REACH, SAMPLES_MIN, may_learn, stepped};
use crate::model::decide::FOUND_ONE;
use crate::model::penalty::PenaltyTable;
use crate::topology::Level;
use crate::units::Q10;

/// Least base that is learned from, about 0.02: below, an eighth of it cannot be told from nothing.
const BASE_MIN: Q10 = Q10::from_raw(20);

/// Factors that moves turned out to have, in units of [`FOUND_ONE`], by [`Level`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refills {
    /// Counted as delays are.
    pub found: [Histogram; 3],
}

/// What was learned about the refill factor of one class.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnedRefill {
    /// The factor that it began with.
    pub base: Q10,
    /// The factor now.
    pub factor: Q10,
    /// Moves that were watched for it, all steps together.
    pub samples: u64,
    /// `(p90 − p10) / median` of the moves behind the last step.
    pub spread: f64,
    /// When the last step was made, UTC.
    pub date: String,
}

impl LearnedRefill {
    /// The nearest factor to `factor` that may be learned from the base `base`.
    pub fn bounded(base: Q10, factor: f64) -> Q10 {
        let base = base.as_f64();
        Q10::clamped_from_f64(factor.clamp(base / REACH, base * REACH))
    }
}

/// The refill factor of class `level` in `base`, if it may be refined.
pub fn learnable(base: &PenaltyTable, level: Level) -> Option<Q10> {
    let refill = base.class(level).refill;
    (may_learn(refill.from) && refill.value >= BASE_MIN).then_some(refill.value)
}

/// Turns factors that were found into steps. One for each run of the BPF half, whose counters
/// begin at 0.
#[derive(Debug, Clone, Default)]
pub struct RefillLearner {
    seen: Refills,
    /// By level: what was found since the level's last step.
    open: [Histogram; 3],
}

impl RefillLearner {
    /// Take in what the BPF half has counted up to now.
    pub fn observe(&mut self, now: Refills) {
        for (i, open) in self.open.iter_mut().enumerate() {
            open.add(&now.found[i].since(&self.seen.found[i]));
        }
        self.seen = now;
    }

    /// Take in what has been counted without drawing anything from it: learning is off, or what
    /// it began with has changed.
    pub fn skip(&mut self, now: Refills) {
        *self = RefillLearner { seen: now, ..RefillLearner::default() };
    }

    /// One step from `learned`, which refines `base`, for each class with enough samples.
    /// `None` when that changes nothing. `date` is now, UTC.
    pub fn step(&mut self, base: &PenaltyTable, learned: &Learned, date: &str) -> Option<Learned> {
        let mut next = learned.clone();
        let mut changed = false;
        for level in Level::ALL {
            let i = level.index();
            let Some(factor) = learnable(base, level) else { continue };
            if self.open[i].total() < SAMPLES_MIN {
                continue;
            }
            let found = std::mem::take(&mut self.open[i]);
            let stepped = step_from(factor, learned.refills[i].as_ref(), &found, date);
            let Some(stepped) = stepped else { continue };
            changed = true;
            next.refills[i] = Some(stepped);
        }
        changed.then_some(next)
    }
}

/// The step of one class; `None` when it is too short to matter.
fn step_from(
    base: Q10,
    learned: Option<&LearnedRefill>,
    found: &Histogram,
    date: &str,
) -> Option<LearnedRefill> {
    let at = |pct| found.percentile(pct).map(|found| found / FOUND_ONE as f64);
    let (p10, p50, p90) = (at(10)?, at(50)?, at(90)?);
    let seen = LearnedRefill::bounded(base, p50);
    let (factor, before) = learned.map_or((base, 0), |learned| (learned.factor, learned.samples));
    let next = stepped(factor.as_f64(), seen.as_f64())?;
    Some(LearnedRefill {
        base,
        factor: LearnedRefill::bounded(base, next),
        samples: before.saturating_add(found.total()),
        spread: (p90 - p10) / p50,
        date: date.into(),
    })
}
