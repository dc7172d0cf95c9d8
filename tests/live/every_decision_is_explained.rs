// SPDX-License-Identifier: GPL-2.0-only
//! What `scx_toll explain` tells is what was decided: gain, penalty and verdict of every record
//! follow from its own fields by the reference formulas, the records are all the decisions that
//! were counted, and every filter takes out what it says.

use crate::vm::{Ran, Vm, long};
use scx_toll::control::wire::Frame;
use scx_toll::events::{Decision, Kind, Outcome, Question, Verdict};
use scx_toll::model::Hysteresis;
use scx_toll::model::decide::{self as reference, Gate, Migrate};
use scx_toll::topology::Level;
use scx_toll::units::Ns;
use std::collections::BTreeMap;

fn frames(ran: &Ran, name: &str) -> Vec<Frame> {
    let lines = ran.section(name).lines().filter(|line| line.starts_with('{'));
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|err| panic!("{line}: {err}")))
        .collect()
}

fn decisions(frames: &[Frame]) -> Vec<&Decision> {
    let all = frames.iter().filter_map(|frame| match frame {
        Frame::Decision(decision) => Some(&**decision),
        _ => None,
    });
    all.collect()
}

fn outcomes(frames: &[Frame]) -> Vec<&Outcome> {
    let all = frames.iter().filter_map(|frame| match frame {
        Frame::Outcome(outcome) => Some(outcome),
        _ => None,
    });
    all.collect()
}

fn lost(frames: &[Frame]) -> u64 {
    let all = frames.iter().map(|frame| match frame {
        Frame::Lost { ring, queue } => ring + queue,
        _ => 0,
    });
    all.sum()
}

/// What the reference answers to the question of a record; an error when a part differs.
fn answer(decision: &Decision, q: &Question) -> Result<Verdict, String> {
    let same = |what: &str, recorded: i64, computed: i64| match recorded == computed {
        true => Ok(()),
        false => Err(format!("{what} is {recorded}, computed {computed}")),
    };
    let gain = reference::gain(q.wait_from_ns, q.wait_to_ns, q.turns);
    let refill = reference::refill(q.warm_from_ns, q.warm_to_ns, q.refill_q10);
    let remote = reference::remote(q.span_ns, q.there_pm, q.here_pm);
    let penalty = reference::penalty(q.hop_ns, refill, remote, q.price_q10);
    same("gain", q.gain_ns, gain)?;
    same("refill", q.refill_ns, refill)?;
    same("remote", q.remote_ns, remote)?;
    same("penalty", q.penalty_ns, penalty)?;
    let thresholds = Hysteresis::new(Ns::new(q.open_ns), Ns::new(q.close_ns), Ns::new(q.hold_ns))
        .map_err(|err| err.to_string())?;
    let mut gate = Gate {
        since_ns: (q.gate_since_ns != 0).then_some(q.gate_since_ns),
        seen_ns: q.gate_seen_ns,
    };
    let one_turn = reference::gain(q.wait_from_ns, q.wait_to_ns, 1);
    let held = q.beside
        || decision.migrate == Migrate::Always
        || gate.pass(one_turn, q.asked_ns, &thresholds);
    Ok(match reference::worth(decision.migrate, gain, penalty, decision.fixed_ns) {
        false => Verdict::NotWorth,
        true if held || penalty < 0 => Verdict::Applied,
        true => Verdict::Hysteresis,
    })
}

/// Whether the verdict of `decision` follows from its fields.
fn recompute(decision: &Decision) -> Result<(), String> {
    use Verdict::*;
    let agrees = match (&decision.question, decision.verdict) {
        (Some(q), Raced) => (answer(decision, q)? == Applied) != q.reasked,
        (Some(q), AppliedAged) => {
            (q.owed || q.sent_home) && (q.reasked || answer(decision, q)? != Applied)
        }
        (Some(q), verdict) => answer(decision, q)? == verdict,
        (None, AppliedAged) => {
            decision.waited_ns > decision.age_ns && decision.migrate != Migrate::Never
        }
        (None, Applied) => decision.level == Level::Core,
        (None, Affinity) => decision.who.is_some() && decision.level != Level::Core,
        (None, Nothing) => true,
        // A task that had waited too long was gone.
        (None, Raced) => decision.waited_ns > decision.age_ns,
        (None, NotWorth | Hysteresis) => false,
    };
    if agrees { Ok(()) } else { Err("the verdict does not follow".into()) }
}

fn all_recompute(decisions: &[&Decision]) {
    for decision in decisions {
        if let Err(why) = recompute(decision) {
            panic!("{why}: {decision:#?}");
        }
    }
}

/// The counter that a decision is in, of one CPU.
type Key = (Kind, Level, Verdict, u32);

/// By counter: the first and last value that the records carry, and how many records there are.
fn counters(decisions: &[&Decision]) -> BTreeMap<Key, (u64, u64, u64)> {
    let mut seen: BTreeMap<Key, (u64, u64, u64)> = BTreeMap::new();
    for d in decisions {
        let entry =
            seen.entry((d.kind, d.level, d.verdict, d.cpu)).or_insert((d.count, d.count, 0));
        *entry = (entry.0.min(d.count), entry.1.max(d.count), entry.2 + 1);
    }
    seen
}

/// Decisions that were counted between the first and the last record of their counter.
fn counted(decisions: &[&Decision]) -> u64 {
    counters(decisions).values().map(|(first, last, _)| last - first + 1).sum()
}

/// Each counter goes up by one from record to record; what is missing was told as lost. When
/// nothing was, and every CPU has decided, the last values add up to the scheduler's own report;
/// returns how many counters could be compared so.
fn reconcile(decisions: &[&Decision], lost: u64, report: &serde_json::Value) -> usize {
    let missing = counted(decisions) - decisions.len() as u64;
    assert!(missing <= lost, "{missing} decisions have no record, {lost} were told");
    let mut sums: BTreeMap<(Kind, Level, Verdict), (u64, usize)> = BTreeMap::new();
    for ((kind, level, verdict, _), (_, last, _)) in counters(decisions) {
        let sum = sums.entry((kind, level, verdict)).or_default();
        *sum = (sum.0 + last, sum.1 + 1);
    }
    let mut equal = 0;
    for ((kind, level, verdict), (sum, cpus)) in sums {
        let path = &report["counters"]["verdicts"][kind as usize][level.index()][verdict as usize];
        let total = path.as_u64().expect("a count");
        assert!(
            sum <= total,
            "{kind:?} {level} {verdict:?}: {sum} by the records, {total} counted"
        );
        if cpus == 8 && lost == 0 {
            assert_eq!(sum, total, "{kind:?} {level} {verdict:?}");
            equal += 1;
        }
    }
    eprintln!("{} records, {lost} lost, {equal} counters equal the report", decisions.len());
    equal
}

/// Every outcome belongs to an applied decision and follows from it.
fn audit(decisions: &[&Decision], outcomes: &[&Outcome], report: &serde_json::Value) {
    let by_seq: BTreeMap<u64, &Decision> = decisions.iter().map(|d| (d.seq, *d)).collect();
    assert_eq!(by_seq.len(), decisions.len(), "sequence numbers are unique");
    for outcome in outcomes {
        let decision = by_seq.get(&outcome.seq).expect("the decision comes before its outcome");
        assert!(decision.verdict.is_applied() && decision.level != Level::Core, "{decision:?}");
        assert_eq!(decision.who.as_ref().map(|who| who.pid), Some(outcome.who.pid));
        let paid = reference::gain(outcome.wait_from_ns, outcome.waited_ns, outcome.turns)
            > outcome.penalty_ns;
        let judged = decision.verdict == Verdict::Applied;
        assert_eq!(outcome.paid, judged.then_some(paid), "{outcome:?}");
        if let Some(q) = &decision.question {
            assert_eq!((outcome.wait_from_ns, outcome.penalty_ns), (q.wait_from_ns, q.penalty_ns));
            assert_eq!(outcome.at_ns - q.asked_ns, outcome.waited_ns);
        }
    }
    let told = |paid| outcomes.iter().filter(|o| o.paid == Some(paid)).count() as u64;
    let count = |name: &str| report["counters"][name].as_u64().expect("a count");
    eprintln!(
        "{} moves paid, {} did not; report: {} of {}",
        told(true),
        told(false),
        count("paid"),
        count("judged")
    );
    assert!(told(true) > 10 && told(true) <= count("paid"));
    assert!(told(true) + told(false) <= count("judged"));
}

#[test]
fn records_recompute_reconcile_and_obey_their_filters() {
    let seconds = if long() { "10" } else { "1" };
    let machine = Vm::counted().with(&["--with", "bpftool", "--with", "nice"]);
    let Some(ran) = machine.run("explain.sh", &[seconds]) else { return };
    let ran = ran.expect_ok();
    for (load, least) in [("mixed", 500), ("hogs", 100)] {
        let report = ran.json(&format!("report {load}"), "report");
        let all = frames(&ran, &format!("decisions {load}"));
        let decided = decisions(&all);
        let priced = decided.iter().filter(|d| d.question.is_some()).count();
        assert!(priced > least, "{load}: {priced}");
        all_recompute(&decided);
        let equal = reconcile(&decided, lost(&all), &report);
        audit(&decided, &outcomes(&all), &report);
        if load == "hogs" {
            assert_eq!(lost(&all), 0, "{}", ran.section("said hogs"));
            assert!(equal >= 4, "only {equal} counters could be compared whole");
        }
    }
    filters(&ran);
}

/// Each filter takes out what it says, and nothing else would have.
fn filters(ran: &Ran) {
    let number = |key| ran.number("tasks", key) as u64;
    let has = |frames: &[Frame], what: &dyn Fn(&Decision) -> bool| {
        let decisions = decisions(frames);
        all_recompute(&decisions);
        decisions.into_iter().any(what)
    };
    let only = |name: &str, what: &dyn Fn(&Decision) -> bool| {
        let frames = frames(ran, name);
        assert!(!decisions(&frames).is_empty(), "{name}: nothing was told");
        assert!(!has(&frames, &|d| !what(d)), "{name} lets something else through");
    };
    let all = frames(ran, "all");
    let core = |d: &Decision| d.level == Level::Core;
    assert!(has(&all, &core));
    only("default", &|d| !core(d));
    let kind = |d: &Decision| match d.kind {
        Kind::Push => core(d),
        Kind::Pull => !core(d),
        Kind::Place => false,
    };
    assert!(has(&all, &|d| !kind(d)));
    only("kind", &kind);
    let refused = |d: &Decision| matches!(d.verdict, Verdict::NotWorth | Verdict::Hysteresis);
    assert!(has(&all, &|d| !refused(d)));
    only("verdict", &refused);
    let waker =
        |d: &Decision| d.who.as_ref().is_some_and(|who| u64::from(who.pid) == number("waker"));
    let grouped = |d: &Decision| {
        d.who
            .as_ref()
            .is_some_and(|w| w.cgroup == number("cgroup") && u64::from(w.tgid) != number("waker"))
    };
    assert!(has(&all, &|d| !waker(d)) && has(&all, &|d| !grouped(d)));
    for name in ["pid", "pid, another"] {
        only(name, &waker);
    }
    for name in ["cgroup", "cgroup, another"] {
        only(name, &grouped);
    }
    for name in ["rate", "rate, another"] {
        let frames = frames(ran, name);
        let sampled = decisions(&frames);
        // Of each counter: the records after its first, and how far it went with them.
        let (mut told, mut went) = (0, 0);
        for (first, last, records) in counters(&sampled).into_values() {
            told += records - 1;
            went += last - first;
        }
        let share = told as f64 / went as f64;
        eprintln!("{name}: {} records are {share:.3} of the decisions", sampled.len());
        assert!((0.07..0.14).contains(&share), "{name}: {share}");
    }
    assert!(ran.section("words").contains(": not worth it"), "{}", ran.section("words"));
    let refusals = ran.section("refused");
    assert!(refusals.contains("scx_toll: cgroup /nowhere: "), "{refusals}");
    assert!(refusals.contains("scx_toll: --kind nothing: expected all, place"), "{refusals}");
    assert_eq!((ran.value("refused", "cgroup"), ran.value("refused", "kind")), ("2", "2"));
    assert_eq!(ran.value("nobody", "recorded"), "no", "{}", ran.section("nobody"));
    assert!(ran.number("nobody", "cpus") >= 8.0, "{}", ran.section("nobody"));
}
