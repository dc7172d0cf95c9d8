// SPDX-License-Identifier: GPL-2.0-only
//! The way to the scheduler that is running, for those who watch it. It may come and go.

use super::playback::Scene;
use crate::control::client::{ask, no_scheduler};
use crate::control::wire::{Answer, Request};
use crate::control::{run_dir, stats_socket};
use crate::policy::view::PolicyView;
use crate::stats::exported::TollStats;
use anyhow::{Result, anyhow};
use scx_stats::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How long the scheduler may take to answer, in ms: it may be starting anew.
const PATIENCE_MS: u64 = 5_000;
/// How often a scheduler that is not there is looked for.
pub const RETRY: Duration = Duration::from_millis(500);

/// A connection to the statistics socket. Each answer is about the time since the one before.
pub struct Link {
    client: StatsClient,
}

impl Link {
    /// Connect to the scheduler that is running, and begin the first interval.
    ///
    /// # Errors
    /// One sentence when there is none, and when only others may ask it.
    pub fn connect() -> Result<Link> {
        let path = stats_socket();
        let client = StatsClient::new().set_path(&path).connect(Some(PATIENCE_MS));
        let client = client.map_err(|err| {
            let kind = err.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            no_scheduler(&path, "watch", kind, &format_args!("{err:#}"))
        })?;
        let mut link = Link { client };
        // The first answer is about all that was before.
        link.ask()?;
        Ok(link)
    }

    /// What happened since the last time.
    ///
    /// # Errors
    /// When the scheduler has ended, or does not answer.
    pub fn ask(&mut self) -> Result<TollStats> {
        let answer = self.client.request("stats", vec![]);
        answer.map_err(|err| anyhow!("scx_toll has ended ({err:#})"))
    }
}

/// What a follower learns. A playback tells scenes, everything else is of a live scheduler.
#[derive(Debug)]
pub enum News {
    /// What happened in the last interval.
    Stats(Box<TollStats>),
    /// The policy that came into force.
    Policy(Box<PolicyView>),
    /// There is no scheduler, and why that is believed; it is looked for from now on.
    Gone(String),
    /// An interval of a recording.
    Scene(Box<Scene>),
    /// There are no more of them; what was missing.
    Over(String),
}

/// Ask every so often, in a thread of its own, so that a scheduler that hangs holds up nobody.
/// An interval sent through the sender is in force at once; the thread ends when it is dropped.
///
/// # Errors
/// When the system gives no thread.
pub fn follow(mut every: Duration) -> Result<(Sender<Duration>, Receiver<News>)> {
    let (intervals, wanted) = channel();
    let (sender, news) = channel();
    std::thread::Builder::new()
        .name("link".into())
        .spawn(move || while stay(&mut every, &wanted, &sender).is_some() {})?;
    Ok((intervals, news))
}

/// Follow one scheduler until it is gone; `None` when nobody is interested any more.
fn stay(every: &mut Duration, wanted: &Receiver<Duration>, news: &Sender<News>) -> Option<()> {
    let mut version = None;
    let mut link = match Link::connect() {
        Ok(link) => link,
        Err(err) => return gone(&err, every, wanted, news),
    };
    loop {
        if pause(*every, every, wanted)? {
            continue;
        }
        let stats = match link.ask() {
            Ok(stats) => stats,
            Err(err) => return gone(&err, every, wanted, news),
        };
        if version != Some(stats.policy_version) {
            version = Some(stats.policy_version);
            // Without it the screen says less, and that is all.
            if let Ok(Answer::Policy(view)) = ask(&run_dir(), &Request::Get {}) {
                news.send(News::Policy(view)).ok()?;
            }
        }
        news.send(News::Stats(Box::new(stats))).ok()?;
    }
}

/// Wait for `long`; true when a new interval has put an end to that.
fn pause(long: Duration, every: &mut Duration, wanted: &Receiver<Duration>) -> Option<bool> {
    match wanted.recv_timeout(long) {
        Ok(other) => {
            *every = other;
            Some(true)
        }
        Err(RecvTimeoutError::Timeout) => Some(false),
        Err(RecvTimeoutError::Disconnected) => None,
    }
}

/// Say that the scheduler is gone and wait a little.
fn gone(
    err: &anyhow::Error,
    every: &mut Duration,
    wanted: &Receiver<Duration>,
    news: &Sender<News>,
) -> Option<()> {
    news.send(News::Gone(format!("{err:#}"))).ok()?;
    pause(RETRY, every, wanted)?;
    Some(())
}

/// Sleep for `long`, or until told to stop; true when not.
pub fn sleep(long: Duration, stop: &AtomicBool) -> bool {
    const STEP: Duration = Duration::from_millis(50);
    let until = Instant::now() + long;
    while !stop.load(Ordering::Relaxed) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(STEP));
    }
    false
}
