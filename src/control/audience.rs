// SPDX-License-Identifier: GPL-2.0-only
//! Who listens to decisions, and how a record gets to them without anybody waiting.
//!
//! ```text
//!   ring buffer ─► sched.rs's loop ─► Audience ─┬─ Listener ─ queue ─► Seat ─► connection thread
//!                                               └─ Listener ─ queue ─► Seat ─► …
//! ```
//!
//! The loop never waits: a queue that is full loses the record, and the listener is told how many.

use crate::events::Event;
use crate::events::filter::{Listen, Sieve};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

/// Most listeners at once.
pub const LISTENERS_MAX: usize = 4;
/// Records that wait for a slow listener; what comes beyond is lost to it.
pub const QUEUE_MAX: usize = 16 << 10;
/// How long the listeners may take to send what is left when the scheduler ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Records that a listener did not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lost {
    /// Because the ring buffer was full.
    pub ring: u64,
    /// Because the listener was too slow.
    pub queue: u64,
}

#[derive(Debug, Default)]
struct Counts {
    ring: AtomicU64,
    queue: AtomicU64,
}

/// The loop's end of a subscription.
#[derive(Debug)]
pub struct Listener {
    sieve: Sieve,
    queue: SyncSender<Event>,
    counts: Arc<Counts>,
}

/// The listener's own end.
#[derive(Debug)]
pub struct Seat {
    queue: Receiver<Event>,
    counts: Arc<Counts>,
}

/// Both ends of a subscription for what passes `sieve`.
pub fn subscription(sieve: Sieve) -> (Listener, Seat) {
    let (sender, receiver) = sync_channel(QUEUE_MAX);
    let counts = Arc::new(Counts::default());
    let listener = Listener { sieve, queue: sender, counts: Arc::clone(&counts) };
    (listener, Seat { queue: receiver, counts })
}

impl Listener {
    fn is_gone(&self) -> bool {
        Arc::strong_count(&self.counts) == 1
    }
}

impl Seat {
    /// The next record, waiting for it at most `wait`.
    ///
    /// # Errors
    /// Whether none came in time or none will come any more.
    pub fn next(&self, wait: Duration) -> Result<Event, RecvTimeoutError> {
        self.queue.recv_timeout(wait)
    }

    /// What was lost since the last call.
    pub fn take_lost(&self) -> Lost {
        Lost {
            ring: self.counts.ring.swap(0, Ordering::Relaxed),
            queue: self.counts.queue.swap(0, Ordering::Relaxed),
        }
    }
}

/// All listeners.
#[derive(Debug, Default)]
pub struct Audience {
    listeners: Vec<Listener>,
}

impl Audience {
    /// Take in a listener.
    ///
    /// # Errors
    /// One sentence when there are too many.
    pub fn join(&mut self, listener: Listener) -> Result<(), String> {
        self.listeners.retain(|listener| !listener.is_gone());
        if self.listeners.len() >= LISTENERS_MAX {
            return Err(format!("{LISTENERS_MAX} listen to decisions already, try again"));
        }
        self.listeners.push(listener);
        Ok(())
    }

    /// True when nobody listens.
    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }

    /// Hand `event` to all that want it.
    pub fn publish(&mut self, event: &Event) {
        for listener in &self.listeners {
            if !listener.sieve.passes(event) {
                continue;
            }
            if let Err(TrySendError::Full(_)) = listener.queue.try_send(event.clone()) {
                listener.counts.queue.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Tell all that the ring buffer lost so many records. Nobody knows whose they were.
    pub fn lost(&self, records: u64) {
        for listener in &self.listeners {
            listener.counts.ring.fetch_add(records, Ordering::Relaxed);
        }
    }

    /// What has to be recorded for those that still listen.
    pub fn wants(&mut self) -> Listen {
        self.listeners.retain(|listener| !listener.is_gone());
        Listen::to_all(self.listeners.iter().map(|listener| &listener.sieve))
    }

    /// The end: no more records will come. Give the listeners a moment to pass on what they have.
    pub fn dismiss(self) {
        let counts: Vec<_> = self.listeners.iter().map(|l| Arc::clone(&l.counts)).collect();
        drop(self);
        let until = Instant::now() + LAST_WORDS;
        // One of the two is the copy above.
        let waits = |counts: &Arc<Counts>| Arc::strong_count(counts) > 1;
        while counts.iter().any(waits) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
