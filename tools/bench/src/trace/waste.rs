// SPDX-License-Identifier: GPL-2.0-only
//! Idle CPUs beside waiting tasks.
//!
//! At any instant `min(idle CPUs, waiting tasks)` CPUs are wasted; affinity is ignored. Not all of it
//! is a fault: a move has a price. Afterwards the trace tells how long each task went on waiting, so
//! a move of task *w* to idle CPU *c* **would have paid** at an instant if the rest of *w*'s wait was
//! longer than the price of a move from the CPU that it was on to *c*.
//!
//! How many such moves there were at an instant is found greedily, nearest level first:
//!
//! 1. for each level, from core over LLC to node,
//! 2. for each waiting task without a CPU yet, the one with the longest rest first,
//! 3. the cheapest idle CPU of that level that nobody has yet, if the move pays.
//!
//! This is done afresh after every event, and a pair counts until the next event or until its move
//! no longer pays. A task that still waits when the trace ends counts as if it had run then.
//!
//! Weak spots: greedy is not optimal (a task may take the near CPU that another could have used alone),
//! so this is a lower bound; and moves that would have changed what came after are not followed up.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::machine::{ByLevel, LEVELS, Level, Machine};
use super::timeline::{TaskId, Timeline};

/// CPU time that was lost although somebody waited for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waste {
    /// The integral over time of `min(idle CPUs, waiting tasks)`, in CPU-ns.
    pub total_ns: u64,
    /// The longest time without interruption in which a CPU was idle beside a waiting task.
    pub longest_ns: u64,
    /// When that began.
    pub longest_at_ns: u64,
    /// The part of the integral in which a move would have paid, in CPU-ns.
    pub paying_ns: u64,
    /// That part by how far the move would have gone.
    pub paying_by_level: ByLevel,
}

/// The waste in a window, and when there was some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wasted {
    /// The sums.
    pub waste: Waste,
    /// The times in which at least one CPU was idle beside a waiting task, in order.
    pub stretches: Vec<Range<u64>>,
    /// `min(idle CPUs, waiting tasks)` from each of these instants on, in order.
    pub steps: Vec<(u64, u32)>,
}

impl Wasted {
    /// The first time from `from_ns` on that is followed by `quiet_ns` in which no CPU was idle beside a
    /// waiting task for longer than `ignore_ns` at a stretch. A wakeup takes a moment, so an
    /// `ignore_ns` of 0 hardly ever finds any. `None` if `end_ns` comes first.
    pub fn settled(&self, settle: &Settle, end_ns: u64) -> Option<u64> {
        let mut since_ns = settle.from_ns;
        for stretch in &self.stretches {
            let seen = stretch.start.max(settle.from_ns)..stretch.end;
            if seen.start >= since_ns.saturating_add(settle.quiet_ns) {
                break;
            }
            if seen.end.saturating_sub(seen.start) > settle.ignore_ns {
                since_ns = seen.end;
            }
        }
        (since_ns.saturating_add(settle.quiet_ns) <= end_ns).then_some(since_ns)
    }
}

/// When a load counts as spread; see [`Wasted::settled`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settle {
    /// Look from this time on.
    pub from_ns: u64,
    /// How long it has to last.
    pub quiet_ns: u64,
    /// Shorter stretches do not disturb it.
    pub ignore_ns: u64,
}

/// What changes at an instant. What ends comes before what begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Busy(u32),
    Ran(usize),
    Idle(u32),
    Waits(usize),
    Moved(usize, u32),
}

/// Find the waste in `window`. Only tasks that `takes` says count are seen as waiting; `price_ns` is
/// the price of a move from one CPU to another.
pub fn find(
    line: &Timeline,
    machine: &Machine,
    price_ns: &dyn Fn(u32, u32) -> u64,
    window: &Range<u64>,
    takes: impl Fn(TaskId) -> bool,
) -> Wasted {
    let mut sweep = Sweep::new(line, Prices::of(machine, price_ns), window.clone());
    for (at_ns, change) in changes(line, machine, takes) {
        sweep.advance(at_ns);
        sweep.apply(change);
    }
    sweep.advance(window.end);
    sweep.finish()
}

/// All changes in the order of time.
fn changes(
    line: &Timeline,
    machine: &Machine,
    takes: impl Fn(TaskId) -> bool,
) -> Vec<(u64, Change)> {
    let mut changes = Vec::new();
    let idle = line.runs.iter().filter(|run| run.task.is_none() && machine.has(run.cpu));
    for run in idle.filter(|run| run.from_ns < run.to_ns) {
        changes.push((run.from_ns, Change::Idle(run.cpu)));
        changes.push((run.to_ns, Change::Busy(run.cpu)));
    }
    for (position, wait) in line.waits.iter().enumerate().filter(|(_, wait)| takes(wait.task)) {
        if wait.from_ns < wait.to_ns {
            changes.push((wait.from_ns, Change::Waits(position)));
            changes.push((wait.to_ns, Change::Ran(position)));
        }
    }
    for moved in &line.moves {
        if let Some(wait) = moved.wait {
            changes.push((moved.at_ns, Change::Moved(wait, moved.to)));
        }
    }
    changes.sort_unstable();
    changes
}

/// The price and the distance of each pair of CPUs.
struct Prices {
    cpus: u32,
    pairs: Vec<(u64, Level)>,
}

impl Prices {
    fn of(machine: &Machine, price_ns: &dyn Fn(u32, u32) -> u64) -> Self {
        let cpus = machine.cpus();
        let pairs = (0..cpus).flat_map(|from| (0..cpus).map(move |to| (from, to)));
        let pairs = pairs.map(|(from, to)| (price_ns(from, to), machine.level(from, to)));
        Self { cpus, pairs: pairs.collect() }
    }

    /// Nothing pays between CPUs that the machine does not have.
    fn between(&self, from: u32, to: u32) -> (u64, Level) {
        let position = (from < self.cpus).then_some((from * self.cpus + to) as usize);
        let known = position.and_then(|position| self.pairs.get(position));
        known.copied().unwrap_or((u64::MAX, Level::Node))
    }
}

/// A task that waits now.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    wait: usize,
    cpu: u32,
    ends_ns: u64,
}

struct Sweep<'a> {
    line: &'a Timeline,
    prices: Prices,
    window: Range<u64>,
    now_ns: u64,
    idle: Vec<u32>,
    /// Longest rest first.
    waiting: Vec<Waiting>,
    found: Wasted,
    /// Since when a CPU has been idle beside a waiting task.
    stretch_since_ns: Option<u64>,
}

impl<'a> Sweep<'a> {
    fn new(line: &'a Timeline, prices: Prices, window: Range<u64>) -> Self {
        Self {
            line,
            prices,
            window,
            now_ns: 0,
            idle: Vec::new(),
            waiting: Vec::new(),
            found: Wasted::default(),
            stretch_since_ns: None,
        }
    }

    /// Nothing changes until `to_ns`: add that up.
    fn advance(&mut self, to_ns: u64) {
        let from_ns = self.now_ns.max(self.window.start);
        self.now_ns = to_ns;
        let to_ns = to_ns.min(self.window.end);
        if from_ns >= to_ns {
            return;
        }
        let wasted = self.idle.len().min(self.waiting.len()) as u32;
        if self.found.steps.last().is_none_or(|(_, before)| *before != wasted) {
            self.found.steps.push((from_ns, wasted));
        }
        if wasted == 0 {
            self.end_stretch(from_ns);
            return;
        }
        self.stretch_since_ns.get_or_insert(from_ns);
        self.found.waste.total_ns += u64::from(wasted) * (to_ns - from_ns);
        self.add_paying(from_ns, to_ns);
    }

    fn end_stretch(&mut self, at_ns: u64) {
        let Some(since_ns) = self.stretch_since_ns.take() else { return };
        self.found.stretches.push(since_ns..at_ns);
        if at_ns - since_ns > self.found.waste.longest_ns {
            self.found.waste.longest_ns = at_ns - since_ns;
            self.found.waste.longest_at_ns = since_ns;
        }
    }

    /// Match waiting tasks and idle CPUs; the module's page says how.
    fn add_paying(&mut self, from_ns: u64, to_ns: u64) {
        let mut idle = self.idle.clone();
        let mut waiting = self.waiting.clone();
        for level in LEVELS {
            waiting.retain(|task| {
                let near = idle.iter().enumerate().filter_map(|(at, &cpu)| {
                    let (price_ns, far) = self.prices.between(task.cpu, cpu);
                    (far == level).then_some((price_ns, cpu, at))
                });
                let Some((price_ns, _, at)) = near.min() else { return true };
                let pays_until_ns = task.ends_ns.saturating_sub(price_ns).min(to_ns);
                if pays_until_ns <= from_ns {
                    return true;
                }
                idle.swap_remove(at);
                self.found.waste.paying_ns += pays_until_ns - from_ns;
                *self.found.waste.paying_by_level.at(level) += pays_until_ns - from_ns;
                false
            });
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Idle(cpu) => self.idle.push(cpu),
            Change::Busy(cpu) => self.idle.retain(|idle| *idle != cpu),
            Change::Waits(wait) => {
                let at = self.line.waits[wait];
                let task = Waiting { wait, cpu: at.cpu, ends_ns: at.to_ns };
                let place = self.waiting.partition_point(|other| other.ends_ns >= task.ends_ns);
                self.waiting.insert(place, task);
            }
            Change::Ran(wait) => self.waiting.retain(|task| task.wait != wait),
            Change::Moved(wait, cpu) => {
                // Moves of tasks that do not count find nobody.
                if let Some(task) = self.waiting.iter_mut().find(|task| task.wait == wait) {
                    task.cpu = cpu;
                }
            }
        }
    }

    fn finish(mut self) -> Wasted {
        self.end_stretch(self.window.end);
        self.found
    }
}
