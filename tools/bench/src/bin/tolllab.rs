// SPDX-License-Identifier: GPL-2.0-only
//! The driver of the lab; see [`toll_bench::driver`]. `tools/lab` builds and runs it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering::SeqCst;

use anyhow::{Context, Result};
use clap::Parser;
use toll_bench::driver::cli::{Cli, Command, RunArgs, ShowArgs};
use toll_bench::driver::result::{Run, Status};
use toll_bench::driver::{STOP, compare, run, table};
use toll_bench::picture::bars;

fn main() -> ExitCode {
    match act(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            // Nothing is left to be done when even stderr is closed.
            let _ = writeln!(std::io::stderr(), "tools/lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn act(command: Command) -> Result<ExitCode> {
    match command {
        Command::Run(args) => return run_cells(&args),
        Command::Show(args) => show(&args)?,
        Command::Compare(args) => {
            print(&compare::render(&Run::read(&args.before)?, &Run::read(&args.after)?))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(args: &ShowArgs) -> Result<()> {
    let run = Run::read(&args.file)?;
    if let Some(path) = &args.picture {
        let title = format!("{} s of load, kernel {}", run.settings.seconds, run.settings.kernel);
        std::fs::write(path, bars::bars(&title, &table::panels(&run)))
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    match args.callbacks {
        true => print(&table::render_callbacks(&run)),
        false => print(&table::render(&run, args.markdown)),
    }
}

/// The status is 0 if every machine came to its end and nobody stopped the run: what a scheduler
/// did is a result.
fn run_cells(args: &RunArgs) -> Result<ExitCode> {
    ctrlc::set_handler(|| STOP.store(true, SeqCst)).context("signals cannot be handled")?;
    // tools/lab says where it lies; without it the program was built where it is run.
    let built_in = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = std::env::var_os("TOLL_ROOT").map_or_else(built_in, PathBuf::from);
    let target = std::env::var_os("TOLL_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let (result, out) = run(args, &root, &target)?;
    match args.json {
        true => print(&(serde_json::to_string_pretty(&result)? + "\n"))?,
        false => print(&table::render(&result, false))?,
    }
    let _ = writeln!(std::io::stderr(), "tools/lab: the result is in {}", out.display());
    let failed = result.cells.iter().any(|cell| cell.status == Status::MachineFailed);
    let cut = STOP.load(SeqCst);
    Ok(if failed || cut { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("standard output")
}
