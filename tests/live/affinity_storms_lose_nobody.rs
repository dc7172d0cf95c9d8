// SPDX-License-Identifier: GPL-2.0-only
//! Masks, cpusets, cgroups and limits that change all the time under load: no stall, no error
//! exit, and every CPU and every task still gets its turn afterwards.

use crate::vm::Vm;

#[test]
fn every_task_still_runs_after_the_storm() {
    let seconds = if crate::vm::long() { "120" } else { "5" };
    let options = ["--with", "stress-ng", "--with", "taskset", "--seconds", "3000"];
    let Some(ran) = Vm::real_time().with(&options).run("affinity_storm.sh", &[seconds]) else {
        return;
    };
    let ran = ran.expect_ok();
    assert!(!ran.section("storm").contains("stuck="), "{}", ran.all());
    assert!(ran.number("storm", "cpusets") >= 5.0, "{}", ran.all());
    assert!(ran.number("storm", "groups") >= 1.0, "{}", ran.all());
    assert_eq!(ran.section("kernel").trim(), "", "{}", ran.all());
    let report = ran.json("report", "report");
    assert_eq!(report["unanswered"], 0, "{}", ran.all());
    for llc in report["llcs"].as_array().expect("llcs") {
        assert_eq!(llc["queued"], 0, "{}", ran.all());
        assert_eq!(llc["queued_ns"], 0, "{}", ran.all());
    }
}
