// SPDX-License-Identifier: GPL-2.0-only
//! Subcommands, and the measured table at the scheduler's start.

pub mod analyze;
mod any_scheduler;
pub mod explain;
pub mod link;
pub mod listen;
pub mod monitor;
pub mod playback;
pub mod record;
pub mod recorded;
pub mod replay;
mod retell;
pub mod simulate;
pub mod top;
pub mod user;

use crate::cli::MeasureArgs;
use crate::measure::machine::{self, Machine, QUIET_SHARE_MAX};
use crate::measure::table::Table;
use crate::measure::{self, Options, store};
use crate::model::{PenaltyTable, from_measured};
use crate::topology::Topology;
use crate::ui::heat;
use anyhow::{Context, Result};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

/// `scx_toll measure`: measure, print, store.
///
/// # Errors
/// When the machine cannot be read, and when the table cannot be stored; by then it is printed.
pub fn measure(args: &MeasureArgs) -> Result<()> {
    let topo = Topology::from_sysfs(None)?;
    let table = measure_with_progress(&topo, Options { thorough: args.thorough });
    let text = if args.json {
        serde_json::to_string(&table).context("the table cannot be written as JSON")? + "\n"
    } else {
        let colour = std::io::stdout().is_terminal() && !no_colour();
        heat::table(&table, &topo, colour)
    };
    let mut out = std::io::stdout().lock();
    // A reader that has gone away is no reason not to store the table.
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    drop(out);
    let stored = store_table(args, &table);
    if let Err(err) = printed
        && err.kind() != std::io::ErrorKind::BrokenPipe
    {
        return Err(err).context("standard output");
    }
    stored
}

/// Does the user want no colours (<https://no-color.org>)?
pub(crate) fn no_colour() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Store `table` where `args` say. One without a measured figure is not stored unasked.
fn store_table(args: &MeasureArgs, table: &Table) -> Result<()> {
    let path = match &args.out {
        Some(path) if path.as_os_str() == "-" => return Ok(()),
        Some(path) => path.clone(),
        None => store::path(&store::state_dir()?, &table.machine),
    };
    if args.out.is_none() && table.meaningless.is_some() {
        eprintln!("scx_toll: nothing was measured, so nothing is stored in {}", path.display());
        return Ok(());
    }
    store::write(&path, &table.to_toml()?)?;
    eprintln!("scx_toll: stored in {}", path.display());
    Ok(())
}

/// Measure; a bar on standard error shows how far it is, if that is a terminal.
fn measure_with_progress(topo: &Topology, options: Options) -> Table {
    const WIDTH: usize = 30;
    let terminal = std::io::stderr().is_terminal();
    let mut progress = |what: &str, done: f64| {
        if terminal {
            let full = ((done * WIDTH as f64) as usize).min(WIDTH);
            eprint!("\r\x1b[Kmeasuring [{}{}] {what}", "=".repeat(full), " ".repeat(WIDTH - full));
        }
    };
    let table = measure::run(topo, options, &mut progress);
    if terminal {
        eprint!("\r\x1b[K");
    }
    table
}

/// The costs for `--penalty measure`, measured on the machine `topo` and used on `scheduled`, the
/// same with virtual LLCs. Says on standard error where they come from.
pub fn measured_penalty(topo: &Topology, scheduled: &Topology) -> PenaltyTable {
    let (table, words) = measured_penalty_in(store::state_dir(), topo, scheduled);
    eprintln!("scx_toll: costs of moves: {words}");
    table
}

/// The costs from the table of this machine in the state directory `dir`; else measured now, if
/// the machine is quiet enough, and stored there; else the built-in ones. And in words, which.
pub fn measured_penalty_in(
    dir: Result<PathBuf>,
    topo: &Topology,
    scheduled: &Topology,
) -> (PenaltyTable, String) {
    let stored = dir.as_ref().map_err(|err| format!(" ({err:#})")).and_then(|dir| {
        store::read(dir, &Machine::here(topo)).map_err(|err| format!(" ({err:#})"))
    });
    let refused = match stored {
        Ok(Some(table)) => {
            return (from_measured(&table, scheduled), format!("as measured on {}", table.date));
        }
        Ok(None) => String::new(),
        Err(sentence) => sentence,
    };
    if let Some(why) = why_not_now() {
        return (PenaltyTable::default(), format!("built in, because {why}{refused}"));
    }
    eprintln!(
        "scx_toll: measuring what moves cost on this machine, once, some 3 s (--penalty default \
         does without)"
    );
    let table = measure::run(topo, Options { thorough: false }, &mut |_, _| {});
    if let Some(why) = &table.meaningless {
        return (PenaltyTable::default(), format!("built in, because {why}{refused}"));
    }
    let kept = dir
        .and_then(|dir| store::write(&store::path(&dir, &table.machine), &table.to_toml()?))
        .map_or_else(|err| format!(", not kept: {err:#}"), |()| String::new());
    let words = format!("measured just now in {} ms{kept}{refused}", table.wall_ms);
    (from_measured(&table, scheduled), words)
}

/// Why this is no moment to measure unasked.
fn why_not_now() -> Option<String> {
    if let Some(why) = machine::why_meaningless() {
        return Some(why);
    }
    let busy = machine::busy_share().filter(|busy| *busy > QUIET_SHARE_MAX)?;
    Some(format!(
        "the machine was not measured before and is {:.0} % busy (run `scx_toll measure` when it \
         is quiet)",
        busy * 100.0
    ))
}
