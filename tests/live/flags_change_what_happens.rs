// SPDX-License-Identifier: GPL-2.0-only
//! Every flag changes something, and here is what. `--migrate` and `--penalty`
//! have their test in `moves_follow_the_price`, `--exit-dump-len` in
//! `an_error_exit_gives_the_machine_back`, `--metrics` in `counters_agree_with_the_tracepoint`,
//! `--monitor`, `--once` and `--help-stats` in `tests/statistics_are_served.rs`; nonsense is tested
//! in `config`.

use crate::vm::{Ran, Vm};
use scx_toll::events::{Kind, Verdict};
use scx_toll::topology::Level;

#[test]
fn each_flag_has_its_effect() {
    let Some(ran) = Vm::counted().run("flags.sh", &[]) else { return };
    let ran = ran.expect_ok();
    let turns = |name| {
        let report = ran.json(name, "report");
        report["counters"]["waits"].as_u64().expect("a count") as f64
    };
    let (short, long) = (turns("slice 2000"), turns("slice 40000"));
    assert!(short > 3.0 * long, "--slice-us: {short} turns against {long}");

    assert!((4.0..=6.0).contains(&ran.number("stats", "blocks")), "--stats: {}", ran.all());
    for words in ["llc3   node1", "between nodes", "refused: "] {
        assert!(ran.section("stats").contains(words), "{words}: {}", ran.section("stats"));
    }
    assert_eq!(ran.number("quiet", "blocks"), 0.0);
    assert_eq!(ran.number("quiet", "log"), 0.0);
    assert!(ran.number("verbose", "log") > 3.0, "--verbose: {}", ran.all());
    assert_eq!(ran.number("verbose", "libbpf"), 0.0);
    assert!(ran.number("very verbose", "libbpf") > 50.0, "-vv: {}", ran.all());
    assert_ne!(ran.number("libbpf", "status"), 0.0, "--btf-custom-path: {}", ran.all());
    splitting_and_hysteresis(&ran);
    for (name, other) in [("switch ", "1"), ("switch --partial", "0")] {
        assert_eq!((ran.value(name, "other"), ran.value(name, "own")), (other, "1"), "{name}");
    }
    let lines = |level: &str, key| ran.number(&format!("level {level}"), key);
    assert_eq!((lines("error", "info"), lines("info", "libbpf")), (0.0, 0.0), "{}", ran.all());
    assert!(lines("info", "info") > 3.0, "--log-level info: {}", ran.all());
    assert!(lines("debug", "libbpf") > 50.0, "--log-level debug: {}", ran.all());
    assert!(lines("info", "run") >= 2.0, "--run-id in each block: {}", ran.all());
    let version = ran.section("version");
    assert_eq!(version.lines().filter(|l| l.starts_with("scx_toll 0.")).count(), 2, "{version}");
}

/// `--hysteresis` keeps hogs on their node; `--virt-llc` makes LLCs of single CPUs, or leaves them;
/// `--run-id` stands in the report.
fn splitting_and_hysteresis(ran: &Ran) {
    // Between nodes: how often a push or a pull was made for what it gains, and how often it waits.
    let across = |hold: &str| {
        let report = ran.json(&format!("node {hold}"), "report");
        let count = |kind: usize, verdict: usize| {
            let verdicts = &report["counters"]["verdicts"];
            verdicts[kind][Level::Node.index()][verdict].as_u64().expect("a count")
        };
        let of = |verdict: Verdict| {
            [Kind::Push, Kind::Pull].map(|kind| count(kind as usize, verdict as usize))
        };
        (of(Verdict::Applied), of(Verdict::Hysteresis))
    };
    let sum = |counts: [u64; 2]| counts.iter().sum::<u64>();
    let (free, held) = (across("0,0,0"), across("1000000,1000000,60000000"));
    assert!(sum(free.0) > 4 && sum(free.1) == 0, "without hysteresis: {free:?}");
    // A task on its way home does not wait.
    assert!(sum(held.0) < sum(free.0) / 2 && sum(held.1) > 4, "--hysteresis: {free:?} {held:?}");
    for (split, llcs) in [("1-1", 8), ("2-8", 4), ("1-1024", 4)] {
        let report = ran.json(&format!("split {split}"), "report");
        assert_eq!(report["llcs"].as_array().map(Vec::len), Some(llcs), "--virt-llc={split}");
        assert_eq!(report["run_id"], 4711, "--run-id: {report}");
    }
}
