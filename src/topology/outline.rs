// SPDX-License-Identifier: GPL-2.0-only
//! A machine as far as a recording tells it: which LLC each CPU is in, which node and cache each LLC
//! belongs to, and how far nodes are from each other.
//!
//! Sizes of caches and capacities are not told; they are what [`Topology::synthetic`] assumes. Decisions
//! need levels and distances only.

use super::{CAPACITY_ONE, Cpu, FALLBACK_KIB_PER_CPU, LOCAL_DISTANCE, Llc, Node, REMOTE_DISTANCE};
use super::{Topology, check_limits};
use crate::units::{CpuId, LlcId, NodeId};
use anyhow::{Result, ensure};

/// What is told of a machine. All numbers are ours, as in [`Topology`].
#[derive(Debug, Clone, Copy)]
pub struct Outline<'a> {
    /// LLC of each CPU, by the kernel's number; none for one that is offline.
    pub cpu_llc: &'a [Option<u32>],
    /// Node of each LLC.
    pub llc_node: &'a [u32],
    /// Cache behind each LLC; empty: each has its own.
    pub llc_cache: &'a [u32],
    /// SLIT distances from node to node; what is missing is 10 to itself and 20 to others.
    pub distance: &'a [Vec<u32>],
}

impl Topology {
    /// The machine that `outline` tells.
    ///
    /// # Errors
    /// When it has no LLC, contradicts itself, or exceeds what is supported.
    pub fn from_outline(outline: &Outline) -> Result<Topology> {
        let nr_llcs = outline.llc_node.len();
        let nodes_named = outline.llc_node.iter().map(|&node| node as usize + 1).max().unwrap_or(0);
        let nr_nodes = nodes_named.max(outline.distance.len());
        ensure!(nr_llcs > 0, "the machine has no LLC");
        check_limits(outline.cpu_llc.len(), nr_llcs, nr_nodes)?;
        let caches = outline.llc_cache.len();
        ensure!(
            caches == 0 || caches == nr_llcs,
            "the machine has {nr_llcs} LLCs, and caches of {caches}"
        );
        let mut cpus = Vec::new();
        for (id, llc) in (0..).zip(outline.cpu_llc) {
            let Some(llc) = *llc else { continue };
            let node = outline.llc_node.get(llc as usize);
            let Some(&node) = node else {
                anyhow::bail!("CPU {id} is in LLC {llc}, of {nr_llcs}");
            };
            let (llc, node) = (LlcId(llc), NodeId(node));
            let capacity = CAPACITY_ONE;
            cpus.push(Cpu { id: CpuId(id), llc, node, core: id, capacity, isolated: false });
        }
        let llcs: Vec<Llc> = (0..)
            .zip(outline.llc_node)
            .map(|(id, &node)| {
                let own = cpus.iter().filter(|cpu| cpu.llc == LlcId(id)).map(|cpu| cpu.id);
                let own: Vec<CpuId> = own.collect();
                Llc {
                    id: LlcId(id),
                    kernel_id: None,
                    cache: outline.llc_cache.get(id as usize).copied().unwrap_or(id),
                    node: NodeId(node),
                    cache_kib: FALLBACK_KIB_PER_CPU * own.len().max(1) as u32,
                    cpus: own,
                }
            })
            .collect();
        let nodes = (0..nr_nodes as u32).map(|id| Node {
            id: NodeId(id),
            kernel_id: id,
            distance: (0..nr_nodes as u32).map(|to| distance(outline, id, to)).collect(),
            llcs: llcs.iter().filter(|llc| llc.node == NodeId(id)).map(|llc| llc.id).collect(),
        });
        let nodes = nodes.collect();
        Ok(Topology { cpus, llcs, nodes, warnings: Vec::new() })
    }
}

fn distance(outline: &Outline, from: u32, to: u32) -> u32 {
    let told = outline.distance.get(from as usize).and_then(|row| row.get(to as usize));
    told.copied().unwrap_or(if from == to { LOCAL_DISTANCE } else { REMOTE_DISTANCE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_of_a_machine_gives_its_levels_and_distances() {
        let mut topo = Topology::synthetic(2, 2, 2).unwrap();
        topo.llcs[1].cache = 0;
        topo.nodes[0].distance = vec![10, 32];
        let cpu_llc: Vec<_> = topo.cpus.iter().map(|cpu| Some(cpu.llc.0)).collect();
        let llc_node: Vec<_> = topo.llcs.iter().map(|llc| llc.node.0).collect();
        let llc_cache: Vec<_> = topo.llcs.iter().map(|llc| llc.cache).collect();
        let distance: Vec<_> = topo.nodes.iter().map(|node| node.distance.clone()).collect();
        let outline = Outline {
            cpu_llc: &cpu_llc,
            llc_node: &llc_node,
            llc_cache: &llc_cache,
            distance: &distance,
        };
        let told = Topology::from_outline(&outline).unwrap();
        assert_eq!(told.cpus, topo.cpus);
        assert_eq!(told.nodes, topo.nodes);
        for (from, to) in (0..16).map(|i| (LlcId(i / 4), LlcId(i % 4))) {
            assert_eq!(told.price_level(from, to), topo.price_level(from, to));
        }
        let plain = Outline { llc_cache: &[], distance: &[], ..outline };
        let plain = Topology::from_outline(&plain).unwrap();
        assert_eq!(plain.distance(NodeId(0), NodeId(1)), REMOTE_DISTANCE);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let none = Outline { cpu_llc: &[], llc_node: &[], llc_cache: &[], distance: &[] };
        let why = |outline| Topology::from_outline(&outline).unwrap_err().to_string();
        assert_eq!(why(none), "the machine has no LLC");
        let lost = Outline { cpu_llc: &[Some(3)], llc_node: &[0], ..none };
        assert_eq!(why(lost), "CPU 0 is in LLC 3, of 1");
        let caches = Outline { llc_cache: &[0, 1], llc_node: &[0], ..none };
        assert_eq!(why(caches), "the machine has 1 LLCs, and caches of 2");
        let far = Outline { llc_node: &[4_000_000_000], ..none };
        assert!(why(far).contains("NUMA nodes, at most"));
    }
}
