// SPDX-License-Identifier: GPL-2.0-only
//! Recorded decisions, decided once more.
//!
//! 1. [`recompute`]: does each record follow from its own numbers, by [`crate::model::rule`]? There is
//!    to be no record that does not.
//! 2. [`other`]: what another policy would have decided on the same numbers.
//!
//! What another policy would have led to is not known here: each decision is taken with the waits, the
//! warmth and the candidate that the recorded policy brought about.

pub mod other;
pub mod recompute;

use crate::events::{Decision, Kind, Outcome, Question, Verdict};
use crate::topology::Level;
use other::Other;
use recompute::Difference;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// A record that does not follow from its own numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Its number among the decisions and outcomes of the recording, from 1.
    pub number: u64,
    /// Sequence number of the decision; an outcome has that of its decision.
    pub seq: u64,
    /// What differs, first.
    pub difference: Difference,
    /// The decision; none for an outcome.
    pub decision: Option<Box<Decision>>,
    /// The outcome; none for a decision.
    pub outcome: Option<Outcome>,
}

/// How many verdicts another policy changes, of one sort.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Which callback asked.
    pub kind: Kind,
    /// How far the move would go.
    pub level: Level,
    /// What was decided.
    pub recorded: Verdict,
    /// What the other policy decides.
    pub other: Verdict,
    /// How many decisions.
    pub decisions: u64,
}

/// One decision as it was recorded and as the other policy takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// As it was recorded.
    pub recorded: Decision,
    /// By the other policy.
    pub other: Decision,
}

/// What another policy decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// Decisions whose verdict changes, in all.
    pub decisions: u64,
    /// The same by sort.
    pub changes: Vec<Change>,
    /// Moves between LLCs, as recorded.
    pub moves_recorded: u64,
    /// Moves between LLCs by the other policy.
    pub moves_other: u64,
    /// The first decisions whose verdict changes.
    pub first: Vec<Pair>,
}

/// What came of a replay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// Decisions that were decided again.
    pub decisions: u64,
    /// Those of them that came to a question with a price.
    pub priced: u64,
    /// Outcomes that were judged again.
    pub outcomes: u64,
    /// Records that differ.
    pub differences: u64,
    /// The first of them.
    pub first: Vec<Found>,
    /// What another policy decides, if one was asked for.
    pub other: Option<Changed>,
}

/// Takes records in their order.
#[derive(Debug)]
pub struct Replay {
    other: Option<Other>,
    show: usize,
    /// Moves whose outcome has not come, by sequence number.
    moves: HashMap<u64, Question>,
    sorts: BTreeMap<(Kind, Level, Verdict, Verdict), u64>,
    done: Replayed,
}

impl Replay {
    /// Decide again, also by `other` if it is there; keep the first `show` records that differ (one at
    /// least) and the first `show` that `other` changes.
    pub fn new(other: Option<Other>, show: usize) -> Replay {
        let done =
            Replayed { other: other.as_ref().map(|_| Changed::default()), ..Replayed::default() };
        Replay { other, show, moves: HashMap::new(), sorts: BTreeMap::new(), done }
    }

    /// The next decision.
    pub fn decision(&mut self, decision: &Decision) {
        self.done.decisions += 1;
        self.done.priced += u64::from(decision.question.is_some());
        if let Err(difference) = recompute::decision(decision) {
            let decision = Some(Box::new(decision.clone()));
            self.found(difference, decision, None);
        }
        if decision.verdict == Verdict::Applied
            && let Some(question) = &decision.question
        {
            self.moves.insert(decision.seq, question.clone());
        }
        self.by_other(decision);
    }

    /// The next outcome.
    pub fn outcome(&mut self, outcome: &Outcome) {
        self.done.outcomes += 1;
        let question = self.moves.remove(&outcome.seq);
        if let Err(difference) = recompute::outcome(outcome, question.as_ref()) {
            self.found(difference, None, Some(outcome.clone()));
        }
    }

    /// Records that differ so far.
    pub fn differences(&self) -> u64 {
        self.done.differences
    }

    /// The first of them.
    pub fn first_difference(&self) -> Option<&Found> {
        self.done.first.first()
    }

    fn found(
        &mut self,
        difference: Difference,
        decision: Option<Box<Decision>>,
        outcome: Option<Outcome>,
    ) {
        self.done.differences += 1;
        if self.done.first.len() >= self.show.max(1) {
            return;
        }
        let seq = decision.as_ref().map(|decision| decision.seq);
        let seq = seq.or(outcome.as_ref().map(|outcome| outcome.seq)).unwrap_or(0);
        let number = self.done.decisions + self.done.outcomes;
        self.done.first.push(Found { number, seq, difference, decision, outcome });
    }

    fn by_other(&mut self, decision: &Decision) {
        let Some((other, changed)) = self.other.as_mut().zip(self.done.other.as_mut()) else {
            return;
        };
        let decided = other.decide(decision);
        let is_move = |d: &Decision| u64::from(d.verdict.is_applied() && d.level != Level::Core);
        changed.moves_recorded += is_move(decision);
        changed.moves_other += is_move(&decided);
        if decided.verdict == decision.verdict {
            return;
        }
        changed.decisions += 1;
        let sort = (decision.kind, decision.level, decision.verdict, decided.verdict);
        *self.sorts.entry(sort).or_default() += 1;
        if changed.first.len() < self.show {
            changed.first.push(Pair { recorded: decision.clone(), other: decided });
        }
    }

    /// That was all.
    pub fn finish(mut self) -> Replayed {
        if let Some(changed) = &mut self.done.other {
            let sorts = self.sorts.into_iter();
            let change = |((kind, level, recorded, other), decisions)| Change {
                kind,
                level,
                recorded,
                other,
                decisions,
            };
            changed.changes = sorts.map(change).collect();
        }
        self.done
    }
}
