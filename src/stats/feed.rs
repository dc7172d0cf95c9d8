// SPDX-License-Identifier: GPL-2.0-only
//! How threads that serve statistics get a [`Snapshot`]: they ask the scheduler's loop, which
//! alone reads the maps.
//!
//! ```text
//!   scx_stats client ──► its thread ─┐ Tap::snapshot()
//!   scrape of /metrics ─► its thread ─┴──────────────► Feed ─► sched.rs's loop
//! ```

use super::Snapshot;
use anyhow::{Context, Result};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// How long the loop may take: it may be loading the scheduler anew.
const PATIENCE: Duration = Duration::from_secs(30);

/// The loop's end.
#[derive(Debug)]
pub struct Feed {
    wishes: Receiver<Sender<Snapshot>>,
}

/// The other end; every thread has its own.
#[derive(Debug, Clone)]
pub struct Tap {
    wishes: Sender<Sender<Snapshot>>,
}

/// Both ends.
pub fn new() -> (Feed, Tap) {
    let (sender, wishes) = channel();
    (Feed { wishes }, Tap { wishes: sender })
}

impl Feed {
    /// Hand a snapshot to everybody who waits for one; `take` is called only if somebody does.
    ///
    /// # Errors
    /// That of `take`.
    pub fn serve(&self, take: impl FnOnce() -> Result<Snapshot>) -> Result<()> {
        let waiting: Vec<_> = self.wishes.try_iter().collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let snapshot = take()?;
        for client in waiting {
            // It may have gone away; then nobody is told.
            let _ = client.send(snapshot.clone());
        }
        Ok(())
    }
}

impl Tap {
    /// The state of the scheduler now.
    ///
    /// # Errors
    /// When the loop has ended, or takes too long.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let (reply, answer) = channel();
        self.wishes.send(reply).ok().context("the scheduler is ending")?;
        answer.recv_timeout(PATIENCE).context("the scheduler does not answer")
    }
}
