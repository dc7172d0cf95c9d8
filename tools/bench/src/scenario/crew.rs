// SPDX-License-Identifier: GPL-2.0-only
//! A crew of hogs: endless busy tasks that start at one instant and tell where they were.
//!
//! 1. [`Crew::start`] starts threads or processes, confines them if asked to, and lets them wait.
//! 2. [`Crew::let_run`] opens the gate; [`Crew::wait_until_all_ran`] waits until each hog of a
//!    confined crew has run.
//! 3. [`Crew::release`] notes t0 and lifts the confinement (or opens the gate if there was none). A
//!    waiting hog cannot lift its own, so this is done from outside, one hog after the other;
//!    `release_us` of the result says how long that took.
//! 4. Each hog looks about (`Hog::look`): where am I, how much CPU time did I use since t0.
//! 5. [`Crew::finish`] ends the hogs and collects what they saw.
//!
//! The hogs keep the times of their moves themselves. An observer that polls would compete for a CPU
//! with the very tasks it observes, and would see late what it is there to time.
//!
//! What it is bad at: a hog sees only where it runs. Moves of a waiting hog, and moves there and back
//! between two looks, are missed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicI32, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use anyhow::{Context, Result, anyhow, bail};

use crate::child::{self, Child};
use crate::clock::{NS_PER_MS, NS_PER_S, NS_PER_US, now_ns, thread_cpu_ns};
use crate::cpus::{CpuSet, current_cpu};
use crate::gate::Gate;
use crate::run::{Deadline, wait_until};
use crate::scenario::spread::Sighting;
use crate::shared::{Shareable, SharedSlice};
use crate::spin::until_next_look;
use crate::team::Team;
use crate::topology::{Place, Topology};

/// A confined crew runs at least this long before its release.
const WARM_UP_NS: u64 = 100 * NS_PER_MS;
/// How often the crew is looked after before its release.
const POLL_NS: u64 = 5 * NS_PER_MS;
/// A crew that has not started, or not run everywhere, after this long never will …
const START_LIMIT_NS: u64 = 10 * NS_PER_S;
/// … plus this for each hog: a guess, well above a round of slices on one CPU.
const START_LIMIT_PER_HOG_NS: u64 = 100 * NS_PER_MS;
/// Moves kept per hog; a page of memory is used per 512 moves made.
const MOVES_KEPT: usize = 16_384;
/// A move is kept as `ns since the crew's origin << CPU_BITS | cpu`; 48 bits of ns are 78 hours.
const CPU_BITS: u32 = 16;
const CPU_MASK: u64 = (1 << CPU_BITS) - 1;

/// What a crew consists of.
#[derive(Clone, Debug)]
pub struct CrewPlan {
    /// Number of hogs.
    pub nr: usize,
    /// CPUs to which the hogs are confined until their release.
    pub confine: Option<CpuSet>,
    /// Processes instead of threads.
    pub processes: bool,
}

/// What all hogs read. Written by the main thread only.
#[repr(C)]
struct Control {
    gate: Gate,
    deadline: Deadline,
    /// 0 before the release. Release/Acquire: whoever sees it also sees the deadline.
    t0_ns: AtomicU64,
}

/// What one hog tells. Written by this hog only; the main thread reads `tid`, `errno` and
/// `nr_moves` at any time, the rest after the hog's end.
#[repr(C)]
struct Slot {
    /// Set, with Release, when the hog is ready to run; 0 before.
    tid: AtomicI32,
    /// Why the hog could not be confined; 0 if it could.
    errno: AtomicI32,
    nr_moves: AtomicU32,
    /// When the first move was made that `moves` had no room for; 0 if it had.
    full_at_ns: AtomicU64,
    /// CPU time used since t0.
    used_ns: AtomicU64,
    /// Looks about since t0.
    looks: AtomicU64,
    llc_changes: AtomicU64,
    node_changes: AtomicU64,
    moves: [AtomicU64; MOVES_KEPT],
}

// SAFETY: atomics only, all ready for use as zeroes.
unsafe impl Shareable for Control {}
// SAFETY: as above.
unsafe impl Shareable for Slot {}

struct Table {
    control: SharedSlice<Control>,
    slots: SharedSlice<Slot>,
    origin_ns: u64,
    topology: Topology,
}

impl Table {
    fn control(&self) -> &Control {
        // Mapped with one element in `Crew::start`.
        &self.control[0]
    }
}

/// What one hog saw after t0.
#[derive(Clone, Copy, Debug, Default)]
pub struct HogResult {
    /// CPU time used.
    pub used_ns: u64,
    /// Looks about.
    pub looks: u64,
    /// Looks at which it was in another LLC than at the look before.
    pub llc_changes: u64,
    /// The same for nodes.
    pub node_changes: u64,
}

/// What a crew saw.
#[derive(Clone, Debug)]
pub struct CrewResult {
    /// The release; `None` if the run was ended before it.
    pub t0_ns: Option<u64>,
    /// Time from the release to the end.
    pub elapsed_ns: u64,
    /// How long the release took.
    pub release_us: u64,
    /// By hog.
    pub hogs: Vec<HogResult>,
    /// All moves, before the release too, in order of time.
    pub sightings: Vec<Sighting>,
    /// Moves are complete up to here; `u64::MAX` if none was lost.
    pub complete_until_ns: u64,
}

/// A crew of hogs. Dropping it ends them.
pub struct Crew {
    table: Arc<Table>,
    confined: bool,
    begun_ns: u64,
    release_us: u64,
    threads: Team,
    processes: Vec<Child>,
}

impl Crew {
    /// Start the hogs, which then wait for [`Crew::let_run`] or [`Crew::release`].
    pub fn start(plan: &CrewPlan, topology: Topology) -> Result<Self> {
        let out_of_memory = || format!("no shared memory for {} hogs", plan.nr);
        let table = Arc::new(Table {
            control: SharedSlice::new(1).with_context(out_of_memory)?,
            slots: SharedSlice::new(plan.nr).with_context(out_of_memory)?,
            origin_ns: now_ns(),
            topology,
        });
        table.control().deadline.set(u64::MAX);
        let mut crew = Self {
            table,
            confined: plan.confine.is_some(),
            begun_ns: now_ns(),
            release_us: 0,
            threads: Team::new(),
            processes: Vec::new(),
        };
        for index in 0..plan.nr {
            crew.start_hog(index, plan)?;
        }
        crew.poll_slots("started", |slot| slot.tid.load(Acquire) != 0)?;
        Ok(crew)
    }

    fn start_hog(&mut self, index: usize, plan: &CrewPlan) -> Result<()> {
        let table = Arc::clone(&self.table);
        let confine = plan.confine;
        if !plan.processes {
            let body = move || {
                Hog::new(&table, &table.slots[index]).run(confine.as_ref());
                Ok(())
            };
            return self.threads.spawn(format!("hog{index}"), body);
        }
        let body = || {
            Hog::new(&table, &table.slots[index]).run(confine.as_ref());
            0
        };
        // SAFETY: a hog only does arithmetic, atomics, and system calls; it allocates nothing. The
        // main thread, which forks it, lives as long as the program.
        let child = unsafe { child::fork(body) };
        self.processes.push(child.with_context(|| format!("hog {index} could not be forked"))?);
        Ok(())
    }

    /// When the hogs stop: never before the release.
    pub fn deadline(&self) -> &Deadline {
        &self.table.control().deadline
    }

    /// Let the hogs of a confined crew run.
    pub fn let_run(&mut self) {
        self.begun_ns = now_ns();
        self.table.control().gate.open();
    }

    /// Wait until all hogs have run, and for the warm-up, but not past `deadline`.
    pub fn wait_until_all_ran(&self, deadline: &Deadline) -> Result<()> {
        while wait_until(now_ns() + POLL_NS, deadline) {
            let warm = now_ns() >= self.begun_ns + WARM_UP_NS;
            if warm && self.all(|slot| slot.nr_moves.load(Relaxed) > 0) {
                break;
            }
            self.check_limit("run")?;
        }
        Ok(())
    }

    /// Release the hogs to all CPUs for `span_ns`, unless the run was ended meanwhile.
    pub fn release(&mut self, span_ns: u64) -> Result<()> {
        let control = self.table.control();
        if control.deadline.over() {
            return Ok(());
        }
        let t0_ns = now_ns();
        control.deadline.set(t0_ns.saturating_add(span_ns));
        control.t0_ns.store(t0_ns, Release);
        if self.confined {
            let all = self.table.topology.cpus();
            for slot in self.table.slots.iter() {
                let tid = slot.tid.load(Relaxed);
                all.confine(tid).with_context(|| format!("hog {tid} could not be released"))?;
            }
        } else {
            control.gate.open();
        }
        self.release_us = (now_ns() - t0_ns) / NS_PER_US;
        Ok(())
    }

    /// End the hogs and collect what they saw.
    pub fn finish(mut self) -> Result<CrewResult> {
        self.end();
        std::mem::take(&mut self.threads).join()?;
        for (index, child) in std::mem::take(&mut self.processes).into_iter().enumerate() {
            match child.wait().context("a hog could not be waited for")? {
                0 => {}
                status => bail!("hog {index} ended with status {status}"),
            }
        }
        Ok(self.collect())
    }

    fn end(&self) {
        self.deadline().cut();
        self.table.control().gate.open();
    }

    fn collect(&self) -> CrewResult {
        let t0_ns = Some(self.table.control().t0_ns.load(Relaxed)).filter(|&t0| t0 != 0);
        let slots = self.table.slots.iter();
        let mut sightings: Vec<Sighting> = slots
            .clone()
            .enumerate()
            .flat_map(|(task, slot)| slot.sightings(task, self.table.origin_ns))
            .collect();
        sightings.sort_by_key(|s| s.at_ns);
        let full_at = |slot: &Slot| match slot.full_at_ns.load(Relaxed) {
            0 => u64::MAX,
            at_ns => at_ns,
        };
        CrewResult {
            t0_ns,
            elapsed_ns: t0_ns.map_or(0, |t0| self.deadline().at_ns().saturating_sub(t0)),
            release_us: self.release_us,
            hogs: slots.clone().map(Slot::result).collect(),
            sightings,
            complete_until_ns: slots.map(full_at).min().unwrap_or(u64::MAX),
        }
    }

    fn all(&self, test: impl Fn(&Slot) -> bool) -> bool {
        self.table.slots.iter().all(test)
    }

    fn poll_slots(&self, what: &str, test: impl Fn(&Slot) -> bool) -> Result<()> {
        loop {
            let errno = |slot: &Slot| slot.errno.load(Relaxed);
            if let Some(errno) = self.table.slots.iter().map(errno).find(|&e| e != 0) {
                return Err(anyhow!(io::Error::from_raw_os_error(errno)))
                    .context("a hog could not be confined to the CPUs it was to start on");
            }
            if self.all(&test) || !wait_until(now_ns() + POLL_NS, self.deadline()) {
                return Ok(());
            }
            self.check_limit(what)?;
        }
    }

    fn check_limit(&self, what: &str) -> Result<()> {
        let limit_ns = START_LIMIT_NS + START_LIMIT_PER_HOG_NS * self.table.slots.len() as u64;
        if now_ns() > self.begun_ns + limit_ns {
            bail!("not every hog had {what} after {} s", limit_ns / NS_PER_S);
        }
        Ok(())
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        // After `finish` nobody is left to hear it.
        self.end();
    }
}

impl Slot {
    fn result(&self) -> HogResult {
        HogResult {
            used_ns: self.used_ns.load(Relaxed),
            looks: self.looks.load(Relaxed),
            llc_changes: self.llc_changes.load(Relaxed),
            node_changes: self.node_changes.load(Relaxed),
        }
    }

    fn keep_move(&self, at_ns: u64, since_origin_ns: u64, cpu: usize) {
        let nr = self.nr_moves.load(Relaxed);
        match self.moves.get(nr as usize) {
            Some(kept) => {
                kept.store(since_origin_ns << CPU_BITS | cpu as u64 & CPU_MASK, Relaxed);
                self.nr_moves.store(nr + 1, Relaxed);
            }
            None if self.full_at_ns.load(Relaxed) == 0 => self.full_at_ns.store(at_ns, Relaxed),
            None => {}
        }
    }

    fn sightings(&self, task: usize, origin_ns: u64) -> impl Iterator<Item = Sighting> {
        let nr = self.nr_moves.load(Relaxed) as usize;
        self.moves.iter().take(nr).map(move |kept| {
            let kept = kept.load(Relaxed);
            Sighting {
                at_ns: origin_ns + (kept >> CPU_BITS),
                task,
                cpu: (kept & CPU_MASK) as usize,
            }
        })
    }
}

/// One hog at work. Allocates nothing, since it may be a fork of a threaded process.
struct Hog<'a> {
    table: &'a Table,
    slot: &'a Slot,
    cpu: Option<usize>,
    place: Option<Place>,
    /// CPU time of the thread at t0. A hog that was waiting at t0 reads it at its first look after,
    /// which is the same.
    base_ns: Option<u64>,
}

impl<'a> Hog<'a> {
    fn new(table: &'a Table, slot: &'a Slot) -> Self {
        Self { table, slot, cpu: None, place: None, base_ns: None }
    }

    fn run(&mut self, confine: Option<&CpuSet>) {
        if let Some(Err(error)) = confine.map(|cpus| cpus.confine(0)) {
            let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
            self.slot.errno.store(errno, Relaxed);
        }
        // SAFETY: takes no arguments and touches no memory.
        let tid = unsafe { libc::gettid() };
        self.slot.tid.store(tid, Release);
        self.table.control().gate.wait_past(0);
        if self.released() {
            self.base_ns = Some(thread_cpu_ns());
        }
        while self.look() {
            until_next_look();
        }
    }

    fn released(&self) -> bool {
        self.table.control().t0_ns.load(Acquire) != 0
    }

    /// Note where the hog is and what it has used. True if it is to go on.
    fn look(&mut self) -> bool {
        let now = now_ns();
        let over = now >= self.table.control().deadline.at_ns();
        let released = self.released();
        if let Some(cpu) = current_cpu().filter(|&cpu| self.cpu != Some(cpu)) {
            self.arrive(cpu, now, released && !over);
        }
        if released {
            let cpu_ns = thread_cpu_ns();
            let base_ns = *self.base_ns.get_or_insert(cpu_ns);
            self.slot.used_ns.store(cpu_ns - base_ns, Relaxed);
            self.slot.looks.fetch_add(1, Relaxed);
        }
        !over
    }

    fn arrive(&mut self, cpu: usize, now: u64, counted: bool) {
        self.slot.keep_move(now, now.saturating_sub(self.table.origin_ns), cpu);
        let place = self.table.topology.place(cpu);
        if let (Some(left), Some(place), true) = (self.place, place, counted) {
            let count = |counter: &AtomicU64, changed: bool| {
                counter.fetch_add(u64::from(changed), Relaxed);
            };
            count(&self.slot.llc_changes, left.llc != place.llc);
            count(&self.slot.node_changes, left.node != place.node);
        }
        self.cpu = Some(cpu);
        self.place = place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crew_runs(processes: bool) {
        let topology = Topology::probe().expect("topology");
        let one: CpuSet = topology.cpus().first().into_iter().collect();
        let plan = CrewPlan { nr: 3, confine: Some(one), processes };
        let mut crew = Crew::start(&plan, topology).expect("start");
        crew.let_run();
        crew.wait_until_all_ran(crew.deadline()).expect("settle");
        crew.release(100 * NS_PER_MS).expect("release");
        crate::run::wait_for_end(crew.deadline());
        let result = crew.finish().expect("finish");
        let t0 = result.t0_ns.expect("t0");
        assert_eq!(result.elapsed_ns, 100 * NS_PER_MS);
        assert!(result.hogs.iter().any(|hog| hog.used_ns > 0));
        for task in 0..3 {
            let first = result.sightings.iter().find(|s| s.task == task);
            let first = first.expect("each hog was seen");
            assert!(first.at_ns < t0 && one.contains(first.cpu));
        }
    }

    #[test]
    fn confined_threads_run_and_are_released() {
        crew_runs(false);
    }

    #[test]
    fn confined_processes_run_and_are_released() {
        crew_runs(true);
    }

    #[test]
    fn a_full_log_says_since_when() {
        let slots = SharedSlice::<Slot>::new(1).expect("map");
        for at_ns in 0..MOVES_KEPT as u64 + 2 {
            slots[0].keep_move(1000 + at_ns, at_ns, 5);
        }
        assert_eq!(slots[0].sightings(0, 1000).count(), MOVES_KEPT);
        let full_at_ns = slots[0].full_at_ns.load(Relaxed);
        assert_eq!(full_at_ns, 1000 + MOVES_KEPT as u64);
    }

    #[test]
    fn a_dropped_crew_leaves_nobody_behind() {
        let topology = Topology::probe().expect("topology");
        let plan = CrewPlan { nr: 2, confine: None, processes: true };
        let crew = Crew::start(&plan, topology).expect("start");
        let pid = crew.processes[0].pid();
        drop(crew);
        // SAFETY: signal 0 only asks whether the process exists.
        assert_eq!(unsafe { libc::kill(pid, 0) }, -1);
    }
}
