// SPDX-License-Identifier: GPL-2.0-only
//! Dispatch queues: by order of arrival, or by virtual time, never both.

use std::collections::VecDeque;

/// One task in a queue. Entries are in ascending order of `(key, seq)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Virtual time; in a queue by arrival 0, and negative for what was put at its head.
    pub key: i64,
    /// Counts insertions into any queue.
    pub seq: u64,
    /// The task's index.
    pub task: u32,
}

/// Where a task is, while it is in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Index of the queue.
    pub dsq: usize,
    /// Its entry there.
    pub entry: Entry,
}

/// A queue.
#[derive(Debug, Default)]
pub struct Dsq {
    /// Its number, as schedulers know it.
    pub id: u64,
    /// What it is ordered by, once that is known: true for virtual time.
    pub by_vtime: Option<bool>,
    entries: VecDeque<Entry>,
}

impl Dsq {
    /// An empty queue.
    pub fn new(id: u64) -> Dsq {
        Dsq { id, ..Dsq::default() }
    }

    /// How many tasks it holds.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if it holds none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Put a task in. False if the queue has tasks that are ordered the other way.
    pub fn insert(&mut self, entry: Entry, by_vtime: bool) -> bool {
        if self.by_vtime.is_some_and(|order| order != by_vtime) && !self.entries.is_empty() {
            return false;
        }
        self.by_vtime = Some(by_vtime);
        match self.entries.back() {
            Some(last) if *last > entry => {
                let at = self.entries.partition_point(|other| *other < entry);
                self.entries.insert(at, entry);
            }
            _ => self.entries.push_back(entry),
        }
        true
    }

    /// Take a task out.
    pub fn remove(&mut self, entry: &Entry) {
        if let Ok(at) = self.entries.binary_search(entry) {
            self.entries.remove(at);
        }
    }

    /// The first task.
    pub fn first(&self) -> Option<Entry> {
        self.entries.front().copied()
    }

    /// The first task behind `(key, seq)`.
    pub fn behind(&self, key: i64, seq: u64) -> Option<Entry> {
        let at = self.entries.partition_point(|entry| (entry.key, entry.seq) <= (key, seq));
        self.entries.get(at).copied()
    }

    /// All tasks in order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }
}
