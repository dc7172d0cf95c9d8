// SPDX-License-Identifier: GPL-2.0-only
//! `open`: requests arrive as a Poisson process, most short, some long; how long until each is done?
//!
//! Request k belongs to task k mod N. A task sleeps until its request is due, works it off, and
//! notes the response time, from when the request was due until it was done. With four tasks per
//! CPU a task is hardly ever busy when its next request comes.

use std::sync::atomic::Ordering::Relaxed;

use anyhow::Result;

use crate::clock::{NS_PER_MS, NS_PER_US, now_ns};
use crate::lab::Setting;
use crate::lab::figures::{Figure, Found, mean, quantile};
use crate::lab::ideal::{Capacity, Job, fcfs};
use crate::lab::staff::{Sample, Staff, Stage, sleep_until};
use crate::lab::worker::{Ground, Worker};

const TASKS_PER_CPU: usize = 4;
const SHORT_NS: u64 = 500 * NS_PER_US;
const LONG_NS: u64 = 8 * NS_PER_MS;
const LONG_PCT: u64 = 20;
/// Mean of the above.
const MEAN_NS: u64 = (SHORT_NS * (100 - LONG_PCT) + LONG_NS * LONG_PCT) / 100;
/// Stream of the arrivals.
const STREAM_ARRIVALS: u64 = 1;
/// Stream of the working sets.
pub const STREAM_SETS: u64 = 2;

/// Requests for `span_ns` that keep `load_pct` per cent of `cpus` CPUs busy.
pub fn draw_jobs(setting: &Setting, load_pct: u64, cpus: usize) -> Vec<Job> {
    let mut rng = setting.rng(STREAM_ARRIVALS);
    let gap_ns = MEAN_NS * 100 / (load_pct * cpus as u64).max(1);
    let mut at_ns = 0;
    std::iter::from_fn(|| {
        at_ns += rng.exponential_ns(gap_ns);
        let demand_ns = if rng.chance_pct(LONG_PCT) { LONG_NS } else { SHORT_NS };
        Some(Job { at_ns, demand_ns })
    })
    .take_while(|job| job.at_ns < setting.span_ns)
    .collect()
}

/// Tasks that `open` needs on `cpus` CPUs.
pub fn tasks(cpus: usize) -> usize {
    TASKS_PER_CPU * cpus
}

/// Hire the tasks that serve `jobs`; response times go into `samples`.
///
/// # Errors
/// As [`Staff::hire`].
pub fn hire<'a>(
    staff: &mut Staff<'a>,
    stage: &'a Stage,
    setting: &Setting,
    jobs: &'a [Job],
    samples: &'a [Sample],
) -> Result<()> {
    let mut rng = setting.rng(STREAM_SETS);
    let tasks = tasks(stage.cpus());
    for first in 0..tasks {
        let footprint = setting.draw_footprint(&mut rng);
        let serve = |worker: &mut Worker| {
            for (job, sample) in jobs.iter().zip(samples).skip(first).step_by(tasks) {
                let due = stage.t0_ns() + job.at_ns;
                sleep_until(due);
                worker.work(job.demand_ns);
                sample.0.store(now_ns() - due, Relaxed);
            }
            Ok(())
        };
        staff.hire("open", footprint, || Ok(()), serve)?;
    }
    Ok(())
}

/// The figures of the response times that tasks have left in `samples`.
pub fn figures(samples: &[Sample], jobs: &[Job], capacity: &[Capacity]) -> Vec<Figure> {
    let response: Vec<u64> = samples.iter().map(|sample| sample.0.load(Relaxed)).collect();
    figures_of(&response, jobs, capacity)
}

/// Mean and 99th percentile of the response times, in ns, against those of the ideal.
pub fn figures_of(response: &[u64], jobs: &[Job], capacity: &[Capacity]) -> Vec<Figure> {
    let ideal = fcfs(jobs, capacity);
    let ms = |ns: f64| ns / NS_PER_MS as f64;
    let p99 = |samples: &[u64]| ms(quantile(samples, 990) as f64);
    vec![
        Figure::lower("response_mean", ms(mean(response)), "ms").bounded(ms(mean(&ideal))),
        Figure::lower("response_p99", p99(response), "ms").bounded(p99(&ideal)),
    ]
}

/// Run the scenario.
///
/// # Errors
/// When a task fails.
pub fn run(ground: Ground, setting: &Setting) -> Result<Found> {
    let cpus = ground.topology.cpus().len();
    let jobs = draw_jobs(setting, setting.load_pct, cpus);
    let stage = Stage::new(ground, tasks(cpus), jobs.len())?;
    let mut staff = Staff::new(&stage);
    hire(&mut staff, &stage, setting, &jobs, &stage.samples)?;
    let from_ns = staff.release(setting.span_ns)?;
    let until_ns = staff.dismiss()?;
    Ok(Found {
        scenario: "open".into(),
        figures: figures(&stage.samples, &jobs, &[(0, cpus)]),
        paid: stage.paid(),
        from_ns,
        until_ns,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::NS_PER_S;

    #[test]
    fn the_requests_amount_to_the_load() {
        let setting = Setting {
            seed: 3,
            span_ns: 60 * NS_PER_S,
            set_kib: 1,
            memory_mib: None,
            load_pct: 70,
            apart: false,
            kept: false,
        };
        let jobs = draw_jobs(&setting, 70, 8);
        let demand: u64 = jobs.iter().map(|job| job.demand_ns).sum();
        let load = demand as f64 / (8 * setting.span_ns) as f64;
        assert!((load - 0.7).abs() < 0.02, "{load}");
        assert!(jobs.is_sorted_by_key(|job| job.at_ns));
        assert_eq!(jobs, draw_jobs(&setting, 70, 8));
    }
}
