// SPDX-License-Identifier: GPL-2.0-only
//! `scx_toll record` and `scx_toll export`: decisions into a file, and out of it.

use super::any_scheduler;
use super::explain::{filter, follow, until};
use crate::cgroups::{self, Names};
use crate::cli::{ExportArgs, RecordArgs};
use crate::control::client;
use crate::control::run_dir;
use crate::events::filter::Filter;
use crate::recording::perfetto::Exporter;
use crate::recording::{Amount, Entry, Head, Missing, Recorder, Recording};
use anyhow::{Context, Result};
use serde::Serialize;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longest time for which something that came is not yet in the file.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// Record until the time is over, the scheduler ends, or a signal comes.
///
/// # Errors
/// When no scheduler is running, when it refuses, and when the file cannot be written.
pub fn record(args: &RecordArgs) -> Result<()> {
    if args.any_scheduler {
        return any_scheduler::record(args);
    }
    let filter = filter(&args.filter, true)?;
    let stop = until(args.seconds)?;
    let mut watch = client::watch(&run_dir(), &filter)?;
    let name = || args.file.display().to_string();
    let file = File::create(&args.file).with_context(name)?;
    let mut names = Names::new(cgroups::root());
    let names = Box::new(move |id| names.path(id).map(String::from));
    let mut recorder = Recorder::new(file, &head(&filter, &watch), names).with_context(name)?;
    let began = Instant::now();
    let mut flushed = began;
    follow(&mut watch, &stop, &mut |line| {
        if let Some((line, _)) = line {
            recorder.add(line.frame()?).with_context(name)?;
        }
        if flushed.elapsed() >= FLUSH_EVERY {
            recorder.flush().with_context(name)?;
            // Also if the machine goes down.
            recorder.target().sync_data().with_context(name)?;
            flushed = Instant::now();
        }
        Ok(())
    })?;
    let (file, amount) = recorder.finish().with_context(name)?;
    file.sync_all().with_context(name)?;
    eprintln!("scx_toll: {}", summary(&amount, began.elapsed()));
    Ok(())
}

fn head(filter: &Filter, watch: &client::Watch) -> Head {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Head {
        program: env!("CARGO_PKG_VERSION").into(),
        began_unix: since.as_secs(),
        places: watch.places.clone(),
        filter: filter.clone(),
    }
}

fn summary(amount: &Amount, took: Duration) -> String {
    let mut text = format!(
        "recorded {} decisions, {} outcomes and {} slices in {:.1} s, {} KiB",
        amount.decisions,
        amount.outcomes,
        amount.slices,
        took.as_secs_f64(),
        amount.bytes.div_ceil(1024)
    );
    if amount.lost > 0 {
        text += &format!("; {} records were lost before", amount.lost);
    }
    text
}

/// Say on standard error what a recording does not have.
pub(super) fn complain(missing: &Missing) {
    for sentence in missing.sentences() {
        eprintln!("scx_toll: {sentence}");
    }
}

/// A line that is not from the scheduler.
#[derive(Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
enum Line<'a> {
    Recording(&'a Head),
    Load(&'a crate::recording::Load),
    Cgroup(&'a crate::recording::Cgroup),
    End {},
    Missing(&'a Missing),
}

/// Write a recording in a form for others.
///
/// # Errors
/// When it is no recording, and when the other form cannot be written.
pub fn export(args: &ExportArgs) -> Result<()> {
    let recording = Recording::open(&args.recording)?;
    let name = args.out.extension().and_then(|name| name.to_str());
    let missing = match name {
        Some("jsonl" | "json") => export_json(&recording, &args.out),
        _ => export_perfetto(&recording, &args.out),
    }
    .with_context(|| args.out.display().to_string())?;
    complain(&missing);
    Ok(())
}

fn export_json(recording: &Recording, path: &Path) -> Result<Missing> {
    fn line(out: &mut impl Write, value: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut *out, value)?;
        Ok(out.write_all(b"\n")?)
    }
    let mut out = BufWriter::new(File::create(path)?);
    line(&mut out, &Line::Recording(&recording.head))?;
    let missing = recording.replay(&mut |entry| match &entry {
        Entry::Frame(frame) => line(&mut out, frame),
        Entry::Load(load) => line(&mut out, &Line::Load(load)),
        Entry::Cgroup(cgroup) => line(&mut out, &Line::Cgroup(cgroup)),
        Entry::End => line(&mut out, &Line::End {}),
    })?;
    line(&mut out, &Line::Missing(&missing))?;
    out.flush()?;
    Ok(missing)
}

fn export_perfetto(recording: &Recording, path: &Path) -> Result<Missing> {
    let out = BufWriter::new(File::create(path)?);
    let mut exporter = Exporter::new(out, &recording.head.places)?;
    let missing = recording.replay(&mut |entry| Ok(exporter.add(&entry)?))?;
    exporter.finish()?;
    Ok(missing)
}
