// SPDX-License-Identifier: GPL-2.0-only
//! The measured table: what was found, with the origin of each figure, as TOML and as JSON.
//!
//! ```toml
//! version = 1
//! date = "2026-01-31T12:00:00Z"
//! [machine]                   # whose table it is
//! model = "..."
//! [[handoff]]                 # by distance; also for those that the machine does not have
//! distance = "core"
//! handoff = { value = 51.2, from = "measured", samples = 400, spread = 0.03, date = "..." }
//! ...
//! ```
//!
//! A reader believes nothing: every key, type, range and the machine itself are checked, and each
//! refusal is one sentence.

use super::coherence::Coherence;
use super::estimate::Estimate;
use super::machine::Machine;
use super::plan::Distance;
use crate::units::{CpuId, NodeId};
use anyhow::{Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// The version of the format.
pub const VERSION: u32 = 1;
/// Largest table that is read, in bytes.
pub const TABLE_BYTES_MAX: usize = 64 << 20;
/// Largest figure of any kind: a second in ns, a terabyte per second in MiB.
const VALUE_MAX: f64 = 1e9;
/// Largest spread, and largest dirty extra in either direction.
const SPREAD_MAX: f64 = 1e6;
/// Longest date or sentence, in bytes.
const TEXT_MAX: usize = 1000;

/// Where a figure comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Built in: the machine has no such place, or it could not be measured.
    Default,
    /// Measured on this machine.
    Measured,
    /// Refined while the scheduler ran.
    Learned,
}

/// One figure and its history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// The figure, 0 or above; the unit is the row's.
    pub value: f64,
    /// Where it comes from.
    pub from: Origin,
    /// Undisturbed samples behind it; 0 for a default.
    #[serde(default)]
    pub samples: u32,
    /// Samples that were rejected because a thread was switched out.
    #[serde(default)]
    pub rejected: u32,
    /// `(median − p10) / p10` of the samples, also of those that were too wide to be believed.
    #[serde(default)]
    pub spread: f64,
    /// When it was measured, UTC; empty for a default.
    #[serde(default)]
    pub date: String,
}

impl Cell {
    /// The built-in figure `value`.
    pub fn default_value(value: f64) -> Cell {
        let date = String::new();
        Cell { value, from: Origin::Default, samples: 0, rejected: 0, spread: 0.0, date }
    }

    /// The figure of `estimate` if it is calm; else `default`, with the spread that spoke
    /// against the estimate.
    pub fn measured(estimate: Option<&Estimate>, default: f64, date: &str) -> Cell {
        let Some(estimate) = estimate else { return Cell::default_value(default) };
        let cell = Cell {
            value: estimate.p10,
            from: Origin::Measured,
            samples: estimate.samples,
            rejected: estimate.rejected,
            spread: estimate.spread,
            date: date.into(),
        };
        match estimate.is_calm() {
            true => cell,
            false => Cell { value: default, from: Origin::Default, date: String::new(), ..cell },
        }
    }

    /// The figure, unless it is a default.
    pub fn known(&self) -> Option<f64> {
        (self.from != Origin::Default).then_some(self.value)
    }
}

/// ns for one cache line across a distance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandoffRow {
    /// How far.
    pub distance: Distance,
    /// A line that both sides write, one way.
    pub handoff: Cell,
    /// A line that the other side only read.
    pub read: Cell,
    /// A line that the other side modified.
    pub modified: Cell,
}

/// The same between two CPUs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairRow {
    /// One CPU, by the kernel's number.
    pub from: u32,
    /// The other.
    pub to: u32,
    /// How far.
    pub distance: Distance,
    /// As in [`HandoffRow`].
    pub handoff: Cell,
    /// As in [`HandoffRow`].
    pub read: Cell,
    /// As in [`HandoffRow`].
    pub modified: Cell,
}

impl PairRow {
    /// The two CPUs.
    pub fn cpus(&self) -> (CpuId, CpuId) {
        (CpuId(self.from), CpuId(self.to))
    }
}

/// Extra ns per cache line of a warm working set after a move.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefillRow {
    /// How far.
    pub distance: Distance,
    /// Size of the working set in KiB.
    pub kib: u32,
    /// The figure, for dependent loads.
    pub ns_per_line: Cell,
}

/// From one node's CPUs to one node's memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryRow {
    /// Our number of the node whose memory it is.
    pub memory: u32,
    /// Our number of the node whose CPU reads.
    pub cpu: u32,
    /// One dependent load, ns.
    pub latency_ns: Cell,
    /// One thread's stream, MiB per second.
    pub mib_per_s: Cell,
}

impl MemoryRow {
    /// Memory node and CPU node.
    pub fn nodes(&self) -> (NodeId, NodeId) {
        (NodeId(self.memory), NodeId(self.cpu))
    }
}

/// ns for a move without a working set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixedRow {
    /// How far.
    pub distance: Distance,
    /// The figure; see [`super::fixed`] for what it includes.
    pub ns: Cell,
}

/// Everything that was measured on one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Always [`VERSION`].
    pub version: u32,
    /// When it was made, UTC.
    pub date: String,
    /// How long measuring took, ms.
    pub wall_ms: u64,
    /// All pairs were measured.
    pub thorough: bool,
    /// Why measuring was given up and all figures are defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meaningless: Option<String>,
    /// What a reader should know, one sentence each.
    pub notes: Vec<String>,
    /// Whose table it is.
    pub machine: Machine,
    /// What the coherence protocol resembles.
    pub coherence: Coherence,
    /// Hand-offs by distance.
    pub handoff: Vec<HandoffRow>,
    /// Hand-offs by pair, as far as they were measured.
    #[serde(default)]
    pub pair: Vec<PairRow>,
    /// Refills by distance and working set.
    pub refill: Vec<RefillRow>,
    /// Memory by pair of nodes.
    pub memory: Vec<MemoryRow>,
    /// Fixed costs by distance.
    pub fixed: Vec<FixedRow>,
}

impl Table {
    /// All figures, each with a name for messages.
    pub fn cells(&self) -> Vec<(String, &Cell)> {
        let mut cells = Vec::new();
        for row in &self.handoff {
            let kinds =
                [("handoff", &row.handoff), ("read", &row.read), ("modified", &row.modified)];
            cells.extend(kinds.map(|(kind, cell)| (format!("{kind} {}", row.distance), cell)));
        }
        for row in &self.pair {
            let kinds =
                [("handoff", &row.handoff), ("read", &row.read), ("modified", &row.modified)];
            cells.extend(
                kinds.map(|(kind, cell)| {
                    (format!("{kind} CPU {} - CPU {}", row.from, row.to), cell)
                }),
            );
        }
        for row in &self.refill {
            cells.push((format!("refill {} {} KiB", row.distance, row.kib), &row.ns_per_line));
        }
        for row in &self.memory {
            let place = format!("memory of node {} from node {}", row.memory, row.cpu);
            cells.push((format!("latency {place}"), &row.latency_ns));
            cells.push((format!("bandwidth {place}"), &row.mib_per_s));
        }
        for row in &self.fixed {
            cells.push((format!("fixed {}", row.distance), &row.ns));
        }
        cells
    }

    /// The hand-offs across `distance`.
    pub fn handoff(&self, distance: Distance) -> Option<&HandoffRow> {
        self.handoff.iter().find(|row| row.distance == distance)
    }

    /// The fixed cost of a move across `distance`.
    pub fn fixed(&self, distance: Distance) -> Option<&Cell> {
        self.fixed.iter().find(|row| row.distance == distance).map(|row| &row.ns)
    }

    /// The memory of node `memory` read from node `cpu`.
    pub fn memory(&self, memory: NodeId, cpu: NodeId) -> Option<&MemoryRow> {
        self.memory.iter().find(|row| row.nodes() == (memory, cpu))
    }

    /// The table as TOML, one line a figure.
    ///
    /// # Errors
    /// When a number does not fit into TOML; none that is measured does.
    pub fn to_toml(&self) -> Result<String> {
        one_line_toml(self)
    }

    /// Read a table's `text` for the machine `here`; `name` is what errors call the file.
    ///
    /// # Errors
    /// One sentence: for bad TOML, an unknown or missing key, a value of another type or out of
    /// range, another version, and a table of another machine, naming what differs.
    pub fn parse(text: &str, name: &str, here: &Machine) -> Result<Table> {
        if text.len() > TABLE_BYTES_MAX {
            bail!("{name}: larger than {TABLE_BYTES_MAX} bytes, expected a measured table");
        }
        let table: Table =
            toml::from_str(text).map_err(|err| bad_toml(text, name, &err, "a measured table"))?;
        if table.version != VERSION {
            bail!("{name}: version is {}, expected {VERSION}", table.version);
        }
        if let Some(difference) = table.machine.difference(here) {
            bail!("{name}: the table of another machine ({difference}); run `scx_toll measure`");
        }
        table.check().map_err(|what| anyhow!("{name}: {what}"))?;
        Ok(table)
    }

    /// What the types do not promise: ranges, lengths, rows that are there once.
    fn check(&self) -> std::result::Result<(), String> {
        for (cell_name, cell) in self.cells() {
            check_cell(&cell_name, cell)?;
        }
        check_text("table", "date", &self.date)?;
        let Coherence { confidence, dirty_extra_ns, because, .. } = &self.coherence;
        check_text("coherence", "because", because)?;
        if !(0.0..=1.0).contains(confidence) || !(-VALUE_MAX..=VALUE_MAX).contains(dirty_extra_ns) {
            return Err(format!(
                "coherence: confidence is {confidence} and dirty_extra_ns is {dirty_extra_ns}, \
                 expected 0 to 1 and a time"
            ));
        }
        for note in self.notes.iter().chain(&self.meaningless) {
            check_text("table", "a note", note)?;
        }
        let nr_nodes = self.machine.nodes.len() as u32;
        if let Some(row) = self.memory.iter().find(|row| row.memory.max(row.cpu) >= nr_nodes) {
            return Err(format!(
                "memory of node {} from node {}: expected nodes below {nr_nodes}",
                row.memory, row.cpu
            ));
        }
        if let Some(row) = self.refill.iter().find(|row| !(1..=1 << 20).contains(&row.kib)) {
            return Err(format!("refill: kib is {}, expected 1 to 1048576", row.kib));
        }
        let mut names: Vec<String> = self.cells().into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("{}: there twice, expected once", pair[0])),
            None => Ok(()),
        }
    }
}

/// The ranges of a figure that messages call `name`.
pub(super) fn check_cell(name: &str, cell: &Cell) -> std::result::Result<(), String> {
    if !(0.0..=VALUE_MAX).contains(&cell.value) {
        return Err(format!("{name}: value is {}, expected 0 to {VALUE_MAX}", cell.value));
    }
    if !(0.0..=SPREAD_MAX).contains(&cell.spread) {
        return Err(format!("{name}: spread is {}, expected 0 to 1e6", cell.spread));
    }
    check_text(name, "date", &cell.date)
}

fn check_text(place: &str, key: &str, text: &str) -> std::result::Result<(), String> {
    if text.len() > TEXT_MAX || text.contains(char::is_control) {
        return Err(format!("{place}: {key} is not one line of at most {TEXT_MAX} bytes"));
    }
    Ok(())
}

/// A refusal of the TOML reader as one line: its own message spans several.
pub(super) fn bad_toml(
    text: &str,
    name: &str,
    err: &toml::de::Error,
    expected: &str,
) -> anyhow::Error {
    let at = err.span().map_or(0, |span| span.start);
    let line = text.bytes().take(at).filter(|&byte| byte == b'\n').count() + 1;
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let message = err.message().lines().collect::<Vec<_>>().join(", ");
    let message: String = message.chars().take(300).map(plain).collect();
    anyhow!("{name}: line {line}: {message}, expected {expected}")
}

/// `table` as TOML, one line a figure.
pub(super) fn one_line_toml(table: &impl Serialize) -> Result<String> {
    let toml::Value::Table(root) = toml::Value::try_from(table)? else {
        bail!("a table became something else");
    };
    let is_rows = |value: &toml::Value| {
        value.as_array().is_some_and(|list| list.first().is_some_and(toml::Value::is_table))
    };
    let mut text = String::new();
    let line = |text: &mut String, key: &str, value: &toml::Value| {
        let _ = writeln!(text, "{key} = {value}");
    };
    for (key, value) in root.iter().filter(|(_, v)| !v.is_table() && !is_rows(v)) {
        line(&mut text, key, value);
    }
    for (key, section) in root.iter().filter_map(|(key, v)| Some((key, v.as_table()?))) {
        let _ = writeln!(text, "\n[{key}]");
        section.iter().for_each(|(key, value)| line(&mut text, key, value));
    }
    for (key, rows) in root.iter().filter(|(_, v)| is_rows(v)) {
        for row in rows.as_array().into_iter().flatten().filter_map(toml::Value::as_table) {
            let _ = writeln!(text, "\n[[{key}]]");
            row.iter().for_each(|(key, value)| line(&mut text, key, value));
        }
    }
    Ok(text)
}
