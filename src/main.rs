// SPDX-License-Identifier: GPL-2.0-only
//! `scx_toll`: parse, run, turn an error into an exit code.

use anyhow::{Context, Result};
use clap::Parser;
use scx_toll::cli::{Cli, Command};
use scx_toll::command::{self, monitor, top};
use scx_toll::config::{self, Config, Place};
use scx_toll::control::client;
use scx_toll::stats::server;
use scx_toll::{fault, preflight, sched};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::from(fault::EXIT_DONE),
        Err(error) => {
            eprintln!("scx_toll: {error:#}");
            ExitCode::from(fault::exit_code(&error))
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    if cli.version {
        println!("scx_toll {}", scx_utils::build_id::full_version(env!("CARGO_PKG_VERSION")));
        return Ok(());
    }
    if cli.help_stats {
        return server::describe(&mut std::io::stdout());
    }
    match &cli.command {
        Some(Command::Measure(args)) => return command::measure(args),
        Some(Command::Set(args)) => return client::set(args),
        Some(Command::Get(args)) => return client::get(args),
        Some(Command::Top(args)) => return top::run(args, &*stop_on_signal()?),
        Some(Command::Explain(args)) => return command::explain::explain(args),
        Some(Command::Record(args)) => return command::record::record(args),
        Some(Command::Export(args)) => return command::record::export(args),
        Some(Command::Replay(args)) => return command::replay::run(args),
        Some(Command::Simulate(args)) => return command::simulate::run(args),
        Some(Command::Analyze(args)) => return command::analyze::run(args),
        None => {}
    }
    if let Some(seconds) = cli.monitor {
        let every = config::interval("--monitor", seconds)?;
        return monitor::run(every, cli.json, cli.once, &*stop_on_signal()?);
    }
    let config = Config::new(cli)?;
    if config.place == Place::User {
        return command::user::run(&config, &*stop_on_signal()?);
    }
    config.init_log()?;
    preflight::check(config.libbpf.kconfig.is_some())?;
    sched::run(&config, &*stop_on_signal()?)
}

/// Becomes true with Ctrl-C, SIGTERM or SIGHUP.
fn stop_on_signal() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let on_signal = Arc::clone(&stop);
    ctrlc::set_handler(move || on_signal.store(true, Ordering::Relaxed))
        .context("the handler for Ctrl-C and SIGTERM cannot be set")?;
    Ok(stop)
}
