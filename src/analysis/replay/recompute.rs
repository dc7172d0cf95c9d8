// SPDX-License-Identifier: GPL-2.0-only
//! Whether a record follows from its own numbers.
//!
//! A decision with a question names everything that its answer follows from, so gain, refill, remote
//! time, penalty and ruling are computed again and compared. The verdict has to be the ruling, except:
//!
//! | verdict | needs |
//! |---|---|
//! | raced | a move that was worth it, and the idle CPU or the task was gone; or, asked again without that CPU, one that was not |
//! | applied for age | one that was not worth it, of a task whose cgroup is owed a lot, or that is sent home |
//!
//! Without a question a verdict says something about the record:
//!
//! | verdict | needs |
//! |---|---|
//! | applied | a CPU of its own LLC, or of the class of cores where the task belongs |
//! | applied for age | a pull of a task that has waited longer than its age bound, unless moves are switched off |
//! | raced | as before, and the task was gone; or the idle CPU of its class |
//! | affinity | a task, and another LLC |
//! | nothing | nothing |

use crate::events::{Decision, Kind, Outcome, Question, Verdict};
use crate::model::Hysteresis;
use crate::model::decide::{self, Gate, Migrate};
use crate::model::rule::{self, Answer, Terms};
use crate::topology::Level;
use crate::units::Ns;
use serde::Serialize;
use std::fmt;

/// What a record says, and what follows from its numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which of its fields.
    pub what: &'static str,
    /// As recorded.
    pub recorded: String,
    /// As computed.
    pub computed: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is recorded as {}, computed {}", self.what, self.recorded, self.computed)
    }
}

fn differ(
    what: &'static str,
    recorded: impl Into<String>,
    computed: impl Into<String>,
) -> Difference {
    Difference { what, recorded: recorded.into(), computed: computed.into() }
}

fn same<T: PartialEq + ToString>(
    what: &'static str,
    recorded: T,
    computed: T,
) -> Result<(), Difference> {
    match recorded == computed {
        true => Ok(()),
        false => Err(differ(what, recorded.to_string(), computed.to_string())),
    }
}

/// What the answer to the question of `decision` follows from.
pub fn terms(decision: &Decision, q: &Question) -> Terms {
    Terms {
        migrate: decision.migrate,
        fixed_ns: decision.fixed_ns,
        now_ns: q.asked_ns,
        wait_from_ns: q.wait_from_ns,
        wait_to_ns: q.wait_to_ns,
        turns: q.turns,
        hop_ns: q.hop_ns,
        warm_from_ns: q.warm_from_ns,
        warm_to_ns: q.warm_to_ns,
        refill_q10: q.refill_q10,
        span_ns: q.span_ns,
        there_pm: q.there_pm,
        here_pm: q.here_pm,
        against_class: q.against_class,
        slower_pm: q.slower_pm,
        price_q10: q.price_q10,
        beside: q.beside,
        thresholds: Hysteresis {
            open: Ns::new(q.open_ns),
            close: Ns::new(q.close_ns),
            hold: Ns::new(q.hold_ns),
        },
    }
}

/// The gate as it was before the question.
pub fn gate(q: &Question) -> Gate {
    let since_ns = (q.gate_since_ns != 0).then_some(q.gate_since_ns);
    Gate { since_ns, seen_ns: q.gate_seen_ns }
}

/// True when `decision` is of a task that is pulled whatever it costs, because it has waited too long
/// and `migrate` allows moves at all.
pub fn is_aged(decision: &Decision, migrate: Migrate) -> bool {
    decision.kind == Kind::Pull
        && decision.who.is_some()
        && decision.waited_ns > decision.age_ns
        && migrate != Migrate::Never
}

/// Whether `decision` follows from its numbers.
///
/// # Errors
/// The first thing that does not.
pub fn decision(decision: &Decision) -> Result<(), Difference> {
    let Some(q) = &decision.question else { return unpriced(decision) };
    let answer = rule::answer(&terms(decision, q), &mut gate(q));
    parts(q, &answer)?;
    let ruling = Verdict::from(answer.ruling);
    if is_aged(decision, decision.migrate) {
        return Err(differ("verdict", decision.verdict.name(), Verdict::AppliedAged.name()));
    }
    let worth = ruling == Verdict::Applied;
    let follows = match decision.verdict {
        Verdict::Raced => worth != q.reasked,
        Verdict::AppliedAged => !worth && (q.sent_home || may_be_owed(decision.migrate, q)),
        verdict => verdict == ruling,
    };
    match follows {
        true => Ok(()),
        false => Err(differ("verdict", decision.verdict.name(), ruling.name())),
    }
}

/// True when the question says that the task's cgroup is owed a lot, and it waits less over there.
fn may_be_owed(migrate: Migrate, q: &Question) -> bool {
    q.owed && migrate == Migrate::Toll && q.wait_to_ns < q.wait_from_ns
}

fn parts(q: &Question, answer: &Answer) -> Result<(), Difference> {
    same("gain_ns", q.gain_ns, answer.gain_ns)?;
    same("refill_ns", q.refill_ns, answer.refill_ns)?;
    same("remote_ns", q.remote_ns, answer.remote_ns)?;
    same("penalty_ns", q.penalty_ns, answer.penalty_ns)
}

fn unpriced(decision: &Decision) -> Result<(), Difference> {
    let aged = is_aged(decision, decision.migrate);
    let follows = match decision.verdict {
        Verdict::Applied => decision.level == Level::Core || decision.for_class,
        Verdict::AppliedAged => aged,
        Verdict::Raced => aged || decision.for_class,
        Verdict::Affinity => decision.who.is_some() && decision.level != Level::Core,
        Verdict::Nothing => true,
        Verdict::NotWorth | Verdict::Hysteresis => false,
    };
    match follows {
        true => Ok(()),
        false => Err(differ("verdict", decision.verdict.name(), "no verdict without a question")),
    }
}

/// Whether `outcome` follows from its numbers, and those from the question of its decision, if that is
/// known.
///
/// # Errors
/// The first thing that does not.
pub fn outcome(outcome: &Outcome, question: Option<&Question>) -> Result<(), Difference> {
    if let Some(q) = question {
        same("wait_from_ns", outcome.wait_from_ns, q.wait_from_ns)?;
        same("wait_to_ns", outcome.wait_to_ns, q.wait_to_ns)?;
        same("penalty_ns", outcome.penalty_ns, q.penalty_ns)?;
        same("turns", outcome.turns, q.turns)?;
    }
    let Some(recorded) = outcome.paid else { return Ok(()) };
    let saved_ns = decide::gain(outcome.wait_from_ns, outcome.waited_ns, outcome.turns);
    same("paid", recorded, saved_ns > outcome.penalty_ns)
}
