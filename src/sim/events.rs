// SPDX-License-Identifier: GPL-2.0-only
//! What is to happen, in order of time; what falls on one instant in an order that the seed draws.
//!
//! Only what has been caused is ever here, so every order that is drawn is one that the kernel could
//! have produced: between CPUs nothing orders two things of one instant.

use super::world::TaskId;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use toll_bench::rng::Rng;

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A task's timer expires.
    Wake {
        /// The task.
        task: TaskId,
        /// Which start of its timer it was.
        timer: u64,
    },
    /// The interrupt that makes a CPU call the scheduler.
    Resched {
        /// The CPU.
        cpu: usize,
    },
    /// What kicks CPUs runs on the one that asked for it.
    Kick {
        /// The CPU that asked.
        by: usize,
        /// The CPU that is kicked.
        cpu: usize,
        /// `SCX_KICK_*`.
        flags: u64,
    },
    /// A tick.
    Tick {
        /// The CPU.
        cpu: usize,
    },
    /// What runs has done what it had to.
    Done {
        /// The CPU.
        cpu: usize,
        /// Number of the stretch that ends.
        stretch: u64,
    },
    /// Insertions into other CPUs' local queues that were put off are carried out.
    Deferred {
        /// The CPU whose run queue was held.
        cpu: usize,
    },
    /// A timer of the scheduler's expires.
    Timer {
        /// The CPU that started it.
        cpu: usize,
        /// Its address.
        timer: usize,
        /// Which start it was.
        started: u64,
    },
    /// What is in a local queue goes through enqueue() again.
    Reenqueue {
        /// The CPU.
        cpu: usize,
    },
    /// The load goes on to its next phase.
    Phase {
        /// What the load calls it.
        number: u64,
    },
    /// The invariants are looked at.
    Audit,
}

/// An event with its time, which orders it; then what was drawn, then what came first.
#[derive(Debug, Clone, Copy)]
struct Due {
    at: u64,
    draw: u64,
    number: u64,
    event: Event,
}

impl Ord for Due {
    fn cmp(&self, other: &Due) -> Ordering {
        (self.at, self.draw, self.number).cmp(&(other.at, other.draw, other.number))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

/// All of it.
pub struct Events {
    heap: BinaryHeap<Reverse<Due>>,
    pushed: u64,
    /// Draws the order of what falls on one instant, and what varies.
    pub rng: Rng,
}

/// Stream of random numbers that orders events.
const STREAM: u64 = 0x5ced;

impl Events {
    /// Nothing yet.
    pub fn new(seed: u64) -> Events {
        Events { heap: BinaryHeap::new(), pushed: 0, rng: Rng::stream(seed, STREAM) }
    }

    /// `event` happens at `at`.
    pub fn push(&mut self, at: u64, event: Event) {
        self.pushed += 1;
        let due = Due { at, draw: self.rng.bits(), number: self.pushed, event };
        self.heap.push(Reverse(due));
    }

    /// The next thing that happens, and when.
    pub fn pop(&mut self) -> Option<(u64, Event)> {
        self.heap.pop().map(|Reverse(due)| (due.at, due.event))
    }

    /// How many have been caused so far.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }
}
