// SPDX-License-Identifier: GPL-2.0-only
//! Which LLC and node each CPU of the traced machine belongs to, and how far a move goes.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How far it is from one CPU to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// To another CPU of the LLC, or nowhere.
    Core,
    /// To another LLC of the node.
    Llc,
    /// To another node.
    Node,
}

/// All levels, nearest first.
pub const LEVELS: [Level; 3] = [Level::Core, Level::Llc, Level::Node];

/// One number per level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByLevel {
    /// Between CPUs of an LLC.
    pub core: u64,
    /// Between LLCs of a node.
    pub llc: u64,
    /// Between nodes.
    pub node: u64,
}

/// Where each CPU is. CPUs are numbered from 0 without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// LLC and node of each CPU.
    places: Vec<(u32, u32)>,
}

impl Machine {
    /// From the LLC and the node of each CPU, by number; LLCs of two nodes have different numbers.
    pub fn new(places: Vec<(u32, u32)>) -> Self {
        Self { places }
    }

    /// `nodes` nodes of `llcs` LLCs of `cpus` CPUs, numbered in this order.
    pub fn regular(nodes: u32, llcs: u32, cpus: u32) -> Self {
        let per_node = llcs * cpus;
        Self::new((0..nodes * per_node).map(|cpu| (cpu / cpus, cpu / per_node)).collect())
    }

    /// The number of CPUs.
    pub fn cpus(&self) -> u32 {
        self.places.len() as u32
    }

    /// True if the machine has this CPU.
    pub fn has(&self, cpu: u32) -> bool {
        cpu < self.cpus()
    }

    /// The LLC of a CPU; a CPU that the machine does not have is in an LLC of its own.
    pub fn llc(&self, cpu: u32) -> u32 {
        self.place(cpu).0
    }

    /// The node of a CPU, likewise.
    pub fn node(&self, cpu: u32) -> u32 {
        self.place(cpu).1
    }

    fn place(&self, cpu: u32) -> (u32, u32) {
        self.places.get(cpu as usize).copied().unwrap_or((u32::MAX - cpu, u32::MAX))
    }

    /// How far it is from one CPU to another.
    pub fn level(&self, from: u32, to: u32) -> Level {
        if self.node(from) != self.node(to) {
            Level::Node
        } else if self.llc(from) != self.llc(to) {
            Level::Llc
        } else {
            Level::Core
        }
    }
}

impl FromStr for Machine {
    type Err = String;

    /// `NxLxC`: nodes, LLCs per node, CPUs per LLC, such as `2x2x2`.
    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Option<Vec<u32>> = text
            .split('x')
            .map(|part| part.parse().ok().filter(|number| (1..=99).contains(number)))
            .collect();
        match numbers.as_deref() {
            Some(&[nodes, llcs, cpus]) => Ok(Self::regular(nodes, llcs, cpus)),
            _ => Err(format!("'{text}' is no machine; expected NODESxLLCSxCPUS such as 2x2x2")),
        }
    }
}

impl ByLevel {
    /// The number of a level.
    pub fn at(&mut self, level: Level) -> &mut u64 {
        match level {
            Level::Core => &mut self.core,
            Level::Llc => &mut self.llc,
            Level::Node => &mut self.node,
        }
    }

    /// Between LLCs, of one node or of two.
    pub fn away(&self) -> u64 {
        self.llc + self.node
    }

    /// All levels together.
    pub fn total(&self) -> u64 {
        self.core + self.away()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_machines_have_levels() {
        let machine: Machine = "2x2x2".parse().expect("machine");
        assert_eq!(machine, Machine::regular(2, 2, 2));
        assert_eq!(machine.cpus(), 8);
        let levels: Vec<Level> = (0..8).map(|to| machine.level(0, to)).collect();
        assert_eq!(levels[..4], [Level::Core, Level::Core, Level::Llc, Level::Llc]);
        assert_eq!(levels[4..], [Level::Node; 4]);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "2x2", "2x2x2x2", "0x1x1", "ax1x1", "2x2x100"] {
            assert!(text.parse::<Machine>().is_err(), "{text}");
        }
    }
}
