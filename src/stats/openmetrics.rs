// SPDX-License-Identifier: GPL-2.0-only
//! A [`Snapshot`] as OpenMetrics text, or as the older text of Prometheus: counters since the
//! scheduler was loaded, gauges, and histograms. Times are in seconds, as those formats have it.

use super::{Counters, KINDS, LlcSnapshot, NR_ASKING, Pair, Snapshot, VERDICTS};
use crate::model::decide::hist_bound;
use crate::topology::Level;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, prometheus_text, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use std::fmt::Error;

/// How the figures are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For those who ask for it.
    OpenMetrics,
    /// For all others.
    Prometheus,
}

impl Format {
    /// What HTTP is told that this is.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Nanoseconds in a second.
const NS: f64 = 1e9;
/// Slots of a histogram that get a bucket of their own; the last ends at 4.3 s. Longer ones are
/// in the bucket without a bound.
const BUCKETS: usize = 23;

/// The text for `snapshot`.
///
/// # Errors
/// Never, as long as the encoder can write to memory.
pub fn encode(snapshot: Snapshot, format: Format) -> Result<String, Error> {
    let mut registry = Registry::with_prefix("scx_toll");
    registry.register_collector(Box::new(Page(snapshot)));
    let mut page = String::new();
    match format {
        Format::OpenMetrics => text::encode(&mut page, &registry)?,
        Format::Prometheus => prometheus_text::encode(&mut page, &registry)?,
    }
    Ok(page)
}

#[derive(Debug)]
struct Page(Snapshot);

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let Page(snapshot) = self;
        let counters = &snapshot.counters;
        plain_counters(&mut encoder, snapshot)?;
        let mut histogram = |name, help, sum_ns: u64, slots: &[u64]| {
            let times = Times { sum: sum_ns as f64 / NS, slots };
            let unit = Some(&Unit::Seconds);
            times.encode(encoder.encode_descriptor(name, help, unit, MetricType::Histogram)?)
        };
        let help = "From enqueue to running, by turn";
        histogram("wait", help, counters.wait_ns, &counters.wait_hist)?;
        let help = "dL of the moves that were made because it exceeded P";
        histogram("move_gain", help, counters.gain_ns, &counters.gain_hist)?;
        let help = "P of the moves that were made because dL exceeded it; below 0 counts as 0";
        histogram("move_cost", help, counters.cost_ns, &counters.cost_hist)?;
        decisions(&mut encoder, counters)?;
        gauges(&mut encoder, snapshot)?;
        pairs(&mut encoder, snapshot)
    }
}

/// What is one number each.
fn plain_counters(encoder: &mut DescriptorEncoder, snapshot: &Snapshot) -> Result<(), Error> {
    let counters = &snapshot.counters;
    let overhead = &snapshot.overhead;
    for (name, help, value) in [
        ("wakeups", "Tasks that woke up", counters.wakes),
        ("kicks", "Idle CPUs woken by a tick because a queue paid", counters.kicks),
        ("preemptions", "Running tasks made to yield to a waking one", counters.preempts),
        ("handoffs", "Tasks left to the CPU of a waker about to sleep", counters.handoffs),
        ("pinned_turns", "Turns that went through a CPU's own queue", counters.pinned),
        ("births_away", "Forked tasks started in another LLC", counters.births_away),
        ("context_switches", "Context switches of the machine", overhead.switches),
        ("bpf_runs", "Timed runs of the scheduler's BPF programs", overhead.bpf_runs),
    ] {
        let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(metric)?;
    }
    let help = "Time in the scheduler's BPF programs; 0 unless kernel.bpf_stats_enabled is 1";
    let metric =
        encoder.encode_descriptor("bpf", help, Some(&Unit::Seconds), MetricType::Counter)?;
    ConstCounter::new(overhead.bpf_ns as f64 / NS).encode(metric)?;
    let help = "Version of the policy in force";
    let metric = encoder.encode_descriptor("policy_version", help, None, MetricType::Gauge)?;
    ConstGauge::new(snapshot.about.policy_version as i64).encode(metric)
}

/// The labels of one sample.
type Labels<'a> = Vec<(&'a str, String)>;

/// What a family of samples is.
struct About<'a> {
    name: &'a str,
    help: &'a str,
    unit: Option<Unit>,
    kind: MetricType,
}

/// Samples of one name, told apart by labels.
fn family<'a>(
    encoder: &mut DescriptorEncoder,
    about: &About,
    samples: impl IntoIterator<Item = (Labels<'a>, f64)>,
) -> Result<(), Error> {
    let About { name, help, unit, kind } = about;
    let mut metric = encoder.encode_descriptor(name, help, unit.as_ref(), *kind)?;
    for (labels, value) in samples {
        let metric = metric.encode_family(&labels)?;
        match kind {
            MetricType::Counter => ConstCounter::new(value).encode(metric)?,
            _ => ConstGauge::new(value).encode(metric)?,
        }
    }
    Ok(())
}

/// What landed, and how decisions ended, by kind and level.
fn decisions(encoder: &mut DescriptorEncoder, counters: &Counters) -> Result<(), Error> {
    let labels = |kind: usize, level: Level| {
        vec![("kind", KINDS[kind].to_string()), ("level", level.name().to_string())]
    };
    let grid = |kinds: usize| {
        (0..kinds).flat_map(|kind| Level::ALL.into_iter().map(move |level| (kind, level)))
    };
    let about = About {
        name: "moves",
        help: "Tasks that ran on another CPU than before, by what moved them and how far",
        unit: None,
        kind: MetricType::Counter,
    };
    let moves = grid(KINDS.len())
        .map(|(kind, level)| (labels(kind, level), counters.landed[kind][level.index()] as f64));
    family(encoder, &about, moves)?;
    let about = About {
        name: "decisions",
        help: "Decisions by who asked, how far, and how they ended",
        unit: None,
        kind: MetricType::Counter,
    };
    let ended = grid(NR_ASKING).flat_map(|(kind, level)| {
        let counts = counters.verdicts[kind][level.index()];
        VERDICTS.iter().zip(counts).map(move |(verdict, count)| {
            let mut labels = labels(kind, level);
            labels.push(("verdict", verdict.to_string()));
            (labels, count as f64)
        })
    });
    family(encoder, &about, ended)
}

/// What each LLC is like now, and what it used.
fn gauges(encoder: &mut DescriptorEncoder, snapshot: &Snapshot) -> Result<(), Error> {
    let mut by_llc = |name, help, unit, kind, value: fn(&LlcSnapshot) -> f64| {
        let about = About { name, help, unit, kind };
        let samples = snapshot.llcs.iter().enumerate().map(|(id, llc)| {
            (vec![("llc", id.to_string()), ("node", llc.node.to_string())], value(llc))
        });
        family(encoder, &about, samples)
    };
    use MetricType::{Counter, Gauge};
    let seconds = || Some(Unit::Seconds);
    by_llc("llc_cpus", "CPUs of the LLC", None, Gauge, |llc| f64::from(llc.cpus))?;
    by_llc("llc_idle_cpus", "CPUs that are idle", None, Gauge, |llc| llc.idle as f64)?;
    by_llc("llc_running", "Tasks that run", None, Gauge, |llc| llc.running as f64)?;
    by_llc("llc_queued", "Tasks in the queue", None, Gauge, |llc| llc.queued as f64)?;
    let help = "W: how long a task added now would wait";
    by_llc("llc_expected_wait", help, seconds(), Gauge, |llc| llc.wait_ns as f64 / NS)?;
    let help = "CPU time used";
    by_llc("llc_busy", help, seconds(), Counter, |llc| llc.busy_ns as f64 / NS)
}

/// What moved from LLC to LLC; those between which nothing ever did are left out.
fn pairs(encoder: &mut DescriptorEncoder, snapshot: &Snapshot) -> Result<(), Error> {
    let mut by_pair = |name, help, unit, kind, value: fn(&Pair) -> f64| {
        let about = About { name, help, unit, kind };
        let used = snapshot.pairs.iter().filter(|pair| pair.moves > 0 || pair.judged > 0);
        let samples = used.map(|pair| {
            (vec![("from", pair.from.to_string()), ("to", pair.to.to_string())], value(pair))
        });
        family(encoder, &about, samples)
    };
    use MetricType::{Counter, Gauge};
    let help = "Tasks that landed in another LLC, whatever moved them";
    by_pair("pair_moves", help, None, Counter, |pair| pair.moves as f64)?;
    let help = "Moves that were decided because dL > P";
    by_pair("pair_judged_moves", help, None, Counter, |pair| pair.judged as f64)?;
    let help = "dL of the judged moves, summed";
    by_pair("pair_gain", help, Some(Unit::Seconds), Gauge, |pair| pair.gain_ns as f64 / NS)?;
    let help = "P of the judged moves, summed; goes down when tasks go home";
    by_pair("pair_cost", help, Some(Unit::Seconds), Gauge, |pair| pair.penalty_ns as f64 / NS)
}

/// A histogram of times.
struct Times<'a> {
    sum: f64,
    slots: &'a [u64],
}

impl Times<'_> {
    fn encode(&self, mut metric: MetricEncoder) -> Result<(), Error> {
        let bound = |slot: usize| hist_bound(slot).map_or(f64::INFINITY, |ns| ns as f64 / NS);
        let (own, rest) = self.slots.split_at(BUCKETS.min(self.slots.len()));
        let mut buckets: Vec<(f64, u64)> =
            own.iter().enumerate().map(|(slot, count)| (bound(slot), *count)).collect();
        buckets.push((f64::INFINITY, rest.iter().sum()));
        // CPUs count on while they are read: the sum of the slots is what agrees with them.
        let count = self.slots.iter().sum();
        metric.encode_histogram::<NoLabelSet>(self.sum, count, &buckets, None)
    }
}
