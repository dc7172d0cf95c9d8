// SPDX-License-Identifier: GPL-2.0-only
//! `batch`: half again as many jobs as CPUs, of unequal length, all at once; when is the last done?
//!
//! In rounds, each with lengths of its own; the same tasks serve all rounds.

use std::sync::atomic::Ordering::Relaxed;

use anyhow::Result;

use crate::clock::{NS_PER_MS, now_ns};
use crate::lab::Setting;
use crate::lab::figures::{Figure, Found};
use crate::lab::ideal::makespan;
use crate::lab::staff::{Staff, Stage, sleep_until};
use crate::lab::worker::{Ground, Worker};

const ROUNDS: usize = 4;
/// Lengths lie evenly between these, in per cent of their mean.
const LENGTH_PCT: std::ops::Range<u64> = 50..150;
const STREAM_LENGTHS: u64 = 1;
/// Stream of the working sets.
pub const STREAM_SETS: u64 = 2;
/// How often one looks whether a round is over.
const POLL_NS: u64 = NS_PER_MS;

/// The lengths of the jobs of each round on `cpus` CPUs, in ns: so that all rounds at their bound
/// take about the span.
pub fn draw_rounds(setting: &Setting, cpus: usize) -> Vec<Vec<u64>> {
    let jobs = cpus + cpus.div_ceil(2);
    let mean_ns = setting.span_ns * cpus as u64 / (ROUNDS * jobs) as u64;
    let mut rng = setting.rng(STREAM_LENGTHS);
    let mut length =
        || mean_ns * (LENGTH_PCT.start + rng.below(LENGTH_PCT.end - LENGTH_PCT.start)) / 100;
    (0..ROUNDS).map(|_| (0..jobs).map(|_| length()).collect()).collect()
}

/// What all `rounds` have taken on `cpus` CPUs, against the least that they could.
pub fn figure(taken_ns: u64, rounds: &[Vec<u64>], cpus: usize) -> Figure {
    let bound_ns: u64 = rounds.iter().map(|lengths| makespan(lengths, cpus)).sum();
    let ms = |ns: u64| ns as f64 / NS_PER_MS as f64;
    Figure::lower("makespan", ms(taken_ns), "ms").bounded(ms(bound_ns))
}

/// Run the scenario.
///
/// # Errors
/// When a task fails.
pub fn run(ground: Ground, setting: &Setting) -> Result<Found> {
    let cpus = ground.topology.cpus().len();
    let rounds = draw_rounds(setting, cpus);
    let jobs = rounds[0].len();

    // Samples: when each job was done, by round.
    let stage = Stage::new(ground, jobs, ROUNDS * jobs)?;
    let done = |round: usize| &stage.samples[round * jobs..(round + 1) * jobs];
    let mut staff = Staff::new(&stage);
    let mut sets = setting.rng(STREAM_SETS);
    for job in 0..jobs {
        let serve = |worker: &mut Worker| {
            let mut openings = 1;
            for (round, lengths) in rounds.iter().enumerate() {
                worker.work(lengths[job]);
                done(round)[job].0.store(now_ns(), Relaxed);
                if round + 1 < ROUNDS {
                    openings = stage.gate().wait_past(openings);
                }
            }
            Ok(())
        };
        staff.hire("batch", setting.draw_footprint(&mut sets), || Ok(()), serve)?;
    }
    let from_ns = staff.release(setting.span_ns)?;
    let (mut released_ns, mut taken_ns) = (from_ns, 0);
    for round in 0..ROUNDS {
        while done(round).iter().any(|done| done.0.load(Relaxed) == 0) {
            sleep_until(now_ns() + POLL_NS);
        }
        let last = done(round).iter().map(|done| done.0.load(Relaxed)).max().unwrap_or(0);
        taken_ns += last - released_ns;
        released_ns = now_ns();
        if round + 1 < ROUNDS {
            stage.gate().open();
        }
    }
    let until_ns = staff.dismiss()?;
    Ok(Found {
        scenario: "batch".into(),
        figures: vec![figure(taken_ns, &rounds, cpus)],
        paid: stage.paid(),
        from_ns,
        until_ns,
    })
}
