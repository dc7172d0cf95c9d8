// SPDX-License-Identifier: GPL-2.0-only
//! What a move costs on this machine, measured without root and without counters.
//!
//! 1. [`machine`]: is there a machine to measure, or is it emulated? Then all stays default.
//! 2. [`plan`]: which CPUs stand for which distances.
//! 3. [`handoff`]: a cache line between two CPUs; [`coherence`]: what dirty data pays.
//! 4. [`fixed`]: a move without a working set.
//! 5. [`refill`]: a working set that has to follow, by size and distance.
//! 6. [`memory`]: latency and bandwidth, node × node.
//! 7. [`estimate`]: samples → a figure and its spread; [`table`]: figures → a table; [`store`]:
//!    where it lies; [`learned`]: what the scheduler keeps beside it.
//!
//! [`counters`] are not for measuring: the BPF half reads them while it schedules.
//!
//! Each step works on threads pinned to the CPUs that it measures, and disturbs no others.
//! A figure whose spread exceeds [`estimate::SPREAD_MAX`] is not believed: the default stays.
//!
//! Weak spots: what a hypervisor takes away in short bites is invisible and only thinned out by
//! the 10th percentile; frequency is taken as it comes; refills are dependent loads.

pub mod chase;
pub mod coherence;
pub mod counters;
pub mod defaults;
pub mod estimate;
pub mod fixed;
pub mod handoff;
pub mod learned;
pub mod machine;
pub mod memory;
pub mod os;
pub mod plan;
pub mod refill;
pub mod store;
pub mod table;

use crate::topology::Topology;
use coherence::Coherence;
use defaults::Defaults;
pub use defaults::defaults;
use estimate::Estimate;
use plan::{Distance, Pair, Plan};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use table::{Cell, PairRow, RefillRow, Table};

/// Slowest hand-off that a real machine shows, ns: ten times that between distant sockets.
pub const HANDOFF_NS_MAX: f64 = 3000.0;
/// Time for one pair when hand-offs are measured again at the end.
const DRIFT_BUDGET: Duration = Duration::from_millis(10);
/// How much the two may differ.
const DRIFT_MAX: f64 = 2.0;
/// From here on a working set is large.
const LARGE_SET_KIB: u32 = 4096;
/// Seed of the random cycles: each run walks the same paths.
const SEED: u64 = 0x746f_6c6c;

/// How thoroughly to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// All pairs of CPUs and more time for each figure, instead of representatives within about
    /// three seconds.
    pub thorough: bool,
}

/// Time for each part.
struct Budget {
    pair: Duration,
    fixed: Duration,
    refill: Duration,
    memory: Duration,
}

impl Budget {
    /// Shares of about three seconds for `plan`; four times that, and no less per pair on a big
    /// machine, if `thorough`.
    fn new(plan: &Plan, sizes: usize, thorough: bool) -> Budget {
        let (scale, least) = if thorough { (4, 20) } else { (1, 5) };
        let share = |ms: usize, parts: usize, most: usize| {
            Duration::from_millis((scale * ms / parts.max(1)).clamp(least, scale * most) as u64)
        };
        let nodes = plan.node_cpus.len() * plan.node_cpus.iter().flatten().count();
        Budget {
            pair: share(500, plan.pairs.len(), 200),
            fixed: share(250, plan.moves.len(), 150),
            refill: share(1300, sizes, 250),
            memory: share(400, nodes, 200),
        }
    }
}

/// Measure the machine `topo`. `progress` is told what is measured and which share of the work
/// is done, 0 to 1.
///
/// It always answers: what cannot be measured keeps its default, and the notes say why.
pub fn run(topo: &Topology, options: Options, progress: &mut dyn FnMut(&str, f64)) -> Table {
    let start = Instant::now();
    let mut run = Run {
        topo,
        plan: Plan::new(topo, &os::allowed_cpus(), options.thorough),
        date: utc(SystemTime::now()),
        rng: chase::Rng(SEED),
        progress,
        done: 0.0,
        table: defaults(topo, options),
    };
    match machine::why_meaningless() {
        Some(why) => run.give_up(why),
        None => run.everything(options),
    }
    let mut table = run.table;
    table.wall_ms = start.elapsed().as_millis() as u64;
    table
}

/// A measurement under way.
struct Run<'a> {
    topo: &'a Topology,
    plan: Plan,
    date: String,
    rng: chase::Rng,
    progress: &'a mut dyn FnMut(&str, f64),
    done: f64,
    table: Table,
}

impl Run<'_> {
    /// Keep all defaults, for the reason `why`.
    fn give_up(&mut self, why: String) {
        let defaults = defaults(self.topo, Options { thorough: self.table.thorough });
        self.table = Table { meaningless: Some(why), ..defaults };
    }

    fn note(&mut self, sentence: String) {
        self.table.notes.push(sentence);
    }

    fn advance(&mut self, what: &str, share: f64) {
        self.done = (self.done + share).min(1.0);
        (self.progress)(what, self.done);
    }

    fn everything(&mut self, options: Options) {
        let mut sizes: Vec<u32> = self.table.refill.iter().map(|row| row.kib).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let budget = Budget::new(&self.plan, sizes.len(), options.thorough);
        self.hand_offs(budget.pair);
        if self.table.meaningless.is_some() {
            return;
        }
        self.fixed_costs(budget.fixed);
        self.refills(&sizes, budget.refill);
        self.memories(budget.memory);
        self.check_drift();
        self.sum_up();
    }

    fn hand_offs(&mut self, budget: Duration) {
        let pairs = self.plan.pairs.clone();
        let mut estimates = Vec::new();
        for pair in &pairs {
            match handoff::measure(pair, budget, &mut self.rng) {
                Ok(samples) => {
                    let read = Estimate::of(&samples.read);
                    let modified = Estimate::of(&samples.modified);
                    let handoff = Estimate::of(&samples.handoff);
                    if let Some(why) = handoff.and_then(|handoff| implausible(pair, &handoff)) {
                        return self.give_up(why);
                    }
                    estimates.push((*pair, handoff, read, modified));
                }
                Err(err) => self.note(format!(
                    "CPU {} and CPU {} cannot be measured: {err}",
                    pair.from.0, pair.to.0
                )),
            }
            self.advance("hand-offs", 0.25 / pairs.len() as f64);
        }
        for (pair, handoff, read, modified) in &estimates {
            let default = Defaults::handoff_ns(pair.distance);
            let cell = |e: &Option<Estimate>| Cell::measured(e.as_ref(), default, &self.date);
            self.table.pair.push(PairRow {
                from: pair.from.0,
                to: pair.to.0,
                distance: pair.distance,
                handoff: cell(handoff),
                read: cell(read),
                modified: cell(modified),
            });
        }
        for row in &mut self.table.handoff {
            let rows: Vec<&PairRow> =
                self.table.pair.iter().filter(|pair| pair.distance == row.distance).collect();
            let middle = |of: fn(&PairRow) -> &Cell| middle_cell(rows.iter().map(|row| of(row)));
            let replace = |cell: &mut Cell, by: Option<Cell>| {
                by.into_iter().for_each(|by| *cell = by);
            };
            replace(&mut row.handoff, middle(|row| &row.handoff));
            replace(&mut row.read, middle(|row| &row.read));
            replace(&mut row.modified, middle(|row| &row.modified));
        }
        self.table.coherence = self.coherence(&estimates);
    }

    /// From the first pair that lies in two LLCs.
    fn coherence(&self, estimates: &[PairEstimate]) -> Coherence {
        if self.topo.llcs.len() < 2 {
            return Coherence::unknown("cannot tell: there is only one LLC, which answers for all");
        }
        let between = estimates.iter().filter(|(pair, ..)| pair.distance >= Distance::Llc);
        match between.filter_map(|(_, _, read, modified)| read.zip(*modified)).next() {
            Some((read, modified)) => Coherence::judge(&read, &modified),
            None => Coherence::unknown("cannot tell: no pair between LLCs could be measured"),
        }
    }

    fn fixed_costs(&mut self, budget: Duration) {
        let moves = self.plan.moves.clone();
        for pair in moves.iter().filter(|pair| pair.distance != Distance::Same) {
            let estimate = fixed::measure(pair, budget).ok().flatten();
            for row in self.table.fixed.iter_mut().filter(|row| row.distance == pair.distance) {
                let default = Defaults::fixed_ns(pair.distance);
                row.ns = Cell::measured(estimate.as_ref(), default, &self.date);
            }
            self.advance("moves", 0.1 / moves.len() as f64);
        }
    }

    fn refills(&mut self, sizes: &[u32], budget: Duration) {
        for &kib in sizes {
            // A round with a large set takes as long as a hundred with a small one.
            let share = if kib < LARGE_SET_KIB { budget / 2 } else { budget * 3 / 2 };
            match refill::measure(&self.plan.moves, kib, share, &mut self.rng) {
                Ok(found) => found.iter().for_each(|found| self.set_refill(found)),
                Err(err) => self.note(format!("{kib} KiB cannot be measured: {err}")),
            }
            self.advance("working sets", 0.45 / sizes.len() as f64);
        }
    }

    fn set_refill(&mut self, found: &refill::RefillEstimate) {
        let Some((_, cold)) = found.warm_cold else { return };
        let extra = found.extra_ns().unwrap_or(0.0);
        let default = Defaults::refill_ns(found.distance);
        let same = |row: &&mut RefillRow| row.distance == found.distance && row.kib == found.kib;
        if let Some(row) = self.table.refill.iter_mut().find(same) {
            let estimate = Estimate { spread: found.spread(), ..cold };
            let cell = Cell::measured(Some(&estimate), default, &self.date);
            row.ns_per_line = match cell.known() {
                Some(_) => Cell { value: extra, ..cell },
                None => cell,
            };
        }
    }

    fn memories(&mut self, budget: Duration) {
        let cpus = self.plan.node_cpus.clone();
        let parts = self.table.memory.len().max(1) as f64;
        for index in 0..self.table.memory.len() {
            let (memory, from) = self.table.memory[index].nodes();
            let cpu = cpus.get(from.index()).copied().flatten();
            let owner = cpus.get(memory.index()).copied().flatten();
            let (Some(cpu), Some(node)) = (cpu, self.topo.nodes.get(memory.index())) else {
                continue;
            };
            match memory::measure(node, owner, cpu, budget, &mut self.rng) {
                Ok(found) => self.set_memory(index, memory == from, &found),
                Err(err) => self.note(format!("{memory} cannot be measured from {from}: {err}")),
            }
            self.advance("memory", 0.2 / parts);
        }
    }

    fn set_memory(&mut self, index: usize, near: bool, found: &memory::MemoryEstimate) {
        let row = &mut self.table.memory[index];
        row.latency_ns =
            Cell::measured(found.latency_ns.as_ref(), Defaults::latency_ns(near), &self.date);
        let stream = Cell::measured(found.ns_per_kib.as_ref(), 1.0, &self.date);
        let value = match stream.known() {
            Some(ns_per_kib) => 1e9 / ns_per_kib / 1024.0,
            None => Defaults::mib_per_s(near),
        };
        row.mib_per_s = Cell { value, ..stream };
        let (memory, _) = row.nodes();
        if found.by_first_touch && self.topo.nodes.len() > 1 {
            self.note(format!("{memory}: memory was placed by touching it, not bound"));
        }
    }

    /// Measure hand-offs once more: a hypervisor may have moved its virtual CPUs to other cores
    /// meanwhile, and then the figures are of two machines.
    fn check_drift(&mut self) {
        for pair in self.plan.moves.clone().iter().filter(|p| p.distance != Distance::Same) {
            let key = (pair.from, pair.to);
            let first = self.table.pair.iter().find(|row| row.cpus() == key);
            let Some(first) = first.and_then(|row| row.handoff.known()) else { continue };
            let again = handoff::measure(pair, DRIFT_BUDGET, &mut self.rng);
            let Some(again) = again.ok().and_then(|samples| Estimate::of(&samples.handoff)) else {
                continue;
            };
            let ratio = (again.p10 / first).max(first / again.p10);
            if ratio > DRIFT_MAX {
                self.note(format!(
                    "a hand-off between CPU {} and CPU {} took {first:.0} ns at first and {:.0} ns \
                     at last{}",
                    pair.from.0,
                    pair.to.0,
                    again.p10,
                    if machine::is_virtual() {
                        ": the hypervisor seems to move its virtual CPUs"
                    } else {
                        ""
                    }
                ));
            }
        }
    }

    /// Notes about what stayed default.
    fn sum_up(&mut self) {
        let noisy = |(_, cell): &(String, &Cell)| cell.known().is_none() && cell.samples > 0;
        let names: Vec<String> =
            self.table.cells().into_iter().filter(noisy).map(|(name, _)| name).collect();
        if let Some(first) = names.first() {
            self.note(format!(
                "{} figures keep their default because their samples spread too widely (noisy \
                 neighbours?), {first} among them",
                names.len()
            ));
        }
        let here = |row: &&RefillRow| {
            let there = self.plan.moves.iter().any(|pair| pair.distance == row.distance);
            there && row.ns_per_line.samples == 0
        };
        let starved = self.table.refill.iter().filter(here).count();
        if starved > 0 {
            self.note(format!(
                "{starved} refills keep their default because the threads were switched out too \
                 often (busy machine?)"
            ));
        }
        if self.plan.pairs.is_empty() {
            self.note(
                "this process may use one CPU only: nothing between CPUs was measured".into(),
            );
        }
        (self.progress)("done", 1.0);
    }
}

/// A pair with its hand-off, read and modified line.
type PairEstimate = (Pair, Option<Estimate>, Option<Estimate>, Option<Estimate>);

/// Why a hand-off cannot be true, if it cannot.
fn implausible(pair: &Pair, handoff: &Estimate) -> Option<String> {
    let (slow, virtual_) = (handoff.p10 > HANDOFF_NS_MAX, machine::is_virtual());
    slow.then(|| {
        format!(
            "a hand-off between CPU {} and CPU {} takes {:.0} ns, more than any machine needs{}",
            pair.from.0,
            pair.to.0,
            handoff.p10,
            if virtual_ { ": the CPUs are emulated or share one" } else { "" }
        )
    })
}

/// The measured cell in the middle by value, for all samples of `cells`; a default one that was
/// too noisy if there is no other.
fn middle_cell<'a>(cells: impl Iterator<Item = &'a Cell>) -> Option<Cell> {
    let (mut known, noisy): (Vec<&Cell>, Vec<&Cell>) =
        cells.partition(|cell| cell.known().is_some());
    known.sort_by(|a, b| a.value.total_cmp(&b.value));
    let Some(middle) = known.get(known.len() / 2) else {
        return noisy.first().map(|cell| (*cell).clone());
    };
    Some(Cell {
        samples: known.iter().map(|cell| cell.samples).sum(),
        rejected: known.iter().map(|cell| cell.rejected).sum(),
        ..(*middle).clone()
    })
}

/// A moment as "2026-01-31T12:00:00Z".
pub fn utc(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    // Years that begin on 1 March, in eras of 400 of them; day 0 is 0000-03-01.
    let day = days + 719_468;
    let (era, in_era) = (day / 146_097, day % 146_097);
    let year = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let date = in_year - (153 * month + 2) / 5 + 1;
    let (month, late) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + late;
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_798_761_600, "2027-01-01T00:00:00Z"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }
}
