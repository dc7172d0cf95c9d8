// SPDX-License-Identifier: GPL-2.0-only
//! What stands in a table for everything that was not measured.

use super::coherence::Coherence;
use super::machine::Machine;
use super::plan::Distance;
use super::table::{self, Cell, FixedRow, HandoffRow, MemoryRow, RefillRow, Table};
use super::{Options, refill, utc};
use crate::topology::Topology;
use std::time::SystemTime;

/// Built-in figures by distance, from published measurements of two-socket servers: ns per line
/// (hand-off and refill) and ns per move. `same` has no hand-off.
pub struct Defaults;

impl Defaults {
    /// One cache line.
    pub const fn handoff_ns(distance: Distance) -> f64 {
        match distance {
            Distance::Same => 0.0,
            Distance::Sibling => 10.0,
            Distance::Core => 21.0,
            Distance::Llc => 100.0,
            Distance::Node => 150.0,
        }
    }

    /// 128 KiB in 14 µs within an LLC and in 170 µs across LLCs; 1.6 times that across nodes.
    pub const fn refill_ns(distance: Distance) -> f64 {
        match distance {
            Distance::Same | Distance::Sibling => 0.0,
            Distance::Core => 6.8,
            Distance::Llc => 83.0,
            Distance::Node => 133.0,
        }
    }

    /// A move without a working set: the hops of the built-in table of costs.
    pub const fn fixed_ns(distance: Distance) -> f64 {
        match distance {
            Distance::Same | Distance::Sibling | Distance::Core => 2_000.0,
            Distance::Llc => 10_000.0,
            Distance::Node => 25_000.0,
        }
    }

    /// 81 ns near, 140 ns far.
    pub const fn latency_ns(near: bool) -> f64 {
        if near { 81.0 } else { 140.0 }
    }

    /// One thread's stream; a guess.
    pub const fn mib_per_s(near: bool) -> f64 {
        if near { 12_000.0 } else { 8_000.0 }
    }
}

/// The table of `topo` with nothing but defaults: each place that a table can tell of.
pub fn defaults(topo: &Topology, options: Options) -> Table {
    let largest = topo.llcs.iter().map(|llc| llc.cache_kib).max().unwrap_or(0);
    let sizes = refill::sizes_kib(largest);
    let refill_row = |distance, kib| RefillRow {
        distance,
        kib,
        ns_per_line: Cell::default_value(Defaults::refill_ns(distance)),
    };
    let nodes = 0..topo.nodes.len() as u32;
    let memory_row = |memory: u32, cpu: u32| MemoryRow {
        memory,
        cpu,
        latency_ns: Cell::default_value(Defaults::latency_ns(memory == cpu)),
        mib_per_s: Cell::default_value(Defaults::mib_per_s(memory == cpu)),
    };
    let has_cpus = |cpu: &u32| topo.nodes.get(*cpu as usize).is_some_and(|n| !n.llcs.is_empty());
    Table {
        version: table::VERSION,
        date: utc(SystemTime::now()),
        wall_ms: 0,
        thorough: options.thorough,
        meaningless: None,
        notes: Vec::new(),
        machine: Machine::here(topo),
        coherence: Coherence::unknown("cannot tell: nothing was measured"),
        handoff: Distance::APART.map(default_handoff).into(),
        pair: Vec::new(),
        refill: Distance::ALL
            .into_iter()
            .flat_map(|distance| sizes.iter().map(move |kib| refill_row(distance, *kib)))
            .collect(),
        memory: nodes
            .clone()
            .flat_map(|m| nodes.clone().filter(has_cpus).map(move |c| memory_row(m, c)))
            .collect(),
        fixed: Distance::APART
            .into_iter()
            .map(|distance| FixedRow {
                distance,
                ns: Cell::default_value(Defaults::fixed_ns(distance)),
            })
            .collect(),
    }
}

fn default_handoff(distance: Distance) -> HandoffRow {
    let cell = || Cell::default_value(Defaults::handoff_ns(distance));
    HandoffRow { distance, handoff: cell(), read: cell(), modified: cell() }
}
