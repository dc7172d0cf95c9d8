// SPDX-License-Identifier: GPL-2.0-only
//! Assignments such as `slice_us=5000` → changes → the next policy.
//!
//! Three steps: [`parse`] needs nothing but the text, [`Change::fetch`] reads the penalty file if
//! one is named, [`apply`] makes the next policy out of the one in force. Whatever goes wrong
//! goes wrong before anything is changed.

use super::wire::brief;
use crate::config::{gate_value, learn_value, migrate_value, slice_value};
use crate::model::decide::Migrate;
use crate::model::{Hysteresis, PenaltyTable, file};
use crate::policy::Policy;
use crate::policy::view::{migrate_text, on_off};
use crate::topology::{Level, Topology};
use crate::units::Ns;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What an unknown key is answered with.
const KEYS: &str = "penalty, slice_us, migrate, learn, hysteresis_us.core, hysteresis_us.llc or \
                    hysteresis_us.node";

/// One change, as asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Another penalty table; its text once it has been fetched, `None`: the default.
    Penalty(Option<(PathBuf, String)>),
    /// Another length of a turn.
    Slice(Ns),
    /// Something else decides, with this price under [`Migrate::Fixed`].
    Migrate(Migrate, Ns),
    /// Refine what moves cost, or leave it as it is.
    Learn(bool),
    /// Another open threshold, close threshold and hold time; `None`: as it is.
    Gate(Level, [Option<Ns>; 3]),
}

/// What one assignment changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// What was assigned to.
    pub key: String,
    /// Its value before.
    pub old: String,
    /// Its value now.
    pub new: String,
}

/// The changes that `assign` asks for, each `KEY=VALUE`.
///
/// # Errors
/// One sentence that names the first value which is wrong and what was expected.
pub fn parse(assign: &[String]) -> Result<Vec<Change>, String> {
    if assign.is_empty() {
        return Err(format!("nothing is assigned, expected KEY=VALUE with the key {KEYS}"));
    }
    let mut changes: Vec<Change> = Vec::new();
    for text in assign {
        let change = parse_one(text).map_err(|why| format!("{}: {why}", brief(text, 60)))?;
        if changes.iter().any(|other| other.key() == change.key()) {
            return Err(format!("{} is assigned twice, expected once", change.key()));
        }
        changes.push(change);
    }
    Ok(changes)
}

fn parse_one(text: &str) -> Result<Change, String> {
    let (key, value) = text.split_once('=').ok_or_else(|| "expected KEY=VALUE".to_string())?;
    match key {
        "penalty" => parse_penalty(value),
        "slice_us" => {
            let us = value.parse().map_err(|_| "expected a whole number of microseconds")?;
            Ok(Change::Slice(slice_value(us)?))
        }
        "migrate" => {
            let (migrate, fixed) = migrate_value(value)?;
            Ok(Change::Migrate(migrate, fixed))
        }
        "learn" => Ok(Change::Learn(learn_value(value)?)),
        "hysteresis_us.core" => parse_gate(Level::Core, value),
        "hysteresis_us.llc" => parse_gate(Level::Llc, value),
        "hysteresis_us.node" => parse_gate(Level::Node, value),
        _ => Err(format!("no such key, expected {KEYS}")),
    }
}

fn parse_penalty(value: &str) -> Result<Change, String> {
    match value {
        "default" => Ok(Change::Penalty(None)),
        path if Path::new(path).is_absolute() => {
            Ok(Change::Penalty(Some((path.into(), String::new()))))
        }
        _ => Err("expected default or the absolute path of a penalty file".into()),
    }
}

fn parse_gate(level: Level, value: &str) -> Result<Change, String> {
    Ok(Change::Gate(level, gate_value(value)?))
}

impl Change {
    /// What is assigned to.
    fn key(&self) -> String {
        match self {
            Change::Penalty(_) => "penalty".into(),
            Change::Slice(_) => "slice_us".into(),
            Change::Migrate(..) => "migrate".into(),
            Change::Learn(_) => "learn".into(),
            Change::Gate(level, _) => format!("hysteresis_us.{level}"),
        }
    }

    /// Its value in `policy`, in the form in which it is assigned.
    fn value(&self, policy: &Policy) -> String {
        match self {
            Change::Penalty(_) => policy.source.clone(),
            Change::Slice(_) => policy.slice.as_us().to_string(),
            Change::Migrate(..) => migrate_text(policy.migrate, policy.fixed),
            Change::Learn(_) => on_off(policy.learn).into(),
            Change::Gate(level, _) => {
                let gate = policy.hysteresis[level.index()];
                format!("{},{},{}", gate.open.as_us(), gate.close.as_us(), gate.hold.as_us())
            }
        }
    }

    /// Read the penalty file, if one is named. This may take a while.
    ///
    /// # Errors
    /// One sentence that names the file and why it cannot be read.
    pub fn fetch(&mut self) -> Result<(), String> {
        let Change::Penalty(Some((path, text))) = self else { return Ok(()) };
        // A pipe or a device could keep the reader for ever.
        let about = std::fs::metadata(&*path)
            .map_err(|err| format!("penalty={}: {err}", path.display()))?;
        if !about.is_file() {
            return Err(format!("penalty={}: expected a regular file", path.display()));
        }
        *text = file::read_text(path).map_err(|err| format!("penalty={err}"))?;
        Ok(())
    }

    fn apply(&self, policy: &mut Policy, topo: &Topology) -> Result<(), String> {
        match self {
            Change::Penalty(None) => {
                policy.set_table(PenaltyTable::default(), "default".into(), topo);
            }
            Change::Penalty(Some((path, text))) => {
                let name = path.display().to_string();
                let table =
                    file::parse(text, &name, topo).map_err(|err| format!("penalty={err:#}"))?;
                policy.set_table(table, name, topo);
            }
            Change::Slice(slice) => policy.slice = *slice,
            Change::Migrate(migrate, fixed) => {
                (policy.migrate, policy.fixed) = (*migrate, *fixed);
            }
            Change::Learn(learn) => policy.learn = *learn,
            Change::Gate(level, [open, close, hold]) => {
                let gate = &mut policy.hysteresis[level.index()];
                *gate = Hysteresis::new(
                    open.unwrap_or(gate.open),
                    close.unwrap_or(gate.close),
                    hold.unwrap_or(gate.hold),
                )
                .map_err(|why| format!("{}: {why}", self.key()))?;
            }
        }
        Ok(())
    }
}

/// The policy that `changes` make of `policy`, and what they changed.
///
/// # Errors
/// One sentence that names the value and what was expected.
pub fn apply(
    changes: &[Change],
    policy: &Policy,
    topo: &Topology,
) -> Result<(Policy, Vec<Changed>), String> {
    let mut next = policy.clone();
    for change in changes {
        change.apply(&mut next, topo)?;
    }
    let changed = changes
        .iter()
        .map(|change| Changed {
            key: change.key(),
            old: change.value(policy),
            new: change.value(&next),
        })
        .collect();
    Ok((next, changed))
}
