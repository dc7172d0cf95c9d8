// SPDX-License-Identifier: GPL-2.0-only
//! Learning, carried round the loop: delays and refills → a step → the next policy, and now and then to disk.
//!
//! What is kept belongs to the machine and to the source `measure`: a run with `--penalty FILE`
//! or `--penalty default` begins with exactly those numbers, and keeps nothing.

use crate::config::PenaltySource;
use crate::measure::learned::{HopRow, LearnedTable, RefillRow, VERSION};
use crate::measure::machine::Machine;
use crate::measure::table::{Cell, Origin};
use crate::measure::{store, utc};
use crate::model::learn::refill::{LearnedRefill, RefillLearner, Refills};
use crate::model::learn::{Delays, LearnedHop, Learner};
use crate::model::{Learned, PenaltyTable};
use crate::policy::Policy;
use crate::topology::{Level, Topology};
use crate::units::{Ns, Q10};
use anyhow::Result;
use log::{info, warn};
use std::time::{Duration, Instant, SystemTime};

/// Shortest time between two writes to disk.
const STORE_EVERY: Duration = Duration::from_secs(60);

/// The name of a source under which what is learned is kept.
pub const KEPT_SOURCE: &str = "measure";

/// What was learned on this machine in earlier runs; nothing where nothing was kept. Says on
/// standard error why something that was kept is not used.
pub fn restore(source: &PenaltySource, topo: &Topology) -> Learned {
    if *source != PenaltySource::Measure {
        return Learned::default();
    }
    let read = store::state_dir().and_then(|dir| store::read_learned(&dir, &Machine::here(topo)));
    match read {
        Ok(table) => table.map_or_else(Learned::default, |table| from_table(&table)),
        Err(err) => {
            eprintln!("scx_toll: learning begins anew: {err:#}");
            Learned::default()
        }
    }
}

fn from_table(table: &LearnedTable) -> Learned {
    let mut learned = Learned::default();
    for level in Level::ALL {
        let row = table.hop.iter().find(|row| row.level == level.name());
        learned.hops[level.index()] = row.map(|row| LearnedHop {
            base: Ns::new(row.base_ns),
            hop: Ns::clamped_from_f64(row.ns.value),
            samples: row.ns.samples.into(),
            spread: row.ns.spread,
            date: row.ns.date.clone(),
        });
        let row = table.refill.iter().find(|row| row.level == level.name());
        learned.refills[level.index()] = row.map(|row| LearnedRefill {
            base: Q10::clamped_from_f64(row.base),
            factor: Q10::clamped_from_f64(row.factor.value),
            samples: row.factor.samples.into(),
            spread: row.factor.spread,
            date: row.factor.date.clone(),
        });
    }
    learned
}

/// The same, to be kept.
fn to_table(learned: &Learned, topo: &Topology) -> LearnedTable {
    let cell = |value: f64, samples: u64, spread: f64, date: &str| Cell {
        value,
        from: Origin::Learned,
        samples: u32::try_from(samples).unwrap_or(u32::MAX),
        rejected: 0,
        spread,
        date: date.into(),
    };
    let hop = |level: Level| {
        let hop = learned.hops[level.index()].as_ref()?;
        let ns = cell(hop.hop.get() as f64, hop.samples, hop.spread, &hop.date);
        Some(HopRow { level: level.name().into(), base_ns: hop.base.get(), ns })
    };
    let refill = |level: Level| {
        let refill = learned.refills[level.index()].as_ref()?;
        let factor = cell(refill.factor.as_f64(), refill.samples, refill.spread, &refill.date);
        Some(RefillRow { level: level.name().into(), base: refill.base.as_f64(), factor })
    };
    LearnedTable {
        version: VERSION,
        machine: Machine::here(topo),
        hop: Level::ALL.into_iter().filter_map(hop).collect(),
        refill: Level::ALL.into_iter().filter_map(refill).collect(),
    }
}

/// What the BPF half has counted up to now.
pub struct Seen {
    /// How much later moved tasks ran.
    pub delays: Delays,
    /// What they had to load again; nothing where there are no counters.
    pub refills: Refills,
}

/// Learning under way. One for each attached scheduler.
pub struct Learning {
    every: Duration,
    looked: Instant,
    hops: Learner,
    refills: RefillLearner,
    /// What the learners' samples refine; another one makes them void.
    refines: Option<PenaltyTable>,
    kept: Learned,
    stored: Instant,
    /// Whether a failure to store was reported.
    complained: bool,
}

impl Learning {
    /// Begin under `policy`; look every so often.
    pub fn new(every: Duration, policy: &Policy) -> Learning {
        let now = Instant::now();
        Learning {
            every,
            looked: now,
            hops: Learner::default(),
            refills: RefillLearner::default(),
            refines: None,
            kept: policy.learned.clone(),
            stored: now,
            complained: false,
        }
    }

    /// True when it is time to look.
    pub fn is_due(&self) -> bool {
        self.looked.elapsed() >= self.every
    }

    /// Look at what was `seen`: the policy that follows from it, if it is another one.
    pub fn look(&mut self, seen: Seen, policy: &Policy, topo: &Topology) -> Option<Policy> {
        self.looked = Instant::now();
        if !policy.learn || self.refines.as_ref() != Some(&policy.base) {
            self.refines = policy.learn.then(|| policy.base.clone());
            self.hops.skip(seen.delays);
            self.refills.skip(seen.refills);
            return None;
        }
        self.hops.observe(seen.delays);
        self.refills.observe(seen.refills);
        let date = utc(SystemTime::now());
        let hops = self.hops.step(&policy.base, &policy.learned, &date);
        let so_far = hops.as_ref().unwrap_or(&policy.learned);
        let learned = self.refills.step(&policy.base, so_far, &date).or(hops)?;
        let mut next = policy.clone();
        next.set_learned(learned, topo);
        for level in Level::ALL {
            let (before, now) = (policy.table.class(level).hop, next.table.class(level).hop);
            if before != now {
                info!("learned: hop of class {level} {} -> {}", before.value, now.value);
            }
            let (before, now) = (policy.table.class(level).refill, next.table.class(level).refill);
            if before != now {
                info!("learned: refill of class {level} {} -> {}", before.value, now.value);
            }
        }
        Some(next)
    }

    /// Keep what `policy` has learned: now if `last`, else when it was not kept for a while.
    pub fn store(&mut self, policy: &Policy, topo: &Topology, last: bool) {
        let is_new = policy.learned != self.kept && policy.source == KEPT_SOURCE;
        if !is_new || !(last || self.stored.elapsed() >= STORE_EVERY) {
            return;
        }
        self.stored = Instant::now();
        match write(&policy.learned, topo) {
            Ok(()) => self.kept = policy.learned.clone(),
            Err(err) if !self.complained => {
                self.complained = true;
                warn!("what was learned is not kept: {err:#}");
            }
            Err(_) => {}
        }
    }
}

fn write(learned: &Learned, topo: &Topology) -> Result<()> {
    let table = to_table(learned, topo);
    let path = store::learned_path(&store::state_dir()?, &table.machine);
    store::write(&path, &table.to_toml()?)
}
