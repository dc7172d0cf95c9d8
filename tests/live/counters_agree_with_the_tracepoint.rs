// SPDX-License-Identifier: GPL-2.0-only
//! What we count as moves is what the kernel counts as moves, and every
//! question we ask ourselves has one answer.

use crate::vm::{Moves, Vm};

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
}
