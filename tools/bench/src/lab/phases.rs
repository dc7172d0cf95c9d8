// SPDX-License-Identifier: GPL-2.0-only
//! `phases`: the load wanders from node to node. How much of what it could do gets done?
//!
//! Each node is home to a group of tasks, three for every two of its CPUs. In each phase one group
//! works and the others sleep, so its node is overloaded while the rest of the machine idles.
//! Moving away costs the move and remote time; staying costs waiting.

use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context, Result};

use crate::clock::{NS_PER_MS, now_ns};
use crate::cpus::CpuSet;
use crate::lab::Setting;
use crate::lab::figures::{Figure, Found};
use crate::lab::staff::{Staff, Stage, sleep_until};
use crate::lab::worker::{Ground, Worker};

const PHASE_NS: u64 = 100 * NS_PER_MS;
const STREAM_SETS: u64 = 2;

/// Run the scenario.
///
/// # Errors
/// When a task fails.
pub fn run(ground: Ground, setting: &Setting) -> Result<Found> {
    let all = *ground.topology.cpus();
    let homes: Vec<CpuSet> = ground.topology.nodes().iter().map(|node| node.cpus).collect();
    let group = |node: usize| homes[node].len() + homes[node].len().div_ceil(2);
    let tasks = (0..homes.len()).map(group).sum();
    let phases = (setting.span_ns / PHASE_NS).max(1);
    let stage = Stage::new(ground, tasks, 0)?;
    let mut staff = Staff::new(&stage);
    let mut sets = setting.rng(STREAM_SETS);
    for node in 0..homes.len() {
        for _ in 0..group(node) {
            let at_home = || homes[node].confine(0).context("confining a task to its node");
            staff.hire(
                "phase",
                setting.draw_footprint(&mut sets),
                at_home,
                |worker: &mut Worker| {
                    all.confine(0).context("releasing a task from its node")?;
                    for phase in 0..phases {
                        if phase as usize % homes.len() != node {
                            continue;
                        }
                        let begin = stage.t0_ns() + phase * PHASE_NS;
                        sleep_until(begin);
                        worker.work_while(u64::MAX, || now_ns() < begin + PHASE_NS);
                    }
                    Ok(())
                },
            )?;
        }
    }
    let from_ns = staff.release(setting.span_ns)?;
    let until_ns = staff.dismiss()?;
    let work: u64 = stage.tallies.iter().map(|tally| tally.work_ns.load(Relaxed)).sum();
    let possible =
        |phase: u64| group(phase as usize % homes.len()).min(stage.cpus()) as u64 * PHASE_NS;
    let possible: u64 = (0..phases).map(possible).sum();
    let pct = 100.0 * work as f64 / possible as f64;
    Ok(Found {
        scenario: "phases".into(),
        figures: vec![Figure::higher("useful_work", pct, "pct").bounded(100.0)],
        paid: stage.paid(),
        from_ns,
        until_ns,
    })
}
