// SPDX-License-Identifier: GPL-2.0-only
//! Verdicts on traces that were recorded in virtual machines, on machines and under loads that no rule
//! was made by: see `tests/verdicts/README.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod verdicts;

use scx_toll::analysis::layout::Layout;
use scx_toll::topology::Topology;
use std::path::Path;
use verdicts::{Class, Confusion, judge_trace, labels, short, unpack};

/// The machine in the name of a trace, such as `6.18_1x4x2_push_mixed.gz`.
fn machine(name: &str) -> Layout {
    let shape = name.split('_').nth(1).expect("a shape");
    let numbers: Vec<usize> = shape.split('x').map(|n| n.parse().expect("a number")).collect();
    Layout::new(Topology::synthetic(numbers[0], numbers[1], numbers[2]).unwrap())
}

#[test]
fn macro_f1_is_95_per_cent_from_events_and_85_from_loads() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verdicts/traces");
    let dir = std::env::var("TOLL_TRACES").map_or(dir, Into::into);
    let mut all = [Confusion::default(), Confusion::default()];
    let mut files: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let layout = machine(&name);
        let trace = unpack(&std::fs::read(&file).unwrap(), false);
        let labels = labels(&trace, "", &layout);
        let judged = judge_trace(&trace, &labels, &layout);
        let (events, loads) = (&judged.by_events, &judged.by_loads);
        eprintln!("{name}: n {}, {:.3}, {:.3}", events.n(), events.macro_f1(), loads.macro_f1());
        all[0].merge(events);
        all[1].merge(loads);
        assert!(short(&trace, &labels).len() > 1000);
    }
    for (confusion, least) in all.iter().zip([0.95, 0.85]) {
        eprintln!("macro-F1 {:.3} {:.3?}", confusion.macro_f1(), confusion.scores());
        eprintln!("{}", confusion.table());
        assert!(confusion.macro_f1() >= least, "{}", confusion.table());
        assert_eq!(confusion.scores().len(), 3, "all classes occur: {}", confusion.table());
    }
}

/// A mistake in each class costs what it has to.
#[test]
fn scores_are_those_of_textbooks() {
    use scx_toll::analysis::infer::Kind;
    let mut confusion = Confusion::default();
    confusion.add(Kind::Pull, Kind::Pull, 90);
    confusion.add(Kind::Pull, Kind::Push, 10);
    confusion.add(Kind::Push, Kind::Push, 30);
    confusion.add(Kind::Push, Kind::Undetermined, 10);
    confusion.add(Kind::Wakeup, Kind::Fork, 10);
    let scores = confusion.scores();
    let expected = [(Class::Pull, 180.0 / 190.0), (Class::Push, 60.0 / 80.0), (Class::Placed, 1.0)];
    for ((class, score), (expected_class, expected)) in scores.iter().zip(expected) {
        assert!(*class == expected_class && (score - expected).abs() < 1e-9, "{scores:?}");
    }
}
