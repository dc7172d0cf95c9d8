// SPDX-License-Identifier: GPL-2.0-only
//! CPUs go and come without an end of the scheduler, and no task is lost; a CPU
//! that brings a new LLC makes it start anew; isolated CPUs are left alone.

use crate::vm::{Ran, Vm};

fn cpus_of_llcs(ran: &Ran) -> Vec<u64> {
    let report = ran.json("report", "report");
    let llcs = report["llcs"].as_array().expect("LLCs");
    llcs.iter().map(|llc| llc["cpus"].as_u64().expect("a count")).collect()
}

#[test]
fn every_cpu_but_one_goes_and_comes_in_any_order_under_load() {
    let rounds = if crate::vm::long() { "50" } else { "8" };
    let machine = Vm::real_time().with(&["--seconds", "1500"]);
    let Some(ran) = machine.run("hotplug.sh", &[rounds, "7"]) else { return };
    let ran = ran.expect_ok();
    assert_eq!(ran.value("hotplug", "rounds"), rounds);
    assert_eq!(ran.value("hotplug", "state"), "enabled", "{}", ran.all());
    assert_eq!(ran.value("hotplug", "enables"), "0", "it was not started anew: {}", ran.all());
    assert_eq!(ran.value("hotplug", "refused"), "0", "{}", ran.all());
    assert_eq!(ran.value("hotplug", "lost"), "0", "{}", ran.all());
    assert_eq!(ran.value("hotplug", "alive"), "0", "a worker stood still: {}", ran.all());
    assert_eq!(cpus_of_llcs(&ran), [2, 2, 2, 2], "the capacity is that of before: {}", ran.all());
    let report = ran.json("report", "report");
    assert_eq!(report["unanswered"], 0, "{report}");
    for llc in report["llcs"].as_array().expect("LLCs") {
        assert_eq!((&llc["queued"], &llc["queued_ns"]), (&0.into(), &0.into()), "{report}");
    }
}

#[test]
fn a_cpu_that_was_offline_at_boot_joins_its_llc_and_a_new_llc_starts_it_anew() {
    let machine = Vm::real_time().with(&["--offline", "3"]);
    let Some(ran) = machine.run("late_cpus.sh", &[]) else { return };
    let ran = ran.expect_ok();
    // A clock tick is 10 ms, and eight CPUs take turns in one thread of the host.
    assert!(ran.number("same LLC", "used") > 2.0, "{}", ran.all());
    assert_eq!(ran.value("same LLC", "enables"), "0", "{}", ran.all());
    assert_eq!(ran.json("same LLC", "policy")["llc_node"], serde_json::json!([0, 0, 1]));
    assert_eq!(ran.value("new LLC", "state"), "enabled", "{}", ran.all());
    assert!(ran.number("new LLC", "enables") >= 1.0, "{}", ran.all());
    assert!(ran.number("new LLC", "used") > 2.0, "{}", ran.all());
    assert_eq!(ran.json("new LLC", "policy")["llc_node"], serde_json::json!([0, 0, 1, 1]));
    assert_eq!(cpus_of_llcs(&ran), [2, 2, 2, 2], "{}", ran.all());
}

#[test]
fn an_isolated_cpu_runs_what_asks_for_it_and_nothing_else() {
    let machine = Vm::counted().with(&["--cmdline", "nohz_full=7"]);
    let Some(ran) = machine.run("isolated_cpus.sh", &[]) else { return };
    let ran = ran.expect_ok();
    assert_eq!((ran.value("hogs", "isolated"), ran.value("hogs", "nohz_full")), ("3", "7"));
    // The isolated CPU is an LLC of its own: no capacity of the other's.
    assert_eq!(ran.json("hogs", "policy")["llc_node"], serde_json::json!([0, 0, 0, 1, 1]));
    assert_eq!(cpus_of_llcs(&ran), [2, 1, 1, 2, 2], "{}", ran.all());
    assert!(ran.number("hogs", "on_3") <= 1.0, "{}", ran.all());
    assert!(ran.number("hogs", "on_2") >= 20.0, "{}", ran.all());
    assert!(ran.number("asked for", "on_3") >= 50.0, "{}", ran.all());
}
