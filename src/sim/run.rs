// SPDX-License-Identifier: GPL-2.0-only
//! One simulation from its settings to its result.

use super::audit::{Audit, Finding};
use super::engine::{Counts, Engine};
use super::load::Load;
use super::machine::Machine;
use super::object::Object;
use super::timing::Timing;
use super::toll::{self, View};
use super::worker::Workers;
use crate::policy::Policy;
use crate::topology::{Level, Topology};
use anyhow::Result;
use serde::Serialize;
use toll_bench::lab::costs::Costs;
use toll_bench::lab::figures::Found;

/// Share of the decisions that are recorded and decided again on a machine of up to so many CPUs;
/// on larger ones it falls in proportion.
const ALL_RECORDED_CPUS: u64 = 16;

/// What a simulation is made of, besides its load.
pub struct Settings<'a> {
    /// The machine.
    pub topo: &'a Topology,
    /// scx_toll's policy; none for another scheduler.
    pub policy: Option<&'a Policy>,
    /// What moves cost there.
    pub costs: Costs,
    /// How long the kernel's doings take.
    pub timing: Timing,
    /// Seed of what falls on one instant.
    pub seed: u64,
}

/// What scx_toll counted itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Decisions {
    /// Questions, by kind (place, push, pull).
    pub asked: [u64; 3],
    /// Moves between LLCs of a node that were made, by kind.
    pub llc_moves: [u64; 3],
    /// Moves between nodes that were made, by kind.
    pub node_moves: [u64; 3],
    /// Tasks that landed on another CPU, by level.
    pub landed: [u64; 3],
    /// Idle CPUs that ticks have woken.
    pub kicks: u64,
}

/// What a simulation found; a function of its settings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Figures, and what the tasks paid.
    #[serde(flatten)]
    pub found: Found,
    /// Of every switch: who ran where and when. Equal runs have equal hashes.
    pub hash: String,
    /// Why the kernel would have thrown the scheduler out; none if it would not have.
    pub failure: Option<String>,
    /// Invariants that did not hold, the first of each sort.
    pub findings: Vec<Finding>,
    /// How often each invariant was looked at.
    pub looks: Vec<(String, u64)>,
    /// Switches.
    pub switches: u64,
    /// Wakeups.
    pub wakeups: u64,
    /// Callbacks of the scheduler.
    pub callbacks: u64,
    /// Mean and longest wait for a CPU, ms.
    pub wait_mean_ms: f64,
    /// See above.
    pub wait_longest_ms: f64,
    /// CPU time of idle CPUs while as many tasks waited, per cent of all.
    pub wasted_pct: f64,
    /// The part of it beside a queue that paid, by samples, per cent of all CPU time.
    pub wasted_paying_pct: f64,
    /// Tasks that changed their run queue: within an LLC, within a node, between nodes.
    pub migrations: [u64; 3],
    /// What scx_toll counted itself.
    pub decisions: Option<Decisions>,
}

impl Outcome {
    /// True if the scheduler stayed, and all invariants held.
    pub fn is_sound(&self) -> bool {
        self.failure.is_none() && self.findings.is_empty()
    }
}

/// Run `object` under `load`; `progress` is told the simulated time now and then, and when the tasks
/// were released.
///
/// # Errors
/// When the object cannot be driven, or refuses the machine.
pub fn run<'a>(
    settings: &Settings<'a>,
    object: Object,
    name: &str,
    load: Box<dyn Load + 'a>,
    progress: impl FnMut(u64, Option<u64>),
) -> Result<Outcome> {
    let Settings { topo, policy, costs, timing, seed } = *settings;
    let machine = Machine::new(topo);
    let workers = Workers::new(costs, machine.nr_llcs());
    if let Some(policy) = policy {
        let cpus = topo.cpus.len() as u64;
        let rate = u64::from(u32::MAX) * ALL_RECORDED_CPUS / cpus.max(ALL_RECORDED_CPUS);
        toll::prepare(&object, topo, policy, rate as u32)?;
    }
    let mut engine = Engine::new(object, machine, timing, workers, load, seed)?;
    engine.set_audit(Audit::new(topo, policy.cloned(), timing));
    let ended = engine.run(progress)?;
    let elapsed = ended.until.saturating_sub(ended.released);
    let Counts { switches, wakeups, callbacks, wasted_ns, longest_wait_ns, wait_ns } = ended.counts;
    let capacity = (topo.cpus.len() as u64 * elapsed).max(1) as f64;
    let audit = engine.audit();
    Ok(Outcome {
        found: Found {
            scenario: name.into(),
            figures: engine.figures(elapsed),
            paid: engine.staff_view().all_paid(),
            from_ns: ended.released,
            until_ns: ended.until,
        },
        hash: format!("{:016x}", ended.hash),
        failure: ended.failure,
        findings: audit.findings(),
        looks: audit.looks(),
        switches,
        wakeups,
        callbacks,
        wait_mean_ms: wait_ns as f64 / switches.max(1) as f64 / 1e6,
        wait_longest_ms: longest_wait_ns as f64 / 1e6,
        wasted_pct: 100.0 * wasted_ns as f64 / capacity,
        wasted_paying_pct: 100.0 * audit.paying_ns() as f64 / capacity,
        migrations: ended.migrations,
        decisions: View::new(engine.object()).map(|view| decisions(&view)),
    })
}

fn decisions(view: &View) -> Decisions {
    let mut sum = Decisions::default();
    const APPLIED: [usize; 2] = [0, 1];
    for cpu in view.cpus {
        for kind in 0..3 {
            sum.asked[kind] += cpu.asked[kind].iter().sum::<u64>();
            for verdict in APPLIED {
                sum.llc_moves[kind] += cpu.verdicts[kind][Level::Llc.index()][verdict];
                sum.node_moves[kind] += cpu.verdicts[kind][Level::Node.index()][verdict];
            }
        }
        for kind in &cpu.landed {
            sum.landed.iter_mut().zip(kind).for_each(|(sum, landed)| *sum += landed);
        }
        sum.kicks += cpu.nr_kicks;
    }
    sum
}
