// SPDX-License-Identifier: GPL-2.0-only
//! From the text of a trace to verdicts: what kinds of moves there were, what they cost, how long a
//! CPU idled beside a waiting task.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scx_toll::analysis::assemble::analyse;
use scx_toll::analysis::infer::Kind;
use scx_toll::analysis::layout::Layout;
use scx_toll::analysis::report::Report;
use scx_toll::model::PenaltyTable;
use scx_toll::topology::{Level, Topology};
use scx_toll::units::Ns;
use std::fmt::Write;

/// Writes a trace as perf does.
#[derive(Default)]
struct Trace(String);

impl Trace {
    fn event(&mut self, at_us: u64, cpu: u32, current: (&str, u32), event: &str) {
        let (seconds, micros) = (at_us / 1_000_000, at_us % 1_000_000);
        let (comm, pid) = current;
        let _ = writeln!(self.0, " {comm} {pid} [{cpu:03}] {seconds}.{micros:06}: sched:{event}");
    }

    fn switch(&mut self, at_us: u64, cpu: u32, prev: (u32, char), next: u32) {
        let name = |pid: u32| if pid == 0 { "swapper".to_string() } else { format!("t{pid}") };
        let (prev_name, next_name) = (name(prev.0), name(next));
        let event = format!(
            "sched_switch: prev_comm={prev_name} prev_pid={} prev_prio=120 prev_state={} ==> next_comm={next_name} \
             next_pid={next} next_prio=120",
            prev.0, prev.1
        );
        self.event(at_us, cpu, (&prev_name, prev.0), &event);
    }

    fn wakeup(&mut self, at_us: u64, by: (u32, u32), pid: u32, target: u32) {
        let event = format!("sched_wakeup: comm=t{pid} pid={pid} prio=120 target_cpu={target:03}");
        self.event(at_us, by.0, ("waker", by.1), &event);
    }

    fn migrate(&mut self, at_us: u64, by: (u32, &str, u32), pid: u32, from: u32, to: u32) {
        let event = format!(
            "sched_migrate_task: comm=t{pid} pid={pid} prio=120 orig_cpu={from} dest_cpu={to}"
        );
        self.event(at_us, by.0, (by.1, by.2), &event);
    }

    fn report_with(&self, table: &PenaltyTable) -> Report {
        let layout = Layout::new(Topology::synthetic(2, 2, 2).unwrap());
        analyse(self.0.as_bytes(), "t", layout, "2x2x2", table, &mut |_| {}).unwrap()
    }

    fn report(&self) -> Report {
        self.report_with(&PenaltyTable::default())
    }
}

/// CPU 0 runs task 1 with 2 … 5 waiting; CPU 2 runs what `there` says.
fn crowded(there: u32) -> Trace {
    let mut trace = Trace::default();
    trace.switch(0, 2, (0, 'R'), there.max(9));
    if there == 0 {
        trace.switch(1, 2, (9, 'S'), 0);
    }
    trace.switch(2, 0, (0, 'R'), 1);
    (2..=5).for_each(|pid| trace.wakeup(10, (0, 1), pid, 0));
    trace
}

fn only(report: &Report) -> (Kind, [u64; 4], f64) {
    assert_eq!(report.moves.len(), 1, "{:?}", report.moves);
    let row = &report.moves[0];
    (row.kind, row.by_distance, row.confidence)
}

#[test]
fn an_idle_cpu_that_fetches_pulls() {
    let mut trace = crowded(0);
    trace.migrate(100, (2, "swapper/2", 0), 3, 0, 2);
    trace.switch(105, 2, (0, 'R'), 3);
    let (kind, by_distance, sure) = only(&trace.report());
    assert_eq!((kind, by_distance), (Kind::Pull, [0, 1, 0, 0]));
    assert!(sure > 0.9);
}

/// The kernel balances a CPU that is about to idle before it switches: the task that leaves is
/// still counted.
#[test]
fn a_cpu_about_to_idle_that_fetches_pulls() {
    let mut trace = crowded(9);
    trace.migrate(100, (2, "t9", 9), 3, 0, 2);
    trace.switch(105, 2, (9, 'S'), 3);
    let (kind, _, sure) = only(&trace.report());
    assert_eq!(kind, Kind::Pull);
    // Somebody may have put the task into its queue, which looks the same from here.
    assert!(sure > 0.8, "{sure}");
}

#[test]
fn a_cpu_that_gives_away_pushes() {
    let mut trace = crowded(9);
    trace.migrate(100, (0, "t1", 1), 3, 0, 2);
    assert_eq!(only(&trace.report()).0, Kind::Push);
}

#[test]
fn a_third_cpu_leaves_it_to_the_loads() {
    let mut trace = crowded(9);
    trace.switch(20, 5, (0, 'R'), 8);
    trace.migrate(100, (5, "t8", 8), 3, 0, 2);
    let report = trace.report();
    assert_eq!(only(&report).0, Kind::Push, "5 to 1");
    assert_eq!(report.moves[0].by_context, 0);
}

#[test]
fn wakeups_and_births_are_placements() {
    let mut trace = crowded(9);
    trace.switch(20, 0, (1, 'S'), 2);
    trace.migrate(100, (2, "t9", 9), 1, 0, 7);
    trace.wakeup(101, (2, 9), 1, 7);
    trace.event(110, 0, ("t2", 2), "sched_process_fork: comm=t2 pid=2 child_comm=t2 child_pid=50");
    trace.event(111, 0, ("t2", 2), "sched_wakeup_new: comm=t2 pid=50 prio=120 target_cpu=002");
    let report = trace.report();
    let found: Vec<_> = report.moves.iter().map(|row| (row.kind, row.by_distance)).collect();
    assert_eq!(found, [(Kind::Wakeup, [0, 0, 1, 0]), (Kind::Fork, [0, 1, 0, 0])]);
}

/// A trace without sched_migrate_task: a task that is seen elsewhere was moved.
#[test]
fn moves_without_an_event_of_their_own_are_seen() {
    let mut trace = crowded(0);
    trace.switch(105, 2, (0, 'R'), 3);
    let report = trace.report();
    assert_eq!((report.moves[0].count, report.moves[0].by_context), (1, 0));
    assert!(report.notes.iter().any(|note| note.contains("sched_migrate_task")));
}

/// Tasks 2 … 5 wait from 10 µs beside CPU 2, which idles from 1 µs to 105 µs.
#[test]
fn idle_time_beside_waiting_tasks_is_counted() {
    let mut trace = crowded(0);
    trace.migrate(100, (2, "swapper/2", 0), 3, 0, 2);
    trace.switch(105, 2, (0, 'R'), 3);
    trace.switch(205, 0, (1, 'S'), 2);
    let report = trace.report();
    let waste = report.waste.as_ref().unwrap();
    assert_eq!((waste.total_ns, waste.longest_ns), (95_000, 95_000));
    assert_eq!(waste.longest_at_ns, 10_000);
    let waits = &report.waits;
    assert_eq!((waits.count, waits.max_ns), (2, 195_000), "task 3 for 95 µs, task 2 for 195");
}

/// The same move pays or not, as the table says.
#[test]
fn the_table_decides_what_pays() {
    let mut trace = Trace::default();
    trace.switch(0, 2, (0, 'R'), 9);
    trace.switch(1, 2, (9, 'S'), 0);
    // Turns of 1 ms, so that waiting behind three tasks is worth about 3 ms.
    trace.switch(2, 0, (0, 'R'), 1);
    (2..=5).for_each(|pid| trace.wakeup(10, (0, 1), pid, 0));
    for turn in 1..=8u64 {
        let pid = |turn: u64| (turn % 4 + 1) as u32;
        trace.switch(turn * 1000, 0, (pid(turn - 1), 'R'), pid(turn));
    }
    trace.migrate(8100, (2, "swapper/2", 0), 5, 0, 2);
    trace.switch(8105, 2, (0, 'R'), 5);
    let report = trace.report();
    assert_eq!(
        (report.prices[0].sum.count, report.prices[0].sum.paid),
        (1, 1),
        "{:?}",
        report.prices
    );
    assert!(report.prices[0].sum.gain_ns > 3_000_000, "{:?}", report.prices);
    let mut dear = PenaltyTable::default();
    dear.class_mut(Level::Llc).hop.value = Ns::from_ms(50);
    dear.class_mut(Level::Node).hop.value = Ns::from_ms(60);
    let report = trace.report_with(&dear);
    assert_eq!((report.prices[0].sum.count, report.prices[0].sum.paid), (1, 0));
    assert!(report.prices[0].sum.penalty_ns > 100_000_000, "others pay three times as much");
    assert_eq!((report.worst[0].pid, report.worst[0].from, report.worst[0].to), (5, 0, 2));
    assert_eq!(report.worst[0].ran_after_ns, Some(5_000));
}

#[test]
fn a_task_that_goes_to_and_fro_plays_ping_pong() {
    let mut trace = crowded(0);
    for turn in 0..6u64 {
        let (from, to) = if turn % 2 == 0 { (0, 2) } else { (2, 0) };
        trace.migrate(100 + turn * 1000, (from, "t1", 1), 3, from, to);
    }
    // Back, but too late.
    trace.migrate(100_000, (0, "t1", 1), 3, 0, 2);
    let report = trace.report();
    assert_eq!((report.ping_pong.count, report.ping_pong.longest), (5, 5));
    assert_eq!(report.ping_pong.longest_task, "t3");
    assert_eq!(report.tasks[0].sum.ping_pong, 5);
}

#[test]
fn the_machine_as_a_whole_has_a_verdict() {
    let mut trace = crowded(0);
    for turn in 0..40u64 {
        let (from, to) = if turn % 2 == 0 { (0, 2) } else { (2, 0) };
        trace.migrate(100 + turn * 20, (from, "t1", 1), 3, from, to);
    }
    let report = trace.report();
    let whole = report.policy.last().unwrap();
    assert_eq!((whole.distance, whole.pushes, whole.verdict), ("all", 40, "push-dominated"));
}
