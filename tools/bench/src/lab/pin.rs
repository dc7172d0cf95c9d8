// SPDX-License-Identifier: GPL-2.0-only
//! `pin`: known answers. A task is pinned to one CPU after another, warm each time; it must pay
//! exactly what the table says.
//!
//! The answers: from the first CPU to one of another LLC of the node and on to one of another node
//! it pays both moves in full, its working set being warm each time and nowhere else; away from
//! home a quarter of a second of work takes the remote share longer.

use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context, Result, bail};

use crate::clock::NS_PER_MS;
use crate::cpus::CpuSet;
use crate::lab::Setting;
use crate::lab::costs::Level;
use crate::lab::figures::{Figure, Found};
use crate::lab::resident::Footprint;
use crate::lab::staff::{Staff, Stage};
use crate::lab::worker::{Ground, Worker, level};

/// Enough to warm any working set that the lab draws.
const WORK_NS: u64 = 100 * NS_PER_MS;

/// A CPU at each level from the first one.
fn stations(ground: &Ground) -> Result<Vec<(usize, Level)>> {
    let topology = &ground.topology;
    let places: Vec<_> = topology
        .cpus()
        .iter()
        .filter_map(|cpu| topology.place(cpu).map(|place| (cpu, place)))
        .collect();
    let &(first, home) = places.first().context("no CPU")?;
    let at = |wanted| {
        places
            .iter()
            .find(|(_, place)| level(home, *place) == wanted)
            .map(|(cpu, _)| (*cpu, wanted))
    };
    let stations: Vec<_> = [Level::Llc, Level::Node].into_iter().filter_map(at).collect();
    if stations.is_empty() {
        bail!("CPU {first} has nowhere to move to: this machine has one LLC");
    }
    Ok([vec![(first, Level::Core)], stations].concat())
}

/// Run the scenario.
///
/// # Errors
/// On a machine with one LLC.
pub fn run(ground: Ground, setting: &Setting) -> Result<Found> {
    let stations = stations(&ground)?;
    let costs = ground.costs;
    let stage = Stage::new(ground, 1, 0)?;
    let mut staff = Staff::new(&stage);
    let pin = |cpu| CpuSet::from_iter([cpu]).confine(0).context("pinning");
    staff.hire(
        "pin",
        Footprint { set_kib: setting.set_kib, memory_kib: 0 },
        || pin(stations[0].0),
        |worker: &mut Worker| {
            for &(cpu, _) in &stations {
                pin(cpu)?;
                worker.work(WORK_NS);
            }
            Ok(())
        },
    )?;
    let from_ns = staff.release(setting.span_ns)?;
    let until_ns = staff.dismiss()?;
    let hops = stations.windows(2).map(|pair| match pair {
        // From another LLC of home's node the next station is as far as from home.
        [_, (_, level)] => costs.full_move_ns(*level, setting.set_kib),
        _ => 0,
    });
    let remote = stations.iter().filter(|(_, level)| *level == Level::Node).count() as u64;
    let us = |ns: u64| ns as f64 / 1e3;
    let tally = &stage.tallies[0];
    let remote_ns = remote * WORK_NS * costs.remote_pm / 1000;
    Ok(Found {
        scenario: "pin".into(),
        figures: vec![
            Figure::lower("refill", us(tally.refill_ns.load(Relaxed)), "us")
                .bounded(us(hops.sum())),
            Figure::lower("remote", us(tally.remote_ns.load(Relaxed)), "us").bounded(us(remote_ns)),
        ],
        paid: stage.paid(),
        from_ns,
        until_ns,
    })
}
