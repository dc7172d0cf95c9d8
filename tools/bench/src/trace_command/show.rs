// SPDX-License-Identifier: GPL-2.0-only
//! `tollwork trace show`: the figures of a recording as JSON, and its picture.

use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::clock::{NS_PER_MS, NS_PER_US};
use crate::picture::map::{MapOptions, map};
use crate::trace::timeline::Choice;
use crate::trace::{Machine, Options, Timeline, Trace, split};

/// Arguments of `trace show`.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// A recording, or output of a program with recordings in it
    pub file: PathBuf,
    /// Which of the recordings, from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub nr: usize,
    /// The machine that was recorded: nodes x LLCs per node x CPUs per LLC
    #[arg(long, value_name = "NxLxC")]
    pub machine: Machine,
    /// The mark at which to begin [default: the first event]
    #[arg(long, value_name = "MARK")]
    pub from: Option<String>,
    /// The mark at which to end [default: the last event]
    #[arg(long, value_name = "MARK")]
    pub to: Option<String>,
    /// Begin this much later than --from
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub skip_ms: u64,
    /// End after this much
    #[arg(long, value_name = "MS")]
    pub length_ms: Option<u64>,
    /// Only tasks whose names begin so; may be repeated
    #[arg(long, value_name = "NAME")]
    pub prefix: Vec<String>,
    /// Price of a move within an LLC, between LLCs, and between nodes
    #[arg(long, value_name = "US,US,US", value_delimiter = ',', num_args = 3,
        default_values_t = [0, 300, 900])]
    pub price_us: Vec<u64>,
    /// Draw CPU x time into this file
    #[arg(long, value_name = "SVG")]
    pub picture: Option<PathBuf>,
    /// Written above the picture
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub title: String,
}

/// Print the figures and draw the picture.
pub fn run(args: &ShowArgs) -> Result<()> {
    let bytes = fs::read(&args.file).with_context(|| args.file.display().to_string())?;
    let (_, traces) = split(&bytes).with_context(|| args.file.display().to_string())?;
    let Some(trace) = traces.get(args.nr) else {
        bail!(
            "{} holds {} recordings, none is number {}",
            args.file.display(),
            traces.len(),
            args.nr
        );
    };
    let line = Timeline::of(trace);
    let window = window(args, trace, &line)?;
    let prices_us = &args.price_us;
    let price_ns = |from, to| {
        let level = args.machine.level(from, to) as usize;
        prices_us.get(level).map_or(0, |price_us| price_us * NS_PER_US)
    };
    let choice = Choice { prefixes: args.prefix.clone(), kernel_threads: false };
    let summary = line.summary(
        &args.machine,
        &Options {
            window: window.clone(),
            choice: choice.clone(),
            wait_prefixes: args.prefix.clone(),
            price_ns: &price_ns,
            settle: None,
        },
    )?;
    let text = serde_json::to_string_pretty(&summary)?;
    writeln!(std::io::stdout(), "{text}").context("standard output")?;
    if let Some(picture) = &args.picture {
        let options = MapOptions { title: args.title.clone(), window, choice };
        fs::write(picture, map(&line, &args.machine, &options))
            .with_context(|| picture.display().to_string())?;
    }
    Ok(())
}

fn window(args: &ShowArgs, trace: &Trace, line: &Timeline) -> Result<Range<u64>> {
    let at = |mark: &Option<String>, otherwise| match mark {
        Some(mark) => trace.mark(mark),
        None => Ok(otherwise),
    };
    let start =
        at(&args.from, line.start_ns)?.saturating_add(args.skip_ms.saturating_mul(NS_PER_MS));
    let end = at(&args.to, line.end_ns)?;
    let length_ns = args.length_ms.map(|ms| ms.saturating_mul(NS_PER_MS));
    let cut = length_ns.map_or(end, |length_ns| end.min(start.saturating_add(length_ns)));
    Ok(start..cut)
}
