// SPDX-License-Identifier: GPL-2.0-only
//! What was learned about fixed costs and refill factors, as it is kept from one run to the next.
//!
//! ```toml
//! version = 1
//! [machine]                   # whose costs they are, as in the measured table beside it
//! model = "..."
//! [[hop]]
//! level = "llc"
//! base_ns = 10800             # the number that it began with
//! ns = { value = 6200.0, from = "learned", samples = 4000, spread = 0.4, date = "..." }
//! [[refill]]
//! level = "llc"
//! base = 1.0
//! factor = { value = 0.7, from = "learned", samples = 900, spread = 1.2, date = "..." }
//! ```
//!
//! A row counts only as long as the table still says `base_ns` or `base`: measuring anew makes it
//! void.

use super::machine::Machine;
use super::table::{Cell, Origin, TABLE_BYTES_MAX, bad_toml, check_cell, one_line_toml};
use anyhow::{Result, anyhow, bail};
use serde::{Deserialize, Serialize};

/// The version of the format.
pub const VERSION: u32 = 1;
const EXPECTED: &str = "what was learned";
/// The names of the levels.
const LEVELS: [&str; 3] = ["core", "llc", "node"];
/// Longest base, ns: a thousand seconds.
const BASE_NS_MAX: u64 = 1_000_000_000_000;
/// Largest base of a refill factor.
const BASE_MAX: f64 = 1024.0;

/// What was learned about one level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HopRow {
    /// "core", "llc" or "node".
    pub level: String,
    /// The fixed cost that it began with.
    pub base_ns: u64,
    /// The fixed cost as learned.
    pub ns: Cell,
}

/// What was learned about the refill factor of one level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefillRow {
    /// "core", "llc" or "node".
    pub level: String,
    /// The factor that it began with.
    pub base: f64,
    /// The factor as learned.
    pub factor: Cell,
}

/// What was learned on one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnedTable {
    /// Always [`VERSION`].
    pub version: u32,
    /// Whose costs they are.
    pub machine: Machine,
    /// One row for each level about whose fixed cost something was learned.
    #[serde(default)]
    pub hop: Vec<HopRow>,
    /// The same of refill factors.
    #[serde(default)]
    pub refill: Vec<RefillRow>,
}

impl LearnedTable {
    /// The table as TOML, one line a figure.
    ///
    /// # Errors
    /// When a number does not fit into TOML; none that is learned does.
    pub fn to_toml(&self) -> Result<String> {
        one_line_toml(self)
    }

    /// Read `text` for the machine `here`; `name` is what errors call the file.
    ///
    /// # Errors
    /// One sentence, as [`super::table::Table::parse`].
    pub fn parse(text: &str, name: &str, here: &Machine) -> Result<LearnedTable> {
        if text.len() > TABLE_BYTES_MAX {
            bail!("{name}: larger than {TABLE_BYTES_MAX} bytes, expected {EXPECTED}");
        }
        let table: LearnedTable =
            toml::from_str(text).map_err(|err| bad_toml(text, name, &err, EXPECTED))?;
        if table.version != VERSION {
            bail!("{name}: version is {}, expected {VERSION}", table.version);
        }
        if let Some(difference) = table.machine.difference(here) {
            bail!("{name}: learned on another machine ({difference})");
        }
        table.check().map_err(|what| anyhow!("{name}: {what}"))?;
        Ok(table)
    }

    /// What the types do not promise.
    fn check(&self) -> std::result::Result<(), String> {
        let hops = self.hop.iter().map(|row| (row.level.as_str(), &row.ns));
        check_rows("hop", hops)?;
        let refills = self.refill.iter().map(|row| (row.level.as_str(), &row.factor));
        check_rows("refill", refills)?;
        if let Some(row) = self.hop.iter().find(|row| row.base_ns > BASE_NS_MAX) {
            let HopRow { level, base_ns, .. } = row;
            return Err(format!("hop {level}: base_ns is {base_ns}, expected 0 to {BASE_NS_MAX}"));
        }
        if let Some(row) = self.refill.iter().find(|row| !(0.0..=BASE_MAX).contains(&row.base)) {
            let RefillRow { level, base, .. } = row;
            return Err(format!("refill {level}: base is {base}, expected 0 to {BASE_MAX}"));
        }
        Ok(())
    }
}

/// Check the rows of one kind: levels and figures.
fn check_rows<'a>(
    kind: &str,
    rows: impl Iterator<Item = (&'a str, &'a Cell)> + Clone,
) -> std::result::Result<(), String> {
    for (i, (level, cell)) in rows.clone().enumerate() {
        if !LEVELS.contains(&level) {
            let short: String =
                level.chars().take(20).map(|c| if c.is_control() { ' ' } else { c }).collect();
            return Err(format!("{kind}: level is {short:?}, expected core, llc or node"));
        }
        if rows.clone().take(i).any(|(other, _)| other == level) {
            return Err(format!("{kind} {level}: there twice, expected once"));
        }
        check_cell(&format!("{kind} {level}"), cell)?;
        if cell.from != Origin::Learned {
            return Err(format!("{kind} {level}: from is not learned, expected learned"));
        }
    }
    Ok(())
}
