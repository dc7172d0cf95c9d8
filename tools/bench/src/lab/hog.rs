// SPDX-License-Identifier: GPL-2.0-only
//! `hog`: one endless task more than there are CPUs. How much gets done, and how evenly?
//!
//! Someone always waits, so every pass of the spare task from CPU to CPU is a move; too many cost
//! work, too few are unfair.

use std::sync::atomic::Ordering::Relaxed;

use anyhow::Result;

use crate::lab::Setting;
use crate::lab::figures::{Figure, Found};
use crate::lab::staff::{Staff, Stage, served_ns};
use crate::lab::worker::{Ground, Worker};

/// Stream of the working sets.
pub const STREAM_SETS: u64 = 2;

/// Hire `tasks` endless tasks.
///
/// # Errors
/// As [`Staff::hire`].
pub fn hire<'a>(
    staff: &mut Staff<'a>,
    stage: &'a Stage,
    setting: &Setting,
    tasks: usize,
) -> Result<()> {
    let mut sets = setting.rng(STREAM_SETS);
    for _ in 0..tasks {
        let toil = |worker: &mut Worker| {
            worker.work_while(u64::MAX, || stage.goes_on());
            Ok(())
        };
        staff.hire("hog", setting.draw_footprint(&mut sets), || Ok(()), toil)?;
    }
    Ok(())
}

/// Useful work of the tasks `of` in per cent of what `cpus` CPUs had to give.
pub fn useful(stage: &Stage, of: std::ops::Range<usize>, cpus: usize, elapsed_ns: u64) -> Figure {
    let work: u64 = stage.tallies[of].iter().map(|tally| tally.work_ns.load(Relaxed)).sum();
    useful_of(work, cpus, elapsed_ns)
}

/// Useful work of `work_ns` in per cent of what `cpus` CPUs had to give.
pub fn useful_of(work_ns: u64, cpus: usize, elapsed_ns: u64) -> Figure {
    let capacity = cpus as u64 * elapsed_ns;
    Figure::higher("useful_work", 100.0 * work_ns as f64 / capacity.max(1) as f64, "pct")
        .bounded(100.0)
}

/// Least ÷ most served, in CPU time.
pub fn evenness(stage: &Stage, of: std::ops::Range<usize>) -> Figure {
    evenness_of(&stage.tallies[of].iter().map(served_ns).collect::<Vec<_>>())
}

/// Least ÷ most of what tasks were `served`.
pub fn evenness_of(served: &[u64]) -> Figure {
    let least = served.iter().min().copied().unwrap_or(0);
    let most = served.iter().max().copied().unwrap_or(0);
    Figure::higher("least_per_most", least as f64 / most.max(1) as f64, "").bounded(1.0)
}

/// Run the scenario.
///
/// # Errors
/// When a task fails.
pub fn run(ground: Ground, setting: &Setting) -> Result<Found> {
    let cpus = ground.topology.cpus().len();
    let tasks = cpus + 1;
    let stage = Stage::new(ground, tasks, 0)?;
    let mut staff = Staff::new(&stage);
    hire(&mut staff, &stage, setting, tasks)?;
    let from_ns = staff.release(setting.span_ns)?;
    let until_ns = staff.dismiss()?;
    Ok(Found {
        scenario: "hog".into(),
        figures: vec![useful(&stage, 0..tasks, cpus, setting.span_ns), evenness(&stage, 0..tasks)],
        paid: stage.paid(),
        from_ns,
        until_ns,
    })
}
