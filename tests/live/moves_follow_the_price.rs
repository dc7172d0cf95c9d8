// SPDX-License-Identifier: GPL-2.0-only
//! Six hogs start on one LLC of two CPUs. Whether they leave it is a matter of
//! what leaving costs, counted by the kernel's tracepoint and not by us.

use crate::vm::{Moves, Vm};

/// Moves that were applied for the age of the wait, by our own count.
fn verdicts(report: &serde_json::Value, verdict: usize) -> u64 {
    let kinds = report["counters"]["verdicts"].as_array().expect("verdicts");
    kinds
        .iter()
        .flat_map(|levels| levels.as_array().expect("levels").iter().skip(1))
        .map(|ends| ends[verdict].as_u64().expect("a count"))
        .sum()
}

#[test]
fn never_stays_a_huge_price_moves_for_age_only_and_no_price_spreads_at_once() {
    let Some(ran) = Vm::counted().run(
        "hogs.sh",
        &[
            "2",
            "6",
            "never",
            "--migrate never",
            "huge",
            "--penalty 10000000-file",
            "huge, long turns",
            "--penalty 10000000-file --slice-us 300000",
            "free",
            "--penalty 0-file",
        ],
    ) else {
        return;
    };
    let ran = ran.expect_ok();
    let moves = |name| Moves::from_trace(ran.section(name));

    assert_eq!(moves("never").away(), 0, "{}", ran.all());
    assert_eq!(ran.number("never", "spread_ms"), -1.0);

    // Three hogs per CPU and turns of 20 ms: nobody waits for long.
    assert_eq!(moves("huge").away(), 0, "{}", ran.all());
    // Turns of 300 ms: everybody waits for longer than the age bound of 500 ms.
    let report = ran.json("huge, long turns", "report");
    let aged = verdicts(&report, 1);
    assert_eq!(verdicts(&report, 0), 0, "something moved for its price: {}", ran.all());
    assert!(aged > 0, "nothing moved for its age: {}", ran.all());
    // Other tasks than the hogs may have waited too long as well.
    let away = moves("huge, long turns").away();
    assert!((1..=aged).contains(&away), "{away} moves, {aged} for age: {}", ran.all());

    assert!(moves("free").away() >= 4, "{}", ran.all());
    for key in ["spread_ms", "spread_cpus_ms"] {
        let spread = ran.number("free", key);
        assert!((0.0..=100.0).contains(&spread), "{key}={spread}: {}", ran.all());
    }
}

#[test]
fn a_higher_price_gives_fewer_moves() {
    let prices = ["0", "100", "1000", "10000", "10000000"];
    let seconds = if crate::vm::long() { "10" } else { "2" };
    let Some(ran) = Vm::counted().run("mixed_by_price.sh", &[&[seconds], &prices[..]].concat())
    else {
        return;
    };
    let ran = ran.expect_ok();
    let moves: Vec<u64> =
        prices.iter().map(|us| Moves::from_hist(ran.section(us)).away()).collect();
    eprintln!("moves between LLCs at {prices:?} µs: {moves:?}");
    for pair in moves.windows(2) {
        // Noise: a tenth, and a handful where there are few.
        assert!(pair[1] <= pair[0] + pair[0] / 10 + 5, "{moves:?}");
    }
    assert!(moves[0] > 10 * moves[4].max(1), "{moves:?}");
}
