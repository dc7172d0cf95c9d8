// SPDX-License-Identifier: GPL-2.0-only
//! Subcommands, and the measured table at the scheduler's start.

use crate::cli::MeasureArgs;
use crate::measure::machine::{self, Machine, QUIET_SHARE_MAX};
use crate::measure::table::Table;
use crate::measure::{self, Options, store};
use crate::model::{PenaltyTable, from_measured};
use crate::topology::Topology;
use crate::ui::heat;
use anyhow::{Context, Result};
use std::io::{IsTerminal, Write};

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
fn no_colour() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Store `table` where `args` say. One without a measured figure is not stored unasked.
fn store_table(args: &MeasureArgs, table: &Table) -> Result<()> {
    let path = match &args.out {
        Some(path) => path.clone(),
        None if args.dry_run => return Ok(()),
        None if table.meaningless.is_some() => {
            eprintln!("scx_toll: nothing was measured, so nothing is stored");
            return Ok(());
        }
        None => store::path(&store::state_dir()?, &table.machine),
    };
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

/// The costs for `--penalty measure`: the stored table of this machine; else measured now, if the
/// machine is quiet enough; else the built-in ones. Says on standard error which.
pub fn measured_penalty(topo: &Topology) -> PenaltyTable {
    let (table, words) = stored_or_measured(topo);
    eprintln!("scx_toll: costs of moves: {words}");
    table.map_or_else(PenaltyTable::default, |table| from_measured(&table, topo))
}

/// A table if there is one to be had, and in words where it comes from.
fn stored_or_measured(topo: &Topology) -> (Option<Table>, String) {
    let here = Machine::here(topo);
    let stored = store::state_dir().and_then(|dir| store::read(&dir, &here));
    let refused = match stored {
        Ok(Some(table)) => {
            let words = format!("as measured on {}", table.date);
            return (Some(table), words);
        }
        Ok(None) => String::new(),
        Err(err) => format!(" ({err:#})"),
    };
    if let Some(why) = machine::why_meaningless() {
        return (None, format!("built in, because {why}{refused}"));
    }
    match machine::busy_share() {
        Some(busy) if busy > QUIET_SHARE_MAX => {
            let pct = busy * 100.0;
            let words = format!(
                "built in, because the machine is {pct:.0} % busy and was not measured \
                 before{refused}; run `scx_toll measure` when it is quiet"
            );
            return (None, words);
        }
        _ => {}
    }
    let table = measure::run(topo, Options { thorough: false }, &mut |_, _| {});
    match &table.meaningless {
        Some(why) => (None, format!("built in, because {why}{refused}")),
        None => {
            let not_kept = store::state_dir()
                .and_then(|dir| store::write(&store::path(&dir, &table.machine), &table.to_toml()?))
                .map_or_else(|err| format!(", not kept: {err:#}"), |()| String::new());
            let words = format!("measured just now in {} ms{not_kept}{refused}", table.wall_ms);
            (Some(table), words)
        }
    }
}
