// SPDX-License-Identifier: GPL-2.0-only
//! What a run of the lab leaves: one JSON file with everything that is needed to repeat it.
//!
//! Everything but [`Host`] is a function of the settings: two runs give the same bytes.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::callbacks::Callback;
use crate::driver::machine::Machine;
use crate::driver::sections::Moves;
use crate::lab::Scenario;
use crate::lab::figures::Found;
use crate::trace::Summary;

/// Version of the format; a file of another one is refused.
pub const FORMAT: u32 = 1;

/// A run: its settings and its cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// [`FORMAT`].
    pub format: u32,
    /// What was asked for.
    pub settings: Settings,
    /// One for each machine, scenario, scheduler and seed, in that order; as far as they were run.
    pub cells: Vec<Cell>,
    /// What depends on the host and the hour.
    pub host: Host,
}

/// What was asked for, apart from what the cells tell themselves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Seconds of load in each cell.
    pub seconds: f64,
    /// Mean working set, KiB.
    pub set_kib: u64,
    /// Mean memory of a task, MiB, if it was given.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub memory_mib: Option<u64>,
    /// The tasks of `heavy` were kept to a node each.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kept: bool,
    /// Load of `open`, per cent.
    pub load_pct: u64,
    /// The cost table, as text.
    pub costs: String,
    /// As asked for, such as 7.3.
    pub kernel: String,
    /// Whether what the kernel did was recorded, which takes time of the machine.
    #[serde(default)]
    pub trace: bool,
    /// Of the emulator, which decides how long things take.
    pub qemu: String,
}

/// What depends on the host and the hour.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// When the run began, UTC.
    pub date: String,
    /// How long it took.
    pub wall_s: u64,
    /// How many machines ran side by side.
    pub jobs: usize,
    /// The command line.
    pub command: Vec<String>,
}

/// How a cell ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The scheduler was there from beginning to end.
    Ok,
    /// It never came.
    AttachFailed,
    /// The kernel threw it out, or it left.
    ThrownOut,
    /// The scenario itself failed.
    ScenarioFailed,
    /// The machine did not reach its end.
    MachineFailed,
}

impl Status {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::AttachFailed => "did not attach",
            Status::ThrownOut => "thrown out",
            Status::ScenarioFailed => "scenario failed",
            Status::MachineFailed => "machine failed",
        }
    }
}

/// Which cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The machine's name.
    pub machine: String,
    /// The scenario.
    pub scenario: Scenario,
    /// The scheduler, with its flags.
    pub scheduler: String,
    /// Of all draws and of the machine.
    pub seed: u64,
}

/// One scenario under one scheduler on one machine with one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Which.
    pub key: Key,
    /// How it ended.
    pub status: Status,
    /// Why, if not well: the last lines of whoever failed.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub words: Vec<String>,
    /// The kernel's release and the scheduler's version, as they call themselves.
    pub versions: Vec<String>,
    /// What the scenario found, if it came to its end.
    pub found: Option<Found>,
    /// Moves of the scenario's tasks, by the kernel's tracepoint.
    pub moves: Moves,
    /// Context switches of the machine while the scenario ran; 0: not counted.
    #[serde(default)]
    pub switches: u64,
    /// What the scheduler's callbacks cost meanwhile, in instructions; none under the kernel's own.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub callbacks: Vec<Callback>,
    /// What a recording showed, if one was made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trace: Option<Summary>,
}

impl Run {
    /// Read a result.
    ///
    /// # Errors
    /// When the file cannot be read or is of another format.
    pub fn read(path: &Path) -> Result<Run> {
        let name = path.display();
        let text = fs::read_to_string(path).with_context(|| format!("{name} cannot be read"))?;
        let run: Run = serde_json::from_str(&text)
            .with_context(|| format!("{name} is no result of the lab"))?;
        if run.format != FORMAT {
            bail!("{name} is of format {}, expected {FORMAT}", run.format);
        }
        Ok(run)
    }

    /// Write the result, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let name = path.display();
        let draft = path.with_extension("json.part");
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(&draft, text)
            .and_then(|()| fs::rename(&draft, path))
            .with_context(|| format!("{name} cannot be written"))
    }

    /// The cell of `key`, if it was run.
    pub fn cell(&self, key: &Key) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.key == *key)
    }

    /// The names of the machines, schedulers and scenarios, each once, in order.
    pub fn machines(&self) -> Vec<Machine> {
        once(self.cells.iter().map(|cell| cell.key.machine.clone()))
            .iter()
            .filter_map(|name| Machine::named(name).ok())
            .collect()
    }

    /// Likewise.
    pub fn schedulers(&self) -> Vec<String> {
        once(self.cells.iter().map(|cell| cell.key.scheduler.clone()))
    }

    /// Likewise.
    pub fn scenarios(&self) -> Vec<Scenario> {
        once(self.cells.iter().map(|cell| cell.key.scenario))
    }
}

/// Each item once, in order of its first appearance.
fn once<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}
