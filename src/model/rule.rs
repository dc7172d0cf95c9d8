// SPDX-License-Identifier: GPL-2.0-only
//! The one question as a whole: what is saved, what it costs, and what follows.
//!
//! ```text
//!   gain     = turns · (W_from − W_to)                                         decide::gain
//!   penalty  = (hop + refill + remote) · price                                 decide::penalty
//!   held     = the gate lets the gain of one turn pass, or --migrate always    decide::Gate
//!   ruling   = not worth it          unless gain > penalty (or what --migrate puts there)
//!              not yet               unless held, or the move brings the task home (P < 0)
//!              worth it              else
//! ```
//!
//! `worth_moving()` in `src/bpf/move.bpf.h` does this in the kernel. Whoever else has to answer the
//! question does it here: what recomputes recorded decisions, and what asks how another policy would
//! have decided. The formulas themselves are in [`decide`].

use crate::model::Hysteresis;
use crate::model::decide::{self, Gate, Migrate};
use crate::units::Ns;

/// What a move costs besides that leads from the class of cores where the task belongs, as
/// `TOLL_AGAINST_CLASS_NS` in `decide.h`.
pub const AGAINST_CLASS: Ns = Ns::from_ms(4);

/// Everything that an answer follows from, except the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// What decides.
    pub migrate: Migrate,
    /// The price under [`Migrate::Fixed`], in ns.
    pub fixed_ns: u64,
    /// The clock, in ns.
    pub now_ns: u64,
    /// W where the task is, in ns.
    pub wait_from_ns: u64,
    /// W where it would go, in ns.
    pub wait_to_ns: u64,
    /// Turns that the gain counts.
    pub turns: u32,
    /// Fixed cost of the move, in ns.
    pub hop_ns: u64,
    /// Warmth where the task is, in ns.
    pub warm_from_ns: u64,
    /// Warmth where it would go, in ns.
    pub warm_to_ns: u64,
    /// Factor on the refill, 1024 = 1.0.
    pub refill_q10: u32,
    /// Run time that the remote part counts, in ns.
    pub span_ns: u64,
    /// Extra run time there for the task's memory, per mille.
    pub there_pm: u32,
    /// The same where it is.
    pub here_pm: u32,
    /// It leads from the class of cores where the task belongs.
    pub against_class: bool,
    /// Extra run time on a core of the lesser class, per mille; 0 unless it leads to one.
    pub slower_pm: u32,
    /// What all pay per ns that the mover pays, 1024 = 1.0.
    pub price_q10: u32,
    /// The task goes to its partner, and `wait_from_ns` is what hand-overs from there have cost. That
    /// it has lasted is what the sum says, so no gate is asked.
    pub beside: bool,
    /// The gate's thresholds.
    pub thresholds: Hysteresis,
}

/// What follows from a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ruling {
    /// The move is to be made.
    Worth,
    /// The gain does not exceed what it has to.
    NotWorth,
    /// It does, but has not for long enough.
    NotYet,
}

/// The answer, with its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// ΔL, in ns.
    pub gain_ns: i64,
    /// Part of P: what has to be loaded again, in ns.
    pub refill_ns: i64,
    /// Part of P: extra run time, in ns.
    pub remote_ns: i64,
    /// P, in ns.
    pub penalty_ns: i64,
    /// What follows.
    pub ruling: Ruling,
}

/// Answer the question of `terms`, and leave in `gate` what it is after that.
///
/// The gate is asked also while the move does not pay, so that an imbalance is known to have lasted.
/// Under [`Migrate::Always`] it is not asked at all.
pub fn answer(terms: &Terms, gate: &mut Gate) -> Answer {
    let gain_ns = decide::gain(terms.wait_from_ns, terms.wait_to_ns, terms.turns);
    let refill_ns = decide::refill(terms.warm_from_ns, terms.warm_to_ns, terms.refill_q10);
    let mut remote_ns = decide::remote(terms.span_ns, terms.there_pm, terms.here_pm);
    if terms.against_class {
        let slower_ns = decide::remote(terms.span_ns, terms.slower_pm, 0);
        let extra_ns = i64::try_from(AGAINST_CLASS.get()).unwrap_or(i64::MAX);
        remote_ns = remote_ns.saturating_add(extra_ns).saturating_add(slower_ns);
    }
    let penalty_ns = decide::penalty(terms.hop_ns, refill_ns, remote_ns, terms.price_q10);
    let one_turn_ns = decide::gain(terms.wait_from_ns, terms.wait_to_ns, 1);
    let held = terms.beside
        || terms.migrate == Migrate::Always
        || gate.pass(one_turn_ns, terms.now_ns, &terms.thresholds);
    let ruling = match decide::worth(terms.migrate, gain_ns, penalty_ns, terms.fixed_ns) {
        false => Ruling::NotWorth,
        true if held || penalty_ns < 0 => Ruling::Worth,
        true => Ruling::NotYet,
    };
    Answer { gain_ns, refill_ns, remote_ns, penalty_ns, ruling }
}
