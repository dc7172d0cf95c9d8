// SPDX-License-Identifier: GPL-2.0-only
//! Workers that count, to show that every task still runs, say after a scheduler was killed.
//!
//! Each worker burns 1 ms, sleeps 1 ms, and counts one, over and over. They never stop by themselves
//! and are never waited for: one that no longer runs must not hold up the verdict. The process ends
//! them when it ends.
//!
//! | key | meaning |
//! |---|---|
//! | `progress` | least and most that a worker counted in the last second |
//! | `window_ms` | what that second really was; shorter if the run was, longer if the main thread was late |
//!
//! The exit status is 1 if a worker counted nothing in that time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::Result;

use crate::cli::CountArgs;
use crate::clock::{NS_PER_MS, NS_PER_S, duration_ns, now_ns, sleep_ns};
use crate::report::{Report, ms};
use crate::run::{Deadline, wait_until};
use crate::scenario::Outcome;
use crate::spin::Burner;
use crate::team::Team;

const BURN_NS: u64 = NS_PER_MS;
const SLEEP_NS: u64 = NS_PER_MS;
const WINDOW_NS: u64 = NS_PER_S;
const SNAPSHOT_NS: u64 = 100 * NS_PER_MS;

/// On a cache line of its own, as each worker writes its counter all the time.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Counter(AtomicU64);

/// What all counters showed at one moment.
#[derive(Clone, Debug)]
struct Snapshot {
    at_ns: u64,
    counts: Vec<u64>,
}

/// The snapshots of the last window, oldest first.
#[derive(Debug, Default)]
struct History {
    snapshots: VecDeque<Snapshot>,
}

impl History {
    /// Keep `snapshot`, and of the older ones only the last that is a whole window older.
    fn push(&mut self, snapshot: Snapshot) {
        let window_start = snapshot.at_ns.saturating_sub(WINDOW_NS);
        self.snapshots.push_back(snapshot);
        while self.snapshots.get(1).is_some_and(|second| second.at_ns <= window_start) {
            self.snapshots.pop_front();
        }
    }

    /// How long the window was, and how far each counter came in it.
    fn progress(&self) -> (u64, Vec<u64>) {
        let (Some(first), Some(last)) = (self.snapshots.front(), self.snapshots.back()) else {
            return (0, Vec::new());
        };
        let steps = first.counts.iter().zip(&last.counts);
        (last.at_ns - first.at_ns, steps.map(|(before, after)| after - before).collect())
    }
}

/// Run the workers.
pub fn run(args: &CountArgs) -> Result<Outcome> {
    let counters: Arc<[Counter]> = (0..args.n).map(|_| Counter::default()).collect();
    let mut team = Team::new();
    for index in 0..counters.len() {
        let counters = Arc::clone(&counters);
        team.spawn(format!("counter{index}"), move || work(&counters[index]))?;
    }
    let deadline = Deadline::after(duration_ns(args.seconds));
    let mut history = History::default();
    loop {
        history.push(snapshot(&counters));
        if deadline.over() {
            break;
        }
        wait_until(now_ns() + SNAPSHOT_NS, &deadline);
    }
    Ok(verdict(&history))
}

fn work(counter: &Counter) -> ! {
    let mut burner = Burner::new();
    loop {
        burner.burn(BURN_NS);
        sleep_ns(SLEEP_NS);
        counter.0.fetch_add(1, Relaxed);
    }
}

fn snapshot(counters: &[Counter]) -> Snapshot {
    Snapshot { at_ns: now_ns(), counts: counters.iter().map(|c| c.0.load(Relaxed)).collect() }
}

fn verdict(history: &History) -> Outcome {
    let (window_ns, progress) = history.progress();
    let least = progress.iter().min().copied().unwrap_or(0);
    let most = progress.iter().max().copied().unwrap_or(0);
    let nr_stuck = progress.iter().filter(|&&steps| steps == 0).count();
    let mut report = Report::new();
    report
        .add("workers", progress.len())
        .add_list("progress", [least, most].map(|steps| steps.to_string()))
        .add_ms("window_ms", window_ns);
    let fault = (nr_stuck > 0).then(|| {
        let (nr, window) = (progress.len(), ms(window_ns));
        format!("{nr_stuck} of {nr} workers made no progress in the last {window} ms")
    });
    Outcome { report, fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(list: &[(u64, [u64; 2])]) -> History {
        let mut history = History::default();
        for &(at_ms, counts) in list {
            history.push(Snapshot { at_ns: at_ms * NS_PER_MS, counts: counts.to_vec() });
        }
        history
    }

    #[test]
    fn only_the_last_second_counts() {
        let history = history(&[
            (0, [0, 0]),
            (400, [100, 100]),
            (900, [200, 200]),
            (1400, [300, 200]),
            (1950, [400, 200]),
        ]);
        assert_eq!(history.progress(), (1050 * NS_PER_MS, vec![200, 0]));
        let outcome = verdict(&history);
        assert!(outcome.report.as_str().contains("progress=0,200\n"));
        assert!(outcome.fault.expect("a fault").starts_with("1 of 2 "));
    }

    #[test]
    fn a_short_run_counts_as_a_whole() {
        let history = history(&[(0, [0, 0]), (300, [70, 80])]);
        assert_eq!(history.progress(), (300 * NS_PER_MS, vec![70, 80]));
        assert!(verdict(&history).fault.is_none());
    }
}
