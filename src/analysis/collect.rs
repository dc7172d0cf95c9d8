// SPDX-License-Identifier: GPL-2.0-only
//! Everything summed up while events go by, in memory that does not grow with the trace.

use super::bins::Bins;
use super::event::{Comm, Event, Left, Sample};
use super::follow::Follower;
use super::habits::Habits;
use super::infer::{Judged, Kind, judge};
use super::layout::Layout;
use super::price::{Priced, Pricer};
use super::read::Sink;
use super::report::{NameSum, PingPong, PriceSum, Waits, Waste, WorstMove};
use super::transfers::{Frames, Transfer};
use super::watch::{Load, Move, Watch};
use crate::model::PenaltyTable;
use std::collections::HashMap;
use std::sync::Arc;

/// A task that is back within this time plays ping-pong.
pub const PING_PONG_NS: u64 = 10_000_000;
/// Task names that are told apart; what comes later is one.
pub const NAMES_MAX: usize = 10_000;
/// Moves that are kept for drawing.
const DRAWN_MAX: usize = 2000;
/// Single moves that are kept.
const WORST_MAX: usize = 15;

/// Moves of one kind, summed up.
#[derive(Clone, Copy, Debug, Default)]
pub struct KindSum {
    /// By distance.
    pub by_distance: [u64; 4],
    /// Sum of confidences.
    pub confidence: f64,
    /// Judged by who executed it.
    pub by_context: u64,
}

/// The last move of a task.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    at_ns: u64,
    from: u32,
    moved: bool,
    chain: u32,
}

/// Times in buckets of a share of an octave each.
#[derive(Clone, Debug)]
pub struct Times {
    buckets: Vec<u64>,
    count: u64,
    sum_ns: u128,
    max_ns: u64,
    max_task: Comm,
    max_at_ns: u64,
}

impl Times {
    fn new() -> Times {
        let buckets = vec![0; 64 * 8];
        Times { buckets, count: 0, sum_ns: 0, max_ns: 0, max_task: Comm::default(), max_at_ns: 0 }
    }

    fn add(&mut self, ns: u64, comm: Comm, at_ns: u64) {
        self.buckets[bucket(ns)] += 1;
        self.count += 1;
        self.sum_ns += u128::from(ns);
        if ns > self.max_ns {
            (self.max_ns, self.max_task, self.max_at_ns) = (ns, comm, at_ns);
        }
    }

    fn at(&self, permille: u64) -> u64 {
        let wanted = (self.count * permille).div_ceil(1000).max(1);
        let mut seen = 0;
        let found = self.buckets.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        found.map_or(0, |bucket| bucket_end(bucket).min(self.max_ns))
    }

    /// As the report has it.
    pub fn report(&self) -> Waits {
        Waits {
            count: self.count,
            mean_ns: (self.sum_ns / u128::from(self.count.max(1))) as u64,
            p50_ns: self.at(500),
            p99_ns: self.at(990),
            p999_ns: self.at(999),
            max_ns: self.max_ns,
            max_task: self.max_task.text(),
            max_at_ns: self.max_at_ns,
        }
    }
}

/// Eight to the octave; single ns below 8.
fn bucket(ns: u64) -> usize {
    if ns < 8 {
        return ns as usize;
    }
    let octave = ns.ilog2();
    ((octave - 2) * 8 + ((ns >> (octave - 3)) as u32 - 8)) as usize
}

/// The largest time of a bucket.
fn bucket_end(bucket: usize) -> u64 {
    if bucket < 8 {
        return bucket as u64;
    }
    let (octave, part) = (bucket / 8 + 2, bucket as u64 % 8);
    ((u128::from(part + 9) << (octave - 3)) - 1) as u64
}

/// Idle CPUs beside waiting tasks so far.
#[derive(Clone, Copy, Debug, Default)]
struct WasteSum {
    waste_ns: u64,
    longest_ns: u64,
    longest_at_ns: u64,
    now: u32,
    since_ns: u64,
    stretch_ns: Option<u64>,
}

impl WasteSum {
    fn set(&mut self, at_ns: u64, wasted: u32) {
        let wasted_ns = u64::from(self.now).saturating_mul(at_ns - self.since_ns);
        self.waste_ns = self.waste_ns.saturating_add(wasted_ns);
        self.since_ns = at_ns;
        if wasted > 0 {
            self.stretch_ns.get_or_insert(at_ns);
        } else if let Some(since_ns) = self.stretch_ns.take()
            && at_ns - since_ns > self.longest_ns
        {
            (self.longest_ns, self.longest_at_ns) = (at_ns - since_ns, since_ns);
        }
        self.now = wasted;
    }
}

impl NameSum {
    fn add_move(&mut self, back: bool, priced: Option<Priced>) {
        self.moves += 1;
        self.ping_pong += u64::from(back);
        if let Some(Priced { gain_ns, penalty_ns }) = priced {
            self.gain_ns = self.gain_ns.saturating_add(gain_ns);
            self.penalty_ns = self.penalty_ns.saturating_add(penalty_ns);
        }
    }
}

/// All sums.
#[derive(Debug)]
pub struct Sums {
    /// The machine.
    pub layout: Arc<Layout>,
    pricer: Pricer,
    habits: Habits,
    /// Loads over time.
    pub bins: Bins,
    /// By kind.
    pub kinds: HashMap<Kind, KindSum>,
    /// By distance.
    pub prices: [PriceSum; 4],
    /// By name.
    pub names: HashMap<Comm, NameSum>,
    /// By cgroup, where the trace tells it.
    pub cgroups: HashMap<u64, NameSum>,
    /// Waits.
    pub times: Times,
    waste: WasteSum,
    /// Ping-pong.
    pub ping_pong: PingPong,
    last: Vec<Last>,
    /// LLC to LLC.
    pub heat: Vec<Vec<u64>>,
    /// Dearest moves.
    pub worst: Vec<WorstMove>,
    /// For drawing.
    pub drawn: Vec<(u64, u32, u32, Kind)>,
    /// One in so many is drawn.
    pub one_in: u64,
    moves: u64,
    /// Of a load series: tasks that woke up or were born, as far as that shows.
    pub placed: u64,
    /// CPUs that the machine does not have.
    pub beyond: u32,
}

impl Sums {
    fn distance(&mut self, from: u32, to: u32) -> usize {
        match self.layout.level(from, to) {
            Some(level) => level.index(),
            None => {
                self.beyond = self.beyond.max(from).max(to);
                3
            }
        }
    }

    fn name(&mut self, comm: Comm) -> &mut NameSum {
        let full = self.names.len() >= NAMES_MAX && !self.names.contains_key(&comm);
        self.names.entry(if full { Comm::new(b"(others)") } else { comm }).or_default()
    }

    fn count(&mut self, at_ns: u64, from: u32, to: u32, judged: Judged) -> usize {
        let distance = self.distance(from, to);
        let sum = self.kinds.entry(judged.kind).or_default();
        sum.by_distance[distance] += 1;
        sum.confidence += f64::from(judged.confidence);
        sum.by_context += u64::from(judged.by_context);
        if let (Some(from), Some(to)) = (self.layout.llc(from), self.layout.llc(to)) {
            self.heat[from.index()][to.index()] += 1;
        }
        if self.moves.is_multiple_of(self.one_in) {
            self.drawn.push((at_ns, from, to, judged.kind));
            if self.drawn.len() >= DRAWN_MAX {
                let mut at = 0;
                self.drawn.retain(|_| {
                    at += 1;
                    at % 2 == 1
                });
                self.one_in *= 2;
            }
        }
        self.moves += 1;
        distance
    }

    fn follow_ping_pong(&mut self, moved: &Move, distance: usize) -> bool {
        if moved.slot >= self.last.len() {
            self.last.resize(moved.slot + 1, Last::default());
        }
        let last = &mut self.last[moved.slot];
        let back = last.moved
            && last.from == moved.to
            && moved.at_ns.saturating_sub(last.at_ns) <= PING_PONG_NS;
        let chain = if back { last.chain + 1 } else { 0 };
        *last = Last { at_ns: moved.at_ns, from: moved.from, moved: true, chain };
        if back {
            self.ping_pong.count += 1;
            self.ping_pong.by_distance[distance] += 1;
            if chain > self.ping_pong.longest {
                self.ping_pong.longest = chain;
                self.ping_pong.longest_task = moved.comm.text();
                self.ping_pong.longest_at_ns = moved.at_ns;
            }
        }
        back
    }

    fn add_price(&mut self, moved: &Move, judged: Judged, distance: usize, priced: Priced) {
        let sum = &mut self.prices[distance];
        sum.count += 1;
        sum.paid += u64::from(priced.paid());
        sum.gain_ns = sum.gain_ns.saturating_add(priced.gain_ns);
        sum.penalty_ns = sum.penalty_ns.saturating_add(priced.penalty_ns);
        let loss_ns = |worst: &WorstMove| worst.penalty_ns.saturating_sub(worst.gain_ns);
        let own_ns = priced.penalty_ns.saturating_sub(priced.gain_ns);
        let full = self.worst.len() >= WORST_MAX;
        if own_ns <= 0 || full && self.worst.last().is_some_and(|last| loss_ns(last) >= own_ns) {
            return;
        }
        let place = self.worst.partition_point(|worst| loss_ns(worst) >= own_ns);
        self.worst.insert(
            place,
            WorstMove {
                at_ns: moved.at_ns,
                name: moved.comm.text(),
                pid: moved.pid,
                from: moved.from,
                to: moved.to,
                source: moved.source,
                target: moved.target,
                kind: judged.kind,
                confidence: judged.confidence,
                gain_ns: priced.gain_ns,
                penalty_ns: priced.penalty_ns,
                ran_after_ns: moved.ran_after_ns,
            },
        );
        self.worst.truncate(WORST_MAX);
    }

    /// Idle CPUs beside waiting tasks.
    pub fn waste(&self) -> Waste {
        let WasteSum { waste_ns, longest_ns, longest_at_ns, .. } = self.waste;
        Waste { total_ns: waste_ns, longest_ns, longest_at_ns }
    }
}

impl Watch for Sums {
    fn load(&mut self, at_ns: u64, cpu: u32, load: Load) {
        self.habits.load(&self.layout, at_ns, cpu, load);
        self.bins.set(cpu, at_ns, load.unwrap_or(0) as f32);
    }

    fn gauge(&mut self, at_ns: u64, idle: u32, waiting: u32) {
        self.waste.set(at_ns, idle.min(waiting));
    }

    fn ran(&mut self, _at_ns: u64, slot: usize, cpu: u32, ran_ns: u64, left: Left) {
        self.pricer.ran(&self.layout, slot, cpu, ran_ns, left != Left::Runnable);
    }

    fn waited(&mut self, at_ns: u64, comm: Comm, waited_ns: u64) {
        self.times.add(waited_ns, comm, at_ns);
        let name = self.name(comm);
        name.waits += 1;
        name.waited_ns = name.waited_ns.saturating_add(waited_ns);
    }

    fn moved(&mut self, moved: &Move) {
        let judged = judge(moved, &self.layout, &mut self.habits);
        let distance = self.count(moved.at_ns, moved.from, moved.to, judged);
        let back = self.follow_ping_pong(moved, distance);
        let told = moved.told.and_then(|told| told.price);
        let told = told.map(|(gain_ns, penalty_ns)| Priced { gain_ns, penalty_ns });
        let priced = told.or_else(|| self.pricer.price(&self.layout, moved));
        if let Some(priced) = priced {
            self.add_price(moved, judged, distance, priced);
        }
        self.name(moved.comm).add_move(back, priced);
        if let Some(told) = moved.told {
            let full = self.cgroups.len() >= NAMES_MAX && !self.cgroups.contains_key(&told.cgroup);
            if !full {
                self.cgroups.entry(told.cgroup).or_default().add_move(back, priced);
            }
        }
    }

    fn anew(&mut self, slot: usize) {
        self.pricer.anew(slot);
        if let Some(last) = self.last.get_mut(slot) {
            *last = Last::default();
        }
    }

    fn gap(&mut self, at_ns: u64) {
        self.bins.gap(at_ns);
    }
}

/// Takes what the readers find.
#[derive(Debug)]
pub struct Collector {
    /// Sums so far.
    pub sums: Sums,
    /// Tasks and CPUs so far.
    pub follower: Follower,
    frames: Frames,
    /// Time of the first event.
    pub start_ns: Option<u64>,
    /// Time of the last event.
    pub end_ns: u64,
}

impl Collector {
    /// For a trace of the machine `layout`, with prices by `table`.
    pub fn new(layout: Layout, table: &PenaltyTable) -> Collector {
        let nr_llcs = layout.topo.llcs.len();
        let sums = Sums {
            pricer: Pricer::new(table, &layout),
            habits: Habits::default(),
            layout: Arc::new(layout),
            bins: Bins::new(),
            kinds: HashMap::new(),
            prices: [PriceSum::default(); 4],
            names: HashMap::new(),
            cgroups: HashMap::new(),
            times: Times::new(),
            waste: WasteSum::default(),
            ping_pong: PingPong::default(),
            last: Vec::new(),
            heat: vec![vec![0; nr_llcs]; nr_llcs],
            worst: Vec::new(),
            drawn: Vec::new(),
            one_in: 1,
            moves: 0,
            placed: 0,
            beyond: 0,
        };
        Collector {
            sums,
            follower: Follower::default(),
            frames: Frames::default(),
            start_ns: None,
            end_ns: 0,
        }
    }

    /// There is nothing more.
    pub fn finish(&mut self) {
        self.follower.finish(&mut self.sums);
        let sums = &mut self.sums;
        let layout = Arc::clone(&sums.layout);
        self.frames.finish(&layout, &mut |found| take(sums, &found));
        self.sums.waste.set(self.end_ns, 0);
    }

    fn note_time(&mut self, at_ns: u64) {
        if self.start_ns.is_none() {
            self.start_ns = Some(at_ns);
            self.sums.waste.since_ns = at_ns;
        }
        self.end_ns = at_ns;
    }
}

fn take(sums: &mut Sums, transfer: &Transfer) {
    let Some(from) = transfer.from else {
        sums.placed += u64::from(transfer.tasks);
        return;
    };
    for _ in 0..transfer.tasks.min(1000) {
        sums.count(transfer.at_ns, from, transfer.to, transfer.judged);
    }
}

impl Sink for Collector {
    fn event(&mut self, event: &Event) {
        self.note_time(event.at_ns);
        self.follower.follow(event, &mut self.sums);
    }

    fn sample(&mut self, sample: &Sample) {
        self.note_time(sample.at_ns);
        self.sums.bins.set(sample.cpu, sample.at_ns, sample.runnable as f32);
        let sums = &mut self.sums;
        let layout = Arc::clone(&sums.layout);
        self.frames.sample(sample, &layout, &mut |found| take(sums, &found));
    }

    fn gap(&mut self, at_ns: u64) {
        self.note_time(at_ns);
        let sums = &mut self.sums;
        let layout = Arc::clone(&sums.layout);
        self.frames.gap(&layout, &mut |found| take(sums, &found));
        self.sums.bins.gap(at_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_all_times_and_are_narrow() {
        let mut before = 0;
        for ns in (0..2000).chain([1 << 20, (1 << 40) + 12_345, u64::MAX]) {
            let at = bucket(ns);
            assert!(at >= before && bucket_end(at) >= ns, "{ns}: {at}");
            assert!(bucket_end(at) as f64 <= ns as f64 * 1.13 + 1.0, "{ns}: {}", bucket_end(at));
            before = at;
        }
    }

    #[test]
    fn waste_is_an_integral_and_its_longest_stretch_is_kept() {
        let mut waste = WasteSum::default();
        for (at_ns, wasted) in [(10, 2), (20, 1), (25, 0), (100, 1), (105, 0)] {
            waste.set(at_ns, wasted);
        }
        assert_eq!((waste.waste_ns, waste.longest_ns, waste.longest_at_ns), (30, 15, 10));
    }
}
