// SPDX-License-Identifier: GPL-2.0-only
//! A made-up measured table: every figure that there can be, with values by distance.

use scx_toll::measure::plan::Distance;
use scx_toll::measure::table::{Cell, Origin, PairRow, Table};
use scx_toll::measure::{Options, defaults};
use scx_toll::topology::Topology;

pub const DATE: &str = "2026-01-31T12:00:00Z";

pub fn measured(value: f64) -> Cell {
    Cell {
        value,
        from: Origin::Measured,
        samples: 100,
        rejected: 3,
        spread: 0.125,
        date: DATE.into(),
    }
}

/// The table of `topo` with everything measured: hand-offs of 20 to 160 ns, refills of 7 to
/// 130 ns per line, moves of 3 to 20 µs, memory at 80 and 140 ns.
pub fn full_table(topo: &Topology) -> Table {
    let mut table = defaults(topo, Options { thorough: false });
    let by_distance = |distance: Distance, values: [f64; 5]| measured(values[distance as usize]);
    let line = |distance| by_distance(distance, [0.0, 10.0, 20.0, 100.0, 160.0]);
    for row in &mut table.handoff {
        row.handoff = line(row.distance);
        row.read = line(row.distance);
        row.modified = line(row.distance);
    }
    for (i, a) in topo.cpus.iter().enumerate() {
        for b in &topo.cpus[i + 1..] {
            let distance = Distance::between(topo, a, b);
            table.pair.push(PairRow {
                from: a.id.0,
                to: b.id.0,
                distance,
                handoff: line(distance),
                read: line(distance),
                modified: line(distance),
            });
        }
    }
    for row in &mut table.refill {
        row.ns_per_line = by_distance(row.distance, [0.0, 1.0, 7.0, 80.0, 130.0]);
    }
    for row in &mut table.memory {
        row.latency_ns = measured(if row.memory == row.cpu { 80.0 } else { 140.0 });
        row.mib_per_s = measured(10_000.0);
    }
    for row in &mut table.fixed {
        row.ns = by_distance(row.distance, [0.0, 2e3, 3e3, 10e3, 20e3]);
    }
    table
}
