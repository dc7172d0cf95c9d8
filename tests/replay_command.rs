// SPDX-License-Identifier: GPL-2.0-only
//! `scx_toll replay` on a terminal and for programs: exit codes, what is missing of a cut recording,
//! what each flag changes, and what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod made_decisions;

use made_decisions::{AGE_NS, Rules, Situation, Twist, decide, outcome, record};
use scx_toll::control::wire::Frame;
use scx_toll::events::{Decision, Kind, Verdict};
use scx_toll::model::decide::Migrate;
use scx_toll::model::{Hysteresis, PenaltyMatrix, PenaltyTable};
use std::path::Path;
use std::process::{Command, Output};

fn rules() -> Rules {
    let costs = PenaltyMatrix::new(&PenaltyTable::default(), &made_decisions::machine());
    let thresholds = Hysteresis::defaults();
    Rules { migrate: Migrate::Toll, fixed_ns: 0, costs, thresholds }
}

/// Task `i` waits `i` × 0.1 ms in LLC 0 and asks for LLC 1 of the same node, or for another node.
fn decision(i: u64) -> Decision {
    let situation = Situation {
        kind: Kind::Push,
        from: 0,
        to: 1 + (i % 3) as u32,
        home: Some(0),
        now_ns: 1_000_000_000 + i * 1_000_000,
        waits: (i * 100_000, 0),
        turns: 1,
        warm: (50_000, 0),
        span_ns: 1_000_000,
        against_class: false,
        slower_pm: 0,
        gate: (900_000_000, 1_000_000_000 + i * 1_000_000 - 1),
        waited_ns: 0,
        twist: Twist::None,
    };
    decide(&situation, &rules(), i)
}

fn frames() -> Vec<Frame> {
    let mut frames = Vec::new();
    for i in 1..200 {
        let decision = decision(i);
        let outcome = outcome(&decision, 10_000);
        frames.push(Frame::Decision(Box::new(decision)));
        frames.extend(outcome.map(Frame::Outcome));
    }
    frames
}

fn run(file: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scx_toll"));
    command.arg("replay").arg(file).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn write(name: &str, bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

#[test]
fn a_whole_recording_follows_and_says_so() {
    let (_dir, path) = write("whole", &record(&frames()));
    let output = run(&path, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.starts_with("199 decisions (199 of them with a price) and "), "{said}");
    assert!(said.ends_with("outcomes: each follows from its own numbers\n"), "{said}");
    assert_eq!(text(&output.stderr), "");
    let report = json(&run(&path, &["--json"]));
    assert_eq!(report["what"], "replay");
    assert_eq!((&report["decisions"], &report["differences"]), (&199.into(), &0.into()));
    assert_eq!((&report["other"], &report["missing"]["cut"]), (&().into(), &false.into()));
}

#[test]
fn a_difference_has_an_exit_code_of_its_own_and_both_verdicts() {
    let mut all = frames();
    let (mut number, mut at) = (0, 0);
    for (i, frame) in all.iter_mut().enumerate() {
        let Frame::Decision(decision) = frame else { continue };
        if decision.seq == 40 {
            assert_eq!(decision.verdict, Verdict::Applied);
            decision.verdict = Verdict::NotWorth;
            (number, at) = (i + 1, i);
        }
    }
    assert!(matches!(all[at + 1], Frame::Outcome(_)));
    let (_dir, path) = write("changed", &record(&all));
    let output = run(&path, &[]);
    assert_eq!(output.status.code(), Some(4));
    let said = text(&output.stdout);
    let expected =
        format!("record {number} (seq 40): verdict is recorded as not_worth, computed applied\n");
    assert!(said.contains("outcomes: 1 does not follow from its own numbers\n"), "{said}");
    assert!(said.contains(&expected), "{said}");
    assert!(said.contains("  1.040000 push llc0→llc2: task105/105 waits 4.00 ms less"), "{said}");
    let complained = text(&output.stderr);
    assert!(complained.contains("records do not follow from their own numbers"), "{complained}");

    let report = run(&path, &["--json"]);
    assert_eq!(report.status.code(), Some(4));
    let first = &json(&report)["first"][0];
    assert_eq!((&first["number"], &first["seq"]), (&number.into(), &40.into()));
    assert_eq!(first["difference"]["computed"], "applied");
    assert_eq!(first["decision"]["verdict"], "not_worth");
}

#[test]
fn a_cut_recording_is_replayed_to_its_last_whole_block() {
    let file = record(&frames());
    let (_dir, path) = write("cut", &file[..file.len() * 2 / 3]);
    let output = run(&path, &[]);
    assert_eq!(output.status.code(), Some(0));
    let complained = text(&output.stderr);
    assert!(complained.contains("the recording was cut: it ends after"), "{complained}");
    let report = json(&run(&path, &["--json"]));
    let decisions = report["decisions"].as_u64().unwrap();
    assert!(decisions > 50 && decisions < 199, "{decisions}");
    assert_eq!(report["missing"]["cut"], true);
    let sentence = report["missing_sentences"][0].as_str().unwrap();
    assert!(sentence.contains("what came after is missing"), "{sentence}");
}

#[test]
fn each_flag_of_another_policy_changes_verdicts() {
    let (dir, path) = write("whole", &record(&frames()));
    let changed = |args: &[&str]| {
        let output = run(&path, &[args, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        json(&output)["other"].clone()
    };
    let count = |args: &[&str]| changed(args)["decisions"].as_u64().unwrap();
    let moves = |args: &[&str]| changed(args)["moves_other"].as_u64().unwrap();
    let recorded = changed(&["--migrate", "toll"])["moves_recorded"].as_u64().unwrap();

    // What is in force changes nothing.
    let hysteresis = ["--hysteresis", "node=2000,500,4000"];
    for same in [&["--migrate", "toll"][..], &["--penalty", "default"]] {
        assert_eq!(count(same), 0, "{same:?}");
    }
    assert_eq!(moves(&["--migrate", "never"]), 0);
    assert!(moves(&["--migrate", "always"]) > recorded);
    assert!(moves(&["--migrate", "fixed:15000"]) < recorded);
    let dear = dir.path().join("dear.toml");
    std::fs::write(&dear, "[class.llc]\nhop_us = 3000\n").unwrap();
    assert!(moves(&["--penalty", dear.to_str().unwrap()]) < recorded);
    assert!(moves(&["--hysteresis", "llc=5000"]) < recorded);
    assert!(moves(&[&hysteresis[..], &["--hysteresis", "llc=5000"]].concat()) < recorded);

    let output = text(&run(&path, &["2", "--migrate", "never"]).stdout);
    assert!(output.contains(&format!("moves between LLCs {recorded} -> 0\n")), "{output}");
    assert!(output.contains("  push   llc    applied       not_worth"), "{output}");
    let told = |begin: &str| output.lines().filter(|line| line.starts_with(begin)).count();
    assert_eq!((told("recorded "), told("   other ")), (2, 2), "{output}");
    assert!(output.contains("moves are switched off: not worth it"), "{output}");
    let none = text(&run(&path, &["--migrate", "never"]).stdout);
    assert!(!none.contains("recorded 1."), "{none}");
}

#[test]
fn age_counts_unless_moves_are_switched_off() {
    let aged = Decision {
        kind: Kind::Pull,
        verdict: Verdict::AppliedAged,
        waited_ns: AGE_NS + 1,
        question: None,
        ..decision(3)
    };
    // Under `never` it was asked like any other, and refused.
    let mut never = Decision { kind: Kind::Pull, waited_ns: AGE_NS + 1, ..decision(3) };
    (never.migrate, never.verdict) = (Migrate::Never, Verdict::NotWorth);
    let all = [aged, never].map(|decision| Frame::Decision(Box::new(decision)));
    let (_dir, path) = write("aged", &record(&all));
    for (migrate, moves) in [("never", 0), ("toll", 2)] {
        let output = run(&path, &["--migrate", migrate, "--json"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
        let other = &json(&output)["other"];
        assert_eq!((&other["moves_recorded"], &other["moves_other"]), (&1.into(), &moves.into()));
    }
}

#[test]
fn what_makes_no_sense_is_refused_in_one_sentence() {
    let (dir, path) = write("whole", &record(&frames()));
    let penalty = dir.path().join("bad.toml");
    std::fs::write(&penalty, "[[pair]]\nfrom = 0\nto = 9\nhop_us = 1\n").unwrap();
    let text_file = dir.path().join("text");
    std::fs::write(&text_file, "no recording").unwrap();
    for (file, args, status, words) in [
        (&path, &["--migrate", "maybe"][..], 2, "--migrate maybe: expected toll"),
        (&path, &["--hysteresis", "socket=1"], 2, "--hysteresis socket=1: the level is"),
        (&path, &["--penalty", penalty.to_str().unwrap()], 1, "9"),
        (&text_file, &[], 1, "this is no recording of scx_toll"),
    ] {
        let output = run(file, args);
        let complained = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{complained}");
        assert!(complained.contains(words), "{complained}");
        assert_eq!(complained.lines().count(), 1, "{complained}");
        assert_eq!(text(&output.stdout), "");
    }
}
