// SPDX-License-Identifier: GPL-2.0-only
//! The penalty file (`--penalty FILE`): costs written by hand or by a tool, in TOML.
//!
//! Everything is optional; what is not there keeps its default. LLCs are called by our own
//! numbers, dense from 0 in the order of nodes and CPUs.
//!
//! ```toml
//! [class.core]            # another CPU of the same LLC
//! hop_us = 2              # fixed cost of a move, µs, 0 to 60 s
//! refill = 0.1            # factor on the time to load warm lines again, 0 to 1024
//! [class.llc]             # another LLC of the same node
//! hop_us = 10
//! refill = 1.0
//! [class.node]            # another node
//! hop_us = 25
//! refill = 1.6
//!
//! [memory]
//! remote_pct = 25         # extra run time while the memory is on another node, %;
//!                         # without it: from the node distances
//! [warmth]
//! fill_pct = 25           # share of run time that loads cache lines, 0 to 100
//! ns_per_kib = 340        # time to load one KiB from another LLC, ns
//! wear_ms = 45            # busy time of others after which 1/e is left, ms;
//!                         # without it: from the cache size
//! [rule]
//! others_pay = 3          # what all pay for each ns the mover pays, 1 to 1024;
//!                         # 1: the mover only
//!
//! [[pair]]                # one pair of LLCs instead of its class, in both directions
//! from = 0
//! to = 1
//! hop_us = 30
//! [[pair]]                # ... unless the other direction is given too
//! from = 1
//! to = 0
//! hop_us = 40
//! ```
//!
//! Every error is one sentence: file, key, value, and what was expected. A key that is not
//! listed above is an error too: a misspelt number that silently keeps its default would be
//! found much later.

use crate::model::penalty::{Cell, PenaltyTable, Provenance};
use crate::topology::{Level, Topology};
use crate::units::{LlcId, Ns, PerMille, Q10};
use anyhow::{Result, anyhow, bail};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use toml::{Table, Value};

/// Largest file that is read, in bytes.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// How much dearer one direction of a pair may be than the other.
pub const ASYMMETRY_MAX: u64 = 10;

const HOP_US: Bound = Bound::new(0.0, 60e6, "microseconds from 0 to 60000000");
const REFILL: Bound = Bound::new(0.0, 1024.0, "a factor from 0 to 1024");
const REMOTE_PCT: Bound = Bound::new(0.0, 100e3, "per cent from 0 to 100000");
const FILL_PCT: Bound = Bound::new(0.0, 100.0, "per cent from 0 to 100");
const NS_PER_KIB: Bound = Bound::new(0.0, 1e6, "nanoseconds from 0 to 1000000");
const WEAR_MS: Bound = Bound::new(0.001, 60e3, "milliseconds from 0.001 to 60000");
/// Below 1 a way there and back would earn something, and tasks would go to and fro for it.
const OTHERS_PAY: Bound = Bound::new(1.0, 1024.0, "a factor from 1 to 1024");

/// The range of a number, bounds included, and how errors put it.
struct Bound {
    least: f64,
    most: f64,
    words: &'static str,
}

impl Bound {
    const fn new(least: f64, most: f64, words: &'static str) -> Bound {
        Bound { least, most, words }
    }
}

/// Read the penalty file at `path` for the machine `topo`.
///
/// # Errors
/// When the file cannot be read, and as [`parse`].
pub fn read(path: &Path, topo: &Topology) -> Result<PenaltyTable> {
    parse(&read_text(path)?, &path.display().to_string(), topo)
}

/// The text of the penalty file at `path`, for [`parse`].
///
/// # Errors
/// When the file cannot be read, is too large or no text.
pub fn read_text(path: &Path) -> Result<String> {
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    // One byte more than allowed tells too large from just large enough, whatever the file is.
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|err| anyhow!("cannot read {name}: {err}"))?;
    check_size(&name, bytes.len())?;
    String::from_utf8(bytes).map_err(|err| {
        anyhow!("{name}: byte {} is no UTF-8, expected text", err.utf8_error().valid_up_to())
    })
}

/// Read a penalty file's `text` for the machine `topo`; `name` is what errors call the file.
///
/// # Errors
/// One sentence naming file, key, value and what was expected: for bad TOML, a key that is not
/// known, a value of another type or out of range, an LLC that the machine does not have, a pair
/// that is given twice or leads nowhere, and directions that differ by more than
/// [`ASYMMETRY_MAX`].
pub fn parse(text: &str, name: &str, topo: &Topology) -> Result<PenaltyTable> {
    check_size(name, text.len())?;
    let root = text.parse::<Table>().map_err(|err| bad_toml(text, name, &err))?;
    let root = Section { file: name, path: String::new(), table: Some(&root) };
    root.only(&["class", "memory", "warmth", "rule", "pair"])?;

    let mut table = PenaltyTable::default();
    read_classes(&root, &mut table)?;

    let memory = root.section("memory")?;
    memory.only(&["remote_pct"])?;
    if let Some(pct) = memory.number("remote_pct", &REMOTE_PCT)? {
        table.remote_all = Some(given(PerMille::clamped_from_ratio(pct / 100.0)));
    }

    read_warmth(&root.section("warmth")?, &mut table)?;

    let rule = root.section("rule")?;
    rule.only(&["others_pay"])?;
    if let Some(factor) = rule.number("others_pay", &OTHERS_PAY)? {
        table.others_pay = given(Q10::clamped_from_f64(factor));
    }

    table.pairs = read_pairs(&root, topo)?;
    Ok(table)
}

const fn given<T>(value: T) -> Cell<T> {
    Cell::new(value, Provenance::Given)
}

fn check_size(name: &str, len: usize) -> Result<()> {
    if len > FILE_BYTES_MAX {
        bail!("{name}: larger than {FILE_BYTES_MAX} bytes, expected a penalty file");
    }
    Ok(())
}

/// A syntax error as one line: toml's own message spans several.
fn bad_toml(text: &str, name: &str, err: &toml::de::Error) -> anyhow::Error {
    let at = err.span().map_or(0, |span| span.start);
    let line = text.bytes().take(at).filter(|&byte| byte == b'\n').count() + 1;
    let message = err.message().lines().collect::<Vec<_>>().join(", ");
    anyhow!("{name}: line {line}: {message}, expected TOML")
}

fn read_classes(root: &Section, table: &mut PenaltyTable) -> Result<()> {
    let classes = root.section("class")?;
    classes.only(&Level::ALL.map(Level::name))?;
    for level in Level::ALL {
        let from = classes.section(level.name())?;
        from.only(&["hop_us", "refill"])?;
        let class = table.class_mut(level);
        if let Some(us) = from.number("hop_us", &HOP_US)? {
            class.hop = given(Ns::clamped_from_f64(us * 1e3));
        }
        if let Some(factor) = from.number("refill", &REFILL)? {
            class.refill = given(Q10::clamped_from_f64(factor));
        }
    }
    Ok(())
}

fn read_warmth(from: &Section, table: &mut PenaltyTable) -> Result<()> {
    from.only(&["fill_pct", "ns_per_kib", "wear_ms"])?;
    if let Some(pct) = from.number("fill_pct", &FILL_PCT)? {
        table.warmth.fill_share = given(Q10::clamped_from_f64(pct / 100.0));
    }
    if let Some(ns) = from.number("ns_per_kib", &NS_PER_KIB)? {
        table.warmth.ns_per_kib = given(ns.round() as u32);
    }
    if let Some(ms) = from.number("wear_ms", &WEAR_MS)? {
        table.warmth.wear = Some(given(Ns::clamped_from_f64(ms * 1e6)));
    }
    Ok(())
}

type Pairs = BTreeMap<(LlcId, LlcId), Cell<Ns>>;

/// The pairs in both directions.
fn read_pairs(root: &Section, topo: &Topology) -> Result<Pairs> {
    let list = match root.value("pair") {
        None => return Ok(Pairs::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(root.error("pair", "tables that begin with [[pair]]")),
    };
    let mut pairs = Pairs::new();
    for (index, value) in list.iter().enumerate() {
        let path = format!("pair number {}", index + 1);
        let Value::Table(table) = value else {
            bail!("{}: {path} is {}, expected a table", root.file, shown(value));
        };
        let from = Section { file: root.file, path, table: Some(table) };
        from.only(&["from", "to", "hop_us"])?;
        let pair = (from.llc("from", topo)?, from.llc("to", topo)?);
        if pair.0 == pair.1 {
            return Err(from.error("to", "another LLC than from"));
        }
        let us = from.number("hop_us", &HOP_US)?.ok_or_else(|| from.missing("hop_us"))?;
        if pairs.insert(pair, given(Ns::clamped_from_f64(us * 1e3))).is_some() {
            bail!(
                "{}: {} is {} -> {} again, expected each direction at most once",
                from.file,
                from.path,
                pair.0,
                pair.1
            );
        }
    }
    check_asymmetry(root.file, &pairs)?;
    for ((from, to), cell) in pairs.clone() {
        pairs.entry((to, from)).or_insert(cell);
    }
    Ok(pairs)
}

/// Refuse directions so different that one of them must be a mistake.
fn check_asymmetry(file: &str, pairs: &Pairs) -> Result<()> {
    for (&(from, to), there) in pairs {
        let Some(back) = pairs.get(&(to, from)) else {
            continue;
        };
        if there.value.get() > back.value.get().saturating_mul(ASYMMETRY_MAX) {
            bail!(
                "{file}: hop_us of pair {from} -> {to} is {} and back it is {}, expected at most \
                 {ASYMMETRY_MAX} times as much",
                there.value,
                back.value
            );
        }
    }
    Ok(())
}

/// One table of the file; a table that is not there counts as empty.
struct Section<'a> {
    file: &'a str,
    /// How errors call the table; empty for the whole file.
    path: String,
    table: Option<&'a Table>,
}

impl<'a> Section<'a> {
    fn value(&self, key: &str) -> Option<&'a Value> {
        self.table.and_then(|table| table.get(key))
    }

    /// The key as errors call it: "class.llc.hop_us", "pair number 2, from".
    fn name(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_string(),
            path if path.contains(' ') => format!("{path}, {key}"),
            path => format!("{path}.{key}"),
        }
    }

    /// The sentence for a value that is not as `expected`.
    fn error(&self, key: &str, expected: &str) -> anyhow::Error {
        let value = self.value(key).map_or_else(|| "missing".to_string(), shown);
        anyhow!("{}: {} is {value}, expected {expected}", self.file, self.name(key))
    }

    fn missing(&self, key: &str) -> anyhow::Error {
        anyhow!("{}: {} is missing, expected from, to and hop_us", self.file, self.name(key))
    }

    /// Refuse any key that is not one of `keys`.
    fn only(&self, keys: &[&str]) -> Result<()> {
        let unknown = self.table.and_then(|table| table.keys().find(|k| !keys.contains(&&***k)));
        let Some(key) = unknown else {
            return Ok(());
        };
        let (last, others) = keys.split_last().unwrap_or((&"", &[]));
        let expected = match others {
            [] => (*last).to_string(),
            _ => format!("{} or {last}", others.join(", ")),
        };
        bail!("{}: {} is no known key, expected {expected}", self.file, self.name(&brief(key)))
    }

    /// The table called `key` within this one.
    fn section(&self, key: &str) -> Result<Section<'a>> {
        let table = match self.value(key) {
            None => None,
            Some(Value::Table(table)) => Some(table),
            Some(_) => return Err(self.error(key, "a table")),
        };
        Ok(Section { file: self.file, path: self.name(key), table })
    }

    /// The number called `key`, integer or not, if it is there; it must be within the bound.
    fn number(&self, key: &str, bound: &Bound) -> Result<Option<f64>> {
        let number = match self.value(key) {
            None => return Ok(None),
            Some(Value::Integer(number)) => *number as f64,
            Some(Value::Float(number)) => *number,
            Some(_) => return Err(self.error(key, bound.words)),
        };
        if (bound.least..=bound.most).contains(&number) {
            Ok(Some(number))
        } else {
            Err(self.error(key, bound.words))
        }
    }

    /// The LLC called `key`, which must be there and on the machine.
    fn llc(&self, key: &str, topo: &Topology) -> Result<LlcId> {
        let value = self.value(key).ok_or_else(|| self.missing(key))?;
        let id = value.as_integer().and_then(|id| u32::try_from(id).ok()).map(LlcId);
        id.filter(|&id| topo.llc(id).is_some()).ok_or_else(|| {
            let last = topo.llcs.len().saturating_sub(1);
            self.error(key, &format!("the number of an LLC, 0 to {last}"))
        })
    }
}

/// A value as errors show it, on one line.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{:?}", brief(text)),
        Value::Array(_) => "an array".to_string(),
        Value::Table(_) => "a table".to_string(),
        Value::Float(number) => format!("{number:?}"),
        other => other.to_string(),
    }
}

/// At most 40 characters of `text`, on one line.
fn brief(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.chars().take(40).map(plain).collect();
    if text.chars().nth(40).is_some() {
        short.push_str("...");
    }
    short
}
