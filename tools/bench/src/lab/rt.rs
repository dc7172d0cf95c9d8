// SPDX-License-Identifier: GPL-2.0-only
//! `rt`: requests as in [`super::open`], at half load, while a FIFO task takes the first CPU away
//! for a while, again and again. Do those that wait there leave?

use anyhow::{Context, Result};

use crate::clock::{NS_PER_MS, now_ns};
use crate::cpus::CpuSet;
use crate::lab::figures::Found;
use crate::lab::ideal::Capacity;
use crate::lab::resident::Footprint;
use crate::lab::staff::{Staff, Stage, sleep_until};
use crate::lab::worker::{Ground, Worker};
use crate::lab::{Setting, open};

const LOAD_PCT: u64 = 50;
const PERIOD_NS: u64 = 250 * NS_PER_MS;
const TAKEN_NS: u64 = 100 * NS_PER_MS;

/// Make the calling task a FIFO task on `cpu`.
fn become_fifo(cpu: usize) -> Result<()> {
    CpuSet::from_iter([cpu]).confine(0).context("confining the FIFO task")?;
    let param = libc::sched_param { sched_priority: 1 };
    // SAFETY: `param` is initialised and outlives the call; 0 is the calling task.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &param) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()).context("SCHED_FIFO"),
    }
}

/// Run the scenario.
///
/// # Errors
/// When there is no right to SCHED_FIFO, and when a task fails.
pub fn run(ground: Ground, setting: &Setting) -> Result<Found> {
    let cpus = ground.topology.cpus().len();
    let first = ground.topology.cpus().first().context("no CPU")?;
    let jobs = open::draw_jobs(setting, LOAD_PCT, cpus);
    let takes = setting.span_ns / PERIOD_NS;
    let stage = Stage::new(ground, open::tasks(cpus) + 1, jobs.len())?;
    let mut staff = Staff::new(&stage);
    open::hire(&mut staff, &stage, setting, &jobs, &stage.samples)?;
    staff.hire(
        "fifo",
        Footprint::default(),
        || become_fifo(first),
        |worker: &mut Worker| {
            for take in 0..takes {
                let begin = stage.t0_ns() + take * PERIOD_NS;
                sleep_until(begin);
                worker.work_while(u64::MAX, || now_ns() < begin + TAKEN_NS);
            }
            Ok(())
        },
    )?;
    let from_ns = staff.release(setting.span_ns)?;
    let until_ns = staff.dismiss()?;
    let capacity: Vec<Capacity> = (0..takes)
        .flat_map(|take| [(take * PERIOD_NS, cpus - 1), (take * PERIOD_NS + TAKEN_NS, cpus)])
        .collect();
    let capacity = if capacity.is_empty() { vec![(0, cpus)] } else { capacity };
    Ok(Found {
        scenario: "rt".into(),
        figures: open::figures(&stage.samples, &jobs, &capacity),
        paid: stage.paid(),
        from_ns,
        until_ns,
    })
}
