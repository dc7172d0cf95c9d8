// SPDX-License-Identifier: GPL-2.0-only
//! Machines of odd shape, booted: each is scheduled under load to the end, and
//! the policy in force is that of its shape. Many more are tried without a
//! kernel in `tests/odd_machines_become_policies.rs`.

use toll_bench::trace::{Timeline, Trace, split};

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

/// Two LLCs of two cores of two threads: two hogs hardly ever share a core while another core of
/// their LLC has none.
#[test]
fn whole_idle_cores_come_before_threads() {
    let machine = Vm::counted().with(&["--topology", "1x2x2", "--threads", "2"]);
    let Some(ran) = machine.run("smt.sh", &["4", "5", "6"]) else { return };
    let ran = ran.expect_ok();
    let (_, traces) = split(&ran.bytes).expect("recordings");
    assert_eq!(traces.len(), 3, "{}", ran.err);
    for (hogs, trace) in [4, 5, 6].into_iter().zip(&traces) {
        let (looks, shared) = looks(trace);
        eprintln!("{hogs} hogs: two share a core beside an empty one in {shared} of {looks} looks");
        assert!(looks > 900, "{hogs} hogs: {looks} looks");
        assert!(shared * 20 < looks, "{hogs} hogs: {shared} of {looks} looks");
    }
}

/// One look a millisecond: how many, and in how many of them an LLC has two hogs or more, all on
/// one of its two cores.
fn looks(trace: &Trace) -> (usize, usize) {
    const CPUS: usize = 8;
    const STEP_NS: u64 = 1_000_000;
    let line = Timeline::of(trace);
    let slots = ((line.end_ns - line.start_ns) / STEP_NS) as usize;
    let mut hogs = vec![[false; CPUS]; slots];
    for run in &line.runs {
        if !run.task.is_some_and(|task| line.tasks[task].comm.starts_with("tollwork")) {
            continue;
        }
        let slot = |at: u64| ((at - line.start_ns).div_ceil(STEP_NS) as usize).min(slots);
        for look in &mut hogs[slot(run.from_ns)..slot(run.to_ns)] {
            look[run.cpu as usize] = true;
        }
    }
    let crowded = |look: &&[bool; CPUS]| {
        look.chunks(4).any(|llc| {
            let cores: Vec<usize> =
                llc.chunks(2).map(|core| core.iter().filter(|hog| **hog).count()).collect();
            cores.contains(&2) && cores.contains(&0)
        })
    };
    (hogs.len(), hogs.iter().filter(crowded).count())
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
