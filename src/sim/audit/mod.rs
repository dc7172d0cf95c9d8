// SPDX-License-Identifier: GPL-2.0-only
//! What has to hold at any time, looked at in every run.
//!
//! | invariant | looked at |
//! |---|---|
//! | [`PAYS`]: no queue whose first tasks it would pay to fetch lies beside idle CPUs for longer than a bound | now and then ([`paying`]) |
//! | [`AGE`]: no task waits beyond the age bound beside an idle CPU that it may use | now and then |
//! | [`REACH`]: whoever waits in an LLC's queue may use a CPU there | now and then |
//! | [`RULE`]: each recorded decision follows from its numbers, by the rule in Rust | at each record |
//! | [`SWING`]: hardly a task goes to an LLC of another node, back, and there again within the hold time by moves that a gate had to let pass | at each turn |
//! | [`BOOKS`]: the scheduler's counters are what really waits, runs, idles, and was used | now and then ([`books`]) |
//! | [`FAIR`]: who is never asleep in an LLC gets as much as the others there | every half second ([`fair`]) |
//!
//! Another scheduler is looked at by the kernel's watchdog only: it has promised nothing else.

mod books;
mod fair;
mod paying;

use super::object::Object;
use super::timing::Timing;
use super::toll::{View, dsq_of_llc};
use super::world::{State, TaskId, World};
use crate::analysis::replay::Replay;
use crate::events::{self, Event};
use crate::model::decide::Migrate;
use crate::policy::Policy;
use crate::topology::{Level, Topology};
use fair::Fairness;
use paying::Paying;
use serde::Serialize;
use std::collections::BTreeMap;

/// See the module.
pub const PAYS: &str = "no CPU idles beside a queue that pays";
/// See the module.
pub const AGE: &str = "no task waits beyond the age bound beside an idle CPU";
/// See the module.
pub const REACH: &str = "whoever waits in an LLC's queue may use a CPU there";
/// See the module.
pub const RULE: &str = "each decision follows from its numbers";
/// See the module.
pub const SWING: &str = "hardly a task swings between nodes within the hold time";
/// See the module.
pub const BOOKS: &str = "the scheduler's counters are what really happened";
/// See the module.
pub const FAIR: &str = "who never sleeps in an LLC gets as much as the others there";

/// Ticks within which an idle CPU has fetched something from a queue that has come to pay: one until an
/// LLC looks outward again, one more since another CPU may have been faster, and one for what happens
/// between.
const TICKS_TO_NOTICE: u64 = 3;
/// One move in so many may be the third of a swing, and a few besides. None would be better, but it does
/// happen now and then on machines of many nodes: chosen when that was known. The gate of each direction
/// is asked by itself, so for a while both may remember an imbalance that has turned round since.
const SWINGS_IN: u64 = 200;
const SWINGS_SLIP: u64 = 2;
/// CPUs per ms between two looks: large machines are looked at less often.
const CPUS_PER_MS: u64 = 64;

/// What did not hold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The invariant.
    pub invariant: String,
    /// When that was found first, ns.
    pub at_ns: u64,
    /// What was found then.
    pub what: String,
    /// How often it was found.
    pub count: u64,
}

/// What looks on.
#[derive(Default)]
pub struct Audit {
    watch: Option<Watch>,
    released: Option<u64>,
    looks: BTreeMap<&'static str, u64>,
    findings: BTreeMap<&'static str, Finding>,
    now: u64,
    looked_at: u64,
}

/// An LLC where a task came.
#[derive(Clone, Copy)]
struct Stop {
    at: u64,
    llc: usize,
    /// It came by a decision that a gate had to let pass.
    held: bool,
}

/// What looking on remembers.
struct Watch {
    policy: Option<Policy>,
    nodes: Vec<usize>,
    every_ns: u64,
    notice_ns: u64,
    hold_ns: u64,
    paying: Paying,
    fairness: Fairness,
    replay: Replay,
    replayed: u64,
    /// The last LLCs of each task, and since when.
    paths: Vec<Vec<Stop>>,
    wakeups: u64,
    /// Moves that a gate had to let pass, and how many of them were the third of a swing.
    crossings: u64,
    swings: u64,
    /// Since when tasks have waited for too long beside idle CPUs, and how many had been moved by then.
    neglect: Option<(u64, u64)>,
}

impl Audit {
    /// For a run of `policy` (none: another scheduler) on `topo`.
    pub fn new(topo: &Topology, policy: Option<Policy>, timing: Timing) -> Audit {
        let hold_ns = policy.as_ref().map_or(0, |p| p.hysteresis[Level::Node.index()].hold.get());
        let cpus = topo.cpus.len() as u64;
        let slice_ns = policy.as_ref().map_or(20_000_000, |p| p.slice.get());
        let watch = Watch {
            nodes: topo.llcs.iter().map(|llc| llc.node.index()).collect(),
            every_ns: 1_000_000 * (cpus / CPUS_PER_MS).max(1),
            notice_ns: TICKS_TO_NOTICE * timing.tick_ns + hold_ns,
            hold_ns,
            paying: Paying::new(topo),
            fairness: Fairness::new(slice_ns + timing.tick_ns),
            replay: Replay::new(None, 1),
            replayed: 0,
            paths: Vec::new(),
            wakeups: 0,
            crossings: 0,
            swings: 0,
            neglect: None,
            policy,
        };
        Audit { watch: Some(watch), ..Audit::default() }
    }

    /// What did not hold, by invariant.
    pub fn findings(&self) -> Vec<Finding> {
        self.findings.values().cloned().collect()
    }

    /// How often each invariant was looked at.
    pub fn looks(&self) -> Vec<(String, u64)> {
        self.looks.iter().map(|(&name, &looks)| (name.into(), looks)).collect()
    }

    /// CPU time that idled beside queues that paid, by samples.
    pub fn paying_ns(&self) -> u64 {
        self.watch.as_ref().map_or(0, |watch| watch.paying.wasted_ns)
    }

    fn look_at(&mut self, invariant: &'static str, found: Result<(), String>) {
        *self.looks.entry(invariant).or_default() += 1;
        if let Err(what) = found {
            let at_ns = self.now;
            let new = Finding { invariant: invariant.into(), at_ns, what, count: 0 };
            self.findings.entry(invariant).or_insert(new).count += 1;
        }
    }

    /// The load begins.
    pub fn released(&mut self, now: u64) {
        self.released = Some(now);
    }

    /// A task woke up.
    pub fn wakes(&mut self, task: TaskId) {
        if let Some(watch) = &mut self.watch {
            watch.wakeups += 1;
            watch.fairness.woke(task);
        }
    }

    /// `task` begins to run in `llc`; `penalty` tells P of the decision that brought it there, if one did.
    pub fn runs(
        &mut self,
        task: TaskId,
        llc: usize,
        penalty: impl FnOnce() -> Option<i64>,
        now: u64,
    ) {
        self.now = now;
        let Some(watch) = &mut self.watch else { return };
        watch.fairness.runs(task, llc);
        let at = task as usize;
        if watch.paths.len() <= at {
            watch.paths.resize(at + 1, Vec::new());
        }
        let path = &mut watch.paths[at];
        if path.last().is_some_and(|stop| stop.llc == llc) {
            return;
        }
        // Whoever goes back to its memory or its warm lines need not wait for a gate.
        path.push(Stop { at: now, llc, held: penalty().is_some_and(|penalty| penalty >= 0) });
        if path.len() > 3 {
            path.remove(0);
        }
        let nodes = &watch.nodes;
        let swings = match path[..] {
            [first, back, again] => {
                first.llc == again.llc
                    && nodes[first.llc] != nodes[back.llc]
                    && first.held
                    && back.held
                    && again.held
                    && now - first.at < watch.hold_ns
            }
            _ => false,
        };
        watch.crossings += u64::from(path.last().is_some_and(|stop| stop.held));
        watch.swings += u64::from(swings);
    }

    /// Look at everything, unless that was done a moment ago.
    pub fn look(&mut self, world: &World, object: &Object) {
        self.now = world.now;
        let Some(mut watch) = self.watch.take() else { return };
        let due = world.now - self.looked_at >= watch.every_ns;
        if due && self.released.is_some() {
            let span = world.now - self.looked_at;
            self.look_at(AGE, watch.age(world));
            self.look_at(SWING, watch.swings());
            if let (Some(view), Some(policy)) = (View::new(object), &watch.policy) {
                self.look_at(REACH, reach(world, watch.nodes.len()));
                let found = watch.paying.look(world, &view, policy, watch.notice_ns, span);
                self.look_at(PAYS, found);
                self.look_at(BOOKS, books::check(world, &view, watch.wakeups));
                if let Some(found) = watch.fairness.look(world) {
                    self.look_at(FAIR, found);
                }
            }
        }
        if due {
            self.looked_at = world.now;
        }
        self.watch = Some(watch);
    }

    /// What the scheduler has recorded since.
    pub fn records(&mut self, records: &[Vec<u8>]) {
        let Some(mut watch) = self.watch.take() else { return };
        for record in records {
            let found = match events::decode(record) {
                Some(Event::Decision(decision)) => watch.decision(&decision),
                Some(Event::Outcome(outcome)) => {
                    watch.replay.outcome(&outcome);
                    watch.differs()
                }
                _ => Ok(()),
            };
            self.look_at(RULE, found);
        }
        self.watch = Some(watch);
    }
}

impl Watch {
    fn decision(&mut self, decision: &events::Decision) -> Result<(), String> {
        self.replay.decision(decision);
        self.differs()
    }

    fn differs(&mut self) -> Result<(), String> {
        let differences = self.replay.differences();
        if differences == self.replayed {
            return Ok(());
        }
        self.replayed = differences;
        let first = self.replay.first_difference();
        Err(first.map_or_else(String::new, |found| format!("{:?}", found.difference)))
    }

    /// Do more tasks swing than gates let slip?
    fn swings(&self) -> Result<(), String> {
        let Watch { swings, crossings, hold_ns, .. } = *self;
        match swings > SWINGS_SLIP + crossings / SWINGS_IN {
            false => Ok(()),
            true => Err(format!(
                "of {crossings} moves {swings} brought a task back within {hold_ns} ns to where it had \
                 come from"
            )),
        }
    }

    /// Is there a task that waits beyond the bound beside an idle CPU that it may use, and nothing has
    /// been moved since? A tick brings help to one task at a time.
    fn age(&mut self, world: &World) -> Result<(), String> {
        let age = match &self.policy {
            Some(policy) if policy.migrate == Migrate::Never => return Ok(()),
            Some(policy) => policy.age.get(),
            None => return Ok(()),
        };
        let moves = world.migrations[Level::Llc.index()] + world.migrations[Level::Node.index()];
        let neglected = self.neglected(world, age);
        let (since, then) = self.neglect.unwrap_or((world.now, moves));
        self.neglect = match neglected {
            None => None,
            Some(_) if moves != then => Some((world.now, moves)),
            Some(_) => Some((since, then)),
        };
        match (neglected, self.neglect) {
            (Some((task, cpu, waited)), Some((since, _))) if world.now - since > self.notice_ns => {
                let ms = waited as f64 / 1e6;
                Err(format!("task {task} has waited for {ms:.1} ms beside idle CPU {cpu}"))
            }
            _ => Ok(()),
        }
    }

    /// A task that has waited for longer than `age`, an idle CPU that it may use, and how long it waits.
    fn neglected(&self, world: &World, age: u64) -> Option<(usize, usize, u64)> {
        let idle: Vec<usize> = (0..world.cpus.len()).filter(|&cpu| is_idle(world, cpu)).collect();
        if idle.is_empty() {
            return None;
        }
        world.tasks.iter().enumerate().find_map(|(id, task)| {
            let waited = world.now - task.runnable_at.min(world.now);
            if task.state != State::Waiting || waited <= age {
                return None;
            }
            let cpu = idle.iter().copied().find(|&cpu| world.may_use(id as TaskId, cpu))?;
            Some((id, cpu, waited))
        })
    }
}

fn is_idle(world: &World, cpu: usize) -> bool {
    let state = &world.cpus[cpu];
    state.online && state.curr.is_none() && !state.need_resched
}

/// May everybody who waits in an LLC's queue use a CPU there?
fn reach(world: &World, nr_llcs: usize) -> Result<(), String> {
    for llc in 0..nr_llcs {
        let Some(dsq) = world.dsq(dsq_of_llc(llc), 0) else { continue };
        let cpus = world.machine.mask_of_llc(llc);
        for entry in world.dsqs[dsq].iter() {
            if !cpus.iter().any(|cpu| world.may_use(entry.task, cpu)) {
                let task = entry.task;
                return Err(format!("task {task} waits for LLC {llc}, of which it may use no CPU"));
            }
        }
    }
    Ok(())
}
