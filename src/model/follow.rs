// SPDX-License-Identifier: GPL-2.0-only
//! A task has settled on another node than its memory's: which of the two goes to the other?
//!
//! ```text
//!   remote time of a span = busy time × Σ over nodes (share of the pages there × remote rate)
//!   what the memory saves = remote time of the horizon now − what is left of it afterwards
//!   what it costs         = pages × page + batches × (batch + CPUs in use × shoot-down)
//!   what going home saves = the same, with the task on its memory's node
//!   what it costs         = P of the way + what waits there, the larger of
//!                           turns × (wait there − wait here)
//!                           horizon × (busy share − what the CPUs there have to spare)
//! ```
//!
//! 1. The horizon is as long as the task has been where it is, at most [`HORIZON_MAX`]: what has
//!    lasted is taken to last as long again.
//! 2. Of the ways that save more than [`MARGIN`] times what they cost, the one that leaves most.
//! 3. Where neither does, everything stays.
//!
//! So a light task, which hardly waits anywhere, goes home to heavy memory, and a busy one, which
//! would wait at home, brings its memory along.
//!
//! What it is bad at: remote rates say what a task loses whose accesses miss as those of the
//! measurement did; one that lives in its caches loses less and is judged like the others.

use crate::units::{Ns, PerMille};

/// Longest span that a saving counts. A guess: a minute of remote time pays for most memories.
pub const HORIZON_MAX: Ns = Ns::from_ms(60_000);
/// A way has to save this many times what it costs, in the place of a second threshold: the
/// prediction is worth no more than that. A guess.
pub const MARGIN: u64 = 2;
/// Most pages of one batch.
pub const BATCH_PAGES: u64 = 512;

/// Whether memory follows at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is looked at.
    Off,
    /// It is said what would be done.
    Advise,
    /// It is done.
    On,
}

/// What moving memory costs. Measured while memory is moved; [`Default`] until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MoveCost {
    /// One page: isolate, copy, map.
    pub page: Ns,
    /// One batch: the system call.
    pub batch: Ns,
    /// One batch, for each CPU that the process runs on: its TLB is shot down.
    pub shootdown: Ns,
}

impl Default for MoveCost {
    /// Guesses: 4 KiB at 4 GB/s and as much again around it, two drains of the per-CPU lists for
    /// a call, and an interrupt.
    fn default() -> MoveCost {
        MoveCost { page: Ns::from_us(2), batch: Ns::from_us(100), shootdown: Ns::from_us(4) }
    }
}

/// A settled process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Its private pages by node.
    pub pages: Vec<u64>,
    /// Extra run time where it runs, by the node of the memory.
    pub remote_here: Vec<PerMille>,
    /// The same on the node that it would go home to.
    pub remote_home: Vec<PerMille>,
    /// Pages of these that would be moved to where it runs.
    pub movable: u64,
    /// Busy time per wall-clock time where it runs, all threads together; 1000: one CPU.
    pub busy: PerMille,
    /// How long it has been there.
    pub stayed: Ns,
    /// CPUs that it runs on at the same time, at least 1.
    pub cpus: u32,
    /// Length of one turn, above 0.
    pub turn: Ns,
    /// Expected wait of a turn here.
    pub wait_here: Ns,
    /// Expected wait of a turn at home.
    pub wait_home: Ns,
    /// What the CPUs at home have to spare, 1000 for each that idles: who has no room there drives
    /// others out, whatever one look at the waits says.
    pub spare_home: PerMille,
    /// P of the way home; `None`: it may not run there.
    pub way_home: Option<Ns>,
    /// What moving memory costs.
    pub cost: MoveCost,
}

/// What a way would save and cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Way {
    /// Remote time of the horizon that it spares.
    pub saves: Ns,
    /// What has to be paid for it.
    pub costs: Ns,
}

impl Way {
    fn pays(self) -> bool {
        u128::from(self.saves.get()) > u128::from(MARGIN) * u128::from(self.costs.get())
    }

    fn leaves(self) -> u64 {
        self.saves.get().saturating_sub(self.costs.get())
    }
}

/// Which way was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Choice {
    /// Neither pays.
    Stay,
    /// The memory goes where the task is.
    Bring,
    /// The task goes where its memory is.
    GoHome,
}

impl Choice {
    /// As written in records: `stay`, `bring` or `go_home`.
    pub fn name(self) -> &'static str {
        match self {
            Choice::Stay => "stay",
            Choice::Bring => "bring",
            Choice::GoHome => "go_home",
        }
    }
}

/// A choice and the numbers that it was made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What is to be done.
    pub choice: Choice,
    /// The span that is looked ahead.
    pub horizon: Ns,
    /// If the memory went where the task is.
    pub bring: Way,
    /// If the task went where its memory is; `None`: it may not.
    pub go_home: Option<Way>,
}

/// Choose. Pure: the same process always gets the same answer.
pub fn decide(settled: &Settled) -> Verdict {
    let horizon = settled.stayed.min(HORIZON_MAX);
    let busy = scale(horizon.get(), settled.busy.get().into(), 1000);
    let total: u64 = settled.pages.iter().fold(0, |sum, pages| sum.saturating_add(*pages));
    let now = remote_time(busy, &settled.pages, &settled.remote_here, total);
    // Moved pages are near, so what remains of the remote time is the share of the others.
    let away = far_pages(&settled.pages, &settled.remote_here);
    let moved = settled.movable.min(away);
    let bring =
        Way { saves: Ns::new(scale(now, moved, away)), costs: cost_of_moving(settled, moved) };
    let go_home = settled.way_home.map(|way| {
        let there = remote_time(busy, &settled.pages, &settled.remote_home, total);
        let turns = busy / settled.turn.get().max(1);
        let longer = settled.wait_home.get().saturating_sub(settled.wait_here.get());
        let own = turns.saturating_mul(longer);
        let crowding = settled.busy.get().saturating_sub(settled.spare_home.get());
        let waits = Ns::new(own.max(scale(horizon.get(), crowding.into(), 1000)));
        Way { saves: Ns::new(now.saturating_sub(there)), costs: way.plus(waits) }
    });
    let home = go_home.filter(|way| way.pays());
    let choice = match (bring.pays(), home) {
        (true, Some(home)) if home.leaves() > bring.leaves() => Choice::GoHome,
        (true, _) => Choice::Bring,
        (false, Some(_)) => Choice::GoHome,
        (false, None) => Choice::Stay,
    };
    Verdict { choice, horizon, bring, go_home }
}

/// The node where most of the busy time was spent; `None` unless it is three quarters of it: a
/// process whose threads are spread over nodes has no place that its memory could follow to.
pub fn majority(busy_by_node: &[u64]) -> Option<usize> {
    let total: u128 = busy_by_node.iter().map(|busy| u128::from(*busy)).sum();
    let most = (0..busy_by_node.len()).max_by_key(|node| busy_by_node[*node])?;
    (total > 0 && 4 * u128::from(busy_by_node[most]) >= 3 * total).then_some(most)
}

/// `value × part / whole`, and 0 for a whole of 0.
fn scale(value: u64, part: u64, whole: u64) -> u64 {
    let product = u128::from(value) * u128::from(part);
    product.checked_div(whole.into()).map_or(0, |value| u64::try_from(value).unwrap_or(u64::MAX))
}

/// Remote time within `busy`, each page being used as much as any other.
fn remote_time(busy: u64, pages: &[u64], rates: &[PerMille], total: u64) -> u64 {
    if total == 0 {
        return 0;
    }
    let sum: u128 = pages
        .iter()
        .zip(rates)
        .map(|(pages, rate)| u128::from(*pages) * u128::from(rate.get()))
        .sum();
    // Below 2^40 · 2^20 · 2^64 / 1: divided in two steps, so that it stays within 128 bits.
    let mean_rate_q20 = (sum << 20) / u128::from(total);
    let time = (u128::from(busy) * mean_rate_q20 / 1000) >> 20;
    u64::try_from(time).unwrap_or(u64::MAX)
}

/// Pages whose place costs something.
fn far_pages(pages: &[u64], rates: &[PerMille]) -> u64 {
    let far = pages.iter().zip(rates).filter(|(_, rate)| rate.get() > 0);
    far.fold(0, |sum, (pages, _)| sum.saturating_add(*pages))
}

fn cost_of_moving(settled: &Settled, pages: u64) -> Ns {
    let MoveCost { page, batch, shootdown } = settled.cost;
    let batches = pages.div_ceil(BATCH_PAGES);
    let shot = shootdown.get().saturating_mul(settled.cpus.max(1).into());
    let each = batch.get().saturating_add(shot);
    Ns::new(pages.saturating_mul(page.get()).saturating_add(batches.saturating_mul(each)))
}
