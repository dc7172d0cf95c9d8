// SPDX-License-Identifier: GPL-2.0-only
//! Moves the pages of one process to one node: batch after batch, within the budgets, and as long
//! as nothing speaks against it.

use super::budget::Budgets;
use super::pages::{self, Dice, PAGE};
use super::pressure;
use super::process::{self, Region};
use crate::model::follow::{BATCH_PAGES, MoveCost};
use crate::units::Ns;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of one batch of addresses; regions are cut at its multiples, so huge pages stay whole.
const BATCH_BYTES: u64 = BATCH_PAGES * PAGE;
/// Batches between two looks at memory pressure and free memory.
const LOOK_EVERY: u64 = 8;
/// Batches in a row of which less than half moved, after which it ends.
const MAX_FAILED: u32 = 3;
/// Longest pause for memory pressure, after which it ends.
const MAX_PAUSE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(250);

/// What is to be moved.
pub struct Job {
    /// The process.
    pub pid: u32,
    /// When it began; see [`process::began`].
    pub began: u64,
    /// Where pages may be moved.
    pub regions: Vec<Region>,
    /// The target, by the kernel's number.
    pub target: u32,
    /// Our number of each node, by the kernel's.
    pub numbers: BTreeMap<u32, usize>,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Done {
    /// Bytes that arrived, by the kernel's number of the node that they came from.
    pub bytes: BTreeMap<u32, u64>,
    /// Pages that were sent and did not arrive.
    pub failed: u64,
    /// CPU time of the system calls that moved, in ns; that they waited costs nobody anything.
    pub spent_ns: u64,
    /// ... and how many of these there were.
    pub batches: u64,
    /// Time from the first batch to the last, in ns.
    pub lasted_ns: u64,
    /// Why it ended early; `None`: it came to its end.
    pub stopped: Option<&'static str>,
    /// Share of a second sample that was on the target; `None`: it found too few pages.
    pub verified: Option<f64>,
}

impl Done {
    /// Pages that arrived.
    pub fn pages(&self) -> u64 {
        self.bytes.values().sum::<u64>() / PAGE
    }

    /// What a page costs by this, with the batch's part of `cost` taken out; `None` of too few.
    pub fn cost_of_page(&self, cost: MoveCost) -> Option<Ns> {
        let batches = self.batches * (cost.batch.get() + cost.shootdown.get());
        let pages = self.pages();
        (pages >= BATCH_PAGES).then(|| Ns::new(self.spent_ns.saturating_sub(batches) / pages))
    }
}

/// One job under way.
struct Move<'a> {
    job: &'a Job,
    budgets: &'a Budgets,
    done: Done,
    failed: u32,
    looked: u64,
}

/// Move, and look at the outcome.
pub fn run(job: &Job, budgets: &Arc<Budgets>) -> Done {
    let began = Instant::now();
    let mut work = Move { job, budgets, done: Done::default(), failed: 0, looked: 0 };
    for region in &job.regions {
        if let Err(why) = work.region(region) {
            work.done.stopped = Some(why);
            break;
        }
    }
    let mut done = work.done;
    done.lasted_ns = began.elapsed().as_nanos() as u64;
    let mut dice = Dice::new(job.began ^ u64::from(job.pid) << 32);
    if let Ok(found) = pages::sample(job.pid, &job.regions, &mut dice) {
        let all: u64 = found.values().sum();
        let there = found.get(&job.target).copied().unwrap_or(0);
        done.verified = (all >= pages::SAMPLE_LEAST).then(|| there as f64 / all as f64);
    }
    done
}

/// CPU time that this thread has used, in ns.
fn cpu_time_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the result.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    // Linux always has this clock.
    if failed != 0 { 0 } else { time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64 }
}

/// The kernel's error as a reason.
fn reason(err: &std::io::Error) -> &'static str {
    match err.raw_os_error() {
        Some(libc::ESRCH) => "gone",
        Some(libc::EPERM) => "not_permitted",
        Some(libc::EACCES | libc::ENODEV) => "cpuset",
        Some(libc::ENOMEM) => "no_memory",
        _ => "failed",
    }
}

impl Move<'_> {
    fn region(&mut self, region: &Region) -> Result<(), &'static str> {
        let mut at = region.start;
        while at < region.end {
            let end = ((at / BATCH_BYTES + 1) * BATCH_BYTES).min(region.end);
            let addresses: Vec<u64> = (at..end).step_by(PAGE as usize).collect();
            at = end;
            let where_now = pages::locate(self.job.pid, &addresses).map_err(|err| reason(&err))?;
            let mut by_node: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
            for (address, node) in addresses.iter().zip(where_now) {
                if let Some(node) = node.filter(|node| *node != self.job.target) {
                    by_node.entry(node).or_default().push(*address);
                }
            }
            for (node, addresses) in by_node {
                self.batch(node, &addresses)?;
            }
        }
        Ok(())
    }

    /// Move `addresses`, all on node `from`.
    fn batch(&mut self, from: u32, addresses: &[u64]) -> Result<(), &'static str> {
        let Job { pid, target, .. } = *self.job;
        self.look(addresses.len() as u64 * PAGE)?;
        self.pay(from, addresses.len() as u64 * PAGE)?;
        if process::began(pid).ok() != Some(self.job.began) {
            return Err("gone");
        }
        let began = cpu_time_ns();
        pages::send(pid, addresses, target).map_err(|err| reason(&err))?;
        self.done.spent_ns += cpu_time_ns().saturating_sub(began);
        self.done.batches += 1;
        let after = pages::locate(pid, addresses).map_err(|err| reason(&err))?;
        let moved = after.iter().filter(|node| **node == Some(target)).count();
        // A page that was freed meanwhile has not failed.
        let failed = after.iter().flatten().filter(|node| **node != target).count();
        *self.done.bytes.entry(from).or_insert(0) += moved as u64 * PAGE;
        self.done.failed += failed as u64;
        self.failed = if failed > moved { self.failed + 1 } else { 0 };
        if self.failed >= MAX_FAILED { Err("busy_or_shared") } else { Ok(()) }
    }

    /// Wait until the budgets of both nodes allow it.
    fn pay(&self, from: u32, bytes: u64) -> Result<(), &'static str> {
        let number = |node: u32| self.job.numbers.get(&node).copied();
        let (from, to) = number(from).zip(number(self.job.target)).ok_or("unknown_node")?;
        while let Err(wait) = self.budgets.take(from, to, bytes, Instant::now()) {
            std::thread::sleep(wait);
        }
        Ok(())
    }

    /// Now and then: is there memory to spare?
    fn look(&mut self, bytes: u64) -> Result<(), &'static str> {
        self.looked += 1;
        if self.looked % LOOK_EVERY != 1 {
            return Ok(());
        }
        if !pressure::has_room(self.job.target, LOOK_EVERY * BATCH_BYTES.max(bytes)) {
            return Err("node_short");
        }
        let began = Instant::now();
        while pressure::is_high() {
            if began.elapsed() > MAX_PAUSE {
                return Err("pressure");
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}
