// SPDX-License-Identifier: GPL-2.0-only
//! `scx_toll --monitor SECONDS`: what `--stats` prints, of a scheduler that runs already.

use super::link::{Link, RETRY, sleep};
use crate::stats::exported::TollStats;
use crate::ui::text;
use anyhow::{Context, Result};
use serde::Serialize;
use std::io::{ErrorKind, Write};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// A line of `--json`.
#[derive(Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
enum JsonLine<'a> {
    Stats(&'a TollStats),
}

/// Print a block every so often until told to stop; one if `once`. A scheduler that ends is waited
/// for, but not one that was never there.
///
/// # Errors
/// When no scheduler is running to begin with, or it ends before `once` has its block.
pub fn run(every: Duration, json: bool, once: bool, stop: &AtomicBool) -> Result<()> {
    let mut link = Link::connect()?;
    loop {
        match blocks(&mut link, every, json, once, stop) {
            Ok(()) => return Ok(()),
            Err(err) if once => return Err(err),
            Err(err) => eprintln!("scx_toll: {err:#}; waiting for it"),
        }
        link = loop {
            if !sleep(RETRY, stop) {
                return Ok(());
            }
            if let Ok(link) = Link::connect() {
                break link;
            }
        };
    }
}

/// Print blocks until there is to be no more of them, or the scheduler is gone.
fn blocks(
    link: &mut Link,
    every: Duration,
    json: bool,
    once: bool,
    stop: &AtomicBool,
) -> Result<()> {
    while sleep(every, stop) {
        let going_on = print(&link.ask()?, json)?;
        if once || !going_on {
            break;
        }
    }
    Ok(())
}

/// False when the reader has gone away.
fn print(stats: &TollStats, json: bool) -> Result<bool> {
    let text = match json {
        true => serde_json::to_string(&JsonLine::Stats(stats)).context("statistics")? + "\n",
        false => text::stats_block(stats),
    };
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(err) if err.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(err) => Err(err).context("standard output"),
    }
}
