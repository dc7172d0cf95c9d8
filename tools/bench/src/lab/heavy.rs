// SPDX-License-Identifier: GPL-2.0-only
//! `heavy`: as many endless tasks as CPUs, all of whose memory lies on the first node, as of a
//! program that loads its data before it starts its workers. How much gets done?
//!
//! Whoever runs on another node works more slowly until its memory is there, and nobody has a
//! reason to go back. Without memory that follows, the machine stays that much slower for good.

use anyhow::{Context, Result, bail};

use crate::lab::figures::{Figure, Found};
use crate::lab::staff::{Staff, Stage};
use crate::lab::worker::{Ground, Worker};
use crate::lab::{Setting, hog};

/// Mean memory of a task, unless the setting says otherwise.
const MEMORY_MIB: u64 = 16;
const STREAM_SETS: u64 = 2;

/// Run the scenario.
///
/// # Errors
/// When a task fails, and on a machine with one node.
pub fn run(ground: Ground, setting: &Setting) -> Result<Found> {
    let all = *ground.topology.cpus();
    let [first, _, ..] = ground.topology.nodes() else {
        bail!("memory cannot be remote: this machine has one node");
    };
    let (first, tasks) = (first.cpus, all.len());
    let memory_mib = Some(setting.memory_mib.unwrap_or(MEMORY_MIB));
    let setting = Setting { memory_mib, ..*setting };
    let stage = Stage::new(ground, tasks, 0)?;
    let mut staff = Staff::new(&stage);
    let mut sets = setting.rng(STREAM_SETS);
    let nodes = stage.ground.topology.nodes();
    for task in 0..tasks {
        // In turn, so that each node gets its share.
        let stays = if setting.kept { nodes[task % nodes.len()].cpus } else { all };
        staff.hire(
            "heavy",
            setting.draw_footprint(&mut sets),
            || first.confine(0).context("confining a task to the first node"),
            |worker: &mut Worker| {
                stays.confine(0).context("releasing a task from the first node")?;
                worker.work_while(u64::MAX, || stage.goes_on());
                Ok(())
            },
        )?;
    }
    let from_ns = staff.release(setting.span_ns)?;
    let until_ns = staff.dismiss()?;
    let paid = stage.paid();
    let capacity = tasks as f64 * setting.span_ns as f64;
    Ok(Found {
        scenario: "heavy".into(),
        figures: vec![
            hog::useful(&stage, 0..tasks, tasks, setting.span_ns),
            Figure::lower("remote_time", 100.0 * paid.remote_ns as f64 / capacity, "pct"),
        ],
        paid,
        from_ns,
        until_ns,
    })
}
