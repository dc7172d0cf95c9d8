// SPDX-License-Identifier: GPL-2.0-only
//! When the kernel throws the scheduler out, it says why in one sentence, exits
//! with 1, and keeps as much of the kernel's dump as was asked for.

use crate::vm::Vm;

#[test]
fn a_watchdog_exit_is_reported_and_every_task_runs_on() {
    // 6.16 has no deadline server for sched_ext tasks, so a real-time hog
    // really starves them.
    let options = ["--kernel", "6.16", "--with", "chrt"];
    let run = |dump| Vm::real_time().with(&options).run("stall.sh", &[dump]);
    let Some(short) = run("1024") else { return };
    let short = short.expect_ok();
    assert_eq!(short.value("stall", "status"), "1", "{}", short.all());
    assert_eq!(short.value("stall", "state"), "disabled");
    assert!(short.number("stall", "progress") > 10.0, "the victim stands still: {}", short.all());
    let said = short.section("stall");
    assert!(said.contains("scx_toll: EXIT: runnable task stall"), "{said}");
    let dump = short.number("stall", "dump");
    assert!((500.0..1400.0).contains(&dump), "a dump of 1 KiB: {}", short.all());

    let long = run("0").expect("the first ran").expect_ok();
    assert!(long.number("stall", "dump") > 2.0 * dump, "{}", long.all());
}
