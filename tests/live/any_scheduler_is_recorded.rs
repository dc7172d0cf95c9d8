// SPDX-License-Identifier: GPL-2.0-only
//! `scx_toll record --any-scheduler` records the kernel's own scheduler, and `analyze` finds in that
//! trace the moves that the kernel's tracepoint counted meanwhile.

use crate::vm::{Moves, Vm};

#[test]
fn analyze_finds_the_moves_that_the_kernel_counted() {
    let seconds = if crate::vm::long() { "10" } else { "2" };
    let Some(ran) = Vm::counted().run("any_scheduler.sh", &[seconds]) else { return };
    let ran = ran.expect_ok();
    let report: serde_json::Value = serde_json::from_str(ran.section("report").trim()).unwrap();
    let intake = &report["intake"];
    assert_eq!((&intake["broken"], &intake["lost"]), (&0.into(), &0.into()), "{intake}");
    let moves = report["moves"].as_array().expect("rows");
    // Where a task is born is chosen without that event.
    let told = moves.iter().filter(|row| row["kind"] != "fork");
    let found: u64 = told.filter_map(|row| row["count"].as_u64()).sum();
    let Moves { core, llc, node } = Moves::from_hist(ran.section("hist"));
    let counted = core + llc + node;
    let lines: u64 = ran.section("lines").trim().parse().expect("a number");
    eprintln!(
        "{found} moves found, {lines} in the trace, {counted} counted; {}",
        ran.section("said").trim()
    );
    // The recorder starts before the count and ends after it, by what a few processes do.
    assert!(counted > 50, "too few moves: {counted}");
    assert_eq!(found, lines, "all that are in the trace");
    assert!((counted..=counted + 50).contains(&found), "{found} found, {counted} counted");
    assert!(ran.section("said").contains("see it with: scx_toll analyze /tmp/trace"));
    assert_eq!(ran.value("refused", "flags"), "2");
    assert_eq!(ran.value("refused", "untraced"), "1");
    assert!(ran.section("refused").contains("mount -t tracefs"), "{}", ran.all());
}
