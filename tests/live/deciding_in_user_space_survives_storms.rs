// SPDX-License-Identifier: GPL-2.0-only
//! `--policy user` on the newest and on the oldest kernel: fork, exec, switch and affinity storms leave
//! no task behind and nothing in the kernel's log, every question has its answer, and the machine is
//! given back.

use crate::vm::{Vm, long};

fn survives(kernel: &str, seconds: &str) {
    let options = ["--kernel", kernel, "--with", "stress-ng", "--with", "taskset"];
    let machine = Vm::real_time().with(&options).with(&["--seconds", "1200"]);
    let Some(ran) = machine.run("user.sh", &[seconds]) else { return };
    let ran = ran.expect_ok();
    assert!(ran.section("begun").starts_with("toll_user"), "{}", ran.all());
    assert_eq!(ran.number("after", "workers"), 16.0, "{}", ran.all());
    assert_eq!(ran.section("kernel").trim(), "", "{}", ran.all());
    let report = ran.json("report", "report");
    assert_eq!(report["unanswered"], 0, "{}", ran.all());
    let counters = &report["counters"];
    assert!(counters["waits"].as_u64() > Some(1000), "{counters}");
    let applied = |kind: usize, level: usize| {
        let verdicts = &counters["verdicts"][kind][level];
        verdicts[0].as_u64().zip(verdicts[1].as_u64()).map_or(0, |(gain, age)| gain + age)
    };
    for kind in 0..3 {
        assert!(applied(kind, 1) + applied(kind, 2) > 0, "kind {kind} never moves: {counters}");
    }
    assert!(ran.section("refused").contains("--memory-follow: not with --policy user"));
    assert_eq!(ran.value("refused", "status"), "2");
    eprintln!(
        "{kernel}: {} turns given out, {} of {} moves paid",
        counters["waits"], counters["paid"], counters["judged"]
    );
}

#[test]
fn nobody_is_left_behind_on_the_newest_kernel() {
    survives("7.3", if long() { "60" } else { "8" });
}

#[test]
fn nobody_is_left_behind_on_the_oldest_kernel() {
    survives("6.16", if long() { "60" } else { "4" });
}
