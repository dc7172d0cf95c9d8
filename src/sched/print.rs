// SPDX-License-Identifier: GPL-2.0-only
//! Statistics and the exit report on standard output.

use crate::memory::judge;
use crate::stats::pairs::Pair;
use crate::stats::{Counters, Delta, LlcSnapshot, Snapshot};
use log::warn;
use serde::Serialize;
use std::io::Write;

/// A line of `--json`.
#[derive(Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum JsonLine<'a> {
    /// An interval.
    Stats(&'a Delta),
    /// What was done about memory.
    Memory(&'a judge::Record),
    /// The end.
    Report {
        /// All that was counted.
        counters: &'a Counters,
        /// Decisions without an answer.
        unanswered: i64,
        /// By LLC.
        llcs: &'a [LlcSnapshot],
        /// From LLC to LLC.
        pairs: &'a [Pair],
    },
}

impl<'a> JsonLine<'a> {
    /// The exit report of what `last` holds.
    pub fn report(last: &'a Snapshot) -> JsonLine<'a> {
        JsonLine::Report {
            counters: &last.counters,
            unanswered: last.counters.unanswered(),
            llcs: &last.llcs,
            pairs: &last.pairs,
        }
    }
}

/// The same with the number that the user knows this run by.
#[derive(Serialize)]
struct OfRun<'a> {
    #[serde(flatten)]
    line: &'a JsonLine<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<u64>,
}

/// Print a block of text, under the number of the run if it has one.
pub fn print_text(text: &str, run_id: Option<u64>) {
    match run_id {
        Some(id) => print(&format!("run {id}\n{text}")),
        None => print(text),
    }
}

/// Print to standard output; a reader that has gone away is no reason to stop scheduling.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(err) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        warn!("standard output: {err}");
    }
}

/// Print a line of JSON, with the number of the run if it has one.
pub fn print_json(line: &JsonLine, run_id: Option<u64>) {
    match serde_json::to_string(&OfRun { line, run_id }) {
        Ok(text) => print(&(text + "\n")),
        Err(err) => warn!("statistics cannot be written as JSON: {err}"),
    }
}
