// SPDX-License-Identifier: GPL-2.0-only
//! The loads, one module each, and what they share.
//!
//! | module | load |
//! |---|---|
//! | [`hogs`] | busy tasks released at one instant |
//! | [`mixed`] | hogs, sleepers, pairs, forks and bursts together |
//! | [`demo`] | a light mixed load plus crowds that must spread |
//! | [`storm`] | everything that changes a task, at random |
//! | [`count`] | workers whose progress is checked |
//! | [`swing`] | hogs that swing between two sets of CPUs, and sleepers in their way |
//! | [`wander`] | tasks that go round sets of CPUs and pay for each move |
//! | [`sleeper`] | one that sleeps and wakes up among hogs |
//! | [`requests`] | requests to a socket, as fast as they are answered |
//!
//! [`crew`] holds the hogs that [`hogs`] and [`demo`] release, [`spread`] the pure calculation of
//! when they were spread.

pub mod count;
pub mod crew;
pub mod demo;
pub mod hogs;
pub mod memory;
pub mod mixed;
pub mod requests;
pub mod sleeper;
pub mod spread;
pub mod storm;
pub mod swing;
pub mod wander;

use anyhow::Result;

use crate::cli::Command;
use crate::lab;
use crate::report::Report;
use crate::run;
use crate::trace_command;

/// What a run gives back: results, and a fault if the run itself found one.
#[derive(Debug)]
pub struct Outcome {
    /// The results, to be printed in any case.
    pub report: Report,
    /// One sentence on what the run found wrong; the exit status is then 1.
    pub fault: Option<String>,
}

impl From<Report> for Outcome {
    fn from(report: Report) -> Self {
        Self { report, fault: None }
    }
}

/// Run `command` to its end.
pub fn run(command: &Command) -> Result<Outcome> {
    if matches!(command, Command::Noop) {
        return Ok(Report::new().into());
    }
    if let Command::Trace(args) = command {
        // Signals stay as they are: a command that is traced inherits them.
        trace_command::run(&args.action)?;
        return Ok(Report::new().into());
    }
    run::block_end_signals()?;
    match command {
        Command::Hogs(args) => hogs::run(args),
        Command::Mixed(args) => mixed::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Storm(args) => storm::run(args),
        Command::Count(args) => count::run(args),
        Command::Swing(args) => swing::run(args),
        Command::Wander(args) => wander::run(args),
        Command::Sleeper(args) => sleeper::run(args),
        Command::Memory(args) => memory::run(args),
        Command::Requests(args) => requests::run(args),
        Command::Lab(args) => {
            let found = lab::run(args)?;
            let mut report = Report::new();
            report.add_line(&serde_json::to_string(&found)?);
            Ok(report.into())
        }
        Command::Trace(_) | Command::Noop => Ok(Report::new().into()),
    }
}
