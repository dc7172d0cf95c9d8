// SPDX-License-Identifier: GPL-2.0-only
//! `scx_toll top --from`: a recording, interval by interval, in the form of statistics.
//!
//! What was not recorded (queues, turns that nobody decided about) is not made up: it is 0 here,
//! and the screen says that it is a recording.

use super::link::News;
use crate::control::wire::{Frame, Places};
use crate::events::{Decision, Outcome, Verdict};
use crate::recording::{Entry, Load, Missing, Recording};
use crate::stats::KINDS;
use crate::stats::exported::{DecisionStats, LlcStats, MoveStats, TollStats, decision_key};
use crate::topology::Level;
use crate::ui::top::moved;
use anyhow::Result;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::time::Duration;

/// A recording in the order of its times.
#[derive(Debug)]
pub struct Playback {
    places: Places,
    entries: Vec<(u64, Entry)>,
    /// The next of them.
    at: usize,
    began_ns: u64,
    now_ns: u64,
    /// What could not be read.
    pub missing: Missing,
}

/// What happened in one interval.
#[derive(Debug, Default)]
pub struct Scene {
    /// As the scheduler would have told it, as far as it was recorded.
    pub stats: TollStats,
    /// Its moves.
    pub moves: Vec<Decision>,
    /// Time since the recording began, at its end.
    pub until: Duration,
}

fn time_of(entry: &Entry) -> Option<u64> {
    match entry {
        Entry::Frame(Frame::Decision(decision)) => Some(decision.at_ns),
        Entry::Frame(Frame::Outcome(outcome)) => Some(outcome.at_ns),
        Entry::Frame(Frame::Slice(slice)) => Some(slice.to_ns),
        Entry::Load(load) => Some(load.from_ns),
        _ => None,
    }
}

impl Playback {
    /// Read the recording at `path`.
    ///
    /// # Errors
    /// When it is none, or cannot be read.
    pub fn open(path: &Path) -> Result<Playback> {
        Playback::new(&Recording::open(path)?)
    }

    /// The recording from its beginning.
    ///
    /// # Errors
    /// As [`Playback::open`].
    pub fn new(recording: &Recording) -> Result<Playback> {
        let mut entries = Vec::new();
        let missing = recording.replay(&mut |entry| {
            entries.extend(time_of(&entry).map(|time| (time, entry)));
            Ok(())
        })?;
        entries.sort_by_key(|(time, _)| *time);
        let began_ns = entries.first().map_or(0, |(time, _)| *time);
        let places = recording.head.places.clone();
        Ok(Playback { places, entries, at: 0, began_ns, now_ns: began_ns, missing })
    }

    /// How long the recording is.
    pub fn length(&self) -> Duration {
        let last = self.entries.last().map_or(0, |(time, _)| *time);
        Duration::from_nanos(last - self.began_ns)
    }

    /// The next interval; `None` at the end.
    pub fn next(&mut self, span: Duration) -> Option<Scene> {
        if self.at >= self.entries.len() {
            return None;
        }
        self.now_ns = self.now_ns.saturating_add(span.as_nanos() as u64);
        let mut scene = self.empty(span);
        let mut loads = 0;
        while let Some((time, entry)) = self.entries.get(self.at)
            && (*time < self.now_ns || self.now_ns == u64::MAX)
        {
            self.at += 1;
            match entry {
                Entry::Frame(Frame::Decision(decision)) => add_decision(&mut scene, decision),
                Entry::Frame(Frame::Outcome(outcome)) => add_outcome(&mut scene, outcome),
                Entry::Frame(Frame::Slice(slice)) => {
                    scene.stats.turns += u64::from(!slice.more);
                    scene.stats.switches += u64::from(!slice.more);
                }
                Entry::Load(load) => {
                    loads += 1;
                    add_load(&mut scene.stats, &self.places, load);
                }
                _ => {}
            }
        }
        mean_load(&mut scene.stats, loads);
        Some(scene)
    }

    /// An interval in which nothing happened.
    fn empty(&self, span: Duration) -> Scene {
        let mut stats = TollStats { seconds: span.as_secs_f64(), ..TollStats::default() };
        for (llc, &node) in (0..).zip(&self.places.llc_node) {
            let cpus = self.places.cpu_llc.iter().filter(|on| **on == Some(llc)).count() as u32;
            stats.cpus += cpus;
            stats.llcs.insert(llc, LlcStats { node, cpus, ..LlcStats::default() });
        }
        for kind in KINDS {
            stats.moves.insert(kind.into(), MoveStats::default());
        }
        Scene { stats, moves: Vec::new(), until: Duration::from_nanos(self.now_ns - self.began_ns) }
    }
}

fn add_decision(scene: &mut Scene, decision: &Decision) {
    let stats = &mut scene.stats;
    stats.policy_version = decision.policy_version;
    let key = decision_key(decision.kind as usize, decision.level);
    let ended = stats.decisions.entry(key).or_default();
    ended.asked += 1;
    *count_of(ended, decision.verdict) += 1;
    if let (Some(question), Some(from)) = (&decision.question, decision.from_llc)
        && let Some(llc) = stats.llcs.get_mut(&from)
    {
        llc.wait_ns = question.wait_from_ns;
    }
    if moved(decision).is_none() {
        return;
    }
    let by_level = stats.moves.entry(decision.kind.name().into()).or_default();
    match decision.level {
        Level::Core => by_level.core += 1,
        Level::Llc => by_level.llc += 1,
        Level::Node => by_level.node += 1,
    }
    scene.moves.push(decision.clone());
    let (Some(from), Some(to)) = (decision.from_llc, decision.to_llc) else { return };
    if from == to {
        return;
    }
    let pair = stats.pairs.entry(format!("{from}:{to}")).or_default();
    (pair.from, pair.to) = (from, to);
    pair.moves += 1;
    if let (Some(question), Verdict::Applied) = (&decision.question, decision.verdict) {
        pair.judged += 1;
        pair.gain_ns = pair.gain_ns.saturating_add(question.gain_ns);
        pair.penalty_ns = pair.penalty_ns.saturating_add(question.penalty_ns);
    }
}

fn count_of(ended: &mut DecisionStats, verdict: Verdict) -> &mut u64 {
    match verdict {
        Verdict::Applied => &mut ended.applied,
        Verdict::AppliedAged => &mut ended.applied_aged,
        Verdict::NotWorth => &mut ended.not_worth,
        Verdict::Hysteresis => &mut ended.hysteresis,
        Verdict::Affinity => &mut ended.affinity,
        Verdict::Nothing => &mut ended.nothing,
        Verdict::Raced => &mut ended.raced,
    }
}

fn add_outcome(scene: &mut Scene, outcome: &Outcome) {
    if let Some(paid) = outcome.paid {
        scene.stats.judged += 1;
        scene.stats.paid += u64::from(paid);
    }
}

/// Until [`mean_load`] loads are sums, in per cent of one CPU.
fn add_load(stats: &mut TollStats, places: &Places, load: &Load) {
    for (busy_ns, llc) in load.busy_ns.iter().zip(&places.cpu_llc) {
        let pct = *busy_ns as f64 / load.span_ns.max(1) as f64 * 100.0;
        if let Some(llc) = llc.and_then(|llc| stats.llcs.get_mut(&llc)) {
            llc.load_pct += pct;
        }
    }
}

fn mean_load(stats: &mut TollStats, loads: u32) {
    let loads = f64::from(loads.max(1));
    let sum: f64 = stats.llcs.values().map(|llc| llc.load_pct).sum();
    stats.load_pct = sum / loads / f64::from(stats.cpus.max(1));
    for llc in stats.llcs.values_mut() {
        llc.load_pct /= loads * f64::from(llc.cpus.max(1));
    }
}

/// Play at the pace at which it was recorded, in a thread of its own; an interval sent through the
/// sender holds from the next one on. Nothing goes on while what was told is not taken.
///
/// # Errors
/// When the system gives no thread.
pub fn play(
    mut playback: Playback,
    mut every: Duration,
) -> Result<(Sender<Duration>, Receiver<News>)> {
    let (intervals, wanted) = channel();
    let (sender, news) = sync_channel(0);
    std::thread::Builder::new().name("playback".into()).spawn(move || {
        while let Some(scene) = playback.next(every) {
            if sender.send(News::Scene(Box::new(scene))).is_err() {
                return;
            }
            match wanted.recv_timeout(every) {
                Ok(other) => every = other,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        let mut last = playback.missing.sentences();
        last.insert(0, "the recording is over".into());
        // Nobody looks any more otherwise.
        let _ = sender.send(News::Over(last.join("; ")));
    })?;
    Ok((intervals, news))
}
