// SPDX-License-Identifier: GPL-2.0-only
//! Hogs that swing to and fro between two sets of CPUs, and sleepers that had better get out of
//! their way: a load in which tasks that wake up keep finding their own CPUs busy and others idle.
//!
//! There is a hog for each CPU of a set, and all are confined to one set at a time. The sleepers
//! may use both sets: each sleeps 0.5 to 2 ms, then burns 30 µs.
//!
//! | key | meaning |
//! |---|---|
//! | `wakeups` | how often a sleeper woke up |
//! | `changes` | how often it then found itself in the other set than before |

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::{Context, Result, bail};

use crate::cli::SwingArgs;
use crate::clock::{NS_PER_MS, NS_PER_US, duration_ns, now_ns, sleep_ns};
use crate::cpus::{CpuSet, current_cpu};
use crate::report::Report;
use crate::rng::Rng;
use crate::run::{Deadline, wait_for_end};
use crate::scenario::Outcome;
use crate::spin::Burner;
use crate::team::Team;

const SLEEP_NS: std::ops::Range<u64> = 500 * NS_PER_US..2 * NS_PER_MS;
const SLEEPER_BURN_NS: u64 = 30 * NS_PER_US;
const HOG_BURN_NS: u64 = NS_PER_MS;

/// What all threads of a run share.
struct Swing {
    sides: [CpuSet; 2],
    both: CpuSet,
    begun_ns: u64,
    every_ns: u64,
    deadline: Deadline,
    wakeups: AtomicU64,
    changes: AtomicU64,
}

/// The side on which the hogs are `since_ns` after the begin.
fn side(since_ns: u64, every_ns: u64) -> usize {
    (since_ns / every_ns.max(1) % 2) as usize
}

/// Run the hogs and the sleepers.
pub fn run(args: &SwingArgs) -> Result<Outcome> {
    let sides = [*args.between, *args.and];
    let common = sides[0].and(&sides[1]);
    if !common.is_empty() {
        bail!("--between and --and both name CPU {common}, expected two sets without a common CPU");
    }
    let swing = Arc::new(Swing {
        sides,
        both: sides.iter().flat_map(CpuSet::iter).collect(),
        begun_ns: now_ns(),
        every_ns: duration_ns(args.every),
        deadline: Deadline::after(duration_ns(args.seconds)),
        wakeups: AtomicU64::new(0),
        changes: AtomicU64::new(0),
    });
    let mut team = Team::new();
    for index in 0..sides[0].len().max(sides[1].len()) {
        let swing = Arc::clone(&swing);
        team.spawn(format!("hog{index}"), move || hog(&swing))?;
    }
    for index in 0..args.sleepers {
        let swing = Arc::clone(&swing);
        team.spawn(format!("sleeper{index}"), move || sleeper(&swing, index))?;
    }
    wait_for_end(&swing.deadline);
    team.join()?;
    let mut report = Report::new();
    report.add("wakeups", swing.wakeups.load(Relaxed)).add("changes", swing.changes.load(Relaxed));
    Ok(report.into())
}

fn hog(swing: &Swing) -> Result<()> {
    let mut burner = Burner::new();
    let mut at = None;
    while !swing.deadline.over() {
        let to = side(now_ns() - swing.begun_ns, swing.every_ns);
        if at != Some(to) {
            let set = &swing.sides[to];
            set.confine(0).with_context(|| format!("cannot be confined to CPU {set}"))?;
            at = Some(to);
        }
        burner.burn_while(HOG_BURN_NS, || !swing.deadline.over());
    }
    Ok(())
}

fn sleeper(swing: &Swing, index: u64) -> Result<()> {
    let both = &swing.both;
    both.confine(0).with_context(|| format!("cannot be confined to CPU {both}"))?;
    let (mut burner, mut rng) = (Burner::new(), Rng::stream(1, index));
    let first = || current_cpu().is_some_and(|cpu| swing.sides[0].contains(cpu));
    let mut was_first = first();
    while !swing.deadline.over() {
        sleep_ns(SLEEP_NS.start + rng.below(SLEEP_NS.end - SLEEP_NS.start));
        let is_first = first();
        swing.wakeups.fetch_add(1, Relaxed);
        swing.changes.fetch_add((is_first != was_first).into(), Relaxed);
        was_first = is_first;
        burner.burn(SLEEPER_BURN_NS);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hogs_swing_to_and_fro() {
        let sides: Vec<usize> = [0, 29, 30, 59, 60].iter().map(|ms| side(*ms, 30)).collect();
        assert_eq!(sides, [0, 0, 1, 1, 0]);
    }
}
