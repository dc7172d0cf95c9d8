// SPDX-License-Identifier: GPL-2.0-only
//! `scx_toll --policy user`: the same rule, decided in this process. scx_rustland_core brings tasks
//! here and back; [`scx_toll::user`] decides.
//!
//! It runs with locked memory that does not grow, and on one thread, which the BPF half runs when there
//! is something to decide.

#![allow(clippy::multiple_crate_versions)]

/// What scx_rustland_core generates. It names the modules of its crate's root, so they stand here.
#[allow(warnings, clippy::all, missing_docs)]
mod bpf_intf {
    include!(concat!(env!("OUT_DIR"), "/user/bpf_intf.rs"));
}
#[allow(warnings, clippy::all, missing_docs)]
mod bpf_skel {
    include!(concat!(env!("OUT_DIR"), "/user/bpf_skel.rs"));
}
#[allow(warnings, clippy::all, missing_docs)]
mod bpf {
    include!(concat!(env!("OUT_DIR"), "/user/src/bpf.rs"));
}
mod clock;
mod run;

use anyhow::Result;
use clap::Parser;
use scx_toll::cli::Cli;
use scx_toll::command::user::EXIT_AGAIN;
use scx_toll::config::Config;
use scx_toll::fault;
use std::process::ExitCode;

fn main() -> ExitCode {
    match start() {
        Ok(true) => ExitCode::from(EXIT_AGAIN),
        Ok(false) => ExitCode::from(fault::EXIT_DONE),
        Err(error) => {
            eprintln!("scx_toll: {error:#}");
            ExitCode::from(fault::exit_code(&error))
        }
    }
}

/// Schedule until a signal comes; true if it wants to be started anew.
fn start() -> Result<bool> {
    let config = Config::new(Cli::parse())?;
    config.init_log()?;
    run::schedule(&config)
}
