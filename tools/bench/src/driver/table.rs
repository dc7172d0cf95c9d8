// SPDX-License-Identifier: GPL-2.0-only
//! Results as tables: one for each machine, a row for each figure, a column for each scheduler.

use comfy_table::{Cell as Field, CellAlignment, ContentArrangement, Table, presets};

use crate::callbacks::ns_per_switch;
use crate::driver::result::{Cell, Run, Status};
use crate::lab::Scenario;
use crate::lab::figures::{Better, Figure};
use crate::picture::bars::{Bar, Panel, Value as Spread};

/// Which figure of which scenario on which machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowKey {
    /// The machine's name.
    pub machine: String,
    /// The scenario.
    pub scenario: Scenario,
    /// The figure's name.
    pub figure: String,
}

/// One row: a figure of all schedulers.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which.
    pub key: RowKey,
    /// The figure's unit, nothing where ratios to the bound are shown.
    pub unit: String,
    /// Whether the values are ratios to the bound.
    pub to_bound: bool,
    /// Which way it is better.
    pub better: Better,
    /// By scheduler, in the order of [`Run::schedulers`]; none where no cell came to its end.
    pub values: Vec<Option<Spread>>,
    /// How the cells without values ended, likewise.
    pub failed: Vec<Option<Status>>,
}

impl Row {
    /// The best median, if any.
    pub fn best(&self) -> Option<f64> {
        let medians = self.values.iter().flatten().map(|spread| spread.median);
        match self.better {
            Better::Lower => medians.min_by(f64::total_cmp),
            Better::Higher => medians.max_by(f64::total_cmp),
        }
    }
}

/// The rows of a run.
pub fn rows(run: &Run) -> Vec<Row> {
    let mut rows = Vec::new();
    for machine in run.machines() {
        let name = machine.name();
        for scenario in run.scenarios() {
            let here = |cell: &&Cell| cell.key.machine == name && cell.key.scenario == scenario;
            let cells: Vec<&Cell> = run.cells.iter().filter(here).collect();
            let found = cells.iter().find_map(|cell| cell.found.as_ref());
            for figure in found.iter().flat_map(|found| &found.figures) {
                let key = RowKey { machine: name.clone(), scenario, figure: figure.name.clone() };
                rows.push(row(key, figure, &cells, &run.schedulers()));
            }
        }
    }
    rows
}

fn row(key: RowKey, like: &Figure, cells: &[&Cell], schedulers: &[String]) -> Row {
    let to_bound = like.ratio().is_some();
    let value = |cell: &&&Cell| -> Option<f64> {
        let figure = cell.found.as_ref()?.figures.iter().find(|f| f.name == key.figure)?;
        if to_bound { figure.ratio() } else { Some(figure.value) }
    };
    let of = |name: &String| -> Vec<&&Cell> {
        cells.iter().filter(|cell| cell.key.scheduler == *name).collect()
    };
    let values = schedulers
        .iter()
        .map(|name| Spread::of(&of(name).iter().filter_map(value).collect::<Vec<f64>>()));
    let failed = schedulers
        .iter()
        .map(|name| of(name).iter().map(|cell| cell.status).find(|status| *status != Status::Ok));
    Row {
        unit: if to_bound { String::new() } else { like.unit.clone() },
        to_bound,
        better: like.better,
        values: values.collect(),
        failed: failed.collect(),
        key,
    }
}

fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 1000.0 => 0,
        v if v >= 100.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

/// The figure's name as a person reads it.
fn label(row: &Row) -> String {
    let name = row.key.figure.replace('_', " ");
    let arrow = if row.better == Better::Lower { "↓" } else { "↑" };
    match (row.to_bound, row.unit.as_str()) {
        (true, _) => format!("{name} ÷ bound {arrow}"),
        (false, "") => format!("{name} {arrow}"),
        (false, unit) => {
            format!("{name}, {} {arrow}", unit.replace("pct", "%").replace("per_s", "per s"))
        }
    }
}

fn field(row: &Row, index: usize) -> Field {
    let text = match (row.values[index], row.failed[index]) {
        (Some(spread), failed) => {
            let best = row.best() == Some(spread.median) && row.values.iter().flatten().count() > 1;
            let mark = if failed.is_some() {
                " !"
            } else if best {
                " *"
            } else {
                ""
            };
            format!("{}{mark}", number(spread.median))
        }
        (None, Some(status)) => status.words().to_string(),
        (None, None) => "-".to_string(),
    };
    Field::new(text).set_alignment(CellAlignment::Right)
}

/// All rows as text, or as Markdown.
pub fn render(run: &Run, markdown: bool) -> String {
    let rows = rows(run);
    let mut out = String::new();
    for machine in run.machines() {
        let mut table = Table::new();
        table.load_preset(if markdown {
            presets::ASCII_MARKDOWN
        } else {
            presets::UTF8_HORIZONTAL_ONLY
        });
        table.set_content_arrangement(ContentArrangement::Disabled);
        let heads = ["scenario".to_string(), "figure".to_string()];
        table.set_header(heads.into_iter().chain(run.schedulers()));
        let mut last = None;
        for row in rows.iter().filter(|row| row.key.machine == machine.name()) {
            let scenario =
                if last == Some(row.key.scenario) { "" } else { row.key.scenario.name() };
            last = Some(row.key.scenario);
            let values = (0..row.values.len()).map(|index| field(row, index));
            table.add_row([Field::new(scenario), Field::new(label(row))].into_iter().chain(values));
        }
        out.push_str(&format!(
            "{}{} ({} CPUs)\n",
            if markdown { "### " } else { "" },
            machine.name(),
            machine.nr_cpus()
        ));
        if markdown {
            out.push('\n');
        }
        out.push_str(&table.to_string());
        out.push_str("\n\n");
    }
    out
}

/// What schedulers cost: instructions per context switch and per run of each callback, for each
/// cell. Where several CPUs are busy they include turns of the others; compare within a machine.
pub fn render_callbacks(run: &Run) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header([
        "machine",
        "scenario",
        "scheduler",
        "seed",
        "switches",
        "per switch",
        "callbacks: runs × each",
    ]);
    for cell in run.cells.iter().filter(|cell| !cell.callbacks.is_empty()) {
        let per_switch = ns_per_switch(&cell.callbacks, cell.switches);
        let each: Vec<String> = cell
            .callbacks
            .iter()
            .filter_map(|callback| {
                let ns = callback.ns_per_run()?;
                Some(format!("{} {} × {ns:.0}", callback.name, callback.runs))
            })
            .collect();
        table.add_row([
            cell.key.machine.clone(),
            cell.key.scenario.name().into(),
            cell.key.scheduler.clone(),
            cell.key.seed.to_string(),
            cell.switches.to_string(),
            per_switch.map_or("-".into(), |ns| format!("{ns:.0}")),
            each.join("\n"),
        ]);
    }
    format!("{table}\n")
}

/// All rows as panels of bars.
pub fn panels(run: &Run) -> Vec<Panel> {
    let schedulers = run.schedulers();
    rows(run).iter().map(|row| panel(row, &schedulers)).collect()
}

fn panel(row: &Row, schedulers: &[String]) -> Panel {
    let bar = |(index, name): (usize, &String)| Bar {
        scheduler: name.clone(),
        value: match row.values[index] {
            Some(spread) => Ok(spread),
            None => Err(row.failed[index].map_or("-", Status::words).into()),
        },
        own: name.split(' ').next() == Some("toll"),
    };
    let bars: Vec<Bar> = schedulers.iter().enumerate().map(bar).collect();
    Panel {
        scenario: format!("{} {}", row.key.machine, row.key.scenario.name()),
        figure: label(row).trim_end_matches(['↑', '↓', ' ']).to_string(),
        higher_is_better: row.better == Better::Higher,
        bound: row.to_bound.then_some(1.0),
        bars,
    }
}
