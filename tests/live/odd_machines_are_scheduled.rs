// SPDX-License-Identifier: GPL-2.0-only
//! Machines of odd shape, booted: each is scheduled under load to the end, and
//! the policy in force is that of its shape. Many more are tried without a
//! kernel in `tests/odd_machines_become_policies.rs`.

use crate::vm::{Ran, Vm};

fn schedule(options: &[&str]) -> Option<Ran> {
    let ran = Vm::counted().with(options).run("odd_machine.sh", &[])?.expect_ok();
    let report = ran.json("report", "report");
    assert_eq!(report["unanswered"], 0, "{}", ran.all());
    for llc in report["llcs"].as_array().expect("LLCs") {
        assert_eq!((&llc["queued"], &llc["queued_ns"]), (&0.into(), &0.into()), "{report}");
    }
    Some(ran)
}

/// Hop costs in microseconds, `[from][to]`.
fn hops(ran: &Ran) -> Vec<Vec<f64>> {
    let rows = ran.json("policy", "policy")["hop_us"].clone();
    serde_json::from_value(rows).expect("a matrix")
}

#[test]
fn a_node_with_memory_only_and_distances_by_direction() {
    let options = ["--memory-node", "--distances", "10,21,40/31,10,14/40,14,10"];
    let Some(ran) = schedule(&options) else { return };
    assert_eq!(ran.value("machine", "with_cpu"), "0-1", "{}", ran.all());
    assert_eq!(ran.value("machine", "with_memory"), "0-2", "{}", ran.all());
    let hops = hops(&ran);
    assert_eq!(hops.len(), 4);
    assert_eq!(hops[0][2], hops[2][0], "one price both ways");
    assert_eq!(hops[0][2], 52.5, "25 µs at distance 20, in proportion at 31");
}

#[test]
fn two_threads_a_core_and_llcs_of_one_core() {
    let Some(ran) = schedule(&["--topology", "1x4x1", "--threads", "2"]) else { return };
    assert_eq!(ran.value("machine", "siblings"), "0-1", "{}", ran.all());
    assert_eq!(hops(&ran).len(), 4);
}

/// Two LLCs of two cores of two threads: no two hogs share a core while one of their LLC has none.
#[test]
fn whole_idle_cores_come_before_threads() {
    let machine = Vm::counted().with(&["--topology", "1x2x2", "--threads", "2"]);
    let Some(ran) = machine.run("smt.sh", &["4", "5", "6"]) else { return };
    let ran = ran.expect_ok();
    for hogs in ["4", "5", "6"] {
        let looks: Vec<&str> = (0..20).map(|i| ran.value(hogs, &format!("look{i}"))).collect();
        let as_due = |llc: &str| {
            let (hogs, cores) = llc.split_once('/').expect("hogs and cores");
            let number = |text: &str| text.parse::<u32>().expect("a number");
            number(cores) == number(hogs).min(2)
        };
        let good = looks.iter().filter(|look| look.split_whitespace().all(as_due)).count();
        // A hog that makes room for the looking itself may be seen on its way back.
        assert!(good >= 18, "{hogs} hogs: {good} of 20 looks: {}", ran.all());
    }
}

#[test]
fn cpus_that_are_offline_at_boot_with_a_whole_llc_among_them() {
    let Some(ran) = schedule(&["--offline", "3"]) else { return };
    assert_eq!(ran.value("machine", "online"), "0-4", "{}", ran.all());
    let report = ran.json("report", "report");
    let cpus: Vec<u64> = report["llcs"]
        .as_array()
        .expect("LLCs")
        .iter()
        .map(|llc| llc["cpus"].as_u64().expect("a count"))
        .collect();
    assert_eq!(cpus, [2, 2, 1], "{}", ran.all());
}
