// SPDX-License-Identifier: GPL-2.0-only
//! The machine as the simulated kernel looks it up: by CPU number.

use super::abi::CpuMask;
use crate::topology::{CAPACITY_ONE, Level, Topology};

/// See the module.
pub struct Machine {
    /// LLC and node of each CPU; none of one that is not there.
    places: Vec<Option<Spot>>,
    cores: Vec<Vec<usize>>,
    llcs: Vec<CpuMask>,
    nodes: Vec<CpuMask>,
    online: CpuMask,
    has_smt: bool,
}

/// Where a CPU is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    /// Its LLC.
    pub llc: usize,
    /// Its node.
    pub node: usize,
    /// Its capacity, 1024 for the most capable.
    pub capacity: u32,
}

impl Machine {
    /// The machine of `topo`.
    pub fn new(topo: &Topology) -> Machine {
        let nr = topo.nr_cpu_ids();
        let mut machine = Machine {
            places: vec![None; nr],
            cores: (0..nr).map(|cpu| vec![cpu]).collect(),
            llcs: vec![CpuMask::EMPTY; topo.llcs.len()],
            nodes: vec![CpuMask::EMPTY; topo.nodes.len()],
            online: CpuMask::EMPTY,
            has_smt: false,
        };
        for cpu in &topo.cpus {
            let (at, llc, node) = (cpu.id.index(), cpu.llc.index(), cpu.node.index());
            machine.places[at] = Some(Spot { llc, node, capacity: cpu.capacity });
            machine.llcs[llc].set(at, true);
            machine.nodes[node].set(at, true);
            machine.online.set(at, true);
            let same = topo.cpus.iter().filter(|other| other.core == cpu.core);
            machine.cores[at] = match topo.cpus.len() > 1 {
                true => same.map(|other| other.id.index()).collect(),
                false => vec![at],
            };
            machine.has_smt |= machine.cores[at].len() > 1;
        }
        machine
    }

    /// One more than the highest number of a CPU.
    pub fn nr_cpu_ids(&self) -> usize {
        self.places.len()
    }

    /// Where `cpu` is; none if there is no such CPU.
    pub fn spot(&self, cpu: usize) -> Option<Spot> {
        self.places.get(cpu).copied().flatten()
    }

    /// The LLC of `cpu`, the first one's for a CPU that is not there.
    pub fn llc(&self, cpu: usize) -> usize {
        self.spot(cpu).map_or(0, |spot| spot.llc)
    }

    /// The node of `cpu`, likewise.
    pub fn node(&self, cpu: usize) -> usize {
        self.spot(cpu).map_or(0, |spot| spot.node)
    }

    /// The capacity of `cpu`.
    pub fn capacity(&self, cpu: usize) -> u32 {
        self.spot(cpu).map_or(CAPACITY_ONE, |spot| spot.capacity)
    }

    /// How far apart two CPUs are.
    pub fn level(&self, from: usize, to: usize) -> Level {
        match (self.spot(from), self.spot(to)) {
            (Some(a), Some(b)) if a.llc == b.llc => Level::Core,
            (Some(a), Some(b)) if a.node == b.node => Level::Llc,
            _ => Level::Node,
        }
    }

    /// The threads of the core of `cpu`.
    pub fn core(&self, cpu: usize) -> &[usize] {
        &self.cores[cpu]
    }

    /// True if some core has several threads.
    pub fn has_smt(&self) -> bool {
        self.has_smt
    }

    /// True if `cpu` is there.
    pub fn is_online(&self, cpu: usize) -> bool {
        self.online.has(cpu)
    }

    /// All CPUs that are there.
    pub fn online_mask(&self) -> CpuMask {
        self.online.clone()
    }

    /// Those of the LLC of `cpu`.
    pub fn llc_mask(&self, cpu: usize) -> &CpuMask {
        &self.llcs[self.llc(cpu)]
    }

    /// Those of LLC number `llc`.
    pub fn mask_of_llc(&self, llc: usize) -> &CpuMask {
        &self.llcs[llc]
    }

    /// Those of the node of `cpu`.
    pub fn node_mask(&self, cpu: usize) -> &CpuMask {
        &self.nodes[self.node(cpu)]
    }

    /// Number of LLCs.
    pub fn nr_llcs(&self) -> usize {
        self.llcs.len()
    }
}
