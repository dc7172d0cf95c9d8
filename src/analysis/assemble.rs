// SPDX-License-Identifier: GPL-2.0-only
//! A trace as a whole: read it, and make the report of what was summed up.

use super::bins::Loads;
use super::collect::{Collector, Sums};
use super::correlate::{self, BINS_MIN};
use super::follow;
use super::infer::{Kind, Share};
use super::layout::Layout;
use super::read::{self, Intake};
use super::report::{
    Correlations, DISTANCES, KindRow, Map, NameSum, PolicyRow, PriceRow, Report, TaskRow,
};
use crate::model::PenaltyTable;
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::io::Read;

/// With more CPUs than this, loads are compared by LLC and node only.
const CPUS_COMPARED_MAX: usize = 64;
/// So many findings of each level are kept.
const STRONGEST_MAX: usize = 20;
/// Columns of the map of loads, and of all CPUs together: with more than 1024 CPUs they get wider.
const COLUMNS: usize = 400;
const CELLS_MAX: usize = COLUMNS << 10;
/// Task names in the report.
const TASKS_MAX: usize = 20;

/// Read the trace `name` from `source` and analyse it. `machine` says in words what `layout` is.
///
/// # Errors
/// When it cannot be read, is no trace, or has no event.
pub fn analyse(
    source: impl Read,
    name: &str,
    layout: Layout,
    machine: &str,
    table: &PenaltyTable,
    progress: &mut dyn FnMut(u64),
) -> Result<Report> {
    let collector = Collector::new(layout, table);
    analyse_from(collector, name, machine, |collector| read::read(source, collector, progress))
}

/// The same for events from anywhere: `feed` gives all of them to the collector, and says what it took
/// in.
///
/// # Errors
/// When `feed` fails or has no event.
pub fn analyse_from(
    mut collector: Collector,
    name: &str,
    machine: &str,
    feed: impl FnOnce(&mut Collector) -> Result<Intake>,
) -> Result<Report> {
    let intake = feed(&mut collector)?;
    if intake.events == 0 {
        bail!("no event in {} lines could be read", intake.lines);
    }
    collector.finish();
    Ok(report(collector, intake, name, machine))
}

fn report(collector: Collector, intake: Intake, name: &str, machine: &str) -> Report {
    let Collector { mut sums, follower, start_ns, end_ns, .. } = collector;
    let start_ns = start_ns.unwrap_or(end_ns);
    let series = intake.format.is_some_and(read::Format::is_series);
    let recording = intake.format == Some(read::Format::Recording);
    let loads = std::mem::take(&mut sums.bins).finish(end_ns);
    let correlations = correlations(&loads, &sums.layout);
    let columns = COLUMNS.min(CELLS_MAX / loads.cpus.len().max(1));
    Report {
        trace: name.into(),
        start_ns,
        span_ns: end_ns - start_ns,
        cpus: loads.cpus.len(),
        tasks_max: follower.tasks_max,
        repairs: follower.repairs,
        reused: follower.reused,
        machine: machine.into(),
        notes: notes(&sums, &intake, &loads, series, follower.forgotten),
        moves: kind_rows(&sums),
        policy: policy_rows(&sums),
        waits: sums.times.report(),
        waste: (!series && !recording).then(|| sums.waste()),
        prices: price_rows(&sums),
        tasks: rows(sums.names.iter().map(|(name, sum)| (name.text(), *sum))),
        cgroups: rows(sums.cgroups.iter().map(|(id, sum)| (format!("cgroup {id}"), *sum))),
        correlations,
        map: Map {
            cpus: loads
                .cpus
                .iter()
                .map(|(cpu, series)| (*cpu, Loads::columns(series, columns)))
                .collect(),
            moves: std::mem::take(&mut sums.drawn),
            one_in: sums.one_in,
        },
        ping_pong: sums.ping_pong,
        worst: sums.worst,
        heat: sums.heat,
        intake,
    }
}

fn notes(sums: &Sums, intake: &Intake, loads: &Loads, series: bool, forgotten: u64) -> Vec<String> {
    let mut notes = Vec::new();
    if forgotten > 0 {
        notes.push(format!(
            "more than {} tasks at a time: {forgotten} times one that did not run was forgotten \
             for another, and what it had waited and cost is not counted on",
            follow::TASKS_MAX
        ));
    }
    if sums.beyond > 0 {
        notes.push(format!(
            "the trace moves tasks to CPU {}, which that machine does not have: the distance of such \
             moves is unknown; describe the machine with --machine",
            sums.beyond
        ));
    }
    if series {
        notes.push(format!(
            "a load series: moves are guessed from loads, and cannot be priced; {} times a CPU's load \
             rose and none fell: tasks that woke up or were born there, from where loads do not tell",
            sums.placed
        ));
    }
    if intake.format == Some(read::Format::Recording) {
        notes.push(
            "a recording of scx_toll: it tells what ran, and why tasks moved, but not who waited: loads \
             are those that run, and waits those of tasks that were moved between LLCs"
                .into(),
        );
    }
    if intake.gaps > 0 {
        let whole = loads.whole_stretch().len();
        notes.push(format!(
            "events are missing in {} places: waits and loads across them are left out, and loads are \
             compared in the longest whole stretch, {whole} of {} bins",
            intake.gaps, loads.len
        ));
    }
    if loads.whole_stretch().len() < BINS_MIN {
        notes.push(format!(
            "too short to compare loads: {} whole bins of {} µs, of at least {BINS_MIN}",
            loads.whole_stretch().len(),
            loads.width_ns / 1000
        ));
    }
    let implied = sums.kinds.values().map(|sum| sum.by_context).sum::<u64>() == 0 && !series;
    if implied && !sums.kinds.is_empty() {
        notes.push(
            "no move was told by its own event (sched_migrate_task): moves are what switches and \
             wakeups show"
                .into(),
        );
    }
    notes
}

fn kind_rows(sums: &Sums) -> Vec<KindRow> {
    let rows = Kind::ALL.iter().filter_map(|&kind| {
        let sum = sums.kinds.get(&kind)?;
        let count = sum.by_distance.iter().sum::<u64>();
        let confidence = sum.confidence / count.max(1) as f64;
        Some(KindRow {
            kind,
            count,
            by_distance: sum.by_distance,
            confidence,
            by_context: sum.by_context,
        })
    });
    rows.collect()
}

fn policy_rows(sums: &Sums) -> Vec<PolicyRow> {
    let of = |kind: Kind, distance: Option<usize>| match (sums.kinds.get(&kind), distance) {
        (None, _) => 0,
        (Some(sum), Some(distance)) => sum.by_distance[distance],
        (Some(sum), None) => sum.by_distance.iter().sum(),
    };
    let row = |name: &'static str, distance: Option<usize>| {
        let (pushes, pulls) = (of(Kind::Push, distance), of(Kind::Pull, distance));
        let pull_share = Share::of(pulls, pushes + pulls);
        PolicyRow { distance: name, pushes, pulls, pull_share, verdict: pull_share.verdict() }
    };
    let by_distance = DISTANCES.iter().enumerate().map(|(at, name)| row(name, Some(at)));
    let seen = by_distance.filter(|row| row.pull_share.n > 0);
    seen.chain([row("all", None)]).collect()
}

fn price_rows(sums: &Sums) -> Vec<PriceRow> {
    let rows = DISTANCES.iter().zip(&sums.prices).filter(|(_, sum)| sum.count > 0);
    rows.map(|(distance, sum)| PriceRow { distance, sum: *sum }).collect()
}

/// The dearest of those that were moved.
fn rows(sums: impl Iterator<Item = (String, NameSum)>) -> Vec<TaskRow> {
    let moved = sums.filter(|(_, sum)| sum.moves > 0);
    let mut rows: Vec<_> = moved.map(|(name, sum)| TaskRow { name, sum }).collect();
    rows.sort_by(|a, b| {
        let key = |row: &TaskRow| (row.sum.penalty_ns, row.sum.moves);
        key(b).cmp(&key(a)).then_with(|| a.name.cmp(&b.name))
    });
    rows.truncate(TASKS_MAX);
    rows
}

/// Loads compared by CPU, LLC and node, as far as there are several.
fn correlations(loads: &Loads, layout: &Layout) -> Vec<Correlations> {
    let stretch = loads.whole_stretch();
    if stretch.len() < BINS_MIN {
        return Vec::new();
    }
    let groups = |level: &str| {
        let mut groups: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (at, (cpu, _)) in loads.cpus.iter().enumerate() {
            let group = match level {
                "cpu" => Some(*cpu),
                "llc" => layout.llc(*cpu).map(|llc| llc.0),
                _ => layout.node(*cpu),
            };
            group.into_iter().for_each(|group| groups.entry(group).or_default().push(at));
        }
        groups
    };
    // Only of as many as are compared: a copy of each CPU's loads may be large.
    let sum = |members: Vec<usize>| {
        let mut sum = vec![0.0; stretch.len()];
        for member in members {
            let series = &loads.cpus[member].1[stretch.clone()];
            sum.iter_mut().zip(series).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        sum
    };
    let mut found = Vec::new();
    let mut before = 0;
    for level in ["cpu", "llc", "node"] {
        let series = groups(level);
        // As many as at the level before: they are the same.
        let same = std::mem::replace(&mut before, series.len()) == series.len();
        if same || series.len() < 2 || series.len() > CPUS_COMPARED_MAX {
            continue;
        }
        let series = series.into_iter().map(|(name, members)| (name, sum(members)));
        let (names, series): (Vec<u32>, Vec<Vec<f64>>) = series.unzip();
        let mut all = correlate::all_pairs(&series);
        let significant = all.iter().filter(|found| found.significant()).count();
        let pairs = all.len();
        all.truncate(STRONGEST_MAX);
        found.push(Correlations {
            level,
            names,
            bins: stretch.len(),
            width_ns: loads.width_ns,
            pairs,
            significant,
            strongest: all,
        });
    }
    found
}
