// SPDX-License-Identifier: GPL-2.0-only
//! All figures of a window in one value.

use std::ops::Range;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::machine::{ByLevel, Machine};
use super::moves;
use super::timeline::{Choice, TaskId, Timeline};
use super::waits::{self, Waits};
use super::waste::{self, Settle, Waste};

/// What to count.
pub struct Options<'a> {
    /// The window, in ns of the trace's clock: [start, end).
    pub window: Range<u64>,
    /// Which tasks count.
    pub choice: Choice,
    /// Waits are told apart by these beginnings of names; if there is none, all are told together.
    pub wait_prefixes: Vec<String>,
    /// The price of a move from one CPU to another, in ns.
    pub price_ns: &'a dyn Fn(u32, u32) -> u64,
    /// When the load counts as spread, if that is asked.
    pub settle: Option<Settle>,
}

/// Events of some tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Switches to one of them; of all tasks, every switch of a CPU, to the idle task too.
    pub switches: u64,
    /// Times one became runnable, births included.
    pub wakeups: u64,
    /// Births among them.
    pub births: u64,
    /// Times one got another CPU while it did not run, by how far. A birth is none.
    pub moves: ByLevel,
}

/// What happened in a window of a trace. Times are in ns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// When the window began, by the trace's clock.
    pub start_ns: u64,
    /// Its length.
    pub length_ns: u64,
    /// Nothing is missing: no event was lost, and it is known what every CPU did. If false, no figure
    /// here may be quoted.
    pub complete: bool,
    /// Events that the kernel could not keep, anywhere in the trace.
    pub lost_events: u64,
    /// CPUs of which nothing is known; they count as busy.
    pub unknown_cpus: u64,
    /// Events, anywhere in the trace, that contradicted those before.
    pub repairs: u64,
    /// Everything on the machine.
    pub all: Counts,
    /// The tasks that were chosen.
    pub chosen: Counts,
    /// Moves of chosen tasks that were taken back before they can have paid for themselves.
    pub ping_pong: u64,
    /// How long each CPU was idle.
    pub idle_ns_by_cpu: Vec<u64>,
    /// Idle CPUs beside chosen tasks that waited.
    pub waste: Waste,
    /// How long after [`Settle::from_ns`] the load was spread; `None` if never, or if not asked.
    pub settled_after_ns: Option<u64>,
    /// How long chosen tasks waited, by the beginnings of their names.
    pub waits: Vec<Waits>,
}

impl Summary {
    /// How long all CPUs together were idle.
    pub fn idle_ns(&self) -> u64 {
        self.idle_ns_by_cpu.iter().sum()
    }
}

impl Timeline {
    /// Count in a window.
    pub fn summary(&self, machine: &Machine, options: &Options) -> Result<Summary> {
        let window = &options.window;
        if window.start >= window.end || window.start < self.start_ns || window.end > self.end_ns {
            bail!(
                "the window from {} to {} ns is not a part of the trace, which goes from {} to {} ns",
                window.start,
                window.end,
                self.start_ns,
                self.end_ns
            );
        }
        if let Some(run) = self.runs.iter().find(|run| !machine.has(run.cpu)) {
            bail!("the trace has a CPU {}, the machine has {} CPUs", run.cpu, machine.cpus());
        }
        let chosen = self.chosen(&options.choice);
        let takes = |task: TaskId| chosen[task];
        let wasted = waste::find(self, machine, options.price_ns, window, takes);
        let settled = options.settle.and_then(|settle| {
            let at_ns = wasted.settled(&settle, window.end)?;
            Some(at_ns - settle.from_ns)
        });
        let unknown_cpus = self.unknown_cpus(machine);
        let everything = vec![String::new()];
        let prefixes = match options.wait_prefixes.is_empty() {
            true => &everything,
            false => &options.wait_prefixes,
        };
        Ok(Summary {
            start_ns: window.start,
            length_ns: window.end - window.start,
            complete: self.lost == 0 && unknown_cpus == 0,
            lost_events: self.lost,
            unknown_cpus,
            repairs: self.repairs,
            all: self.counts(machine, window, |_| true, true),
            chosen: self.counts(machine, window, takes, false),
            ping_pong: moves::ping_pong(self, machine, options.price_ns, window, takes),
            idle_ns_by_cpu: self.idle_by_cpu(machine, window),
            waste: wasted.waste,
            settled_after_ns: settled,
            waits: waits::by_prefix(self, prefixes, window, takes),
        })
    }

    fn counts(
        &self,
        machine: &Machine,
        window: &Range<u64>,
        takes: impl Fn(TaskId) -> bool,
        idle: bool,
    ) -> Counts {
        let switched = self.runs.iter().filter(|run| {
            run.switched && window.contains(&run.from_ns) && run.task.map_or(idle, &takes)
        });
        let woken =
            self.wakeups.iter().filter(|w| window.contains(&w.at_ns) && takes(w.task)).copied();
        Counts {
            switches: switched.count() as u64,
            wakeups: woken.clone().count() as u64,
            births: woken.filter(|wakeup| wakeup.new).count() as u64,
            moves: moves::by_level(self, machine, window, takes),
        }
    }

    fn idle_by_cpu(&self, machine: &Machine, window: &Range<u64>) -> Vec<u64> {
        let mut idle_ns = vec![0; machine.cpus() as usize];
        for run in self.runs.iter().filter(|run| run.task.is_none()) {
            let (from, to) = (run.from_ns.max(window.start), run.to_ns.min(window.end));
            idle_ns[run.cpu as usize] += to.saturating_sub(from);
        }
        idle_ns
    }

    fn unknown_cpus(&self, machine: &Machine) -> u64 {
        let mut known = vec![false; machine.cpus() as usize];
        self.runs.iter().for_each(|run| known[run.cpu as usize] = true);
        known.iter().filter(|known| !**known).count() as u64
    }
}
