// SPDX-License-Identifier: GPL-2.0-only
//! A task that wakes up every millisecond for a moment does not wait behind hogs that have just
//! begun a long turn, and the hogs lose nothing by it.

use crate::vm::Vm;

#[test]
fn the_sleeper_is_as_prompt_as_under_the_kernels_scheduler_and_the_hogs_lose_nothing() {
    let seconds = if crate::vm::long() { "10" } else { "2" };
    let Some(ran) = Vm::counted().run("sleeper.sh", &[seconds, "16"]) else {
        return;
    };
    let ran = ran.expect_ok();
    let both = |key| (ran.number("kernel", key), ran.number("toll", key));
    let (theirs, ours) = both("late_p99_us");
    eprintln!("p99 of the sleeper, µs: the kernel's scheduler {theirs}, scx_toll {ours}");
    assert!(ours <= theirs.max(500.0), "{}", ran.all());
    // Half a millisecond of hogs' turns is nothing beside a slice of 20 ms.
    assert!(ours < 1000.0, "{}", ran.all());
    let (theirs, ours) = both("hogs_ms");
    assert!(ours > 0.98 * theirs, "the hogs got {ours} ms, not {theirs}: {}", ran.all());
    let report = ran.json("toll", "report");
    assert!(report["counters"]["preempts"].as_u64().expect("a count") > 100, "{}", ran.all());
}
