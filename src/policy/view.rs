// SPDX-License-Identifier: GPL-2.0-only
//! The policy in force as people and programs read it: units in the names,
//! origins beside the numbers. `scx_toll get` prints it.

use super::Policy;
use crate::model::decide::Migrate;
use crate::model::learn::LearnedHop;
use crate::model::learn::refill::LearnedRefill;
use crate::model::penalty::Cell;
use crate::topology::{Level, Topology};
use crate::units::Ns;
use serde::{Deserialize, Serialize};

/// A number and where it comes from: default, given, measured or learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sourced {
    /// The number, in the unit of the field's name.
    pub value: f64,
    /// Its origin.
    pub from: String,
}

impl Sourced {
    fn new<T: Copy>(cell: &Cell<T>, unit: impl Fn(T) -> f64) -> Sourced {
        Sourced { value: unit(cell.value), from: cell.from.to_string() }
    }
}

/// What a number that was learned rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LearnedView {
    /// The number that it began with.
    pub base_us: f64,
    /// Moves that were timed.
    pub samples: u64,
    /// `(median − p10) / p10` of the moves behind the last step.
    pub spread: f64,
    /// When the last step was made, UTC.
    pub date: String,
}

impl LearnedView {
    fn new(learned: &LearnedHop) -> LearnedView {
        let LearnedHop { base, samples, spread, date, .. } = learned.clone();
        LearnedView { base_us: base.as_us(), samples, spread, date }
    }
}

/// What a refill factor that was learned rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RefillLearnedView {
    /// The factor that it began with.
    pub base: f64,
    /// Moves that were watched.
    pub samples: u64,
    /// `(p90 − p10) / median` of the moves behind the last step.
    pub spread: f64,
    /// When the last step was made, UTC.
    pub date: String,
}

impl RefillLearnedView {
    fn new(learned: &LearnedRefill) -> RefillLearnedView {
        let LearnedRefill { base, samples, spread, date, .. } = learned.clone();
        RefillLearnedView { base: base.as_f64(), samples, spread, date }
    }
}

/// What a move across one level takes, and the gate before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LevelView {
    /// "core", "llc" or "node".
    pub level: String,
    /// Fixed cost of the class; single pairs may have their own.
    pub hop_us: Sourced,
    /// What was learned about it, if anything was.
    pub learned: Option<LearnedView>,
    /// Factor on the time to load warm lines again, as given or learned.
    pub refill: Sourced,
    /// What was learned about it, if anything was.
    pub refill_learned: Option<RefillLearnedView>,
    /// The factor in force: a farther level is never cheaper than a nearer one.
    pub refill_in_force: f64,
    /// Gain above which an imbalance counts.
    pub open_us: f64,
    /// Gain below which it is forgotten.
    pub close_us: f64,
    /// How long it must have lasted.
    pub hold_us: f64,
}

/// How cache lines become warm and fade.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WarmthView {
    /// Share of run time that loads cache lines.
    pub fill_pct: Sourced,
    /// Time to load one KiB at factor 1.0.
    pub ns_per_kib: Sourced,
    /// Busy time of others after which 1/e is left.
    pub wear_ms: Sourced,
}

/// The whole policy in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyView {
    /// Counts the policies since the start, from 1.
    pub version: u64,
    /// Length of one turn.
    pub slice_us: f64,
    /// What decides about a move, as `--migrate` takes it.
    pub migrate: String,
    /// Wait after which a task is moved whatever it costs.
    pub age_us: f64,
    /// Most turns that a gain counts.
    pub max_turns: u32,
    /// What all pay for each nanosecond that the mover pays.
    pub others_pay: Sourced,
    /// Where the penalty table comes from: "default", "measure" or a file.
    pub penalty: String,
    /// "on" when it is refined by what moves take.
    pub learn: String,
    /// By level, nearest first.
    pub levels: Vec<LevelView>,
    /// How cache lines become warm and fade.
    pub warmth: WarmthView,
    /// Node of each LLC.
    pub llc_node: Vec<u32>,
    /// Fixed cost in force by LLC, from and to.
    pub hop_us: Vec<Vec<f64>>,
    /// Extra run time in force by node, of the memory and of the CPU.
    pub remote_pct: Vec<Vec<f64>>,
    /// What was changed against the table, and why.
    pub notes: Vec<String>,
}

/// `migrate` as the flag takes it.
pub fn migrate_text(migrate: Migrate, fixed: Ns) -> String {
    match migrate {
        Migrate::Toll => "toll".into(),
        Migrate::Always => "always".into(),
        Migrate::Never => "never".into(),
        Migrate::Fixed => format!("fixed:{}", fixed.as_us()),
    }
}

/// `--learn` as the flag takes it.
pub fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

impl PolicyView {
    /// The view of `policy`, in force as `version` on `topo`.
    pub fn new(policy: &Policy, topo: &Topology, version: u64) -> PolicyView {
        let table = &policy.table;
        let warmth = &table.warmth;
        let us = |ns: Ns| ns.as_us();
        let default = || "default".to_string();
        PolicyView {
            version,
            slice_us: us(policy.slice),
            migrate: migrate_text(policy.migrate, policy.fixed),
            age_us: us(policy.age),
            max_turns: policy.max_turns,
            others_pay: Sourced {
                value: policy.matrix.price.as_f64(),
                from: table.others_pay.from.to_string(),
            },
            penalty: policy.source.clone(),
            learn: on_off(policy.learn).into(),
            levels: Level::ALL.iter().map(|&level| level_view(policy, level)).collect(),
            warmth: WarmthView {
                fill_pct: Sourced::new(&warmth.fill_share, |share| share.as_f64() * 100.0),
                ns_per_kib: Sourced::new(&warmth.ns_per_kib, f64::from),
                wear_ms: Sourced {
                    value: policy.decay.tau.as_ms(),
                    from: warmth.wear.map_or_else(default, |wear| wear.from.to_string()),
                },
            },
            llc_node: topo.llcs.iter().map(|llc| llc.node.0).collect(),
            hop_us: rows(&policy.matrix.hop, |hop| hop.as_us()),
            remote_pct: rows(&policy.matrix.remote, |rate| f64::from(rate.get()) / 10.0),
            notes: policy.matrix.notes.clone(),
        }
    }
}

fn level_view(policy: &Policy, level: Level) -> LevelView {
    let class = policy.table.class(level);
    let gate = policy.hysteresis[level.index()];
    LevelView {
        level: level.name().into(),
        hop_us: Sourced::new(&class.hop, Ns::as_us),
        learned: policy.learned.hops[level.index()].as_ref().map(LearnedView::new),
        refill: Sourced::new(&class.refill, |factor| factor.as_f64()),
        refill_learned: policy.learned.refills[level.index()].as_ref().map(RefillLearnedView::new),
        refill_in_force: policy.matrix.refill[level.index()].as_f64(),
        open_us: gate.open.as_us(),
        close_us: gate.close.as_us(),
        hold_us: gate.hold.as_us(),
    }
}

fn rows<T>(matrix: &[Vec<T>], unit: impl Fn(&T) -> f64) -> Vec<Vec<f64>> {
    matrix.iter().map(|row| row.iter().map(&unit).collect()).collect()
}
