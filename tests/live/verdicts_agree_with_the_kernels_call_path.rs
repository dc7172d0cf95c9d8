// SPDX-License-Identifier: GPL-2.0-only
//! What `analyze` makes of a move, against what the kernel was doing, on machines and loads that no
//! rule was made by: labels, scores and how they are got stand in `tests/verdicts`.

use crate::verdicts::{Confusion, judge_trace, labels, short, unpack};
use crate::vm::Vm;
use scx_toll::analysis::layout::Layout;
use scx_toll::topology::Topology;

/// A machine by kernel and shape, and a load under a scheduler.
struct Combination {
    kernel: &'static str,
    shape: [usize; 3],
    load: &'static [&'static str],
}

const fn on(kernel: &'static str, shape: [usize; 3], load: &'static [&'static str]) -> Combination {
    Combination { kernel, shape, load }
}

/// Machines and loads other than those that rules were made by; all traces of these were recorded after
/// the last change of a rule.
const HELD_OUT: [Combination; 10] = [
    on("7.3", [3, 1, 4], &["0.3", "toll", "lab", "groups"]),
    on("7.3", [2, 3, 2], &["0.3", "push", "lab", "groups"]),
    on("6.18", [4, 1, 3], &["0.3", "push", "lab", "mixed"]),
    on("6.18", [1, 2, 3], &["0.3", "push", "lab", "batch"]),
    on("6.18", [3, 1, 4], &["0.3", "pull", "lab", "mixed"]),
    on("7.3", [1, 3, 2], &["0.3", "pull", "lab", "groups"]),
    on("6.18", [2, 3, 2], &["0.3", "toll", "lab", "mixed"]),
    on("7.3", [4, 1, 3], &["0.3", "toll", "lab", "batch"]),
    on("7.3", [1, 2, 3], &["0.3", "eevdf", "lab", "mixed"]),
    on("6.18", [1, 3, 2], &["0.3", "eevdf", "lab", "groups"]),
];

/// Where the long run leaves labelled traces, if anywhere.
const KEEP: &str = "TOLL_KEEP_TRACES";

/// The confusions of one combination, from events and from loads; `None` where no machine is booted.
fn run(Combination { kernel, shape, load }: &Combination) -> Option<[Confusion; 2]> {
    let [nodes, llcs, cpus] = *shape;
    let topology = format!("{nodes}x{llcs}x{cpus}");
    let options = ["--kernel", kernel, "--topology", &topology, "--with", "nice"];
    let ran = Vm::counted().with(&options).run("verdicts.sh", load)?.expect_ok();
    let trace = unpack(ran.section("packed").as_bytes(), true);
    let records = match load[1] {
        "eevdf" => String::new(),
        _ => unpack(ran.section("decisions").as_bytes(), true),
    };
    let layout = Layout::new(Topology::synthetic(nodes, llcs, cpus).expect("a machine"));
    let labels = labels(&trace, &records, &layout);
    let name = format!("{kernel} {topology} {}", load[1..].join(" "));
    if let Ok(dir) = std::env::var(KEEP) {
        let file = format!("{dir}/{}", name.replace(' ', "_"));
        std::fs::write(file, short(&trace, &labels)).expect("a place for traces");
    }
    let judged = judge_trace(&trace, &labels, &layout);
    let score = |confusion: &Confusion| (confusion.n(), confusion.macro_f1());
    let ((n, events), (_, loads)) = (score(&judged.by_events), score(&judged.by_loads));
    eprintln!("| {name} | {n} | {events:.3} | {loads:.3} |");
    eprintln!("events {:?} loads {:?}", judged.by_events.0, judged.by_loads.0);
    judged.mistakes.iter().take(3).for_each(|mistake| eprintln!("  {mistake}"));
    Some([judged.by_events, judged.by_loads])
}

#[test]
fn macro_f1_of_pull_push_and_placement_is_95_per_cent_from_events_and_85_from_loads() {
    let combinations = if crate::vm::long() { &HELD_OUT[..] } else { &HELD_OUT[..1] };
    let mut all = [Confusion::default(), Confusion::default()];
    for combination in combinations {
        let Some(found) = run(combination) else { return };
        all.iter_mut().zip(&found).for_each(|(all, found)| all.merge(found));
    }
    for (confusion, (what, least)) in all.iter().zip([("events", 0.95), ("loads", 0.85)]) {
        let score = confusion.macro_f1();
        eprintln!(
            "from {what}: n {}, macro-F1 {score:.3} {:.3?}",
            confusion.n(),
            confusion.scores()
        );
        eprintln!("{}", confusion.table());
        assert!(confusion.n() >= 100, "too few moves: {}", confusion.table());
        assert!(score >= least, "from {what} {score:.3}: {}", confusion.table());
    }
}
