// SPDX-License-Identifier: GPL-2.0-only
//! From the measured figures to the table of costs.
//!
//! Only figures that were measured or learned count; for each number without them the built-in
//! one stays, and says so. With lines of 64 bytes, 16 to the KiB:
//!
//! ```text
//!   hop(level)   = fixed + HOP_LINES × modified line        at most HOP_MAX
//!   hop(i, j)    the same with the pair's own line, where it was measured in both LLCs
//!   load(level)  = 16 / OVERLAP × median over the sets that fit the LLC of the extra ns per line
//!   ns_per_kib   = load(llc)                                built in where there is one LLC only
//!   refill(level)= load(level) / ns_per_kib                 so 1.0 for llc
//!   remote(m, c) = (latency(m, c) / latency(c, c) − 1) × MEMORY_SHARE
//! ```
//!
//! - `fixed` is a move by the kernel's stopper thread, dearer than one by the scheduler; the
//!   lines that follow it are its own, so [`HOP_LINES`] counts only those that the task's next
//!   wakeup meets besides.
//! - Measured loads depend on each other. Ordinary code has about [`OVERLAP`] in flight.
//! - What core means where there are siblings: another core. A sibling is cheaper still.
//! - Classes ascend with the distance: a built-in hop gives way to a measured one, and of two
//!   measured ones the nearer counts.
//! - Pairs are kept in the order of their levels: none between LLCs of a node is cheaper than the
//!   class core or dearer than the class node, and none between nodes is cheaper than that.

use crate::measure::plan::Distance;
use crate::measure::table::{Cell as Figure, Table};
use crate::model::penalty::{Cell, MEMORY_SHARE, PenaltyTable, Provenance};
use crate::topology::{Level, Topology};
use crate::units::{LlcId, NodeId, Ns, PerMille, Q10};
use std::collections::BTreeMap;

/// Modified lines that follow a task beyond those in the fixed cost: what wakes it next (its wait
/// queue, its timer, its futex). A guess.
pub const HOP_LINES: f64 = 8.0;
/// Loads in flight at once in ordinary code; streams have about twice as many.
pub const OVERLAP: f64 = 4.0;
/// Longest hop that is believed.
pub const HOP_MAX: Ns = Ns::from_ms(1);
/// Most time to load one KiB that is believed, in ns: that of the penalty file.
const NS_PER_KIB_MAX: f64 = 1e6;
const LINES_PER_KIB: f64 = 16.0;

/// The table of costs for `topo` from what was `measured` on it.
pub fn from_measured(measured: &Table, topo: &Topology) -> PenaltyTable {
    let mut table = PenaltyTable::default();
    set_hops(measured, &mut table);
    table.pairs = pair_hops(measured, &table, topo);
    set_refills(measured, topo, &mut table);
    for memory in &topo.nodes {
        for cpu in topo.nodes.iter().filter(|cpu| cpu.id != memory.id) {
            if let Some(rate) = remote(measured, memory.id, cpu.id) {
                table.remote.insert((memory.id, cpu.id), rate);
            }
        }
    }
    table
}

/// The measured distance that stands for a level.
const fn distance_of(level: Level) -> Distance {
    match level {
        Level::Core => Distance::Core,
        Level::Llc => Distance::Llc,
        Level::Node => Distance::Node,
    }
}

/// The origin of a number made of figures: learned if any of them is.
fn provenance(figures: &[&Figure]) -> Provenance {
    use crate::measure::table::Origin;
    match figures.iter().any(|figure| figure.from == Origin::Learned) {
        true => Provenance::Learned,
        false => Provenance::Measured,
    }
}

/// A hop from a fixed cost and a line, if both are known.
fn hop(fixed: &Figure, line: &Figure) -> Option<Cell<Ns>> {
    let ns = fixed.known()? + HOP_LINES * line.known()?;
    Some(Cell::new(Ns::clamped_from_f64(ns).min(HOP_MAX), provenance(&[fixed, line])))
}

fn set_hops(measured: &Table, table: &mut PenaltyTable) {
    for level in Level::ALL {
        let distance = distance_of(level);
        let figures = measured.fixed(distance).zip(measured.handoff(distance));
        if let Some(hop) = figures.and_then(|(fixed, row)| hop(fixed, &row.modified)) {
            table.class_mut(level).hop = hop;
        }
    }
    order_hops(table);
}

/// Let hops ascend with the distance. Of two that contradict each other the built-in one gives
/// way; of two that were measured the nearer one counts, as in the matrix.
fn order_hops(table: &mut PenaltyTable) {
    let is_default = |hop: Cell<Ns>| hop.from == Provenance::Default;
    for far in [Level::Llc, Level::Node] {
        let limit = table.class(far).hop;
        for near in Level::ALL.into_iter().filter(|near| *near < far) {
            let hop = &mut table.class_mut(near).hop;
            if is_default(*hop) && !is_default(limit) {
                hop.value = hop.value.min(limit.value);
            }
        }
    }
    for (near, far) in [(Level::Core, Level::Llc), (Level::Llc, Level::Node)] {
        let least = table.class(near).hop.value;
        let hop = &mut table.class_mut(far).hop;
        hop.value = hop.value.max(least);
    }
}

/// Hops of the pairs of LLCs that were measured themselves; the classes of `table` ascend.
fn pair_hops(
    measured: &Table,
    table: &PenaltyTable,
    topo: &Topology,
) -> BTreeMap<(LlcId, LlcId), Cell<Ns>> {
    let mut pairs: BTreeMap<(LlcId, LlcId), Cell<Ns>> = BTreeMap::new();
    for row in &measured.pair {
        let (a, b) = row.cpus();
        let Some((a, b)) = topo.cpu(a).zip(topo.cpu(b)).map(|(a, b)| (a.llc, b.llc)) else {
            continue;
        };
        let level = topo.price_level(a, b);
        let fixed = measured.fixed(distance_of(level));
        let Some(hop) = fixed.and_then(|fixed| hop(fixed, &row.modified)) else { continue };
        if level == Level::Core {
            continue;
        }
        // Several pairs of CPUs can lie between two LLCs: the cheapest is the least disturbed.
        for key in [(a, b), (b, a)] {
            let entry = pairs.entry(key).or_insert(hop);
            entry.value = entry.value.min(hop.value);
        }
    }
    let class = |level| table.class(level).hop.value;
    for (&(a, b), hop) in &mut pairs {
        hop.value = match topo.level(a, b) {
            Level::Node => hop.value.max(class(Level::Node)),
            _ => hop.value.clamp(class(Level::Core), class(Level::Node)),
        };
    }
    pairs
}

/// ns to load one KiB across `distance` with ordinary overlap.
fn load_ns_per_kib(
    measured: &Table,
    llc_kib: u32,
    distance: Distance,
) -> Option<(f64, Provenance)> {
    let fits = |kib: u32| kib <= llc_kib;
    let rows = measured.refill.iter().filter(|row| row.distance == distance && fits(row.kib));
    let mut figures: Vec<&Figure> =
        rows.map(|row| &row.ns_per_line).filter(|figure| figure.known().is_some()).collect();
    figures.sort_by(|a, b| a.value.total_cmp(&b.value));
    let median = figures.get(figures.len() / 2)?;
    let ns = (median.value * LINES_PER_KIB / OVERLAP).min(NS_PER_KIB_MAX);
    Some((ns, provenance(&figures)))
}

fn set_refills(measured: &Table, topo: &Topology, table: &mut PenaltyTable) {
    let llc_kib = topo.llcs.iter().map(|llc| llc.cache_kib).min().unwrap_or(0);
    let load = |level| load_ns_per_kib(measured, llc_kib, distance_of(level));
    // A unit of 0 would make every factor meaningless.
    if let Some((ns, from)) = load(Level::Llc).filter(|(ns, _)| *ns >= 1.0) {
        table.warmth.ns_per_kib = Cell::new(ns.round() as u32, from);
    }
    let unit = f64::from(table.warmth.ns_per_kib.value);
    for level in Level::ALL {
        if let Some((ns, from)) = load(level) {
            table.class_mut(level).refill = Cell::new(Q10::clamped_from_f64(ns / unit), from);
        }
    }
}

/// Extra run time of a CPU of node `cpu` whose memory is on node `memory`.
fn remote(measured: &Table, memory: NodeId, cpu: NodeId) -> Option<Cell<PerMille>> {
    let far = &measured.memory(memory, cpu)?.latency_ns;
    let near = &measured.memory(cpu, cpu)?.latency_ns;
    let slower = far.known()? / near.known().filter(|near| *near > 0.0)? - 1.0;
    let rate = PerMille::clamped_from_ratio(slower * MEMORY_SHARE);
    Some(Cell::new(rate, provenance(&[far, near])))
}
