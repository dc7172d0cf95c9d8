// SPDX-License-Identifier: GPL-2.0-only
//! One task that wakes up at fixed times among endless busy ones: how late it runs.
//!
//! | key | meaning |
//! |---|---|
//! | `wakes` | how often it woke up |
//! | `late_p50_us`, `late_p99_us`, `late_max_us` | from the time it had asked for until it ran |
//! | `hogs_ms` | CPU time of all hogs together |
//!
//! A wakeup that comes later than the next one was due counts once, with all of its delay.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::Result;

use crate::cli::SleeperArgs;
use crate::clock::{NS_PER_MS, NS_PER_US, duration_ns, now_ns, sleep_ns, thread_cpu_ns};
use crate::report::Report;
use crate::run::Deadline;
use crate::scenario::Outcome;
use crate::spin::{Burner, until_next_look};
use crate::team::Team;

/// The hogs run for so long before it counts.
const WARM_UP_NS: u64 = 200 * NS_PER_MS;

/// Run the hogs and the sleeper.
pub fn run(args: &SleeperArgs) -> Result<Outcome> {
    let deadline = Arc::new(Deadline::after(WARM_UP_NS + duration_ns(args.seconds)));
    let used = Arc::new(AtomicU64::new(0));
    let mut team = Team::new();
    for nr in 0..args.hogs {
        let (deadline, used) = (Arc::clone(&deadline), Arc::clone(&used));
        team.spawn(format!("hog{nr}"), move || {
            while !deadline.over() {
                until_next_look();
            }
            used.fetch_add(thread_cpu_ns(), Relaxed);
            Ok(())
        })?;
    }
    sleep_ns(WARM_UP_NS);
    let mut late = lateness(args, &deadline);
    team.join()?;
    late.sort_unstable();
    let mut report = Report::new();
    report
        .add("wakes", late.len())
        .add("late_p50_us", quantile(&late, 50) / NS_PER_US)
        .add("late_p99_us", quantile(&late, 99) / NS_PER_US)
        .add("late_max_us", quantile(&late, 100) / NS_PER_US)
        .add_ms("hogs_ms", used.load(Relaxed));
    Ok(report.into())
}

/// How late each wakeup was, in ns, until the deadline.
fn lateness(args: &SleeperArgs, deadline: &Deadline) -> Vec<u64> {
    let period_ns = args.period_us * NS_PER_US;
    let mut burner = Burner::new();
    let mut late = Vec::new();
    let mut due = now_ns() + period_ns;
    while !deadline.over() {
        sleep_ns(due.saturating_sub(now_ns()));
        let now = now_ns();
        late.push(now.saturating_sub(due));
        burner.burn(args.burn_us * NS_PER_US);
        due = (due + period_ns).max(now);
    }
    late
}

/// The least value that `percent` of `sorted` do not exceed; 0 of nothing.
fn quantile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let sorted: Vec<u64> = (1..=200).collect();
        assert_eq!(quantile(&sorted, 50), 100);
        assert_eq!(quantile(&sorted, 99), 198);
        assert_eq!(quantile(&sorted, 100), 200);
        assert_eq!(quantile(&[], 99), 0);
        assert_eq!(quantile(&[7], 50), 7);
    }
}
