// SPDX-License-Identifier: GPL-2.0-only
//! What the matrix of penalties promises, on random machines and random tables.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use scx_toll::model::penalty::{Cell, PenaltyMatrix, PenaltyTable, Provenance};
use scx_toll::model::{DecayTable, warmth};
use scx_toll::topology::{Level, Topology};
use scx_toll::units::{FACTOR_MAX, LlcId, NodeId, Ns, PerMille, Q10};

/// A machine with random distances, equal both ways or not, and random cache sizes.
fn machine() -> impl Strategy<Value = Topology> {
    (1..5usize, 1..5usize, 1..4usize).prop_flat_map(|(nodes, llcs, cpus)| {
        let distances = prop::collection::vec(11..=255u32, nodes * nodes);
        let caches = prop::collection::vec(1..4_000_000u32, nodes * llcs);
        (distances, caches, any::<bool>()).prop_map(move |(distances, caches, symmetric)| {
            let mut topo = Topology::synthetic(nodes, llcs, cpus).unwrap();
            for a in 0..nodes {
                for b in (0..nodes).filter(|&b| b != a) {
                    let from = if symmetric { a.min(b) * nodes + a.max(b) } else { a * nodes + b };
                    topo.nodes[a].distance[b] = distances[from];
                }
            }
            for (llc, kib) in topo.llcs.iter_mut().zip(caches) {
                llc.cache_kib = kib;
            }
            topo
        })
    })
}

fn hop() -> impl Strategy<Value = Ns> {
    prop_oneof![Just(Ns::ZERO), (0..100_000u64).prop_map(Ns::new), Just(Ns::MAX)]
}

/// A table with random classes, sensible or not, without pairs.
fn table() -> impl Strategy<Value = PenaltyTable> {
    let refill = || (0..=FACTOR_MAX).prop_map(Q10::from_raw);
    let rate = prop::option::of((0..=FACTOR_MAX).prop_map(PerMille::new));
    let origin = || prop_oneof![Just(Provenance::Default), Just(Provenance::Measured)];
    let origins = [origin(), origin(), origin()];
    ([hop(), hop(), hop()], [refill(), refill(), refill()], origins, rate, 0..=FACTOR_MAX).prop_map(
        |(hops, refills, origins, rate, price)| {
            let mut table = PenaltyTable::default();
            for level in Level::ALL {
                let i = level.index();
                let class = table.class_mut(level);
                class.hop = Cell::new(hops[i], origins[i]);
                class.refill = Cell::new(refills[i], origins[i]);
            }
            table.remote_all = rate.map(|rate| Cell::new(rate, Provenance::Measured));
            table.others_pay.value = Q10::from_raw(price);
            table
        },
    )
}

fn all_pairs(topo: &Topology) -> impl Iterator<Item = (LlcId, LlcId)> + '_ {
    let ids = || topo.llcs.iter().map(|llc| llc.id);
    ids().flat_map(move |from| ids().map(move |to| (from, to)))
}

proptest! {
    #[test]
    fn the_diagonal_is_zero(topo in machine(), table in table()) {
        let matrix = PenaltyMatrix::new(&table, &topo);
        for llc in &topo.llcs {
            prop_assert_eq!(matrix.hop(llc.id, llc.id), Ns::ZERO);
        }
        for node in &topo.nodes {
            prop_assert_eq!(matrix.remote[node.id.index()][node.id.index()], PerMille::ZERO);
        }
    }

    #[test]
    fn there_costs_as_much_as_back(topo in machine(), table in table()) {
        let matrix = PenaltyMatrix::new(&table, &topo);
        for (from, to) in all_pairs(&topo) {
            prop_assert_eq!(matrix.hop(from, to), matrix.hop(to, from));
        }
    }

    #[test]
    fn a_farther_level_is_never_cheaper(topo in machine(), table in table()) {
        let matrix = PenaltyMatrix::new(&table, &topo);
        prop_assert!(matrix.refill.is_sorted());
        for (from, to) in all_pairs(&topo) {
            for (_, other) in all_pairs(&topo).filter(|&(start, _)| start == from) {
                if topo.level(from, to) < topo.level(from, other) {
                    prop_assert!(matrix.hop(from, to) <= matrix.hop(from, other));
                }
            }
        }
    }

    /// A table that is in order is not touched; in one that is not, what was measured is at
    /// most raised, and every change is said.
    #[test]
    fn what_was_measured_is_never_lowered(topo in machine(), table in table()) {
        let matrix = PenaltyMatrix::new(&table, &topo);
        let in_order = table.classes.is_sorted_by(|near, far| {
            near.hop.value <= far.hop.value && near.refill.value <= far.refill.value
        });
        let price_in_order = table.others_pay.value >= Q10::ONE;
        prop_assert_eq!(matrix.notes.is_empty(), in_order && price_in_order, "{:?}", matrix.notes);
        prop_assert!(matrix.price >= table.others_pay.value.max(Q10::ONE));
        for level in Level::ALL {
            let class = table.class(level);
            if class.refill.from != Provenance::Measured {
                continue;
            }
            prop_assert!(matrix.refill[level.index()] >= class.refill.value);
            for (from, to) in all_pairs(&topo).filter(|&(from, to)| from != to) {
                if topo.level(from, to) == level {
                    prop_assert!(matrix.hop(from, to) >= class.hop.value);
                }
            }
        }
    }

    /// A default never raises what was measured: it gives way.
    #[test]
    fn a_default_gives_way(topo in machine(), table in table()) {
        let matrix = PenaltyMatrix::new(&table, &topo);
        let measured = |level: Level| table.class(level).refill.from == Provenance::Measured;
        let best = |level: Level| {
            let nearer = Level::ALL.into_iter().filter(|&near| near <= level && measured(near));
            nearer.map(|near| table.class(near).refill.value).max()
        };
        for level in Level::ALL.into_iter().filter(|&level| measured(level)) {
            prop_assert_eq!(Some(matrix.refill[level.index()]), best(level));
        }
    }

    #[test]
    fn every_number_is_within_its_bound(topo in machine(), table in table()) {
        let matrix = PenaltyMatrix::new(&table, &topo);
        prop_assert_eq!(matrix.hop.len(), topo.llcs.len());
        prop_assert!(matrix.hop.iter().all(|row| row.len() == topo.llcs.len()));
        prop_assert!(matrix.hop.iter().flatten().all(|hop| *hop <= Ns::MAX));
        prop_assert_eq!(matrix.remote.len(), topo.nodes.len());
        prop_assert!(matrix.remote.iter().flatten().all(|rate| *rate <= PerMille::MAX));
        prop_assert!(matrix.refill.iter().all(|factor| *factor <= Q10::MAX));
        prop_assert_eq!(&matrix, &PenaltyMatrix::new(&table, &topo));
    }

    /// A pair that was given keeps its number and touches no other.
    #[test]
    fn a_given_pair_wins(
        topo in machine(), table in table(), pair in any::<[prop::sample::Index; 2]>(), own in hop(),
    ) {
        let pair = pair.map(|index| topo.llcs[index.index(topo.llcs.len())].id);
        let plain = PenaltyMatrix::new(&table, &topo);
        let mut table = table;
        table.pairs.insert((pair[0], pair[1]), Cell::new(own, Provenance::Given));
        let matrix = PenaltyMatrix::new(&table, &topo);
        let real = pair[0] != pair[1];
        prop_assert_eq!(matrix.notes.len(), plain.notes.len() + usize::from(!real));
        for (from, to) in all_pairs(&topo) {
            let overridden = real && [from, to] == pair;
            let expected = if overridden { own } else { plain.hop(from, to) };
            prop_assert_eq!(matrix.hop(from, to), expected);
        }
    }

    #[test]
    fn one_rate_for_remote_memory_holds_for_all_nodes(topo in machine(), pm in 0..=FACTOR_MAX) {
        let rate = Some(Cell::new(PerMille::new(pm), Provenance::Given));
        let table = PenaltyTable { remote_all: rate, ..PenaltyTable::default() };
        let matrix = PenaltyMatrix::new(&table, &topo);
        for (memory, row) in matrix.remote.iter().enumerate() {
            for (cpu, rate) in row.iter().enumerate() {
                prop_assert_eq!(rate.get(), if memory == cpu { 0 } else { pm });
            }
        }
    }

    /// The decay table of any machine is one that the BPF half can use.
    #[test]
    fn warmth_fades_on_every_machine(topo in machine(), fill in 0..=1024u32, ns in 0..1_000_000u32) {
        let mut table = PenaltyTable::default();
        table.warmth.fill_share.value = Q10::from_raw(fill);
        table.warmth.ns_per_kib.value = ns;
        let decay = DecayTable::new(&table.warmth, &topo);
        prop_assert_eq!(decay.q10[0], 1024);
        prop_assert!(decay.q10.is_sorted_by(|before, after| before >= after));
        prop_assert!((warmth::STEP_MIN..=Ns::MAX).contains(&decay.step));
        prop_assert!(decay.q10[63] <= 6, "{:?}", decay.q10);
    }
}

#[test]
fn a_node_twice_as_far_costs_twice_the_hop() {
    let mut topo = Topology::synthetic(3, 1, 1).unwrap();
    for (a, b, distance) in [(0, 1, 15), (0, 2, 30), (1, 2, 20)] {
        topo.nodes[a].distance[b] = distance;
        topo.nodes[b].distance[a] = distance;
    }
    let matrix = PenaltyMatrix::new(&PenaltyTable::default(), &topo);
    let hop = |a, b| matrix.hop(LlcId(a), LlcId(b));
    assert_eq!(hop(0, 1), Ns::from_us(25), "never cheaper than the class");
    assert_eq!(hop(1, 2), Ns::from_us(25));
    assert_eq!(hop(0, 2), Ns::from_us(50));
    let remote = |memory: usize, cpu: usize| matrix.remote[memory][cpu].get();
    assert_eq!((remote(1, 0), remote(2, 1), remote(2, 0)), (125, 250, 500));
}

/// The row of the CPU's node tells how far its memory accesses go.
#[test]
fn remote_time_follows_the_direction_of_the_access() {
    let mut topo = Topology::synthetic(2, 1, 1).unwrap();
    topo.nodes[0].distance[1] = 30;
    topo.nodes[1].distance[0] = 20;
    let mut table = PenaltyTable::default();
    let matrix = PenaltyMatrix::new(&table, &topo);
    assert_eq!(matrix.remote[1][0], PerMille::new(500), "CPU on node 0, memory on node 1");
    assert_eq!(matrix.remote[0][1], PerMille::new(250));
    assert_eq!(matrix.hop(LlcId(0), LlcId(1)), Ns::from_us(50), "the larger figure, both ways");
    assert_eq!(matrix.hop(LlcId(1), LlcId(0)), Ns::from_us(50));

    let measured = Cell::new(PerMille::new(180), Provenance::Measured);
    table.remote.insert((NodeId(1), NodeId(0)), measured);
    table.remote.insert((NodeId(7), NodeId(0)), measured);
    let matrix = PenaltyMatrix::new(&table, &topo);
    assert_eq!(matrix.remote[1][0], PerMille::new(180));
    assert_eq!(
        matrix.notes,
        ["memory on node 7, CPU on node 0 is no pair of this machine: ignored"]
    );
}

#[test]
fn a_table_out_of_order_is_mended_and_says_so() {
    let topo = Topology::synthetic(2, 2, 1).unwrap();
    let mut table = PenaltyTable::default();
    table.class_mut(Level::Node).hop = Cell::new(Ns::from_us(4), Provenance::Given);
    table.class_mut(Level::Node).refill = Cell::new(Q10::ZERO, Provenance::Default);
    let matrix = PenaltyMatrix::new(&table, &topo);
    assert_eq!(matrix.hop(LlcId(0), LlcId(1)), Ns::from_us(4));
    assert_eq!(matrix.hop(LlcId(0), LlcId(2)), Ns::from_us(4));
    assert_eq!(
        matrix.notes,
        [
            "hop of class llc lowered from 10 µs to 4 µs, that of class node",
            "refill factor of class node raised from 0 to 0.1, that of class core",
            "refill factor of class node raised from 0.1 to 1, that of class llc",
        ]
    );
}
