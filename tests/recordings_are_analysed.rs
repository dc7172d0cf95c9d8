// SPDX-License-Identifier: GPL-2.0-only
//! `analyze` of what `scx_toll record` wrote: moves are what the decisions say, at the prices that they
//! name, by task and by cgroup; a cut recording says less and that it was cut.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scx_toll::analysis::infer::Kind as Verdict;
use scx_toll::analysis::layout::Layout;
use scx_toll::analysis::report::Report;
use scx_toll::command::recorded::report;
use scx_toll::control::wire::{Frame, Places};
use scx_toll::events::{self, Decision, Kind, Outcome, Question, Slice, Who};
use scx_toll::measure::chase::Rng;
use scx_toll::model::PenaltyTable;
use scx_toll::model::decide::Migrate;
use scx_toll::recording::{Head, Recorder, Recording};
use scx_toll::topology::{Level, Topology};

const MS: u64 = 1_000_000;

fn who(pid: u32) -> Who {
    Who { pid, tgid: pid, cgroup: u64::from(pid % 2) + 10, comm: format!("task{pid}") }
}

fn slice(cpu: u32, from_ms: u64, to_ms: u64, pid: u32) -> Frame {
    let (from_ns, to_ns) = (from_ms * MS, to_ms * MS);
    Frame::Slice(Slice { cpu, from_ns, to_ns, who: who(pid), more: false })
}

fn decision(at_ms: u64, kind: Kind, pid: u32, gain_ns: i64, penalty_ns: i64) -> Frame {
    let question = Question {
        asked_ns: at_ms * MS,
        gain_ns,
        penalty_ns,
        wait_from_ns: 9,
        turns: 1,
        hop_ns: 1,
        price_q10: 1024,
        refill_q10: 1024,
        ..Question::default()
    };
    Frame::Decision(Box::new(Decision {
        seq: at_ms,
        at_ns: at_ms * MS,
        count: 1,
        policy_version: 1,
        who: Some(who(pid)),
        kind,
        level: Level::Llc,
        verdict: events::Verdict::Applied,
        cpu: 0,
        from_llc: Some(0),
        to_llc: Some(1),
        from_cpu: Some(0),
        to_cpu: None,
        waited_ns: 0,
        age_ns: 1,
        migrate: Migrate::Toll,
        fixed_ns: 0,
        for_class: false,
        question: Some(question),
    }))
}

fn outcome(at_ms: u64, waited_ms: u64, pid: u32, cpu: u32) -> Frame {
    Frame::Outcome(Outcome {
        seq: 1,
        at_ns: at_ms * MS,
        waited_ns: waited_ms * MS,
        wait_from_ns: 0,
        wait_to_ns: 0,
        penalty_ns: 0,
        turns: 1,
        paid: Some(true),
        who: who(pid),
        cpu,
    })
}

/// Task 1 is pushed from CPU 0 to 2 and waits 3 ms there; task 2 is pulled from 1 to 3; task 3 goes
/// from CPU 0 to 1, which nobody decided.
fn recording() -> Vec<u8> {
    let cpu_llc = vec![Some(0), Some(0), Some(1), Some(1)];
    let places = Places { cpu_llc, llc_node: vec![0, 0], ..Places::default() };
    let head = Head { program: "0.0.0".into(), began_unix: 1, places, ..Head::default() };
    let names = Box::new(|id| (id == 11).then(|| "/odd".to_string()));
    let mut recorder = Recorder::new(Vec::new(), &head, names).unwrap();
    for frame in [
        slice(0, 1000, 1010, 1),
        slice(1, 1000, 1020, 2),
        decision(1011, Kind::Push, 1, 9_000, 2_000),
        slice(0, 1010, 1030, 3),
        outcome(1014, 3, 1, 2),
        decision(1025, Kind::Pull, 2, 100, 700),
        slice(2, 1014, 1040, 1),
        outcome(1025, 0, 2, 3),
        slice(3, 1025, 1050, 2),
        slice(1, 1035, 1045, 3),
    ] {
        recorder.add(frame).unwrap();
    }
    recorder.finish().unwrap().0
}

fn analysed(file: Vec<u8>) -> anyhow::Result<Report> {
    let layout = Layout::new(Topology::synthetic(1, 2, 2).unwrap());
    let (bytes, recording) = (file.len() as u64, Recording::new(file)?);
    report(&recording, bytes, "r", layout, "1x2x2", &PenaltyTable::default())
}

#[test]
fn moves_are_what_decisions_say_at_their_prices() {
    let report = analysed(recording()).unwrap();
    let count = |kind| report.moves.iter().find(|row| row.kind == kind).map_or(0, |row| row.count);
    assert_eq!((count(Verdict::Push), count(Verdict::Pull)), (1, 1), "{:?}", report.moves);
    assert_eq!(count(Verdict::Undetermined), 1, "{:?}", report.moves);
    let prices = |name: &str| {
        let row = report.tasks.iter().chain(&report.cgroups).find(|row| row.name == name);
        row.map(|row| (row.sum.moves, row.sum.gain_ns, row.sum.penalty_ns))
    };
    assert_eq!(prices("task1"), Some((1, 9_000, 2_000)));
    assert_eq!(prices("task2"), Some((1, 100, 700)));
    assert_eq!(prices("cgroup 10"), Some((1, 100, 700)), "{:?}", report.cgroups);
    let odd = prices("/odd").expect("the cgroup's name");
    assert_eq!(odd.0, 2, "tasks 1 and 3");
    assert_eq!(report.waits.max_ns, 3 * MS, "{:?}", report.waits);
    assert_eq!((report.repairs, report.intake.broken), (0, 0), "{:?}", report.intake);
    assert_eq!(report.span_ns, 50 * MS);
    assert!(report.notes.iter().any(|note| note.contains("a recording of scx_toll")));
}

#[test]
fn a_cut_recording_says_that_it_was_cut() {
    let whole = recording();
    for cut in 0..whole.len() {
        match analysed(whole[..cut].to_vec()) {
            Ok(report) => assert!(report.intake.broken > 0, "cut at {cut}: {:?}", report.intake),
            Err(error) => assert!(!format!("{error:#}").contains('\n')),
        }
    }
}

/// Whatever frames hold: times and numbers that no kernel writes. (Damage to the bytes of a recording is
/// in `trace_readers_survive_any_bytes.rs`.)
#[test]
fn no_numbers_make_it_panic() {
    let mut rng = Rng(7);
    let head = Head { program: "0".into(), began_unix: 1, ..Head::default() };
    for _ in 0..200 {
        let mut recorder = Recorder::new(Vec::new(), &head, Box::new(|_| None)).unwrap();
        for _ in 0..30 {
            let any = |rng: &mut Rng| match rng.below(4) {
                0 => u64::MAX - u64::from(rng.below(9)),
                1 => u64::from(rng.below(9)),
                _ => u64::from(rng.below(100)) * MS,
            };
            let pid = if rng.below(5) == 0 { u32::MAX } else { rng.below(5) };
            let cpu = if rng.below(9) == 0 { u32::MAX - 1 } else { rng.below(4) };
            let (from_ns, at_ns) = (any(&mut rng), any(&mut rng));
            let frame = match rng.below(3) {
                0 => Frame::Outcome(Outcome {
                    seq: 0,
                    at_ns,
                    waited_ns: from_ns,
                    wait_from_ns: 0,
                    wait_to_ns: 0,
                    penalty_ns: i64::MIN,
                    turns: 0,
                    paid: None,
                    who: who(pid),
                    cpu,
                }),
                1 => decision(u64::from(rng.below(50)), Kind::Pull, pid, i64::MAX, i64::MIN),
                _ => Frame::Slice(Slice {
                    cpu,
                    from_ns,
                    // Longer ones are never written.
                    to_ns: from_ns.saturating_add(u64::from(rng.below(200)) * MS),
                    who: who(pid),
                    more: rng.below(2) == 0,
                }),
            };
            recorder.add(frame).unwrap();
        }
        let _ = analysed(recorder.finish().unwrap().0);
    }
}
