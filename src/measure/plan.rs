// SPDX-License-Identifier: GPL-2.0-only
//! Which CPUs are measured against each other.
//!
//! A machine of 256 CPUs has 32,640 pairs, but few kinds of them. By default each kind is
//! measured on representatives: for each LLC a pair of siblings and a pair of cores, for each two
//! LLCs their first CPUs; at most [`PAIRS_MAX`] of a kind, spread evenly. `--thorough` takes all
//! pairs. Only CPUs that this process may use take part, and a pair disturbs no CPU but its own.

use crate::topology::{Cpu, Level, Topology};
use crate::units::CpuId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Most pairs of one kind by default.
pub const PAIRS_MAX: usize = 6;

/// How far a move goes, finer than [`Level`]: what a task finds in the caches there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distance {
    /// Away and back to the same CPU; for comparison.
    Same,
    /// To the SMT sibling: all caches are shared.
    Sibling,
    /// To another core of the LLC.
    Core,
    /// To another LLC of the node.
    Llc,
    /// To another node.
    Node,
}

impl Distance {
    /// All, from near to far.
    pub const ALL: [Distance; 5] =
        [Distance::Same, Distance::Sibling, Distance::Core, Distance::Llc, Distance::Node];
    /// Those that lie between two CPUs.
    pub const APART: [Distance; 4] =
        [Distance::Sibling, Distance::Core, Distance::Llc, Distance::Node];

    /// The name in files and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Distance::Same => "same",
            Distance::Sibling => "sibling",
            Distance::Core => "core",
            Distance::Llc => "llc",
            Distance::Node => "node",
        }
    }

    /// How far `a` and `b` are apart.
    pub fn between(topo: &Topology, a: &Cpu, b: &Cpu) -> Distance {
        match topo.level(a.llc, b.llc) {
            _ if a.id == b.id => Distance::Same,
            Level::Core if a.core == b.core => Distance::Sibling,
            Level::Core => Distance::Core,
            Level::Llc => Distance::Llc,
            Level::Node => Distance::Node,
        }
    }
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Two CPUs that are measured against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The lower CPU.
    pub from: CpuId,
    /// The higher CPU.
    pub to: CpuId,
    /// How far they are apart.
    pub distance: Distance,
}

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Pairs for hand-offs, by distance.
    pub pairs: Vec<Pair>,
    /// One pair per distance that the machine has, for what takes longer.
    pub moves: Vec<Pair>,
    /// A CPU to measure from, for each node that has one, by node.
    pub node_cpus: Vec<Option<CpuId>>,
}

impl Plan {
    /// The plan for `topo`, restricted to the CPUs `allowed`; all pairs if `thorough`.
    pub fn new(topo: &Topology, allowed: &[CpuId], thorough: bool) -> Plan {
        let cpus: Vec<&Cpu> = topo.cpus.iter().filter(|cpu| allowed.contains(&cpu.id)).collect();
        let mut pairs =
            if thorough { all_pairs(topo, &cpus) } else { representatives(topo, &cpus) };
        pairs.sort_by_key(|pair| (pair.distance, pair.from, pair.to));
        let first = |distance| pairs.iter().find(|pair| pair.distance == distance).copied();
        let mut moves: Vec<Pair> = Distance::APART.into_iter().filter_map(first).collect();
        if let Some(near) = moves.iter().find(|pair| pair.distance != Distance::Sibling) {
            moves.insert(0, Pair { distance: Distance::Same, ..*near });
        }
        let of_node = |node: &crate::topology::Node| {
            cpus.iter().find(|cpu| cpu.node == node.id).map(|cpu| cpu.id)
        };
        Plan { pairs, moves, node_cpus: topo.nodes.iter().map(of_node).collect() }
    }
}

fn pair(topo: &Topology, a: &Cpu, b: &Cpu) -> Pair {
    Pair { from: a.id.min(b.id), to: a.id.max(b.id), distance: Distance::between(topo, a, b) }
}

fn all_pairs(topo: &Topology, cpus: &[&Cpu]) -> Vec<Pair> {
    let with_later = |(i, a): (usize, &&Cpu)| -> Vec<Pair> {
        cpus[i + 1..].iter().map(|b| pair(topo, a, b)).collect()
    };
    cpus.iter().enumerate().flat_map(with_later).collect()
}

fn representatives(topo: &Topology, cpus: &[&Cpu]) -> Vec<Pair> {
    let mut kinds: [Vec<Pair>; 5] = Default::default();
    let mut add = |a: &Cpu, b: &Cpu| {
        let pair = pair(topo, a, b);
        kinds[pair.distance as usize].push(pair);
    };
    let mut heads: Vec<&Cpu> = Vec::new();
    for llc in &topo.llcs {
        let mut own = cpus.iter().filter(|cpu| cpu.llc == llc.id);
        let Some(head) = own.next() else { continue };
        let others: Vec<&&Cpu> = own.collect();
        for sibling in [true, false] {
            if let Some(other) = others.iter().find(|cpu| (cpu.core == head.core) == sibling) {
                add(head, other);
            }
        }
        for other in &heads {
            add(other, head);
        }
        heads.push(head);
    }
    kinds.iter().flat_map(|kind| spread_evenly(kind, PAIRS_MAX)).collect()
}

/// At most `most` elements of `list`, spread evenly, the first among them.
fn spread_evenly<T: Copy>(list: &[T], most: usize) -> Vec<T> {
    let count = list.len().min(most);
    (0..count).filter_map(|i| list.get(i * list.len() / count)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(topo: &Topology) -> Vec<CpuId> {
        topo.cpus.iter().map(|cpu| cpu.id).collect()
    }

    #[test]
    fn a_big_machine_is_measured_on_few_pairs_of_every_kind() {
        let mut topo = Topology::synthetic(2, 8, 16).unwrap();
        for cpu in &mut topo.cpus {
            cpu.core = cpu.id.0 / 2;
        }
        let plan = Plan::new(&topo, &ids(&topo), false);
        for distance in Distance::APART {
            let count = plan.pairs.iter().filter(|pair| pair.distance == distance).count();
            assert!((1..=PAIRS_MAX).contains(&count), "{distance}: {count}");
        }
        let moves: Vec<Distance> = plan.moves.iter().map(|pair| pair.distance).collect();
        assert_eq!(moves, Distance::ALL);
        assert_eq!(plan.node_cpus, [Some(CpuId(0)), Some(CpuId(128))]);
        assert_eq!(Plan::new(&topo, &ids(&topo), true).pairs.len(), 256 * 255 / 2);
    }

    #[test]
    fn forbidden_cpus_take_no_part() {
        let topo = Topology::synthetic(2, 2, 2).unwrap();
        let allowed = [CpuId(1), CpuId(2)];
        for thorough in [false, true] {
            let plan = Plan::new(&topo, &allowed, thorough);
            let pair = Pair { from: CpuId(1), to: CpuId(2), distance: Distance::Llc };
            assert_eq!(plan.pairs, [pair]);
            assert_eq!(plan.node_cpus, [Some(CpuId(1)), None]);
        }
        assert!(Plan::new(&topo, &[CpuId(1)], true).moves.is_empty());
        assert!(Plan::new(&topo, &[], false).pairs.is_empty());
    }
}
