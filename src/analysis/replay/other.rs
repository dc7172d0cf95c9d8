// SPDX-License-Identifier: GPL-2.0-only
//! What another policy would have decided on the numbers of a record.
//!
//! What the policy gives is replaced: who decides, the fixed cost of the move, the factor on its
//! refill, the extra run time away from the memory, what all pay, and thresholds of gates. What the
//! machine gave stays: waits, turns, warmth, the candidate, and whether a CPU was lost to another.
//!
//! - A gate whose thresholds stay is taken as it was recorded. One whose thresholds change, or that
//!   was not asked then, is led from question to question as far as those were recorded.
//! - Warmth is what it had become under the recorded policy; `[warmth]` of a penalty file would change
//!   only what becomes of it, so it has no effect here.
//! - A task that is moved for its age, sent home to its memory, or moved for the class of its cores is
//!   so under any policy, except that nothing is moved for its age where moves are switched off.

use super::recompute::{gate, is_aged, terms};
use crate::events::{Decision, Question, Verdict};
use crate::model::decide::{Gate, Migrate};
use crate::model::rule::{self, Answer};
use crate::model::{Hysteresis, PenaltyMatrix};
use crate::topology::{Level, Topology};
use crate::units::{LlcId, NodeId, Ns};
use std::collections::HashMap;

/// Another policy. What is not there is as it was recorded.
#[derive(Debug)]
pub struct Other {
    /// The machine of the recording.
    pub topo: Topology,
    /// What decides, and the price under [`Migrate::Fixed`].
    pub migrate: Option<(Migrate, Ns)>,
    /// What moves cost.
    pub costs: Option<PenaltyMatrix>,
    /// Thresholds of gates, by the level at which a move is priced.
    pub thresholds: [Option<Hysteresis>; 3],
    /// Gates that the recording does not have, by the LLCs between which they stand.
    gates: HashMap<(u32, u32), Gate>,
}

impl Other {
    /// The policy that was recorded, to be changed.
    pub fn as_recorded(topo: Topology) -> Other {
        Other { topo, migrate: None, costs: None, thresholds: [None; 3], gates: HashMap::new() }
    }

    /// `decision` as this policy takes it: its question with other prices, and another verdict.
    pub fn decide(&mut self, decision: &Decision) -> Decision {
        let mut decided = decision.clone();
        if let Some((migrate, fixed)) = self.migrate {
            decided.migrate = migrate;
            decided.fixed_ns = fixed.get();
        }
        let Some(mut question) = decided.question.take() else {
            decided.verdict = unpriced(&decided);
            return decided;
        };
        self.reprice(&decided, &mut question);
        let gate = self.gate(decision, &decided, &question);
        question.gate_since_ns = gate.since_ns.unwrap_or(0);
        question.gate_seen_ns = gate.seen_ns;
        let same = decided.migrate == decision.migrate
            && decided.fixed_ns == decision.fixed_ns
            && decision.question.as_ref() == Some(&question);
        if is_aged(&decided, decided.migrate) {
            // Age comes before any question, unless moves were switched off.
            decided.verdict = Verdict::AppliedAged;
            return decided;
        }
        if !same {
            decided.verdict = priced(&decided, &question, gate);
            let answer = rule::answer(&terms(&decided, &question), &mut { gate });
            note(&mut question, &answer);
        }
        decided.question = Some(question);
        decided
    }

    /// Put this policy's numbers into `q`.
    fn reprice(&self, decided: &Decision, q: &mut Question) {
        let places = decided.from_llc.zip(decided.to_llc);
        let places = places.map(|(from, to)| (LlcId(from), LlcId(to)));
        let level = places.map_or(decided.level, |(from, to)| self.topo.price_level(from, to));
        if let Some(thresholds) = self.thresholds[level.index()] {
            q.open_ns = thresholds.open.get();
            q.close_ns = thresholds.close.get();
            q.hold_ns = thresholds.hold.get();
        }
        let Some(costs) = &self.costs else { return };
        q.refill_q10 = costs.refill[level.index()].raw();
        q.price_q10 = costs.price.raw();
        let Some((from, to)) = places else { return };
        q.hop_ns = costs.hop(from, to).get();
        if level != Level::Node {
            return;
        }
        let rate = |llc: LlcId| {
            let home = NodeId(q.home_node?);
            let row = costs.remote.get(home.index())?;
            Some(row.get(self.topo.llc(llc)?.node.index())?.get())
        };
        if let Some((there, here)) = rate(to).zip(rate(from)) {
            (q.there_pm, q.here_pm) = (there, here);
        }
    }

    /// The gate before the question `q`: as it was recorded, or as it was led here.
    fn gate(&mut self, recorded: &Decision, decided: &Decision, q: &Question) -> Gate {
        let led = self.gates.entry(key(decided)).or_default();
        let before = *led;
        rule::answer(&terms(decided, q), led);
        let same = recorded.question.as_ref().is_some_and(|was| {
            (was.open_ns, was.close_ns, was.hold_ns) == (q.open_ns, q.close_ns, q.hold_ns)
        });
        let asked = recorded.migrate != Migrate::Always || decided.migrate == Migrate::Always;
        if same && asked { gate(q) } else { before }
    }
}

/// The LLCs between which the gate of a question stands.
fn key(decided: &Decision) -> (u32, u32) {
    (decided.from_llc.unwrap_or(u32::MAX), decided.to_llc.unwrap_or(u32::MAX))
}

fn note(q: &mut Question, answer: &Answer) {
    q.gain_ns = answer.gain_ns;
    q.refill_ns = answer.refill_ns;
    q.remote_ns = answer.remote_ns;
    q.penalty_ns = answer.penalty_ns;
}

/// The verdict without a question: a move for age is a move too.
fn unpriced(decided: &Decision) -> Verdict {
    // Where moves were switched off nothing had waited too long.
    let aged = is_aged(decided, Migrate::Toll) && !decided.for_class;
    match decided.verdict {
        Verdict::AppliedAged | Verdict::Raced if aged && decided.migrate == Migrate::Never => {
            Verdict::NotWorth
        }
        verdict => verdict,
    }
}

/// The verdict on a question with a gate that is `before`.
fn priced(decided: &Decision, q: &Question, before: Gate) -> Verdict {
    let ruled = |q: &Question| {
        let mut gate = before;
        Verdict::from(rule::answer(&terms(decided, q), &mut gate).ruling)
    };
    // What was asked again was asked before with an idle CPU in sight.
    let first = match q.reasked {
        true => ruled(&Question { wait_to_ns: 0, ..q.clone() }),
        false => ruled(q),
    };
    let then = ruled(q);
    match decided.verdict {
        Verdict::AppliedAged if then == Verdict::Applied => Verdict::Applied,
        Verdict::AppliedAged if q.sent_home || decided.migrate == Migrate::Toll => {
            Verdict::AppliedAged
        }
        Verdict::AppliedAged => then,
        _ if first != Verdict::Applied => first,
        Verdict::Raced if !q.reasked => Verdict::Raced,
        _ if then == Verdict::Applied => Verdict::Applied,
        _ => Verdict::Raced,
    }
}
