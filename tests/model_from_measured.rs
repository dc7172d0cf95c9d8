// SPDX-License-Identifier: GPL-2.0-only
//! The model made from measured figures keeps the promises of the matrix, on a made-up machine of
//! two sockets with four LLCs each.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod measured_tables;

use measured_tables::{full_table, measured};
use scx_toll::measure::chase::Rng;
use scx_toll::measure::plan::Distance;
use scx_toll::measure::table::{Cell, Origin};
use scx_toll::measure::{Options, defaults};
use scx_toll::model::from_measured::{HOP_LINES, HOP_MAX};
use scx_toll::model::{PenaltyMatrix, PenaltyTable, Provenance, from_measured};
use scx_toll::topology::{Level, Topology};
use scx_toll::units::{LlcId, NodeId, Ns, PerMille, Q10};

fn topo() -> Topology {
    Topology::synthetic(2, 4, 4).unwrap()
}

/// Zero diagonal, bounded, symmetric, and no farther level cheaper than a nearer one.
fn check_promises(matrix: &PenaltyMatrix, topo: &Topology) {
    let mut dearest = [Ns::ZERO; 3];
    let mut cheapest = [Ns::MAX; 3];
    for from in &topo.llcs {
        assert_eq!(matrix.hop(from.id, from.id), Ns::ZERO);
        for to in topo.llcs.iter().filter(|to| to.id != from.id) {
            let (hop, level) = (matrix.hop(from.id, to.id), topo.level(from.id, to.id).index());
            assert!(hop <= HOP_MAX, "{hop}");
            assert_eq!(hop, matrix.hop(to.id, from.id));
            dearest[level] = dearest[level].max(hop);
            cheapest[level] = cheapest[level].min(hop);
        }
    }
    assert!(dearest[1] <= cheapest[2], "{dearest:?} {cheapest:?}");
    assert!(matrix.refill.is_sorted(), "{:?}", matrix.refill);
    for (memory, row) in matrix.remote.iter().enumerate() {
        assert_eq!(row[memory], PerMille::ZERO);
    }
}

#[test]
fn the_formulas_of_the_page() {
    let topo = topo();
    let table = from_measured(&full_table(&topo), &topo);
    for (level, fixed, line) in
        [(Level::Core, 3e3, 20.0), (Level::Llc, 10e3, 100.0), (Level::Node, 20e3, 160.0)]
    {
        let hop = table.class(level).hop;
        assert_eq!(hop.value, Ns::clamped_from_f64(fixed + HOP_LINES * line));
        assert_eq!(hop.from, Provenance::Measured);
    }
    assert_eq!(table.warmth.ns_per_kib.value, 80 * 16 / 4);
    assert_eq!(table.class(Level::Llc).refill.value, Q10::ONE);
    assert_eq!(table.class(Level::Node).refill.value, Q10::clamped_from_f64(130.0 / 80.0));
    let remote = table.remote[&(NodeId(0), NodeId(1))];
    assert_eq!(remote.value, PerMille::clamped_from_ratio((140.0 / 80.0 - 1.0) * 0.25));
    let matrix = PenaltyMatrix::new(&table, &topo);
    check_promises(&matrix, &topo);
    assert!(matrix.notes.is_empty(), "{:?}", matrix.notes);
    assert_eq!(matrix.hop(LlcId(0), LlcId(7)), Ns::new(21_280));
}

#[test]
fn nothing_measured_is_the_built_in_table() {
    let topo = topo();
    let nothing = defaults(&topo, Options { thorough: false });
    assert_eq!(from_measured(&nothing, &topo), PenaltyTable::default());
}

#[test]
fn a_cell_that_is_missing_keeps_its_default_and_the_others_do_not() {
    let topo = topo();
    let mut figures = full_table(&topo);
    figures.fixed.retain(|row| row.distance != Distance::Node);
    for row in figures.refill.iter_mut().filter(|row| row.distance == Distance::Llc) {
        row.ns_per_line = Cell::default_value(83.0);
    }
    let table = from_measured(&figures, &topo);
    let built_in = PenaltyTable::default();
    assert_eq!(table.class(Level::Node).hop, built_in.class(Level::Node).hop);
    assert_eq!(table.class(Level::Llc).hop.from, Provenance::Measured);
    assert_eq!(table.warmth, built_in.warmth);
    // The unit is then the built-in one, and the other levels are measured against it.
    let core = table.class(Level::Core).refill;
    assert_eq!(core.value, Q10::clamped_from_f64(7.0 * 4.0 / 340.0));
    assert_eq!(core.from, Provenance::Measured);
}

#[test]
fn learned_figures_are_called_learned() {
    let topo = topo();
    let mut figures = full_table(&topo);
    let core = figures.fixed.iter_mut().find(|row| row.distance == Distance::Core).unwrap();
    core.ns = Cell { from: Origin::Learned, ..measured(4e3) };
    let table = from_measured(&figures, &topo);
    assert_eq!(table.class(Level::Core).hop.from, Provenance::Learned);
    assert_eq!(table.class(Level::Llc).hop.from, Provenance::Measured);
}

/// Whatever the figures are, some of them absurd or missing.
#[test]
fn promises_hold_for_any_figures() {
    let topo = topo();
    for seed in 0..300 {
        let mut rng = Rng(seed);
        let mut any = || match rng.below(6) {
            0 => Cell::default_value(f64::from(rng.below(1000))),
            1 => measured(0.0),
            2 => measured(1e9),
            _ => measured(f64::from(rng.below(100_000)) / 7.0),
        };
        let mut figures = full_table(&topo);
        figures.handoff.iter_mut().for_each(|row| row.modified = any());
        figures.pair.iter_mut().for_each(|row| row.modified = any());
        figures.refill.iter_mut().for_each(|row| row.ns_per_line = any());
        figures.memory.iter_mut().for_each(|row| row.latency_ns = any());
        figures.fixed.iter_mut().for_each(|row| row.ns = any());
        let table = from_measured(&figures, &topo);
        let matrix = PenaltyMatrix::new(&table, &topo);
        check_promises(&matrix, &topo);
    }
}
