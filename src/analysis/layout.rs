// SPDX-License-Identifier: GPL-2.0-only
//! Which LLC and node each CPU of a trace belongs to.

use crate::topology::{Level, Topology};
use crate::units::LlcId;

/// The machine that a trace was made on, as far as levels go.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Its caches and nodes.
    pub topo: Topology,
    llcs: Vec<Option<LlcId>>,
}

impl Layout {
    /// Of a machine.
    pub fn new(topo: Topology) -> Layout {
        let mut llcs = vec![None; topo.nr_cpu_ids()];
        for cpu in &topo.cpus {
            llcs[cpu.id.index()] = Some(cpu.llc);
        }
        Layout { topo, llcs }
    }

    /// The LLC of a CPU; `None` for one that the machine does not have.
    pub fn llc(&self, cpu: u32) -> Option<LlcId> {
        self.llcs.get(cpu as usize).copied().flatten()
    }

    /// The node of a CPU, as a number.
    pub fn node(&self, cpu: u32) -> Option<u32> {
        let llc = self.topo.llc(self.llc(cpu)?)?;
        Some(llc.node.0)
    }

    /// Are they in two LLCs? `false` also where the machine does not have both.
    pub fn apart(&self, from: u32, to: u32) -> bool {
        self.llc(from).zip(self.llc(to)).is_some_and(|(from, to)| from != to)
    }

    /// How far a move goes; `None` where the machine does not have both CPUs.
    pub fn level(&self, from: u32, to: u32) -> Option<Level> {
        Some(self.topo.level(self.llc(from)?, self.llc(to)?))
    }
}
