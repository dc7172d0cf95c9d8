// SPDX-License-Identifier: GPL-2.0-only
//! `mixed`: a few hogs, arrivals at a third of the machine, a few pairs, all at once.

use anyhow::Result;

use crate::lab::figures::Found;
use crate::lab::staff::{Staff, Stage};
use crate::lab::worker::Ground;
use crate::lab::{Setting, hog, open, pairs};

const LOAD_PCT: u64 = 33;

/// Run the scenario.
///
/// # Errors
/// When a task fails.
pub fn run(ground: Ground, setting: &Setting) -> Result<Found> {
    let cpus = ground.topology.cpus().len();
    let (hogs, nr_pairs) = (cpus.div_ceil(4), cpus.div_ceil(8));
    let jobs = open::draw_jobs(setting, LOAD_PCT, cpus);
    let stage = Stage::new(ground, hogs + 2 * nr_pairs + open::tasks(cpus), jobs.len())?;
    let mut staff = Staff::new(&stage);
    hog::hire(&mut staff, &stage, setting, hogs)?;
    pairs::hire(&mut staff, &stage, setting, nr_pairs)?;
    open::hire(&mut staff, &stage, setting, &jobs, &stage.samples)?;
    let from_ns = staff.release(setting.span_ns)?;
    let until_ns = staff.dismiss()?;
    let mut figures = open::figures(&stage.samples, &jobs, &[(0, cpus)]);
    figures.push(pairs::figure(&stage, hogs..hogs + 2 * nr_pairs, nr_pairs, setting.span_ns));
    // A hog can use one CPU: `useful` is of as many CPUs as there are hogs.
    figures.push(hog::useful(&stage, 0..hogs, hogs, setting.span_ns));
    Ok(Found { scenario: "mixed".into(), figures, paid: stage.paid(), from_ns, until_ns })
}
