// SPDX-License-Identifier: GPL-2.0-only
//! The lab's workload: seeded scenarios in which being moved costs what a table says.
//!
//! Work is counted in CPU time, so scheduling decides how much gets done even where all virtual
//! CPUs take turns in one host thread; costs of moves are charged by the workload
//! ([`worker`]), so every scheduler pays the same.
//!
//! | scenario | load | figures, and their bound |
//! |---|---|---|
//! | [`open`] | Poisson arrivals, two sizes of demand | response time; one zero-cost FCFS queue |
//! | [`batch`] | unequal jobs at once | makespan; max(sum ÷ CPUs, longest) |
//! | [`hog`] | one endless task more than CPUs | useful work; least ÷ most served |
//! | [`pairs`] | producers and consumers that share data | exchanges per second |
//! | [`flood`] | 8 tasks per CPU forked from one CPU | makespan, as `batch` |
//! | [`rpc`] | short requests and replies among hogs | wakeup latency |
//! | [`phases`] | load wanders from node to node | useful work of what the active tasks could do |
//! | [`groups`] | two cgroups, weights 1:2, unequal task counts | deviation from the weighted share |
//! | [`rt`] | `open` beside a FIFO task that takes a CPU away | as `open`, with that CPU missing |
//! | [`mixed`] | some of everything | as their own scenarios |
//! | [`heavy`] | tasks with memory that lies on one node | useful work |

pub mod batch;
pub mod costs;
pub mod figures;
pub mod flood;
pub mod groups;
pub mod heavy;
pub mod hog;
pub mod ideal;
pub mod mixed;
pub mod open;
pub mod pairs;
pub mod phases;
pub mod pin;
pub mod resident;
pub mod rpc;
pub mod rt;
pub mod staff;
pub mod worker;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::cli::LabArgs;
use crate::clock::duration_ns;
use crate::rng::Rng;
use crate::topology::Topology;
use costs::Costs;
use figures::Found;
use resident::Footprint;
use worker::Ground;

/// The scenarios.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Scenario {
    /// Poisson arrivals, two sizes of demand
    Open,
    /// Unequal jobs at once
    Batch,
    /// One endless task more than CPUs
    Hog,
    /// Producers and consumers that share data
    Pairs,
    /// Eight tasks per CPU forked from one CPU
    Flood,
    /// Short requests and replies among hogs
    Rpc,
    /// Load wanders from node to node
    Phases,
    /// Two cgroups with weights 1:2 and unequal numbers of tasks
    Groups,
    /// Arrivals beside a FIFO task that takes a CPU away
    Rt,
    /// Some of everything
    Mixed,
    /// Tasks with memory that lies on one node
    Heavy,
    /// Known answers: a task pinned here, then there
    Pin,
}

impl Scenario {
    /// All that compare schedulers on any machine, in the order of the table above; [`heavy`] needs
    /// several nodes.
    pub const COMPARED: [Scenario; 10] = [
        Scenario::Open,
        Scenario::Batch,
        Scenario::Hog,
        Scenario::Pairs,
        Scenario::Flood,
        Scenario::Rpc,
        Scenario::Phases,
        Scenario::Groups,
        Scenario::Rt,
        Scenario::Mixed,
    ];

    /// As typed.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Open => "open",
            Scenario::Batch => "batch",
            Scenario::Hog => "hog",
            Scenario::Pairs => "pairs",
            Scenario::Flood => "flood",
            Scenario::Rpc => "rpc",
            Scenario::Phases => "phases",
            Scenario::Groups => "groups",
            Scenario::Rt => "rt",
            Scenario::Mixed => "mixed",
            Scenario::Heavy => "heavy",
            Scenario::Pin => "pin",
        }
    }
}

/// What all scenarios are told.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Seed of all draws.
    pub seed: u64,
    /// How long the load lasts, ns.
    pub span_ns: u64,
    /// Mean working set, KiB; they lie evenly between a quarter and seven quarters of it.
    pub set_kib: u64,
    /// Mean memory of a task whose place makes it remote, MiB. 0: the task's home is where it
    /// begins, for good; none: that, but for [`heavy`].
    pub memory_mib: Option<u64>,
    /// Load of `open`, per cent of all CPUs.
    pub load_pct: u64,
    /// The two of a pair begin in LLCs half the machine apart.
    pub apart: bool,
    /// Tasks with memory are kept to a node each, in turn.
    pub kept: bool,
}

impl Setting {
    /// Stream number `stream` of random numbers.
    pub fn rng(&self, stream: u64) -> Rng {
        Rng::stream(self.seed, stream)
    }

    /// A working set, and memory in proportion to it.
    pub fn draw_footprint(&self, rng: &mut Rng) -> Footprint {
        let set_kib = self.set_kib / 4 + rng.below(self.set_kib * 3 / 2 + 1);
        let memory_kib = self.memory_mib.unwrap_or(0) * 1024 * set_kib;
        // No working set, no memory.
        Footprint { set_kib, memory_kib: memory_kib.checked_div(self.set_kib).unwrap_or(0) }
    }
}

/// Run a scenario.
///
/// # Errors
/// When the costs cannot be read, or the scenario cannot be run here.
pub fn run(args: &LabArgs) -> Result<Found> {
    let costs = match &args.costs {
        None => Costs::FREE,
        Some(path) => {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path).with_context(|| name.clone())?;
            Costs::parse(&text, &name)?
        }
    };
    let ground = Ground::new(Topology::probe()?, costs).context("no shared memory")?;
    let setting = Setting {
        seed: args.seed,
        span_ns: duration_ns(args.seconds),
        set_kib: args.set_kib,
        memory_mib: args.memory_mib,
        load_pct: args.load,
        apart: args.apart,
        kept: args.kept,
    };
    match args.scenario {
        Scenario::Open => open::run(ground, &setting),
        Scenario::Batch => batch::run(ground, &setting),
        Scenario::Hog => hog::run(ground, &setting),
        Scenario::Pairs => pairs::run(ground, &setting),
        Scenario::Flood => flood::run(ground, &setting),
        Scenario::Rpc => rpc::run(ground, &setting),
        Scenario::Phases => phases::run(ground, &setting),
        Scenario::Groups => groups::run(ground, &setting),
        Scenario::Rt => rt::run(ground, &setting),
        Scenario::Mixed => mixed::run(ground, &setting),
        Scenario::Heavy => heavy::run(ground, &setting),
        Scenario::Pin => pin::run(ground, &setting),
    }
}
