// SPDX-License-Identifier: GPL-2.0-only
//! Traces written by hand, and the figures that they must give.
//!
//! The machine is 2 nodes × 2 LLCs × 2 CPUs unless said otherwise; a move costs 10 between CPUs of an
//! LLC, 100 between LLCs and 1000 between nodes.

use std::collections::BTreeMap;

use toll_bench::trace::event::{Comm, Event, Left, Pid, What};
use toll_bench::trace::timeline::{Cause, Choice};
use toll_bench::trace::waits::Distribution;
use toll_bench::trace::waste::Settle;
use toll_bench::trace::{ByLevel, Machine, Options, Summary, Timeline, Trace};

/// A trace in the making. Tasks are called `lw<pid>`; 0 is idle.
#[derive(Default)]
struct Story(Vec<Event>);

fn comm(pid: Pid) -> Comm {
    Comm::new(format!("lw{pid}").as_bytes())
}

impl Story {
    /// All CPUs below `cpus` go idle at 0.
    fn idle(cpus: u32) -> Self {
        (0..cpus).fold(Self::default(), |story, cpu| story.sleep(0, cpu, 90 + cpu as i32))
    }

    fn event(mut self, at_ns: u64, cpu: u32, what: What) -> Self {
        self.0.push(Event { at_ns, cpu, what });
        self
    }

    fn switch(self, at_ns: u64, cpu: u32, prev: Pid, left: Left, next: Pid) -> Self {
        let (prev_comm, next_comm) = (comm(prev), comm(next));
        self.event(at_ns, cpu, What::Switch { prev, prev_comm, left, next, next_comm })
    }

    /// From idle to `next`.
    fn start(self, at_ns: u64, cpu: u32, next: Pid) -> Self {
        self.switch(at_ns, cpu, 0, Left::Runnable, next)
    }

    /// From `prev`, which goes to sleep, to idle.
    fn sleep(self, at_ns: u64, cpu: u32, prev: Pid) -> Self {
        self.switch(at_ns, cpu, prev, Left::Asleep, 0)
    }

    fn wake(self, at_ns: u64, cpu: u32, pid: Pid) -> Self {
        self.event(at_ns, 0, What::Wakeup { pid, comm: comm(pid), cpu, new: false })
    }

    fn birth(self, at_ns: u64, cpu: u32, pid: Pid) -> Self {
        self.event(at_ns, 0, What::Wakeup { pid, comm: comm(pid), cpu, new: true })
    }

    fn migrate(self, at_ns: u64, pid: Pid, from: u32, to: u32) -> Self {
        self.event(at_ns, 0, What::Migrate { pid, comm: comm(pid), from, to })
    }

    /// The trace goes on until `at_ns`.
    fn until(self, at_ns: u64) -> Timeline {
        Timeline::of(&Trace::of(self.event(at_ns, 0, What::Mark("end".into())).0))
    }
}

fn machine() -> Machine {
    Machine::regular(2, 2, 2)
}

fn price_ns(from: u32, to: u32) -> u64 {
    match (from / 4 == to / 4, from / 2 == to / 2) {
        (true, true) => 10,
        (true, false) => 100,
        _ => 1000,
    }
}

fn options(window: std::ops::Range<u64>) -> Options<'static> {
    Options {
        window,
        choice: Choice::prefix("lw"),
        wait_prefixes: Vec::new(),
        price_ns: &price_ns,
        settle: None,
    }
}

fn summary(line: &Timeline) -> Summary {
    line.summary(&machine(), &options(line.start_ns..line.end_ns)).expect("summary")
}

#[test]
fn two_tasks_on_one_cpu_waste_the_other_for_as_long_as_one_waits() {
    // They take turns on CPU 0 from 1000 to 5000; CPU 1 sleeps; 2 to 7 are busy.
    let mut story = (2..8).fold(Story::default(), |s, cpu| s.start(0, cpu, 50 + cpu as i32));
    story =
        story.sleep(0, 0, 99).sleep(0, 1, 99).wake(900, 0, 1).start(1000, 0, 1).wake(1000, 0, 2);
    for turn in 0..3 {
        let at = 2000 + 1000 * turn;
        let (from, to) = if turn % 2 == 0 { (1, 2) } else { (2, 1) };
        story = story.switch(at, 0, from, Left::Runnable, to);
    }
    let line = story.switch(5000, 0, 2, Left::Asleep, 1).sleep(5500, 0, 1).until(6000);
    let found = summary(&line);
    // 100 ns for the first wakeup, when CPU 0 was idle as well but only one waited.
    assert_eq!(found.waste.total_ns, 100 + 4000);
    assert_eq!((found.waste.longest_ns, found.waste.longest_at_ns), (4100, 900));
    // Each wait is 1000 ns long and a move to CPU 1 costs 10: the last 10 of each do not pay.
    assert_eq!(found.waste.paying_ns, (100 - 10) + 4 * (1000 - 10));
    assert_eq!(found.waste.paying_by_level.away(), 0);
    // CPU 0 was idle until 1000 and from 5500 on.
    assert_eq!(found.idle_ns_by_cpu, [1500, 6000, 0, 0, 0, 0, 0, 0]);
    assert!(found.complete);
    // Six starts of others, two of the idle task, five of ours at the CPU 0 and its last sleep.
    assert_eq!((found.all.switches, found.chosen.switches), (14, 11));
    assert_eq!((found.chosen.wakeups, found.chosen.births), (2, 0));
    // Windows cut.
    let cut = line.summary(&machine(), &options(1500..1800)).expect("cut");
    assert_eq!(
        (cut.waste.total_ns, cut.waste.longest_at_ns, cut.waste.paying_ns),
        (300, 1500, 300)
    );
    assert_eq!((cut.all.switches, cut.idle_ns_by_cpu[1]), (0, 300));
}

#[test]
fn a_move_would_have_paid_only_while_the_rest_of_the_wait_is_longer_than_its_price() {
    // Task 1 waits on CPU 0 for 600 ns. Idle is: a CPU of the same LLC, of the node, of the other.
    for (idle, paying, level) in [
        (1, 590, ByLevel { core: 590, llc: 0, node: 0 }),
        (2, 500, ByLevel { core: 0, llc: 500, node: 0 }),
        (4, 0, ByLevel::default()),
    ] {
        let mut story = Story::default();
        for cpu in 0..8 {
            story = if cpu == idle {
                story.sleep(0, cpu, 99)
            } else {
                story.start(0, cpu, 50 + cpu as i32)
            };
        }
        let line = story.wake(1000, 0, 1).switch(1600, 0, 50, Left::Asleep, 1).until(2000);
        let waste = summary(&line).waste;
        assert_eq!((waste.total_ns, waste.paying_ns), (600, paying), "CPU {idle} idle");
        assert_eq!(waste.paying_by_level, level, "CPU {idle} idle");
    }
}

#[test]
fn near_cpus_go_first_and_the_task_that_moved_is_seen_where_it_is() {
    // CPUs 2 and 4 are idle. 1 waits on CPU 0, 2 waits on CPU 4's node, both for long.
    let mut story = Story::default();
    for cpu in 0..8 {
        let idle = cpu == 2 || cpu == 4;
        story = if idle { story.sleep(0, cpu, 99) } else { story.start(0, cpu, 50 + cpu as i32) };
    }
    let line = story
        .wake(1000, 0, 1)
        .wake(1000, 5, 2)
        // 2 moves to CPU 1: both tasks are now next to CPU 2, and CPU 4 is far from both.
        .migrate(3000, 2, 5, 1)
        .switch(6000, 0, 50, Left::Asleep, 1)
        .switch(7000, 1, 51, Left::Asleep, 2)
        .until(8000);
    let waste = summary(&line).waste;
    assert_eq!(waste.total_ns, 2 * 5000 + 1000);
    // 1 → CPU 2 and 2 → CPU 4 for 2000 ns; then 2, with the longer rest, takes CPU 2 and 1 takes CPU 4
    // until 5000, when less than 1000 is left. From 6000 on 2 → CPU 2 until 6900.
    let core = 2000;
    let llc = 2000 + 3000 + 900;
    let node = 2000;
    assert_eq!(waste.paying_by_level, ByLevel { core, llc, node });
    assert_eq!(waste.paying_ns, core + llc + node);
}

#[test]
fn moves_are_counted_by_level_and_those_taken_back_at_once() {
    let line = Story::idle(8)
        .migrate(100, 1, 0, 1)
        .migrate(200, 1, 1, 1)
        // Away to the next LLC and back within 2 × 100.
        .migrate(1000, 1, 1, 2)
        .migrate(1100, 1, 2, 3)
        .migrate(1200, 1, 3, 0)
        // Away and back, but later.
        .migrate(2000, 2, 1, 2)
        .migrate(2201, 2, 2, 1)
        // To the other node, on within it, and back: not back from where the last move began.
        .migrate(3000, 3, 0, 4)
        .migrate(3010, 3, 4, 6)
        .migrate(3020, 3, 6, 0)
        // To the other node and back within 2 × 1000, into another CPU of the LLC.
        .migrate(4000, 4, 0, 4)
        .migrate(6000, 4, 4, 1)
        .until(7000);
    let found = summary(&line);
    assert_eq!(found.all.moves, ByLevel { core: 2, llc: 5, node: 4 });
    assert_eq!(found.all.moves, found.chosen.moves);
    assert_eq!(found.ping_pong, 2);
    // The way back counts in the window of its end.
    let late = line.summary(&machine(), &options(5000..7000)).expect("late");
    assert_eq!((late.ping_pong, late.chosen.moves.total()), (1, 1));
}

#[test]
fn waits_are_told_apart_by_the_longest_beginning_of_the_name() {
    let story = Story::idle(8).wake(100, 0, 1).start(150, 0, 1).wake(200, 0, 12).wake(210, 0, 13);
    let line = story
        .switch(300, 0, 1, Left::Runnable, 12)
        .switch(400, 0, 12, Left::Asleep, 1)
        .sleep(500, 0, 1)
        .until(1010);
    let mut options = options(line.start_ns..1000);
    options.wait_prefixes = vec!["lw".into(), "lw1".into(), "lw12".into(), "x".into()];
    let waits = line.summary(&machine(), &options).expect("summary").waits;
    let (lw1, lw12) = (&waits[1], &waits[2]);
    assert_eq!((waits[0].all.count, waits[3].all.count), (0, 0));
    assert_eq!((lw1.prefix.as_str(), lw1.all.count, lw1.all.mean_ns), ("lw1", 2, 75));
    // 50 after the wakeup, 100 after its turn was taken.
    assert_eq!((lw1.woken.count, lw1.woken.max_ns, lw1.all.max_ns), (1, 50, 100));
    assert_eq!((lw1.unfinished, lw1.unfinished_max_ns), (1, 790));
    let once = Distribution {
        count: 1,
        mean_ns: 100,
        p50_ns: 100,
        p99_ns: 100,
        p999_ns: 100,
        max_ns: 100,
    };
    assert_eq!((lw12.all, lw12.woken, lw12.unfinished), (once, once, 0));
}

#[test]
fn spread_is_when_it_stays_spread() {
    // Wasted from 1000 to 2000, 2500 to 2600, 4000 to 5000.
    let mut story = Story::default();
    for cpu in 1..8 {
        story = story.start(0, cpu, 50 + cpu as i32);
    }
    story = story.sleep(0, 0, 99);
    for (from, to) in [(1000, 2000), (2500, 2600), (4000, 5000)] {
        story = story.wake(from, 0, 1).start(to, 0, 1).sleep(to + 1, 0, 1);
    }
    let line = story.until(9000);
    for (from_ns, quiet_ns, ignore_ns, after) in [
        (500, 400, 0, Some(0)),
        (501, 500, 0, Some(1499)),
        (500, 501, 0, Some(2100)),
        (500, 1000, 0, Some(2100)),
        (500, 1500, 100, Some(1500)),
        (500, 3000, 100, Some(4500)),
        (500, 4001, 1000, Some(0)),
        (500, 4001, 999, None),
        (1200, 100, 0, Some(800)),
        (1200, 100, 900, Some(0)),
    ] {
        let mut options = options(0..9000);
        options.settle = Some(Settle { from_ns, quiet_ns, ignore_ns });
        let found = line.summary(&machine(), &options).expect("summary").settled_after_ns;
        assert_eq!(found, after, "from {from_ns}, {quiet_ns} quiet, ignoring {ignore_ns}");
    }
}

#[test]
fn a_task_seen_first_in_the_middle_is_understood() {
    let story = (2..8).fold(Story::default(), |s, cpu| s.start(0, cpu, 50 + cpu as i32));
    let line = story
        // 1 had run on CPU 0 since the beginning, 2 had waited on CPU 1 and then on CPU 0.
        .migrate(500, 2, 1, 0)
        .switch(1000, 0, 1, Left::Runnable, 2)
        // 3 ran on CPU 1; it was woken while it did, which changes nothing.
        .wake(1200, 1, 3)
        .switch(2000, 1, 3, Left::Asleep, 0)
        .until(3000);
    let run = |cpu, pid| {
        let of = |run: &&toll_bench::trace::timeline::Run| {
            run.cpu == cpu && run.task.map_or(0, |task| line.tasks[task].pid) == pid
        };
        line.runs.iter().find(of).map(|run| (run.from_ns, run.to_ns, run.switched))
    };
    assert_eq!(run(0, 1), Some((0, 1000, false)));
    assert_eq!(run(0, 2), Some((1000, 3000, true)));
    assert_eq!(run(1, 3), Some((0, 2000, false)));
    assert_eq!(run(1, 0), Some((2000, 3000, true)));
    let waits: Vec<_> = line
        .waits
        .iter()
        .map(|w| (line.tasks[w.task].pid, w.from_ns, w.to_ns, w.cause, w.cpu))
        .collect();
    let before = |pid: &Pid| (*pid, 0, 0, Cause::Before, 0);
    assert_eq!(waits.iter().find(|w| w.0 == 2), Some(&(2, 0, 1000, Cause::Before, 1)));
    assert_eq!(waits.iter().find(|w| w.0 == 1), Some(&(1, 1000, 3000, Cause::Preempted, 0)));
    // The six that got a CPU at the first instant had not waited for any time.
    assert!((52..58).all(|pid| waits.iter().any(|w| (w.0, w.1, w.2, w.3, 0) == before(&pid))));
    assert_eq!(waits.len(), 8);
    let moved = line.moves[0].wait.map(|wait| line.tasks[line.waits[wait].task].pid);
    assert_eq!(moved, Some(2));
    assert_eq!(line.repairs, 0);
}

#[test]
fn a_number_that_is_given_away_again_is_another_task() {
    let line = Story::idle(8)
        .birth(100, 0, 7)
        .start(200, 0, 7)
        .switch(300, 0, 7, Left::Dead, 0)
        .birth(1000, 1, 7)
        .start(1100, 1, 7)
        .sleep(1200, 1, 7)
        .until(2000);
    let tasks: Vec<_> = line.tasks.iter().filter(|task| task.pid == 7).collect();
    assert_eq!(tasks.len(), 2);
    let waits: Vec<_> = line.waits.iter().map(|w| (w.from_ns, w.to_ns, w.cause)).collect();
    assert_eq!(waits, [(100, 200, Cause::Born), (1000, 1100, Cause::Born)]);
    let found = summary(&line);
    assert_eq!((found.chosen.births, line.repairs), (2, 0));
}

#[test]
fn events_a_little_out_of_order_are_repaired_and_counted() {
    // CPU 1's clock is early: 1 enters it before it has left CPU 0.
    let line = Story::idle(8)
        .wake(100, 0, 1)
        .start(110, 0, 1)
        .switch(990, 1, 0, Left::Runnable, 1)
        .switch(1000, 0, 1, Left::Runnable, 0)
        .sleep(2000, 1, 1)
        .until(3000);
    assert_eq!(line.waits.len(), 1);
    assert_eq!(line.repairs, 2);
    // Its wakeup is recorded before the sleep that it ends.
    let line = Story::idle(8)
        .wake(100, 0, 1)
        .start(110, 0, 1)
        .wake(990, 0, 1)
        .sleep(1000, 0, 1)
        .start(1500, 0, 1)
        .sleep(2000, 0, 1)
        .until(3000);
    let last = line.waits.last().map(|w| (w.from_ns, w.to_ns, w.cause));
    assert_eq!(last, Some((1000, 1500, Cause::Woken)));
    assert_eq!(line.repairs, 1);
}

#[test]
fn kernel_threads_and_other_names_do_not_count_as_waiting() {
    let events = Story::idle(8).wake(100, 0, 1).start(200, 0, 1).wake(150, 0, 2);
    let events = events.switch(300, 0, 1, Left::Asleep, 2).sleep(400, 0, 2);
    let mut trace = Trace::of(events.0);
    trace.kernel_threads.insert(2);
    let line = Timeline::of(&trace);
    let count = |choice: Choice| {
        let options = Options { choice, ..options(0..400) };
        let found = line.summary(&machine(), &options).expect("summary");
        (found.waste.total_ns, found.waits[0].all.count, found.chosen.switches)
    };
    assert_eq!(count(Choice::default()), (100, 1, 1));
    assert_eq!(count(Choice { kernel_threads: true, ..Choice::default() }), (250, 2, 2));
    assert_eq!(count(Choice::prefix("x")), (0, 0, 0));
}

#[test]
fn what_is_missing_is_told() {
    let mut trace = Trace::of(Story::idle(8).0);
    trace.events.push(Event { at_ns: 500, cpu: 0, what: What::Mark("end".into()) });
    assert!(summary(&Timeline::of(&trace)).complete);
    trace.lost = BTreeMap::from([(3, 5)]);
    let lossy = summary(&Timeline::of(&trace));
    assert_eq!((lossy.complete, lossy.lost_events), (false, 5));
    // A CPU without events is not idle for sure.
    let silent = summary(&Story::idle(7).until(500));
    assert_eq!((silent.complete, silent.unknown_cpus), (false, 1));
    assert_eq!(silent.idle_ns_by_cpu, [500, 500, 500, 500, 500, 500, 500, 0]);
}

#[test]
fn senseless_windows_and_machines_are_refused() {
    let line = Story::idle(8).until(500);
    for window in [400..400, 400..501] {
        let error = line.summary(&machine(), &options(window)).expect_err("window");
        assert!(error.to_string().contains("from 0 to 500 ns"), "{error}");
    }
    let error = line.summary(&Machine::regular(1, 1, 4), &options(0..500)).expect_err("machine");
    assert_eq!(error.to_string(), "the trace has a CPU 4, the machine has 4 CPUs");
}

#[test]
fn a_summary_survives_json() {
    let found = summary(&Story::idle(8).wake(1, 0, 1).start(5, 0, 1).until(500));
    let text = serde_json::to_string(&found).expect("to JSON");
    assert_eq!(serde_json::from_str::<Summary>(&text).expect("from JSON"), found);
}
