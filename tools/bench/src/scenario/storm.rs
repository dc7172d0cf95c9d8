// SPDX-License-Identifier: GPL-2.0-only
//! Everything that changes a task, at random and all at once.
//!
//! Two stormers per CPU draw acts: fork a child and wait for it, fork one that executes this program,
//! send words to and fro through a pipe, or change the affinity, nice value or policy of some task:
//! a stormer, or one of the long-lived children (one per two CPUs) that only burn and sleep.
//! At the end every child was reaped; a run that finds one left fails.
//!
//! | key | meaning |
//! |---|---|
//! | `forks`, `execs` | children reaped that burned a little, and that executed this program |
//! | `exchanges` | round trips through a pipe, two context switches each at least |
//! | `affinities`, `nices`, `policies` | changes that the kernel accepted |
//! | `refused` | changes that it did not: the task was gone, or the right to do it is missing |
//!
//! Policies are OTHER, BATCH and IDLE. Without CAP_SYS_NICE a nice value once raised stays so.

use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write, pipe};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicI32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use anyhow::{Context, Result, bail};

use crate::child::{self, Child};
use crate::cli::StormArgs;
use crate::clock::{NS_PER_MS, NS_PER_US, duration_ns, now_ns, sleep_ns};
use crate::cpus::CpuSet;
use crate::report::Report;
use crate::rng::Rng;
use crate::run::{Deadline, wait_for_end};
use crate::scenario::Outcome;
use crate::spin::Burner;
use crate::team::Team;

const STORMERS_PER_CPU: usize = 2;
const CPUS_PER_LONG_LIVED: usize = 2;
const WORK_MAX_NS: u64 = NS_PER_MS;
const REST_MAX_NS: u64 = 2 * NS_PER_MS;
const EXCHANGES_MAX: u64 = 32;
const EXCHANGE_WORK_NS: u64 = 5 * NS_PER_US;
const NICE_MIN: i32 = -20;
const NR_NICES: u64 = 40;
const POLICIES: [libc::c_int; 3] = [libc::SCHED_OTHER, libc::SCHED_BATCH, libc::SCHED_IDLE];
/// The running program, also where its file is not reachable by name. Needs /proc.
const OWN_PROGRAM: &std::ffi::CStr = c"/proc/self/exe";
/// The exit status of a child that could not execute it.
const EXEC_FAILED: i32 = 127;

/// What happened so far.
#[derive(Debug, Default)]
struct Tally {
    forks: AtomicU64,
    execs: AtomicU64,
    exchanges: AtomicU64,
    affinities: AtomicU64,
    nices: AtomicU64,
    policies: AtomicU64,
    refused: AtomicU64,
}

/// What all stormers share.
#[derive(Debug)]
struct Stage {
    deadline: Deadline,
    cpus: CpuSet,
    /// Long-lived children, all alive until the stormers have ended.
    children: Vec<libc::pid_t>,
    /// Thread ids of the stormers; 0, which means the caller itself, before and after their time.
    stormers: Vec<AtomicI32>,
    tally: Tally,
}

/// Run the storm.
pub fn run(args: &StormArgs) -> Result<Outcome> {
    let path = OWN_PROGRAM.to_string_lossy();
    std::fs::metadata(path.as_ref())
        .with_context(|| format!("{path} cannot be read; is /proc mounted"))?;
    let cpus = CpuSet::allowed().context("the CPUs of this process could not be read")?;
    let nr_children = cpus.len().div_ceil(CPUS_PER_LONG_LIVED);
    let nr_stormers = STORMERS_PER_CPU * cpus.len();
    let children: Vec<Child> = (0..nr_children)
        .map(|index| start_long_lived(args.seed, nr_stormers + index))
        .collect::<Result<_>>()?;
    let stage = Arc::new(Stage {
        deadline: Deadline::after(duration_ns(args.seconds)),
        cpus,
        children: children.iter().map(Child::pid).collect(),
        stormers: (0..nr_stormers).map(|_| AtomicI32::new(0)).collect(),
        tally: Tally::default(),
    });
    let mut team = Team::new();
    for index in 0..nr_stormers {
        start_stormer(&mut team, &stage, index, args.seed)?;
    }
    wait_for_end(&stage.deadline);
    team.join()?;
    drop(children);

    let left = child::any_left();
    Ok(Outcome {
        report: report(&stage.tally),
        fault: left.then(|| "a child was left that nobody had waited for".into()),
    })
}

fn report(tally: &Tally) -> Report {
    let mut report = Report::new();
    for (key, counter) in [
        ("forks", &tally.forks),
        ("execs", &tally.execs),
        ("exchanges", &tally.exchanges),
        ("affinities", &tally.affinities),
        ("nices", &tally.nices),
        ("policies", &tally.policies),
        ("refused", &tally.refused),
    ] {
        report.add(key, counter.load(Relaxed));
    }
    report
}

/// Start a child that burns and sleeps until it is killed.
fn start_long_lived(seed: u64, stream: usize) -> Result<Child> {
    let mut rng = Rng::stream(seed, stream as u64);
    let body = move || {
        loop {
            Burner::new().burn(rng.below(WORK_MAX_NS));
            sleep_ns(rng.below(REST_MAX_NS));
        }
    };
    // SAFETY: the child only does arithmetic, reads clocks and sleeps; the main thread, which forks
    // it, lives as long as the program.
    unsafe { child::fork(body) }.context("no child could be forked")
}

/// Start a stormer and the partner that echoes its words.
fn start_stormer(team: &mut Team, stage: &Arc<Stage>, index: usize, seed: u64) -> Result<()> {
    let (from_stormer, to_partner) = pipe().context("no pipe for a stormer")?;
    let (from_partner, to_stormer) = pipe().context("no pipe for a stormer")?;
    team.spawn(format!("partner{index}"), move || echo(from_stormer, to_stormer))?;
    let stage = Arc::clone(stage);
    team.spawn(format!("stormer{index}"), move || {
        let mut stormer = Stormer {
            rng: Rng::stream(seed, index as u64),
            stage: &stage,
            to_partner,
            from_partner,
        };
        // SAFETY: takes no arguments and touches no memory.
        stage.stormers[index].store(unsafe { libc::gettid() }, Release);
        let ended = stormer.rage();
        stage.stormers[index].store(0, Release);
        ended
    })
}

fn echo(mut from: PipeReader, mut to: PipeWriter) -> Result<()> {
    let mut burner = Burner::new();
    let mut word = [0; size_of::<u64>()];
    loop {
        match from.read_exact(&mut word) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        burner.burn(EXCHANGE_WORK_NS);
        to.write_all(&word)?;
    }
}

/// One source of trouble.
struct Stormer<'a> {
    rng: Rng,
    stage: &'a Stage,
    to_partner: PipeWriter,
    from_partner: PipeReader,
}

impl Stormer<'_> {
    fn rage(&mut self) -> Result<()> {
        let mut burner = Burner::new();
        while !self.stage.deadline.over() {
            match self.rng.below(8) {
                0 => self.fork()?,
                1 => self.execute()?,
                2 => self.exchange()?,
                3 | 4 => self.change_affinity_of_someone(),
                5 => self.change_nice_of_someone(),
                6 => self.change_policy_of_someone(),
                _ => {
                    burner.burn(self.rng.below(WORK_MAX_NS));
                    let rest_ns = self.rng.below(REST_MAX_NS);
                    self.stage.deadline.sleep_until(now_ns() + rest_ns);
                }
            }
        }
        Ok(())
    }

    fn fork(&mut self) -> Result<()> {
        let work_ns = self.rng.below(WORK_MAX_NS);
        let work = || {
            Burner::new().burn(work_ns);
            0
        };
        // SAFETY: burning is arithmetic and reading a clock, both async-signal-safe; this thread
        // waits for the child and so outlives it.
        let child = unsafe { child::fork(work) };
        self.see_off(child, &self.stage.tally.forks)
    }

    fn execute(&mut self) -> Result<()> {
        let arguments = [c"tollwork".as_ptr(), c"noop".as_ptr(), std::ptr::null::<libc::c_char>()];
        let program = || {
            // SAFETY: execv is async-signal-safe; path and arguments are static, and the list of
            // arguments ends with a null pointer.
            unsafe { libc::execv(OWN_PROGRAM.as_ptr(), arguments.as_ptr()) };
            EXEC_FAILED
        };
        // SAFETY: as said within; this thread waits for the child and so outlives it.
        let child = unsafe { child::fork(program) };
        self.see_off(child, &self.stage.tally.execs)
    }

    /// Move the child about, perhaps, wait for it, and count it.
    fn see_off(&mut self, child: std::io::Result<Child>, counter: &AtomicU64) -> Result<()> {
        let child = child.context("no child could be forked")?;
        if self.rng.chance_pct(50) {
            self.change_affinity(child.pid());
        }
        match child.wait().context("a child could not be waited for")? {
            0 => counter.fetch_add(1, Relaxed),
            EXEC_FAILED => bail!("{} could not be executed", OWN_PROGRAM.to_string_lossy()),
            status => bail!("a child ended with status {status}"),
        };
        Ok(())
    }

    fn exchange(&mut self) -> Result<()> {
        let mut word = self.rng.bits().to_ne_bytes();
        for _ in 0..=self.rng.below(EXCHANGES_MAX) {
            self.to_partner.write_all(&word)?;
            self.from_partner.read_exact(&mut word)?;
            self.stage.tally.exchanges.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    fn change_affinity_of_someone(&mut self) {
        let tid = self.someone();
        self.change_affinity(tid);
    }

    fn change_affinity(&mut self, tid: libc::pid_t) {
        let cpus = random_subset(&self.stage.cpus, &mut self.rng);
        self.count(&self.stage.tally.affinities, cpus.confine(tid).is_ok());
    }

    fn change_nice_of_someone(&mut self) {
        let tid = self.someone();
        let nice = NICE_MIN + self.rng.below(NR_NICES) as i32;
        // SAFETY: changes a number of a task; touches no memory.
        let done = unsafe { libc::setpriority(libc::PRIO_PROCESS, tid as libc::id_t, nice) };
        self.count(&self.stage.tally.nices, done == 0);
    }

    fn change_policy_of_someone(&mut self) {
        let tid = self.someone();
        let policy = POLICIES[self.rng.below(POLICIES.len() as u64) as usize];
        // SAFETY: sched_param consists of integers only, for which all-zero bytes are valid; these
        // policies want priority 0.
        let parameters: libc::sched_param = unsafe { std::mem::zeroed() };
        // SAFETY: `parameters` is valid for reading.
        let done = unsafe { libc::sched_setscheduler(tid, policy, &parameters) };
        self.count(&self.stage.tally.policies, done == 0);
    }

    /// A stormer or a long-lived child. A stormer may end before it is changed; the kernel then
    /// refuses.
    fn someone(&mut self) -> libc::pid_t {
        let (stormers, children) = (&self.stage.stormers, &self.stage.children);
        let drawn = self.rng.below((stormers.len() + children.len()) as u64) as usize;
        match children.get(drawn) {
            Some(&pid) => pid,
            None => stormers[drawn - children.len()].load(Acquire),
        }
    }

    fn count(&self, accepted: &AtomicU64, done: bool) {
        let counter = if done { accepted } else { &self.stage.tally.refused };
        counter.fetch_add(1, Relaxed);
    }
}

/// One CPU of `all` in half of the draws, else each with even odds, but at least one.
fn random_subset(all: &CpuSet, rng: &mut Rng) -> CpuSet {
    let one = rng.below(all.len() as u64) as usize;
    let alone = rng.chance_pct(50);
    let chosen =
        |&(position, _): &(usize, usize)| position == one || (!alone && rng.chance_pct(50));
    let chosen: Vec<_> = all.iter().enumerate().filter(chosen).collect();
    chosen.into_iter().map(|(_, cpu)| cpu).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_subsets_are_never_empty_and_of_all_sizes() {
        let all: CpuSet = (4..8).collect();
        let mut rng = Rng::stream(1, 0);
        let mut sizes = [0; 5];
        for _ in 0..1000 {
            let subset = random_subset(&all, &mut rng);
            assert!(subset.without(&all).is_empty());
            sizes[subset.len()] += 1;
        }
        assert_eq!(sizes[0], 0);
        assert!(sizes[1] > 500 && sizes[2] > 0 && sizes[3] > 0 && sizes[4] > 0);
    }
}
