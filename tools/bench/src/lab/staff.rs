// SPDX-License-Identifier: GPL-2.0-only
//! The tasks of a scenario: processes that wait for one release and tell what they did.
//!
//! 1. [`Stage::new`] maps what all share: where they stand, the gate, a tally for each, samples.
//! 2. [`Staff::hire`] forks a process. It touches as much memory as its footprint says, which
//!    makes the node where it does so its home, and waits at the gate.
//! 3. [`Staff::release`] opens the gate when all are there.
//! 4. [`Staff::dismiss`] waits for all to end; [`Stage::paid`] adds up what they tell.
//!
//! Processes, not threads: each has a resident set of its own, by which a scheduler may judge what
//! it has warm. Their names begin with [`NAME_PREFIX`].

use std::io::Write;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

use anyhow::{Context, Result, bail};

use crate::child::{self, Child};
use crate::clock::{NS_PER_MS, NS_PER_S, now_ns, sleep_ns, timespec};
use crate::gate::Gate;
use crate::lab::figures::Paid;
use crate::lab::resident::{Footprint, Resident};
use crate::lab::worker::{Ground, Home, Tally, Worker};
use crate::run::Deadline;
use crate::shared::{Shareable, SharedSlice};

/// What the names of all tasks of the lab begin with.
pub const NAME_PREFIX: &str = "lw-";
/// The tasks are left alone this long before their release.
const SETTLE_NS: u64 = 20 * NS_PER_MS;
/// Tasks that are not there after this long never will be.
const START_LIMIT_NS: u64 = 60 * NS_PER_S;
const POLL_NS: u64 = 2 * NS_PER_MS;

/// One number that a task leaves for the evaluation.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Sample(pub AtomicU64);
// SAFETY: one atomic integer.
unsafe impl Shareable for Sample {}

#[repr(C)]
struct Control {
    ready: AtomicU32,
    /// Opened once at the release, and again by scenarios that go in rounds.
    gate: Gate,
    t0_ns: AtomicU64,
    deadline: Deadline,
}
// SAFETY: atomics only, ready for use as zeroes.
unsafe impl Shareable for Control {}

/// What the tasks of a scenario share.
pub struct Stage {
    /// Where they stand.
    pub ground: Ground,
    control: SharedSlice<Control>,
    /// One for each task.
    pub tallies: SharedSlice<Tally>,
    /// As many as the scenario wants, 0 at first.
    pub samples: SharedSlice<Sample>,
}

impl Stage {
    /// A stage for `tasks` tasks and `samples` samples.
    ///
    /// # Errors
    /// When there is no shared memory.
    pub fn new(ground: Ground, tasks: usize, samples: usize) -> Result<Stage> {
        let map = || -> std::io::Result<Stage> {
            Ok(Stage {
                ground,
                control: SharedSlice::new(1)?,
                tallies: SharedSlice::new(tasks)?,
                samples: SharedSlice::new(samples)?,
            })
        };
        map().with_context(|| format!("no shared memory for {tasks} tasks, {samples} samples"))
    }

    fn control(&self) -> &Control {
        // Mapped with one element above.
        &self.control[0]
    }

    /// Number of CPUs.
    pub fn cpus(&self) -> usize {
        self.ground.topology.cpus().len()
    }

    /// When the tasks were released, by the monotonic clock.
    pub fn t0_ns(&self) -> u64 {
        self.control().t0_ns.load(SeqCst)
    }

    /// When the run is over.
    pub fn deadline(&self) -> &Deadline {
        &self.control().deadline
    }

    /// The gate that opens at the release.
    pub fn gate(&self) -> &Gate {
        &self.control().gate
    }

    /// True while the run is not over.
    pub fn goes_on(&self) -> bool {
        !self.deadline().over()
    }

    /// What all tasks did and paid in sum.
    pub fn paid(&self) -> Paid {
        let sum = |of: fn(&Tally) -> &AtomicU64| {
            self.tallies.iter().map(|tally| of(tally).load(Relaxed)).sum()
        };
        Paid {
            work_ns: sum(|tally| &tally.work_ns),
            refill_ns: sum(|tally| &tally.refill_ns),
            remote_ns: sum(|tally| &tally.remote_ns),
            llc_moves: sum(|tally| &tally.llc_moves),
            node_moves: sum(|tally| &tally.node_moves),
        }
    }
}

/// CPU time that one task was served, as far as it told.
pub fn served_ns(tally: &Tally) -> u64 {
    [&tally.work_ns, &tally.refill_ns, &tally.remote_ns].map(|ns| ns.load(Relaxed)).iter().sum()
}

/// The processes of a scenario. Dropping it kills them.
pub struct Staff<'a> {
    stage: &'a Stage,
    children: Vec<(String, Child)>,
}

impl<'a> Staff<'a> {
    /// Nobody yet. The calling process must have one thread only.
    pub fn new(stage: &'a Stage) -> Staff<'a> {
        Staff { stage, children: Vec::new() }
    }

    /// The number of the task that is hired next: that of its tally.
    pub fn next(&self) -> usize {
        self.children.len()
    }

    /// Start a task with memory of `footprint`; `prepare` runs before that is touched,
    /// `body` after the release.
    ///
    /// # Errors
    /// When it cannot be forked, or there is no tally for it.
    pub fn hire(
        &mut self,
        name: &str,
        footprint: Footprint,
        prepare: impl FnOnce() -> Result<()>,
        body: impl FnOnce(&mut Worker) -> Result<()>,
    ) -> Result<()> {
        let stage = self.stage;
        let name = format!("{NAME_PREFIX}{name}{}", self.next());
        let tally = stage.tallies.get(self.next()).context("a task too many for this stage")?;
        let life = || -> Result<()> {
            prepare()?;
            let mut worker = enter(stage, tally, &name, footprint)?;
            stage.control().ready.fetch_add(1, SeqCst);
            stage.gate().wait_past(0);
            worker.look();
            body(&mut worker)
        };
        // SAFETY: this process has one thread, which lives as long as the run.
        let child = unsafe {
            child::fork(|| match life() {
                Ok(()) => 0,
                Err(error) => {
                    // The exit status tells too, should stderr be closed.
                    let _ = writeln!(std::io::stderr(), "tollwork: {name}: {error:#}");
                    1
                }
            })
        };
        let child = child.with_context(|| format!("{name} could not be forked"))?;
        self.children.push((name, child));
        Ok(())
    }

    /// Wait until all are there, and let them go for `span_ns`. Returns when they were let go.
    ///
    /// # Errors
    /// When some are not there in time.
    pub fn release(&mut self, span_ns: u64) -> Result<u64> {
        let control = self.stage.control();
        let give_up_at = now_ns() + START_LIMIT_NS;
        while (control.ready.load(SeqCst) as usize) < self.children.len() {
            if now_ns() > give_up_at {
                let ready = control.ready.load(SeqCst);
                bail!("{ready} of {} tasks have started", self.children.len());
            }
            sleep_ns(POLL_NS);
        }
        sleep_ns(SETTLE_NS);
        mark("lab: released");
        let t0 = now_ns();
        control.t0_ns.store(t0, SeqCst);
        control.deadline.set(t0.saturating_add(span_ns));
        control.gate.open();
        Ok(t0)
    }

    /// Wait until all have ended. Returns when the last one had.
    ///
    /// # Errors
    /// When one failed.
    pub fn dismiss(self) -> Result<u64> {
        for (name, child) in self.children {
            let status = child.wait().with_context(|| format!("{name} cannot be waited for"))?;
            if status != 0 {
                bail!("{name} ended with status {status}");
            }
        }
        let end = now_ns();
        mark("lab: over");
        Ok(end)
    }
}

/// As [`Staff::hire`] begins, for a process that a task forks by itself.
///
/// # Errors
/// When the kernel refuses the name, or there is no memory.
pub fn enter_child<'a>(
    stage: &'a Stage,
    tally: &'a Tally,
    name: &str,
    footprint: Footprint,
) -> Result<Worker<'a>> {
    enter(stage, tally, &format!("{NAME_PREFIX}{name}"), footprint)
}

/// Name the calling process, let its timers be exact (the default slack of 50 µs would be taken
/// for time that it waited), and give it its memory: at least its working set.
fn enter<'a>(
    stage: &'a Stage,
    tally: &'a Tally,
    name: &str,
    footprint: Footprint,
) -> Result<Worker<'a>> {
    let name = std::ffi::CString::new(name)?;
    // SAFETY: the name is a string that ends with 0 and outlives the call; the slack is a number.
    let failed = unsafe {
        libc::prctl(libc::PR_SET_NAME, name.as_ptr()) | libc::prctl(libc::PR_SET_TIMERSLACK, 1)
    };
    if failed != 0 {
        return Err(std::io::Error::last_os_error()).context("prctl");
    }
    let Footprint { set_kib, memory_kib } = footprint;
    let memory = Resident::new(set_kib.max(memory_kib))?;
    let home = match memory_kib {
        0 => Home::Fixed(memory),
        _ => Home::OfMemory(memory),
    };
    Worker::new(&stage.ground, tally, set_kib, home)
}

/// Sleep until `at_ns` of the monotonic clock.
pub fn sleep_until(at_ns: u64) {
    let until = timespec(at_ns);
    loop {
        // SAFETY: `until` is a valid timespec; with an absolute time no remainder is written.
        let status = unsafe {
            libc::clock_nanosleep(
                libc::CLOCK_MONOTONIC,
                libc::TIMER_ABSTIME,
                &until,
                std::ptr::null_mut(),
            )
        };
        if status != libc::EINTR {
            return;
        }
    }
}

/// Write `text` into the kernel's trace; where there is no tracefs nobody reads it either.
pub fn mark(text: &str) {
    let _ = std::fs::write("/sys/kernel/tracing/trace_marker", text);
}
