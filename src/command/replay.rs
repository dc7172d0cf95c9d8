// SPDX-License-Identifier: GPL-2.0-only
//! `scx_toll replay`: a recording, decided once more.

use super::record::complain;
use crate::analysis::replay::other::Other;
use crate::analysis::replay::{Replay, Replayed};
use crate::cli::ReplayArgs;
use crate::config::{migrate_value, named_gates};
use crate::control::wire::{Frame, Places};
use crate::fault::Fault;
use crate::model::{PenaltyMatrix, PenaltyTable, file};
use crate::recording::{Entry, Missing, Recording};
use crate::topology::Topology;
use crate::topology::outline::Outline;
use crate::ui::replay::summary;
use anyhow::{Context, Result};
use serde::Serialize;
use std::io::{ErrorKind, Write};

/// What `--json` prints.
#[derive(Serialize)]
#[serde(tag = "what", rename = "replay")]
struct Report<'a> {
    #[serde(flatten)]
    replayed: &'a Replayed,
    /// What is missing of the recording, as numbers and in sentences.
    missing: &'a Missing,
    missing_sentences: Vec<String>,
}

/// Decide the recording again, and print what came of it.
///
/// # Errors
/// When it is no recording, when the other policy makes no sense, and with [`Fault::Differs`] when a
/// record does not follow from its own numbers; by then everything is printed.
pub fn run(args: &ReplayArgs) -> Result<()> {
    let recording = Recording::open(&args.recording)?;
    let name = || args.recording.display().to_string();
    let other = other(args, &recording.head.places).with_context(name)?;
    let (replayed, missing) = replay(&recording, other, args.show)?;
    let text = if args.json {
        let missing_sentences = missing.sentences();
        let report = Report { replayed: &replayed, missing: &missing, missing_sentences };
        serde_json::to_string(&report).context("the report as JSON")? + "\n"
    } else {
        summary(&replayed)
    };
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(err) if err.kind() != ErrorKind::BrokenPipe => {
            return Err(err).context("standard output");
        }
        _ => {}
    }
    complain(&missing);
    if replayed.differences > 0 {
        let all = replayed.decisions + replayed.outcomes;
        let sentence = format!(
            "{}: {} of {all} records do not follow from their own numbers",
            name(),
            replayed.differences
        );
        return Err(Fault::Differs(sentence).into());
    }
    Ok(())
}

/// Decide all that is whole of `recording` again, also by `other`; see [`Replay::new`] for `show`.
///
/// # Errors
/// None; entries are only looked at.
pub fn replay(
    recording: &Recording,
    other: Option<Other>,
    show: usize,
) -> Result<(Replayed, Missing)> {
    let mut replay = Replay::new(other, show);
    let missing = recording.replay(&mut |entry| {
        match entry {
            Entry::Frame(Frame::Decision(decision)) => replay.decision(&decision),
            Entry::Frame(Frame::Outcome(outcome)) => replay.outcome(&outcome),
            Entry::Frame(Frame::Slice(_) | Frame::Lost { .. } | Frame::Ended {})
            | Entry::Load(_)
            | Entry::Cgroup(_)
            | Entry::End => {}
        }
        Ok(())
    })?;
    Ok((replay.finish(), missing))
}

/// The other policy that the flags name, on the machine of the recording; none without any.
fn other(args: &ReplayArgs, places: &Places) -> Result<Option<Other>> {
    if args.penalty.is_none() && args.migrate.is_none() && args.hysteresis.is_empty() {
        return Ok(None);
    }
    let topo = Topology::from_outline(&Outline {
        cpu_llc: &places.cpu_llc,
        llc_node: &places.llc_node,
        llc_cache: &places.llc_cache,
        distance: &places.distance,
    })?;
    let costs = match &args.penalty {
        None => None,
        Some(path) => {
            let table = match path.to_str() {
                Some("default") => PenaltyTable::default(),
                _ => file::read(path, &topo)?,
            };
            Some(PenaltyMatrix::new(&table, &topo))
        }
    };
    for note in costs.iter().flat_map(|costs| &costs.notes) {
        eprintln!("scx_toll: {note}");
    }
    let migrate = args.migrate.as_deref().map(|text| {
        migrate_value(text).map_err(|why| Fault::Usage(format!("--migrate {text}: {why}")))
    });
    let mut other = Other::as_recorded(topo);
    other.costs = costs;
    other.migrate = migrate.transpose()?;
    other.thresholds = named_gates(&args.hysteresis)?;
    Ok(Some(other))
}
