// SPDX-License-Identifier: GPL-2.0-only
//! `flood`: one task forks eight tasks per CPU as fast as it can; when are they all done?
//!
//! What is judged is birth: newborns have nothing warm and no memory anywhere, so there is no
//! reason to leave one behind a queue while a CPU idles.

use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context, Result, bail};

use crate::child;
use crate::clock::{NS_PER_MS, now_ns};
use crate::lab::Setting;
use crate::lab::figures::{Figure, Found, mean};
use crate::lab::ideal::{Job, fcfs, makespan};
use crate::lab::resident::Footprint;
use crate::lab::staff::{Staff, Stage, enter_child};
use crate::lab::worker::Ground;

const CHILDREN_PER_CPU: usize = 8;
const STREAM_SETS: u64 = 2;

/// Run the scenario.
///
/// # Errors
/// When a task fails.
pub fn run(ground: Ground, setting: &Setting) -> Result<Found> {
    let cpus = ground.topology.cpus().len();
    let children = CHILDREN_PER_CPU * cpus;
    // At its bound a flood takes a quarter of the span: slow ones have room.
    let demand_ns = setting.span_ns / 4 / CHILDREN_PER_CPU as u64;
    let stage = Stage::new(ground, children + 1, children)?;
    let mut staff = Staff::new(&stage);
    let mut sets = setting.rng(STREAM_SETS);
    let sets: Vec<Footprint> = (0..children).map(|_| setting.draw_footprint(&mut sets)).collect();
    staff.hire("flood", Footprint::default(), || Ok(()), |_| fork_all(&stage, &sets, demand_ns))?;
    let from_ns = staff.release(setting.span_ns)?;
    let until_ns = staff.dismiss()?;

    let done: Vec<u64> =
        stage.samples.iter().map(|done| done.0.load(Relaxed).saturating_sub(from_ns)).collect();
    let last = done.iter().max().copied().unwrap_or(0);
    let demands = vec![demand_ns; children];
    let jobs = vec![Job { at_ns: 0, demand_ns }; children];
    let ms = |ns: f64| ns / NS_PER_MS as f64;
    Ok(Found {
        scenario: "flood".into(),
        figures: vec![
            Figure::lower("makespan", ms(last as f64), "ms")
                .bounded(ms(makespan(&demands, cpus) as f64)),
            Figure::lower("response_mean", ms(mean(&done)), "ms")
                .bounded(ms(mean(&fcfs(&jobs, &[(0, cpus)])))),
        ],
        paid: stage.paid(),
        from_ns,
        until_ns,
    })
}

/// Fork a child for each of `sets`, and wait for them.
fn fork_all(stage: &Stage, sets: &[Footprint], demand_ns: u64) -> Result<()> {
    let mut children = Vec::new();
    for (index, &footprint) in sets.iter().enumerate() {
        let life = || {
            // The first tally is the parent's.
            let tally = &stage.tallies[index + 1];
            let name = format!("child{index}");
            let Ok(mut worker) = enter_child(stage, tally, &name, footprint) else { return 1 };
            worker.work(demand_ns);
            stage.samples[index].0.store(now_ns(), Relaxed);
            0
        };
        // SAFETY: the forking process has one thread and waits for its children.
        children.push(unsafe { child::fork(life) }.context("no child could be forked")?);
    }
    for child in children {
        let status = child.wait().context("a child cannot be waited for")?;
        if status != 0 {
            bail!("a child ended with status {status}");
        }
    }
    Ok(())
}
