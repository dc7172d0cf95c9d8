// SPDX-License-Identifier: GPL-2.0-only
//! Cgroups get what their weights say of the whole machine, however many tasks they have and in
//! whichever LLC these are, and no more than their limit; by the kernel's `cpu.stat`.

use crate::vm::{Ran, Vm};

/// What is due to groups of these weights and numbers of tasks, of `total` on `cpus` CPUs: a task
/// cannot use more than one CPU, and what a group leaves the others share.
fn due(groups: &[(f64, f64)], cpus: f64, total: f64) -> Vec<f64> {
    let mut due = vec![0.0; groups.len()];
    let mut open: Vec<usize> = (0..groups.len()).collect();
    let mut left = cpus;
    loop {
        let weights: f64 = open.iter().map(|&i| groups[i].0).sum();
        let (full, rest): (Vec<usize>, Vec<usize>) =
            open.iter().partition(|&&i| left * groups[i].0 / weights > groups[i].1);
        if full.is_empty() {
            for i in rest {
                due[i] = left * groups[i].0 / weights;
            }
            break;
        }
        for i in full {
            due[i] = groups[i].1;
            left -= groups[i].1;
        }
        open = rest;
        if open.is_empty() {
            break;
        }
    }
    let sum: f64 = due.iter().sum();
    due.iter().map(|cpus| cpus / sum * total).collect()
}

/// Compare what the groups of a section used with what is due to them.
fn check(ran: &Ran, section: &str, names: &[&str], groups: &[(f64, f64)], tolerance: f64) {
    let used: Vec<f64> = names.iter().map(|name| ran.number(section, name)).collect();
    let due = due(groups, 8.0, used.iter().sum());
    eprintln!("{section}: used {used:.0?} µs, due {due:.0?}");
    for (used, due) in used.iter().zip(&due) {
        assert!((used / due - 1.0).abs() < tolerance, "{section}: {used}, {due}: {}", ran.all());
    }
}

/// The long run is what the shares are promised for; in the short one a turn or two more weighs.
fn seconds_and_tolerance() -> (&'static str, f64) {
    if crate::vm::long() { ("10", 0.03) } else { ("8", 0.08) }
}

#[test]
fn by_weight_whatever_the_number_of_tasks() {
    let (seconds, tolerance) = seconds_and_tolerance();
    let all = ["8:8:8", "40:1:8", "1:8:40", "40:8:1", "8:40:1", "1:1:1", "40:40:40"];
    let cases = if crate::vm::long() { &all[..] } else { &all[..2] };
    let Some(ran) = Vm::counted().run("groups.sh", &[&[seconds], cases].concat()) else {
        return;
    };
    let ran = ran.expect_ok();
    for case in cases {
        let tasks: Vec<f64> = case.split(':').map(|n| n.parse().expect("a number")).collect();
        let groups = [(1.0, tasks[0]), (2.0, tasks[1]), (4.0, tasks[2])];
        check(&ran, case, &["a", "b", "c"], &groups, tolerance);
    }
}

#[test]
fn down_a_hierarchy_and_no_more_than_the_limit() {
    let (seconds, tolerance) = seconds_and_tolerance();
    let Some(ran) = Vm::counted().run("groups.sh", &[seconds, "nested", "limit", "churn"]) else {
        return;
    };
    let ran = ran.expect_ok();
    let nested = [(1.0 / 12.0, 8.0), (2.0 / 12.0, 20.0), (3.0 / 16.0, 8.0), (9.0 / 16.0, 20.0)];
    check(&ran, "nested", &["x/1", "x/2", "y/1", "y/2"], &nested, tolerance);
    let limit = 1.5e6 * seconds.parse::<f64>().expect("a number");
    for key in ["crowd_m", "alone_m"] {
        let used = ran.number("limit", key);
        assert!((used / limit - 1.0).abs() < 0.03, "{key}={used}, not {limit}: {}", ran.all());
    }
    assert_eq!(ran.value("churn", "state"), "enabled");
    assert!(!ran.section("churn").contains("lost="), "{}", ran.all());
    assert_eq!(ran.json("report", "report")["unanswered"], 0, "{}", ran.all());
}

#[test]
fn what_is_due_leaves_no_cpu_idle() {
    assert_eq!(due(&[(1.0, 8.0), (2.0, 8.0), (4.0, 8.0)], 7.0, 7.0), [1.0, 2.0, 4.0]);
    assert_eq!(due(&[(1.0, 40.0), (2.0, 8.0), (4.0, 1.0)], 7.0, 7.0), [2.0, 4.0, 1.0]);
    assert_eq!(due(&[(1.0, 1.0), (2.0, 1.0)], 8.0, 4.0), [2.0, 2.0]);
}
