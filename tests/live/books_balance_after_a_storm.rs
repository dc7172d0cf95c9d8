// SPDX-License-Identifier: GPL-2.0-only
//! What is added to a queue's account leaves it again, on every path that a
//! task can take: the storm forks, executes, switches, changes affinity,
//! priority and class, and exits.

use crate::vm::Vm;

#[test]
fn queued_work_returns_to_zero_and_the_scheduler_stays() {
    let seconds = if crate::vm::long() { "60" } else { "20" };
    let Some(ran) = Vm::real_time().with(&["--with", "stress-ng"]).run("storm.sh", &[seconds])
    else {
        return;
    };
    let ran = ran.expect_ok();
    for what in [ran.json("rest", "stats"), ran.json("report", "report")] {
        for llc in what["llcs"].as_array().expect("llcs") {
            let left = (&llc["queued"], &llc["queued_ns"]);
            assert_eq!(left, (&0.into(), &0.into()), "{llc}");
        }
    }
    let report = ran.json("report", "report");
    assert_eq!(report["unanswered"], 0);
    assert!(report["counters"]["waits"].as_u64().expect("a count") > 10_000, "{}", ran.all());
    assert!(ran.number("report", "forks") > 0.0, "{}", ran.all());
    let kernel = ran.section("kernel");
    for word in ["stall", "BUG", "WARNING", "runtime error"] {
        assert!(!kernel.contains(word), "{kernel}");
    }
}
