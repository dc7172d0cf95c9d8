// SPDX-License-Identifier: GPL-2.0-only
//! Decisions in words, one line each.
//!
//! ```text
//! pull cpu6←llc0: rustc/4711 waits 1.90 ms more there, move costs 0.41 ms (hop 0.02 + refill
//! 0.39, 82 % warm): moved; it then ran after 0.03 ms
//! ```

use crate::events::{Decision, Kind, Outcome, Question, Verdict};
use crate::model::decide::Migrate;
use crate::topology::Level;
use std::collections::VecDeque;
use std::fmt::Write;

/// Moves whose outcome is waited for before their line is told without it.
const HELD_MAX: usize = 1024;
/// How long a line is held for its outcome, in ns of the kernel's clock.
const HOLD_NS: u64 = 2_000_000_000;
const Q10_ONE: f64 = 1024.0;

fn ms(ns: f64) -> String {
    let value = ns / 1e6;
    let digits = match value.abs() {
        0.0..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

/// Holds the line of a move until its task runs.
#[derive(Debug, Default)]
pub struct Teller {
    /// Between LLCs, in the order of their decisions.
    held: VecDeque<Decision>,
}

impl Teller {
    /// The lines that can be told now that `decision` has come.
    pub fn decision(&mut self, decision: Decision) -> Vec<String> {
        let mut lines = self.overdue(decision.at_ns);
        if decision.verdict.is_applied() && decision.level != Level::Core {
            self.held.push_back(decision);
        } else {
            lines.push(line(&decision, None));
        }
        lines
    }

    /// The line of the decision that `outcome` belongs to.
    pub fn outcome(&mut self, outcome: &Outcome) -> Vec<String> {
        let at = self.held.iter().position(|decision| decision.seq == outcome.seq);
        let decision = at.and_then(|at| self.held.remove(at));
        let mut lines: Vec<String> =
            decision.iter().map(|decision| line(decision, Some(outcome))).collect();
        lines.extend(self.overdue(outcome.at_ns));
        lines
    }

    /// The end: what is still held.
    pub fn rest(&mut self) -> Vec<String> {
        self.held.drain(..).map(|decision| line(&decision, None)).collect()
    }

    fn overdue(&mut self, now_ns: u64) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(first) = self.held.front() {
            if self.held.len() <= HELD_MAX && now_ns < first.at_ns.saturating_add(HOLD_NS) {
                break;
            }
            lines.extend(self.held.pop_front().map(|decision| line(&decision, None)));
        }
        lines
    }
}

/// `decision` in words, with what became of it if that is known.
pub fn line(decision: &Decision, outcome: Option<&Outcome>) -> String {
    let seconds = decision.at_ns as f64 / 1e9;
    let mut out = format!("{seconds:.6} {}: ", subject(decision));
    if let Some(who) = &decision.who {
        let _ = write!(out, "{}/{} ", who.comm, who.pid);
    }
    match &decision.question {
        Some(question) => {
            out += &priced(decision, question);
            out += ": ";
            out += &ended(decision, question);
        }
        None => out += &unpriced(decision),
    }
    if let Some(outcome) = outcome {
        out += &became(outcome);
    }
    out
}

/// What asks, and between which places.
fn subject(decision: &Decision) -> String {
    let kind = decision.kind.name();
    let llc = |llc: Option<u32>| llc.map_or_else(|| "?".into(), |llc| format!("llc{llc}"));
    let to = match (decision.to_cpu, decision.to_llc) {
        (Some(cpu), _) => format!("cpu{cpu}"),
        (None, Some(to)) => format!("llc{to}"),
        (None, None) => match decision.level {
            Level::Node => "another node".into(),
            _ => "another llc".into(),
        },
    };
    match (decision.kind, decision.level, decision.from_llc) {
        (_, Level::Core, _) => format!("{kind} {to}"),
        (Kind::Pull, _, Some(from)) => format!("{kind} {to}←llc{from}"),
        (Kind::Pull, Level::Node, None) => format!("{kind} {to}←another node"),
        (Kind::Pull, _, None) => format!("{kind} {to}←another llc"),
        (_, _, from) => format!("{kind} {}→{to}", llc(from)),
    }
}

/// Gain and cost.
fn priced(decision: &Decision, q: &Question) -> String {
    let saved = q.wait_from_ns as f64 - q.wait_to_ns as f64;
    let turns = if q.turns > 1 { format!("{} × ", q.turns) } else { String::new() };
    let gain = match (decision.kind, saved > 0.0) {
        _ if q.beside => format!("hand-overs from there have cost {} ms", ms(saved)),
        (Kind::Pull, true) => format!("waits {turns}{} ms more there", ms(saved)),
        (Kind::Pull, false) => "does not wait there".into(),
        (_, true) => format!("waits {turns}{} ms less there", ms(saved)),
        (_, false) if saved == 0.0 => "waits no less there".into(),
        (_, false) => format!("waits {turns}{} ms longer there", ms(-saved)),
    };
    let cost = match decision.migrate {
        Migrate::Toll => cost(q),
        Migrate::Fixed => format!("any move costs {} ms", ms(decision.fixed_ns as f64)),
        Migrate::Always => "any gain is worth a move".into(),
        Migrate::Never => "moves are switched off".into(),
    };
    format!("{gain}, {cost}")
}

/// P and its parts.
fn cost(q: &Question) -> String {
    let mut parts = format!("hop {}", ms(q.hop_ns as f64));
    for (name, part) in [("refill", q.refill_ns), ("remote", q.remote_ns)] {
        if part != 0 {
            let sign = if part < 0 { "-" } else { "+" };
            let _ = write!(parts, " {sign} {name} {}", ms(part.unsigned_abs() as f64));
        }
    }
    if q.penalty_ns > 0 && f64::from(q.price_q10) != Q10_ONE {
        parts = format!("{:.1} × ({parts})", f64::from(q.price_q10) / Q10_ONE);
    }
    if q.warm_most_ns > 0 {
        let warm = q.warm_from_ns as f64 / q.warm_most_ns as f64;
        let _ = write!(parts, ", {:.0} % warm", warm.min(1.0) * 100.0);
    }
    match q.penalty_ns {
        1.. => format!("move costs {} ms ({parts})", ms(q.penalty_ns as f64)),
        _ => format!("move brings {} ms ({parts})", ms(-(q.penalty_ns as f64))),
    }
}

/// How a priced decision ended.
fn ended(decision: &Decision, q: &Question) -> String {
    match decision.verdict {
        Verdict::Applied if q.beside => "moved beside its partner".into(),
        Verdict::Applied => "moved".into(),
        Verdict::AppliedAged if q.owed => "its cgroup is owed a lot, moved all the same".into(),
        Verdict::AppliedAged if q.sent_home => "sent home to its memory all the same".into(),
        Verdict::NotWorth => "not worth it".into(),
        Verdict::Hysteresis => {
            let lasted = match q.gate_since_ns {
                0 => 0,
                since => q.asked_ns.saturating_sub(since),
            };
            match q.hold_ns {
                0 => format!(
                    "it pays, but imbalances below {} ms do not count",
                    ms(q.open_ns as f64)
                ),
                hold => format!(
                    "it pays, but has done so for {} of {} ms only",
                    ms(lasted.min(hold) as f64),
                    ms(hold as f64)
                ),
            }
        }
        Verdict::Raced if q.reasked => "the idle CPU was taken, and without it not worth it".into(),
        Verdict::Raced => "another CPU was faster".into(),
        verdict => verdict.name().replace('_', " "),
    }
}

/// A decision that did not come to a price.
fn unpriced(decision: &Decision) -> String {
    let place = match decision.level {
        Level::Core => "in its LLC",
        Level::Llc => "in the other LLCs of its node",
        Level::Node => "on the other nodes",
    };
    match (decision.kind, decision.verdict) {
        (_, Verdict::AppliedAged) => format!(
            "has waited {} ms, more than {} ms: moved whatever it costs",
            ms(decision.waited_ns as f64),
            ms(decision.age_ns as f64)
        ),
        (_, Verdict::Applied) if decision.for_class => {
            "goes to an idle CPU of the class where it belongs".into()
        }
        (_, Verdict::Nothing) if decision.for_class => {
            "finds no idle CPU of the class where it belongs".into()
        }
        (Kind::Pull, Verdict::Applied) => "takes the next task of its own queues".into(),
        (_, Verdict::Applied) => "goes to an idle CPU of its LLC".into(),
        (Kind::Pull, Verdict::Nothing) if decision.level == Level::Core => {
            "nothing else waits in its own queues".into()
        }
        (Kind::Pull, Verdict::Nothing) => format!("nothing waits {place}"),
        (_, Verdict::Nothing) => format!("finds no idle CPU {place}"),
        (Kind::Pull, Verdict::Affinity) => "waits there, but may not run here".into(),
        (_, Verdict::Affinity) => format!("may not run {place}"),
        (_, Verdict::Raced) => "another CPU was faster".into(),
        (_, verdict) => verdict.name().replace('_', " "),
    }
}

/// What became of a move.
fn became(outcome: &Outcome) -> String {
    let paid = match outcome.paid {
        Some(true) => "",
        Some(false) => ", which did not pay",
        None => "",
    };
    format!("; it then ran after {} ms{paid}", ms(outcome.waited_ns as f64))
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
