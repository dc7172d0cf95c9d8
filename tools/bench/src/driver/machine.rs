// SPDX-License-Identifier: GPL-2.0-only
//! The machines of the lab, as QEMU is told to make them.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::lab::costs::Level;

/// CPUs beyond which QEMU's machine does not go.
const MAX_CPUS: usize = 255;
/// Room for the kernel and, per CPU, for tasks with their working sets and the trace.
const BASE_MB: usize = 1024;
const PER_CPU_MB: usize = 160;

/// A machine of the lab: nodes × LLCs per node × CPUs per LLC, CPUs numbered in that order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Nodes.
    pub nodes: usize,
    /// LLCs of each node.
    pub llcs: usize,
    /// CPUs of each LLC.
    pub cpus: usize,
    /// Distance between two nodes, as in the kernel's table; 10 is the node itself.
    pub distance: u32,
}

impl Machine {
    /// The machine called `name`, such as `2x4x2`.
    ///
    /// # Errors
    /// When the name is not of that form, or the machine has more CPUs than work.
    pub fn named(name: &str) -> Result<Machine> {
        let parts: Vec<usize> = name
            .split('x')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .ok()
            .with_context(|| bad_name(name))?;
        let [nodes, llcs, cpus] = parts[..] else { bail!(bad_name(name)) };
        let count = nodes.saturating_mul(llcs).saturating_mul(cpus);
        if !(1..=MAX_CPUS).contains(&count) {
            bail!("machine {name} has {count} CPUs, expected 1 to {MAX_CPUS}");
        }
        Ok(Machine { nodes, llcs, cpus, distance: 20 })
    }

    /// As [`Machine::named`] reads it.
    pub fn name(&self) -> String {
        format!("{}x{}x{}", self.nodes, self.llcs, self.cpus)
    }

    /// Number of CPUs.
    pub fn nr_cpus(&self) -> usize {
        self.nodes * self.llcs * self.cpus
    }

    /// LLC of a CPU.
    pub fn llc_of(&self, cpu: usize) -> usize {
        cpu / self.cpus
    }

    /// Node of a CPU.
    pub fn node_of(&self, cpu: usize) -> usize {
        self.llc_of(cpu) / self.llcs
    }

    /// How far it is from one CPU to another.
    pub fn level(&self, from: usize, to: usize) -> Level {
        if self.llc_of(from) == self.llc_of(to) {
            Level::Core
        } else if self.node_of(from) == self.node_of(to) {
            Level::Llc
        } else {
            Level::Node
        }
    }

    /// Memory that it needs, in MB.
    pub fn memory_mb(&self) -> usize {
        BASE_MB + PER_CPU_MB * self.nr_cpus()
    }
}

fn bad_name(name: &str) -> String {
    format!("machine {name}: expected NODESxLLCSxCPUS such as 2x2x2")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_numbered_by_node_and_llc() {
        let machine = Machine::named("2x4x2").expect("a machine");
        assert_eq!((machine.nr_cpus(), machine.name().as_str()), (16, "2x4x2"));
        assert_eq!((machine.llc_of(7), machine.node_of(7), machine.node_of(8)), (3, 0, 1));
        assert_eq!(machine.level(0, 1), Level::Core);
        assert_eq!(machine.level(1, 2), Level::Llc);
        assert_eq!(machine.level(7, 8), Level::Node);
    }

    #[test]
    fn nonsense_is_refused_with_the_name() {
        for (name, words) in
            [("2x2", "2x2: expected"), ("axbxc", "expected"), ("16x16x1", "256 CPUs")]
        {
            let error = Machine::named(name).expect_err("a refusal").to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
