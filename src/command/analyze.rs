// SPDX-License-Identifier: GPL-2.0-only
//! The subcommand `analyze`: read one or two traces, print, write the page.

use super::recorded;
use crate::analysis::assemble;
use crate::analysis::layout::Layout;
use crate::analysis::report::Report;
use crate::cli::AnalyzeArgs;
use crate::fault::Fault;
use crate::model::{PenaltyTable, file};
use crate::recording::Recording;
use crate::topology::Topology;
use crate::ui::analysis::{compare, page, summary};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::path::Path;

/// `scx_toll analyze`.
///
/// # Errors
/// When a trace or the penalty file cannot be read, or the page not be written.
pub fn run(args: &AnalyzeArgs) -> Result<()> {
    let (topo, machine) = machine(&args.machine)?;
    let table = match args.penalty.to_str() {
        Some("default") => PenaltyTable::default(),
        _ => file::read(&args.penalty, &topo)?,
    };
    if args.traces.iter().filter(|path| path.as_os_str() == "-").count() > 1 {
        bail!(Fault::Usage("-: standard input can be read once only".into()));
    }
    let mut reports = Vec::new();
    for path in &args.traces {
        reports.push(
            report(path, &topo, &machine, &table).with_context(|| path.display().to_string())?,
        );
    }
    if let Some(path) = &args.html {
        std::fs::write(path, page::page(&reports))
            .with_context(|| format!("the page {} cannot be written", path.display()))?;
    }
    let text = match (args.json, &reports[..]) {
        (true, [a, b]) => {
            json!({ "a": a, "b": b, "comparison": compare::rows(a, b) }).to_string() + "\n"
        }
        (true, _) => serde_json::to_string(&reports[0]).context("the report as JSON")? + "\n",
        (false, [a, b]) => format!("{}\n{}\n{}", summary(a), summary(b), compare::text(a, b)),
        (false, _) => summary(&reports[0]),
    };
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(err) if err.kind() != ErrorKind::BrokenPipe => Err(err).context("standard output"),
        _ => Ok(()),
    }
}

/// The machine that `--machine` names, and in words.
fn machine(text: &str) -> Result<(Topology, String)> {
    if text == "here" {
        return Ok((Topology::from_sysfs(None)?, "levels as on this machine".into()));
    }
    let numbers: Option<Vec<usize>> = text.split('x').map(|word| word.parse().ok()).collect();
    let Some([nodes, llcs, cpus]) = numbers.as_deref() else {
        bail!(Fault::Usage(format!(
            "--machine {text}: expected here, or three numbers such as 2x4x8"
        )));
    };
    let topo = Topology::synthetic(*nodes, *llcs, *cpus)
        .map_err(|why| Fault::Usage(format!("--machine {text}: {why:#}")))?;
    Ok((topo, format!("{nodes} nodes of {llcs} LLCs of {cpus} CPUs")))
}

fn report(path: &Path, topo: &Topology, machine: &str, table: &PenaltyTable) -> Result<Report> {
    let layout = Layout::new(topo.clone());
    let name = path.display().to_string();
    let stdin = path.as_os_str() == "-";
    let (source, bytes): (Box<dyn Read>, u64) = match stdin {
        true => (Box::new(std::io::stdin().lock()), 0),
        false => {
            let file = File::open(path).context("the trace cannot be opened")?;
            if recorded::is_recording(path) {
                let bytes = file.metadata().map_or(0, |meta| meta.len());
                let recording = Recording::from_file(file)?;
                return recorded::report(&recording, bytes, &name, layout, machine, table);
            }
            let bytes = file.metadata().map_or(0, |meta| meta.len());
            (Box::new(file), bytes)
        }
    };
    let mut progress = bar(&name, bytes);
    let report = assemble::analyse(source, &name, layout, machine, table, &mut progress);
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
    report
}

/// How far reading is, on standard error if that is a terminal.
fn bar(name: &str, bytes: u64) -> impl FnMut(u64) {
    const WIDTH: usize = 30;
    let (terminal, name) = (std::io::stderr().is_terminal(), name.to_string());
    move |done| {
        if terminal && bytes > 0 {
            let full = (done as f64 / bytes as f64 * WIDTH as f64) as usize;
            let full = full.min(WIDTH);
            eprint!("\r\x1b[Kreading [{}{}] {name}", "=".repeat(full), " ".repeat(WIDTH - full));
        } else if terminal {
            eprint!("\r\x1b[Kreading {} MiB of {name}", done >> 20);
        }
    }
}
