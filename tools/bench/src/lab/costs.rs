// SPDX-License-Identifier: GPL-2.0-only
//! What moves cost in the lab: the table that every task pays by, whoever schedules it.
//!
//! There are no caches in an emulated machine, so a move is free unless the workload charges for
//! it. The table is a penalty file of `scx_toll` (TOML), and scx_toll is given the same file: it
//! knows what a measurement on such a machine would have told it, no more. Keys that are missing
//! cost nothing; keys that only concern a scheduler's rule are ignored.
//!
//! ```toml
//! [class.llc]        # a move to another LLC of the node
//! hop_us = 20        # fixed cost
//! refill = 1.0       # factor on ns_per_kib
//! [class.node]       # a move to another node
//! hop_us = 60
//! refill = 3.0
//! [memory]
//! remote_pct = 25    # extra run time away from the memory's node
//! [warmth]
//! fill_pct = 25      # share of run time that loads lines
//! ns_per_kib = 340   # time to load one KiB from another LLC
//! wear_ms = 20       # others' CPU time in the LLC after which 1/e of a working set is left
//! ```

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::clock::{NS_PER_MS, NS_PER_US};

/// How far apart two CPUs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The same LLC; moves within it are free.
    Core,
    /// Another LLC of the same node.
    Llc,
    /// Another node.
    Node,
}

impl Level {
    /// All levels, nearest first.
    pub const ALL: [Level; 3] = [Level::Core, Level::Llc, Level::Node];

    /// Position in arrays indexed by level.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// What moves cost, in the units that the workload charges in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Costs {
    /// Fixed cost by [`Level`], ns of CPU time.
    pub hop_ns: [u64; 3],
    /// Time to load one KiB again by [`Level`], ns of CPU time.
    pub refill_ns_per_kib: [f64; 3],
    /// Extra run time away from the memory's node, in thousandths.
    pub remote_pm: u64,
    /// KiB that become warm per ns of run time.
    pub fill_kib_per_ns: f64,
    /// CPU time of others in an LLC after which 1/e of a working set is left there, ns.
    pub wear_ns: f64,
}

impl Costs {
    /// A machine on which moves cost nothing.
    pub const FREE: Costs = Costs {
        hop_ns: [0; 3],
        refill_ns_per_kib: [0.0; 3],
        remote_pm: 0,
        fill_kib_per_ns: 0.0,
        wear_ns: f64::INFINITY,
    };

    /// Read a table; `name` is what errors call it.
    ///
    /// # Errors
    /// For bad TOML, and for numbers that are negative or not finite.
    pub fn parse(text: &str, name: &str) -> Result<Costs> {
        let file: File =
            toml::from_str(text).with_context(|| format!("{name} is no cost table"))?;
        for (key, value) in file.numbers() {
            if !(0.0..=1e9).contains(&value) {
                bail!("{name}: {key} = {value}, expected a number from 0 to 1e9");
            }
        }
        let Classes { llc, node } = file.class;
        let per_kib = file.warmth.ns_per_kib;
        let hop = |class: Class| (class.hop_us * NS_PER_US as f64) as u64;
        let fill = match per_kib > 0.0 {
            true => file.warmth.fill_pct / 100.0 / per_kib,
            false => 0.0,
        };
        Ok(Costs {
            hop_ns: [0, hop(llc), hop(node)],
            refill_ns_per_kib: [0.0, per_kib * llc.refill, per_kib * node.refill],
            remote_pm: (file.memory.remote_pct * 10.0) as u64,
            fill_kib_per_ns: fill,
            wear_ns: file.warmth.wear_ms.map_or(f64::INFINITY, |ms| ms * NS_PER_MS as f64),
        })
    }

    /// What a move across `level` costs a task that has `kib` warm and finds nothing warm there:
    /// the dearest that such a move can be, remote time apart. In ns of CPU time.
    pub fn full_move_ns(&self, level: Level, kib: u64) -> u64 {
        let level = level.index();
        self.hop_ns[level] + (self.refill_ns_per_kib[level] * kib as f64) as u64
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct File {
    #[serde(default)]
    class: Classes,
    #[serde(default)]
    memory: Memory,
    #[serde(default)]
    warmth: Warmth,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Classes {
    #[serde(default)]
    llc: Class,
    #[serde(default)]
    node: Class,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Class {
    #[serde(default)]
    hop_us: f64,
    #[serde(default)]
    refill: f64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Memory {
    #[serde(default)]
    remote_pct: f64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Warmth {
    #[serde(default)]
    fill_pct: f64,
    #[serde(default)]
    ns_per_kib: f64,
    wear_ms: Option<f64>,
}

impl File {
    fn numbers(&self) -> [(&'static str, f64); 8] {
        let Classes { llc, node } = self.class;
        [
            ("class.llc.hop_us", llc.hop_us),
            ("class.llc.refill", llc.refill),
            ("class.node.hop_us", node.hop_us),
            ("class.node.refill", node.refill),
            ("memory.remote_pct", self.memory.remote_pct),
            ("warmth.fill_pct", self.warmth.fill_pct),
            ("warmth.ns_per_kib", self.warmth.ns_per_kib),
            ("warmth.wear_ms", self.warmth.wear_ms.unwrap_or(0.0)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table that the lab uses unless told otherwise.
    const DEFAULT: &str = include_str!("../../costs/default.toml");

    #[test]
    fn the_default_table_charges_what_it_says() {
        let costs = Costs::parse(DEFAULT, "default.toml").expect("a table");
        // 850 KiB: about 0.3 ms to another LLC, about 0.9 ms to another node.
        assert_eq!(costs.full_move_ns(Level::Core, 850), 0);
        assert_eq!(costs.full_move_ns(Level::Llc, 850), 20_000 + 850 * 340);
        assert_eq!(costs.full_move_ns(Level::Node, 850), 60_000 + 3 * 850 * 340);
        assert_eq!(costs.remote_pm, 250);
    }

    #[test]
    fn an_empty_table_is_a_machine_on_which_moves_are_free() {
        assert_eq!(Costs::parse("", "empty").expect("a table"), Costs::FREE);
    }

    #[test]
    fn nonsense_is_refused_with_the_key() {
        let error = |text| format!("{:#}", Costs::parse(text, "c.toml").expect_err("a refusal"));
        assert!(error("[class.llc]\nhop_us = -1").contains("class.llc.hop_us = -1"));
        assert!(error("[memory]\nremote_pct = nan").contains("memory.remote_pct"));
        assert!(error("[class").contains("c.toml is no cost table"));
    }
}
