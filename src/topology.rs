// SPDX-License-Identifier: GPL-2.0-only
//! The machine as plain data: CPUs, last-level caches, NUMA nodes, and how far apart they are.
//!
//! ```text
//!   node 0                 node 1                  level(LLC 0, LLC 0) = Core
//!   ├─ LLC 0: CPU 0 1      ├─ LLC 2: CPU 4 5       level(LLC 0, LLC 1) = Llc
//!   └─ LLC 1: CPU 2 3      └─ LLC 3: CPU 6 7       level(LLC 0, LLC 2) = Node
//!
//!   outward from LLC 0: 1, then 2 3      from LLC 1: 0, then 3 2
//!   outward from LLC 2: 3, then 0 1      from LLC 3: 2, then 1 0
//! ```
//!
//! Every search goes [outward](Topology::outward): LLCs of the same node first, then the nodes by
//! distance. LLCs of one node start at different victims, so that they do not all descend on the
//! same one.
//!
//! Numbers: CPUs keep the kernel's. LLCs and nodes are renumbered densely from 0, because the BPF
//! half indexes arrays with them: nodes with CPUs first, nodes with memory only after them, each
//! by the kernel's number; LLCs by node and then by their lowest CPU. The kernel's own numbers,
//! which may have holes, are kept beside them.
//!
//! Nothing here probes anything, except [`Topology::from_sysfs`] (in [`sysfs`]).

pub mod outline;
pub mod split;
pub mod sysfs;

use crate::units::{CpuId, LlcId, MAX_CPUS, MAX_LLCS, MAX_NODES, NodeId};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// SLIT distance of a node to itself, by definition of the ACPI table.
pub const LOCAL_DISTANCE: u32 = 10;
/// SLIT distance that the kernel assumes between nodes of which the firmware says nothing.
pub const REMOTE_DISTANCE: u32 = 20;
/// Capacity of the machine's most capable CPU, as in the kernel.
pub const CAPACITY_ONE: u32 = 1024;
/// Cache size assumed per CPU where sysfs tells none: 1 MiB. A guess, on the low side of the
/// 1.4 to 2 MiB of last-level cache per hardware thread that current servers have: an
/// underestimate makes warmth fade early and moves cheap, which is the kernel's own bias.
pub const FALLBACK_KIB_PER_CPU: u32 = 1024;

/// How far apart two places are; the same numbers as `enum toll_level` in `intf.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Another CPU of the same LLC.
    Core = 0,
    /// Another LLC of the same node.
    Llc = 1,
    /// Another node.
    Node = 2,
}

impl Level {
    /// All levels, from near to far.
    pub const ALL: [Level; 3] = [Level::Core, Level::Llc, Level::Node];

    /// The level as an index into per-level arrays.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The level's name in files and messages: "core", "llc", "node".
    pub const fn name(self) -> &'static str {
        match self {
            Level::Core => "core",
            Level::Llc => "llc",
            Level::Node => "node",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One online CPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpu {
    /// The kernel's number.
    pub id: CpuId,
    /// The LLC it belongs to.
    pub llc: LlcId,
    /// The node it belongs to.
    pub node: NodeId,
    /// Physical core, dense over the machine; SMT siblings share it.
    pub core: u32,
    /// Compute capacity, `1 ..= 1024`; 1024 is the machine's most capable CPU.
    pub capacity: u32,
    /// True if the kernel keeps it out of load balancing (an isolated cpuset partition).
    pub isolated: bool,
}

/// One last-level cache and the CPUs behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Llc {
    /// Our number, its index in [`Topology::llcs`].
    pub id: LlcId,
    /// The kernel's number of the cache; `None` where sysfs describes no shared cache.
    pub kernel_id: Option<u64>,
    /// The cache behind it, dense over the machine; parts of one cache share it (see [`split`]).
    pub cache: u32,
    /// The node it belongs to. A cache that spans nodes is split at the boundary.
    pub node: NodeId,
    /// Its CPUs in ascending order; never empty.
    pub cpus: Vec<CpuId>,
    /// Size in KiB, at least 1; [`FALLBACK_KIB_PER_CPU`] per CPU where sysfs tells none.
    pub cache_kib: u32,
}

/// One NUMA node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Our number, its index in [`Topology::nodes`].
    pub id: NodeId,
    /// The kernel's number.
    pub kernel_id: u32,
    /// SLIT distance to every node, indexed by our numbers; 10 means local.
    pub distance: Vec<u32>,
    /// Its LLCs in ascending order; empty for a node that has only memory.
    pub llcs: Vec<LlcId>,
}

/// The machine. Build one with [`Topology::from_sysfs`] or [`Topology::synthetic`]; both keep
/// the promises that the fields make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// Online CPUs by ascending number; not indexed by it, there may be holes.
    pub cpus: Vec<Cpu>,
    /// LLCs, indexed by [`LlcId`]; at least one.
    pub llcs: Vec<Llc>,
    /// Nodes, indexed by [`NodeId`]; those with CPUs come first; at least one.
    pub nodes: Vec<Node>,
    /// What could not be read and was replaced by an assumption, one sentence each.
    pub warnings: Vec<String>,
}

impl Topology {
    /// The machine that sysfs describes under `root` (`None`: what the environment variable
    /// `SCX_SYSFS_PREFIX` names, or else this machine).
    ///
    /// `scx_utils` takes its root from `SCX_SYSFS_PREFIX` and reads it once per process. An
    /// injected root has to be in that variable when the process starts; a `root` that differs
    /// from it is refused rather than half obeyed.
    ///
    /// # Errors
    /// One sentence that names the file and the value, when a file cannot be read or parsed,
    /// when CPUs and nodes contradict each other, or when the machine exceeds [`MAX_CPUS`],
    /// [`MAX_LLCS`] or [`MAX_NODES`].
    pub fn from_sysfs(root: Option<&Path>) -> Result<Topology> {
        sysfs::read(root)
    }

    /// A regular machine for tests and simulations: CPUs numbered through, no SMT, equal
    /// capacities, distances 10 and 20, [`FALLBACK_KIB_PER_CPU`] of cache per CPU.
    ///
    /// # Errors
    /// When a count is 0 or the machine exceeds [`MAX_CPUS`], [`MAX_LLCS`] or [`MAX_NODES`].
    pub fn synthetic(nodes: usize, llcs_per_node: usize, cpus_per_llc: usize) -> Result<Topology> {
        let nr_llcs = nodes.saturating_mul(llcs_per_node);
        let nr_cpus = nr_llcs.saturating_mul(cpus_per_llc);
        if nr_cpus > 0 {
            check_limits(nr_cpus, nr_llcs, nodes)?;
        }
        Topology::regular(nodes, llcs_per_node, cpus_per_llc, MAX_CPUS)
    }

    /// The same with other limits than the BPF half's: at most `most` CPUs.
    ///
    /// # Errors
    /// When a count is 0, or there are more CPUs.
    pub fn regular(
        nodes: usize,
        llcs_per_node: usize,
        cpus_per_llc: usize,
        most: usize,
    ) -> Result<Topology> {
        let nr_cpus = nodes.saturating_mul(llcs_per_node).saturating_mul(cpus_per_llc);
        if nr_cpus == 0 {
            bail!("a machine of {nodes} x {llcs_per_node} x {cpus_per_llc} has no CPU");
        }
        if nr_cpus > most {
            bail!("the machine has {nr_cpus} CPUs, at most {most} are supported");
        }
        let nr_llcs = nodes * llcs_per_node;

        let cpus = (0..nr_cpus as u32).map(|id| {
            let llc = id / cpus_per_llc as u32;
            Cpu {
                id: CpuId(id),
                llc: LlcId(llc),
                node: NodeId(llc / llcs_per_node as u32),
                core: id,
                capacity: CAPACITY_ONE,
                isolated: false,
            }
        });
        let llcs = (0..nr_llcs as u32).map(|id| Llc {
            id: LlcId(id),
            kernel_id: Some(u64::from(id)),
            cache: id,
            node: NodeId(id / llcs_per_node as u32),
            cpus: range(id, cpus_per_llc).map(CpuId).collect(),
            cache_kib: FALLBACK_KIB_PER_CPU * cpus_per_llc as u32,
        });
        let distance = |a, b| if a == b { LOCAL_DISTANCE } else { REMOTE_DISTANCE };
        let node_list = (0..nodes as u32).map(|id| Node {
            id: NodeId(id),
            kernel_id: id,
            distance: (0..nodes as u32).map(|other| distance(id, other)).collect(),
            llcs: range(id, llcs_per_node).map(LlcId).collect(),
        });
        Ok(Topology {
            cpus: cpus.collect(),
            llcs: llcs.collect(),
            nodes: node_list.collect(),
            warnings: Vec::new(),
        })
    }

    /// The LLC called `id`, if there is one.
    pub fn llc(&self, id: LlcId) -> Option<&Llc> {
        self.llcs.get(id.index())
    }

    /// The CPU called `id`, if it is online.
    pub fn cpu(&self, id: CpuId) -> Option<&Cpu> {
        let at = self.cpus.binary_search_by_key(&id, |cpu| cpu.id).ok()?;
        self.cpus.get(at)
    }

    /// One more than the highest CPU number.
    pub fn nr_cpu_ids(&self) -> usize {
        self.cpus.last().map_or(0, |cpu| cpu.id.index() + 1)
    }

    /// How far `to` is from `from`. An unknown LLC is as far away as anything can be.
    pub fn level(&self, from: LlcId, to: LlcId) -> Level {
        if from == to {
            return Level::Core;
        }
        match (self.llc(from), self.llc(to)) {
            (Some(from), Some(to)) if from.node == to.node => Level::Llc,
            _ => Level::Node,
        }
    }

    /// The level at which a move between the two is priced: [`Topology::level`], except that parts
    /// of one cache are as near as two cores of it.
    pub fn price_level(&self, from: LlcId, to: LlcId) -> Level {
        let same_cache = self.llc(from).zip(self.llc(to)).is_some_and(|(a, b)| a.cache == b.cache);
        if same_cache { Level::Core } else { self.level(from, to) }
    }

    /// SLIT distance from node `from` to node `to`; [`REMOTE_DISTANCE`] for an unknown node.
    pub fn distance(&self, from: NodeId, to: NodeId) -> u32 {
        let row = self.nodes.get(from.index()).map(|node| &node.distance);
        row.and_then(|row| row.get(to.index())).copied().unwrap_or(REMOTE_DISTANCE)
    }

    /// All other LLCs in the order in which a search that starts at `from` visits them:
    ///
    /// 1. those of the same node, in ring order starting after `from`, parts of the same cache
    ///    first;
    /// 2. those of other nodes by distance from `from`'s node; nodes of equal distance in ring
    ///    order starting after it;
    /// 3. within another node in ring order, starting at the LLC that has the rank there that
    ///    `from` has at home, so that the LLCs of one node spread over their victims.
    ///
    /// Empty when `from` is unknown or the only LLC.
    pub fn outward(&self, from: LlcId) -> Vec<LlcId> {
        let Some(home) = self.llc(from).and_then(|llc| self.nodes.get(llc.node.index())) else {
            return Vec::new();
        };
        let rank = home.llcs.iter().position(|&llc| llc == from).unwrap_or(0);
        let nr_nodes = self.nodes.len();
        let ring = |node: &&Node| (node.id.index() + nr_nodes - home.id.index()) % nr_nodes;

        let mut others: Vec<&Node> = self.nodes.iter().filter(|node| node.id != home.id).collect();
        others.sort_by_key(|node| (self.distance(home.id, node.id), ring(node)));

        let mut order: Vec<LlcId> = rotated(&home.llcs, rank + 1).collect();
        order.retain(|&llc| llc != from);
        order.sort_by_key(|&llc| self.price_level(from, llc));
        for node in others {
            order.extend(rotated(&node.llcs, rank));
        }
        order
    }
}

/// The `len` numbers that belong to element `index` of an array of equal parts.
fn range(index: u32, len: usize) -> std::ops::Range<u32> {
    index * len as u32..(index + 1) * len as u32
}

/// `list` once around, starting at position `start` (taken modulo the length).
fn rotated(list: &[LlcId], start: usize) -> impl Iterator<Item = LlcId> {
    let start = start % list.len().max(1);
    list.iter().cycle().skip(start).take(list.len()).copied()
}

/// Refuse a machine that does not fit into the arrays of the BPF half.
fn check_limits(nr_cpus: usize, nr_llcs: usize, nr_nodes: usize) -> Result<()> {
    for (count, most, what) in [
        (nr_cpus, MAX_CPUS, "CPUs"),
        (nr_llcs, MAX_LLCS, "last-level caches"),
        (nr_nodes, MAX_NODES, "NUMA nodes"),
    ] {
        if count > most {
            bail!("the machine has {count} {what}, at most {most} are supported");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outward(topo: &Topology, from: u32) -> Vec<u32> {
        topo.outward(LlcId(from)).iter().map(|llc| llc.0).collect()
    }

    #[test]
    fn two_by_two_by_two() {
        let topo = Topology::synthetic(2, 2, 2).unwrap();
        assert_eq!(topo.cpus.len(), 8);
        assert_eq!(topo.llcs[3].cpus, [CpuId(6), CpuId(7)]);
        assert_eq!(topo.nodes[1].llcs, [LlcId(2), LlcId(3)]);
        assert_eq!(topo.level(LlcId(0), LlcId(0)), Level::Core);
        assert_eq!(topo.level(LlcId(0), LlcId(1)), Level::Llc);
        assert_eq!(topo.level(LlcId(1), LlcId(2)), Level::Node);
        assert_eq!(topo.level(LlcId(1), LlcId(99)), Level::Node);
        let drawn = [[1, 2, 3], [0, 3, 2], [3, 0, 1], [2, 1, 0]];
        for (from, order) in drawn.iter().enumerate() {
            assert_eq!(outward(&topo, from as u32), order);
        }
    }

    #[test]
    fn outward_visits_every_other_llc_once_and_never_nearer_than_before() {
        let mut topo = Topology::synthetic(4, 3, 1).unwrap();
        for (a, b, distance) in [(0, 1, 12), (0, 2, 32), (1, 3, 32), (2, 3, 12)] {
            topo.nodes[a].distance[b] = distance;
            topo.nodes[b].distance[a] = distance;
        }
        for from in 0..12 {
            let order = outward(&topo, from);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..12).filter(|&llc| llc != from).collect::<Vec<_>>());
            let node = |llc: u32| topo.llcs[llc as usize].node;
            let far = |&llc: &u32| {
                (topo.level(LlcId(from), LlcId(llc)), topo.distance(node(from), node(llc)))
            };
            assert!(order.is_sorted_by_key(far), "{from}: {order:?}");
        }
    }

    #[test]
    fn llcs_of_one_node_start_at_different_victims() {
        let topo = Topology::synthetic(2, 4, 1).unwrap();
        let first_away = |from| outward(&topo, from)[3];
        let mut victims: Vec<u32> = (0..4).map(first_away).collect();
        victims.sort_unstable();
        assert_eq!(victims, [4, 5, 6, 7]);
        let mut neighbours: Vec<u32> = (0..4).map(|from| outward(&topo, from)[0]).collect();
        neighbours.sort_unstable();
        assert_eq!(neighbours, [0, 1, 2, 3]);
    }

    #[test]
    fn a_machine_that_does_not_fit_is_refused_in_one_sentence() {
        let error = |n, l, c| Topology::synthetic(n, l, c).unwrap_err().to_string();
        assert_eq!(error(0, 1, 1), "a machine of 0 x 1 x 1 has no CPU");
        assert_eq!(error(1, 1, 1025), "the machine has 1025 CPUs, at most 1024 are supported");
        assert!(error(1, 129, 1).contains("129 last-level caches, at most 128"));
        assert!(error(65, 1, 1).contains("65 NUMA nodes, at most 64"));
        assert!(Topology::synthetic(usize::MAX, 2, 2).is_err());
    }
}
