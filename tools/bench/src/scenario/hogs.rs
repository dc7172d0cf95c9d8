// SPDX-License-Identifier: GPL-2.0-only
//! Endless busy tasks released at one instant t0: how soon they are spread, how fairly served.
//!
//! | key | meaning |
//! |---|---|
//! | `spread_ms` | from t0 until no LLC holds more than ceil(n / LLCs) hogs; -1 if never |
//! | `spread_cpus_ms` | from t0 until every CPU holds a hog, or, with fewer hogs, none holds two |
//! | `cpu_ms` | CPU time of each hog since t0 |
//! | `min_over_max` | least over most served |
//! | `used_pct` | CPU time of all hogs, in % of what min(n, CPUs) CPUs had to give |
//! | `llc_changes`, `node_changes` | by the hogs' own looks since t0; what happens between two looks is missed |
//! | `look_us` | CPU time between two looks of a hog, on average |
//! | `elapsed_ms` | from t0 to the end |
//! | `release_us` | how long lifting the confinement of all hogs took, from t0 on |
//! | `watched_ms` | moves were kept this long since t0; less than `elapsed_ms` only if a hog moved more often than there is room for |
//!
//! A hog that waits counts where it last ran.

use anyhow::{Context, Result, bail};

use crate::cli::HogsArgs;
use crate::clock::{NS_PER_US, duration_ns};
use crate::report::{NEVER, Report, ms};
use crate::run::wait_for_end;
use crate::scenario::Outcome;
use crate::scenario::crew::{Crew, CrewPlan, CrewResult, HogResult};
use crate::scenario::spread::{Bounds, Ground, first_spread};
use crate::topology::Topology;

/// Run the hogs.
pub fn run(args: &HogsArgs) -> Result<Outcome> {
    let topology = Topology::probe()?;
    let plan = CrewPlan {
        nr: args.n as usize,
        confine: args.start_on.as_deref().copied(),
        processes: args.processes,
    };
    if let Some(start_on) = plan.confine {
        let foreign = start_on.without(topology.cpus());
        if !foreign.is_empty() {
            let cpus = topology.cpus();
            bail!("--start-on names CPU {foreign}, but this process may use only CPU {cpus}");
        }
    }
    if args.ext {
        become_ext()?;
    }
    let mut crew = Crew::start(&plan, topology.clone())?;
    if plan.confine.is_some() {
        crew.let_run();
        crew.wait_until_all_ran(crew.deadline())?;
    }
    mark("tollwork: released");
    crew.release(duration_ns(args.seconds))?;
    wait_for_end(crew.deadline());
    mark("tollwork: ended");
    Ok(report(&crew.finish()?, &topology).into())
}

/// Take the policy SCHED_EXT, which tasks that are started from here on inherit.
fn become_ext() -> Result<()> {
    /// From the kernel's `uapi/linux/sched.h`; libc does not know it yet.
    const SCHED_EXT: i32 = 7;
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: `param` is initialised and outlives the call; 0 is the calling task.
    match unsafe { libc::sched_setscheduler(0, SCHED_EXT, &param) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()).context("SCHED_EXT"),
    }
}

/// Write `text` into the kernel's trace, so that the moves recorded there can be told from those
/// before the release. Where there is no tracefs nobody reads it either.
fn mark(text: &str) {
    let _ = std::fs::write("/sys/kernel/tracing/trace_marker", text);
}

fn report(seen: &CrewResult, topology: &Topology) -> Report {
    let nr = seen.hogs.len();
    let nr_llcs = topology.llcs().len();
    let nr_cpus = topology.cpus().len();
    let llc_spread_ns = spread(seen, Bounds::over_llcs(nr, nr_llcs), nr_llcs, |cpu| {
        topology.place(cpu).map(|place| place.llc.0)
    });
    let cpu_spread_ns = spread(seen, Bounds::over_cpus(nr, nr_cpus), nr_cpus, |cpu| {
        topology.place(cpu).map(|place| place.position)
    });
    let sum = |value: fn(&HogResult) -> u64| seen.hogs.iter().map(value).sum::<u64>();
    let watched_ns = seen.t0_ns.map_or(0, |t0| watched_until_ns(seen) - t0);

    let mut report = Report::new();
    report
        .add("n", nr)
        .add("cpus", nr_cpus)
        .add("llcs", nr_llcs)
        .add("nodes", topology.nodes().len())
        .add_ms_or_never("spread_ms", llc_spread_ns)
        .add_ms_or_never("spread_cpus_ms", cpu_spread_ns)
        .add_list("cpu_ms", seen.hogs.iter().map(|hog| ms(hog.used_ns)));
    add_ratio(&mut report, "min_over_max", min_over_max(&seen.hogs), 3);
    let capacity_ns = nr.min(nr_cpus) as u64 * seen.elapsed_ns;
    let used_pct = ratio(100.0 * sum(|hog| hog.used_ns) as f64, capacity_ns as f64);
    add_ratio(&mut report, "used_pct", used_pct, 2);
    report
        .add("llc_changes", sum(|hog| hog.llc_changes))
        .add("node_changes", sum(|hog| hog.node_changes));
    let used_us = sum(|hog| hog.used_ns) as f64 / NS_PER_US as f64;
    add_ratio(&mut report, "look_us", ratio(used_us, sum(|hog| hog.looks) as f64), 1);
    report
        .add_ms("elapsed_ms", seen.elapsed_ns)
        .add("release_us", seen.release_us)
        .add_ms("watched_ms", watched_ns);
    report
}

/// Moves count up to here: those made when the run was over, or after others were lost, do not.
fn watched_until_ns(seen: &CrewResult) -> u64 {
    let t0_ns = seen.t0_ns.unwrap_or(0);
    seen.complete_until_ns.min(t0_ns + seen.elapsed_ns).max(t0_ns)
}

/// When the hogs were within `bounds`.
fn spread(
    seen: &CrewResult,
    bounds: Bounds,
    nr_domains: usize,
    domain: impl Fn(usize) -> Option<usize>,
) -> Option<u64> {
    let ground = Ground { nr_tasks: seen.hogs.len(), nr_domains, bounds };
    let until_ns = watched_until_ns(seen);
    let watched = seen.sightings.partition_point(|s| s.at_ns < until_ns);
    first_spread(&seen.sightings[..watched], seen.t0_ns?, ground, domain)
}

fn min_over_max(hogs: &[HogResult]) -> Option<f64> {
    let used = hogs.iter().map(|hog| hog.used_ns);
    ratio(used.clone().min()? as f64, used.max()? as f64)
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then_some(part / whole)
}

fn add_ratio(report: &mut Report, key: &str, value: Option<f64>, digits: usize) {
    match value {
        Some(value) => report.add(key, format_args!("{value:.digits$}")),
        None => report.add(key, NEVER),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::spread::Sighting;

    fn served(used: &[u64]) -> Vec<HogResult> {
        let hog = |&used_ns| HogResult { used_ns, ..HogResult::default() };
        used.iter().map(hog).collect()
    }

    #[test]
    fn fairness_is_least_over_most() {
        assert_eq!(min_over_max(&served(&[4, 8, 6])), Some(0.5));
        assert_eq!(min_over_max(&served(&[0, 8])), Some(0.0));
        assert_eq!(min_over_max(&served(&[0, 0])), None);
        assert_eq!(min_over_max(&[]), None);
    }

    fn seen(at_ns: u64, complete_until_ns: u64) -> CrewResult {
        let sighting = |at_ns, task, cpu| Sighting { at_ns, task, cpu };
        CrewResult {
            t0_ns: Some(100),
            elapsed_ns: 1000,
            release_us: 0,
            hogs: served(&[1, 1]),
            sightings: vec![sighting(50, 0, 0), sighting(60, 1, 0), sighting(at_ns, 1, 1)],
            complete_until_ns,
        }
    }

    #[test]
    fn moves_after_the_end_or_after_a_loss_do_not_count() {
        let spread = |seen: &CrewResult| spread(seen, Bounds::over_cpus(2, 2), 2, Some);
        assert_eq!(spread(&seen(900, u64::MAX)), Some(800));
        assert_eq!(spread(&seen(1200, u64::MAX)), None);
        assert_eq!(spread(&seen(900, 500)), None);
        assert_eq!(spread(&seen(900, 70)), None);
    }
}
