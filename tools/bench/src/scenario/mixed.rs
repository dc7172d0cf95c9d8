// SPDX-License-Identifier: GPL-2.0-only
//! A mixed load, scaled to the number of CPUs n (times `--scale`).
//!
//! | role | number | what it does |
//! |---|---|---|
//! | hog | n / 2 | is always busy |
//! | sleeper | n | thinks (exponential, mean 3 ms), then needs 0.2 ms (nine times in ten) or 4 ms |
//! | pair | n / 2 | producer and consumer hand a word to and fro over pipes, 20 µs of work each |
//! | forker | 1 | forks a child that burns 0.5 ms and waits for it, about 300 times a second |
//! | burst | n tasks | wake together every second and burn 2 ms each |
//!
//! That is more than the machine can do: the pairs never rest. [`Plan::light`] leaves most CPUs idle.
//!
//! | key | meaning |
//! |---|---|
//! | `exchanges` | round trips of all pairs; each holds two wakeups, not counted below |
//! | `wakeups` | returns from sleep of sleepers and burst tasks |
//! | `forks` | children forked and reaped |
//! | `cpu_ms` | CPU time of the process and its children |

use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write, pipe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::{Context, Result, bail};

use crate::child;
use crate::cli::MixedArgs;
use crate::clock::{NS_PER_MS, NS_PER_S, NS_PER_US, duration_ns, family_cpu_ns, now_ns};
use crate::gate::Gate;
use crate::report::Report;
use crate::rng::Rng;
use crate::run::{Deadline, wait_for_end};
use crate::scenario::Outcome;
use crate::spin::Burner;
use crate::team::Team;
use crate::topology::Topology;

const THINK_MEAN_NS: u64 = 3 * NS_PER_MS;
const SHORT_DEMAND_NS: u64 = 200 * NS_PER_US;
const LONG_DEMAND_NS: u64 = 4 * NS_PER_MS;
const LONG_DEMAND_PCT: u64 = 10;
const EXCHANGE_WORK_NS: u64 = 20 * NS_PER_US;
/// A pair that rests at all does so after this many exchanges.
const EXCHANGES_PER_REST: u64 = 20;
const CHILD_WORK_NS: u64 = 500 * NS_PER_US;
const FORK_PERIOD_NS: u64 = 3_300 * NS_PER_US;
const BURST_PERIOD_NS: u64 = NS_PER_S;
const BURST_WORK_NS: u64 = 2 * NS_PER_MS;
/// A hog has no demand to fulfil; it looks at the deadline all the time anyway.
const ENDLESS_NS: u64 = u64::MAX;

/// How many tasks of each role there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Always busy.
    pub hogs: usize,
    /// Thinking, then working.
    pub sleepers: usize,
    /// Producer and consumer.
    pub pairs: usize,
    /// Rest of a pair after some exchanges; 0: it never rests.
    pub pair_rest_ns: u64,
    /// Forking and waiting.
    pub forkers: usize,
    /// Tasks in a burst.
    pub burst: usize,
}

impl Plan {
    /// More than `nr_cpus` CPUs can do, `scale` times.
    pub fn full(nr_cpus: usize, scale: f64) -> Self {
        let nr = ((nr_cpus as f64 * scale).round() as usize).max(1);
        Self {
            hogs: nr.div_ceil(2),
            sleepers: nr,
            pairs: nr.div_ceil(2),
            pair_rest_ns: 0,
            forkers: 1,
            burst: nr,
        }
    }

    /// A small part of what `nr_cpus` CPUs can do.
    pub fn light(nr_cpus: usize) -> Self {
        Self {
            hogs: 0,
            sleepers: nr_cpus.div_ceil(2),
            pairs: nr_cpus.div_ceil(4),
            pair_rest_ns: 4 * NS_PER_MS,
            forkers: 1,
            burst: nr_cpus,
        }
    }
}

/// What all tasks of a load share.
#[derive(Debug)]
struct Floor {
    deadline: Arc<Deadline>,
    bell: Gate,
    exchanges: AtomicU64,
    wakeups: AtomicU64,
    forks: AtomicU64,
}

/// A load that is running.
pub struct Load {
    floor: Arc<Floor>,
    team: Team,
    cpu_before_ns: u64,
}

/// A role: what a task does until the deadline, with random numbers of its own.
type Role = fn(&Floor, Rng) -> Result<()>;

impl Load {
    /// Start the tasks of `plan`, which run until `deadline`.
    pub fn start(plan: &Plan, seed: u64, deadline: Arc<Deadline>) -> Result<Self> {
        let floor = Arc::new(Floor {
            deadline,
            bell: Gate::default(),
            exchanges: AtomicU64::new(0),
            wakeups: AtomicU64::new(0),
            forks: AtomicU64::new(0),
        });
        let mut load = Self { floor, team: Team::new(), cpu_before_ns: family_cpu_ns() };
        let roles: [(&str, usize, Role); 5] = [
            ("hog", plan.hogs, hog),
            ("sleeper", plan.sleepers, sleeper),
            ("forker", plan.forkers, forker),
            ("burst", plan.burst, burst_task),
            ("bell", 1, ring_the_bell),
        ];
        let mut streams = 0..;
        for (name, nr, role) in roles {
            for (index, stream) in (0..nr).zip(&mut streams) {
                let floor = Arc::clone(&load.floor);
                let rng = Rng::stream(seed, stream);
                load.team.spawn(format!("{name}{index}"), move || role(&floor, rng))?;
            }
        }
        for index in 0..plan.pairs {
            load.start_pair(index, plan.pair_rest_ns)?;
        }
        Ok(load)
    }

    fn start_pair(&mut self, index: usize, rest_ns: u64) -> Result<()> {
        let (from_producer, to_consumer) = pipe().context("no pipe for a pair")?;
        let (from_consumer, to_producer) = pipe().context("no pipe for a pair")?;
        let floor = Arc::clone(&self.floor);
        self.team.spawn(format!("producer{index}"), move || {
            produce(&floor, to_consumer, from_consumer, rest_ns)
        })?;
        self.team.spawn(format!("consumer{index}"), move || consume(from_producer, to_producer))
    }

    /// Wait until all tasks have ended, which the deadline makes them do, and add what they did.
    pub fn finish(self, report: &mut Report) -> Result<()> {
        self.team.join()?;
        report
            .add("exchanges", self.floor.exchanges.load(Relaxed))
            .add("wakeups", self.floor.wakeups.load(Relaxed))
            .add("forks", self.floor.forks.load(Relaxed))
            .add_ms("cpu_ms", family_cpu_ns() - self.cpu_before_ns);
        Ok(())
    }
}

/// Run the mixed load.
pub fn run(args: &MixedArgs) -> Result<Outcome> {
    let nr_cpus = Topology::probe()?.cpus().len();
    let deadline = Arc::new(Deadline::after(duration_ns(args.seconds)));
    let plan = Plan::full(nr_cpus, args.scale);
    let load = Load::start(&plan, args.seed, Arc::clone(&deadline))?;
    wait_for_end(&deadline);
    let mut report = Report::new();
    load.finish(&mut report)?;
    Ok(report.into())
}

fn hog(floor: &Floor, _: Rng) -> Result<()> {
    Burner::new().burn_while(ENDLESS_NS, || !floor.deadline.over());
    Ok(())
}

fn sleeper(floor: &Floor, mut rng: Rng) -> Result<()> {
    let mut burner = Burner::new();
    while floor.deadline.sleep_until(now_ns() + rng.exponential_ns(THINK_MEAN_NS)) {
        floor.wakeups.fetch_add(1, Relaxed);
        let demand_ns = match rng.chance_pct(LONG_DEMAND_PCT) {
            true => LONG_DEMAND_NS,
            false => SHORT_DEMAND_NS,
        };
        burner.burn_while(demand_ns, || !floor.deadline.over());
    }
    Ok(())
}

/// Ends by dropping its pipes, which the consumer sees as the end of its input.
fn produce(floor: &Floor, mut to: PipeWriter, mut from: PipeReader, rest_ns: u64) -> Result<()> {
    let mut burner = Burner::new();
    let mut word = [0; size_of::<u64>()];
    for nr in 1.. {
        if floor.deadline.over() {
            break;
        }
        burner.burn(EXCHANGE_WORK_NS);
        to.write_all(&word)?;
        from.read_exact(&mut word)?;
        floor.exchanges.fetch_add(1, Relaxed);
        if rest_ns > 0 && nr % EXCHANGES_PER_REST == 0 {
            floor.deadline.sleep_until(now_ns() + rest_ns);
        }
    }
    Ok(())
}

fn consume(mut from: PipeReader, mut to: PipeWriter) -> Result<()> {
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

fn forker(floor: &Floor, _: Rng) -> Result<()> {
    let mut next_ns = now_ns();
    while floor.deadline.sleep_until(next_ns) {
        let work = || {
            Burner::new().burn(CHILD_WORK_NS);
            0
        };
        // SAFETY: burning is arithmetic and reading a clock, both async-signal-safe; this thread
        // waits for the child and so outlives it.
        let child = unsafe { child::fork(work) }.context("no child could be forked")?;
        match child.wait().context("a child could not be waited for")? {
            0 => floor.forks.fetch_add(1, Relaxed),
            status => bail!("a child ended with status {status}"),
        };
        next_ns = now_ns().max(next_ns + FORK_PERIOD_NS);
    }
    Ok(())
}

fn burst_task(floor: &Floor, _: Rng) -> Result<()> {
    let mut burner = Burner::new();
    let mut heard = 0;
    loop {
        heard = floor.bell.wait_past(heard);
        if floor.deadline.over() {
            return Ok(());
        }
        floor.wakeups.fetch_add(1, Relaxed);
        burner.burn_while(BURST_WORK_NS, || !floor.deadline.over());
    }
}

/// Wake the burst tasks every second, and a last time when the run is over.
fn ring_the_bell(floor: &Floor, _: Rng) -> Result<()> {
    let mut next_ns = now_ns() + BURST_PERIOD_NS;
    while floor.deadline.sleep_until(next_ns) {
        floor.bell.open();
        next_ns += BURST_PERIOD_NS;
    }
    floor.bell.open();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_follows_the_cpus_and_the_scale() {
        let plan = Plan::full(8, 1.0);
        assert_eq!((plan.hogs, plan.sleepers, plan.pairs), (4, 8, 4));
        assert_eq!(Plan::full(8, 2.0), Plan::full(16, 1.0));
        assert_eq!(Plan::full(1, 0.1).sleepers, 1);
        assert_eq!(Plan::light(8).hogs, 0);
    }

    #[test]
    fn a_load_does_some_of_everything_and_ends() {
        let deadline = Arc::new(Deadline::after(300 * NS_PER_MS));
        let load = Load::start(&Plan::light(2), 1, deadline).expect("start");
        let floor = Arc::clone(&load.floor);
        load.finish(&mut Report::new()).expect("finish");
        assert!(floor.exchanges.load(Relaxed) > 0);
        assert!(floor.wakeups.load(Relaxed) > 0);
        assert!(floor.forks.load(Relaxed) > 0);
    }
}
