// SPDX-License-Identifier: GPL-2.0-only
//! Runs one load and prints what it saw as `key=value` lines.
//!
//! Exit status: 0 done, 1 it failed (one sentence on stderr), 2 bad usage.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use toll_bench::cli::Cli;
use toll_bench::scenario::{self, Outcome};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match scenario::run(&cli.command).and_then(finish) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to be done when even stderr is closed.
            let _ = writeln!(std::io::stderr(), "tollwork: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Print the results, also those of a run that found a fault, then report the fault.
fn finish(outcome: Outcome) -> anyhow::Result<()> {
    outcome.report.print()?;
    match outcome.fault {
        Some(fault) => Err(anyhow::anyhow!(fault)),
        None => Ok(()),
    }
}
