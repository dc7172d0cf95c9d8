// SPDX-License-Identifier: GPL-2.0-only
//! What we count as moves is what the kernel counts as moves, and every
//! question we ask ourselves has one answer.

use crate::openmetrics_reader::{Page, read, value};
use crate::vm::{Moves, Ran, Vm, llc_of};
use std::collections::BTreeMap;

fn landed(report: &serde_json::Value, level: usize) -> u64 {
    let kinds = report["counters"]["landed"].as_array().expect("kinds");
    kinds.iter().map(|levels| levels[level].as_u64().expect("a count")).sum()
}

#[test]
fn moves_agree_within_two_per_cent_and_decisions_balance_exactly() {
    let seconds = if crate::vm::long() { "30" } else { "5" };
    let Some(ran) = Vm::counted().run("reconcile.sh", &[seconds]) else { return };
    let ran = ran.expect_ok();
    let report = ran.json("report", "report");
    let kernel = Moves::from_hist(ran.section("hist"));
    eprintln!("the kernel saw {kernel:?}");
    for (name, level, kernel) in [("LLCs", 1, kernel.llc), ("nodes", 2, kernel.node)] {
        let ours = landed(&report, level);
        eprintln!("moves between {name}: {ours} by our count");
        assert!(kernel >= 50, "too few moves between {name} to compare: {}", ran.all());
        let off = ours.abs_diff(kernel) as f64 / kernel as f64;
        assert!(off <= 0.02, "{name}: {ours} against {kernel}: {}", ran.all());
    }
    assert_eq!(report["unanswered"], 0, "asked = applied + refused");
    let asked = report["counters"]["asked"].to_string();
    assert!(asked.contains(|c: char| ('1'..='9').contains(&c)), "nothing was asked: {asked}");
    for llc in report["llcs"].as_array().expect("llcs") {
        assert_eq!((&llc["queued"], &llc["queued_ns"]), (&0.into(), &0.into()), "{llc}");
    }
    metrics_agree(&ran, &report);
}

/// `--metrics` and `--monitor` say what the kernel says and what the report says.
fn metrics_agree(ran: &Ran, report: &serde_json::Value) {
    let page = read(ran.section("metrics"));
    let kernel = pairs_of_hist(ran.section("hist"));
    let ours = pairs_of(&page, "scx_toll_pair_moves");
    let all: f64 = kernel.values().sum();
    let off: f64 = kernel
        .keys()
        .chain(ours.keys().filter(|pair| !kernel.contains_key(pair)))
        .map(|pair| {
            let count = |of: &BTreeMap<_, f64>| of.get(pair).copied().unwrap_or(0.0);
            (count(&kernel) - count(&ours)).abs()
        })
        .sum();
    eprintln!("{off} of {all} moves differ between the {} pairs of LLCs", kernel.len());
    assert!(kernel.len() == 12 && off <= 0.04 * all, "{kernel:?}\n{ours:?}");

    // Every move that the rule decided is in both histograms, and saves more than it costs.
    let judged: f64 = pairs_of(&page, "scx_toll_pair_judged_moves").values().sum();
    let gain = &page["scx_toll_move_gain_seconds"];
    let cost = &page["scx_toll_move_cost_seconds"];
    assert!(judged > 100.0, "{judged} judged moves");
    for histogram in [gain, cost] {
        let count = value(histogram, "_count");
        assert!((count - judged).abs() <= 8.0, "{count} of {judged}");
    }
    assert!(value(gain, "_sum") > value(cost, "_sum"), "moves cost more than they save");
    let turns = value(&page["scx_toll_wait_seconds"], "_count");
    let later = report["counters"]["waits"].as_f64().expect("a count");
    assert!(turns > 1000.0 && turns <= later, "{turns} turns, in the end {later}");

    let stats = ran.json("monitor", "stats");
    assert!((0.1..1.0).contains(&stats["seconds"].as_f64().expect("seconds")), "{stats}");
    assert!(stats["bpf_runs"].as_u64() > Some(0) && stats["bpf_ns"].as_u64() > Some(0), "{stats}");
    assert!(stats["switches"].as_u64() > Some(0), "{stats}");
    assert!(value(&page["scx_toll_bpf_runs"], "_total") > turns, "several runs to a turn");
}

/// Counts by LLC, from and to.
fn pairs_of(page: &Page, family: &str) -> BTreeMap<(u32, u32), f64> {
    let samples = page[family].samples.iter();
    let label = |sample: &crate::openmetrics_reader::Sample, name: &str| {
        sample.labels[name].parse().expect("a number")
    };
    samples.map(|s| ((label(s, "from"), label(s, "to")), s.value)).collect()
}

/// The same from the kernel's histogram by CPU.
fn pairs_of_hist(text: &str) -> BTreeMap<(u32, u32), f64> {
    let mut pairs = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("{ orig_cpu:")) {
        let numbers = line.split(|c: char| !c.is_ascii_digit());
        let numbers: Vec<u32> = numbers.filter_map(|number| number.parse().ok()).collect();
        let (from, to) = (llc_of(numbers[0]), llc_of(numbers[1]));
        if from != to {
            *pairs.entry((from, to)).or_default() += f64::from(numbers[2]);
        }
    }
    pairs
}
