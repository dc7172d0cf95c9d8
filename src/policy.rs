// SPDX-License-Identifier: GPL-2.0-only
//! The policy in force, and the only writer of its memory in the BPF half.
//!
//! The policy is one struct in a double buffer. A write goes to the half that
//! BPF does not read, then one version bump with release order makes it the
//! one that is read. Why no reader ever sees a mixture:
//!
//! 1. A callback reads the version once, takes the pointer to that half, and
//!    hands it to everything that it calls; the index depends on the version,
//!    so what it reads through the pointer was written before the bump.
//! 2. A callback that is not sleepable runs inside one RCU read section from
//!    its first to its last instruction; the sleepable one that reads the
//!    policy (init_task) opens one for it.
//! 3. After a bump the writer waits until all read sections that began before
//!    it are over, and only then writes the old half again. If it cannot wait,
//!    it does not write.
//!
//! `tests/live/policy_changes_are_whole_and_take_effect.rs` tries to find one.

use crate::bpf::types;
use crate::model::decide::Migrate;
use crate::model::{DecayTable, Hysteresis, Learned, PenaltyMatrix, PenaltyTable};
use crate::topology::{Level, Topology};
use crate::units::Ns;
use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapFlags};
use log::warn;
use std::mem::offset_of;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

mod grace;
pub mod view;

/// Wait after which a task is moved whatever it costs. Far below the kernel's
/// watchdog (30 s as loaded), and far above any wait that a price should decide.
pub const MAX_AGE: Ns = Ns::from_ms(500);

/// Most turns that a gain counts. A task's past is a fair guess for its future,
/// but a guess: an endless task must not be moved for a wait that a balanced
/// machine would even out within a few turns.
pub const MAX_TURNS: u32 = 4;

/// The shortest turn is this part of a slice: when many wait, turns shrink down to it. Turns of
/// 5 ms instead of 20 cost an eighth of the mean response time, shorter ones more.
pub const LEAST_SLICE: u64 = 4;

/// Everything that BPF decisions depend on, in the model's terms.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Length of one turn.
    pub slice: Ns,
    /// Wait after which a task is moved whatever it costs.
    pub age: Ns,
    /// What decides about a move.
    pub migrate: Migrate,
    /// Price of every move under [`Migrate::Fixed`].
    pub fixed: Ns,
    /// Most turns that a gain counts, at least 1.
    pub max_turns: u32,
    /// Refine what moves cost by what they take.
    pub learn: bool,
    /// What moves cost, as it was given or measured; [`Policy::set_table`] and
    /// [`Policy::set_learned`] keep the fields below in step with it.
    pub base: PenaltyTable,
    /// Where that comes from, in words: "default", "measure", or a file's path.
    pub source: String,
    /// What was learned about it since.
    pub learned: Learned,
    /// What moves cost now, by both.
    pub table: PenaltyTable,
    /// Cost of a move for every pair.
    pub matrix: PenaltyMatrix,
    /// Share of run time that loads cache lines, and time to load one KiB.
    pub fill_q10: u32,
    /// Time to load one KiB at factor 1.0, in ns.
    pub warm_ns_per_kib: u32,
    /// How warmth wears.
    pub decay: DecayTable,
    /// Two thresholds and a hold time per level.
    pub hysteresis: [Hysteresis; 3],
}

/// The struct as BPF reads it.
#[repr(transparent)]
struct Bytes(types::toll_policy);

// SAFETY: the generated struct is `repr(C)`, made of integers only, its padding
// is spelled out as fields, and every bit pattern is a valid value.
unsafe impl plain::Plain for Bytes {}

impl Bytes {
    /// Set the seal: the sum of the words before `hop_ns` and of the hops between
    /// the first `nr_llcs` LLCs. `policy_is_whole()` in check.bpf.h compares it.
    fn seal(&mut self, nr_llcs: usize) {
        const WORD: usize = size_of::<u64>();
        let mut sum = 0u64;
        // SAFETY: see `impl Plain for Bytes`.
        let head = unsafe { plain::as_bytes(self) };
        for word in head[..offset_of!(types::toll_policy, hop_ns)].chunks_exact(WORD) {
            let mut bytes = [0; WORD];
            bytes.copy_from_slice(word);
            sum = sum.wrapping_add(u64::from_ne_bytes(bytes));
        }
        for row in &self.0.hop_ns[..nr_llcs] {
            sum = row[..nr_llcs].iter().fold(sum, |sum, hop| sum.wrapping_add(*hop));
        }
        self.0.seal = sum;
    }
}

impl Policy {
    /// A policy with the table `table` from `source` and everything else at
    /// its default.
    pub fn new(table: PenaltyTable, source: String, topo: &Topology) -> Policy {
        Policy::with_learned(table, source, Learned::default(), topo)
    }

    /// The same with what was learned about the table `base`.
    fn with_learned(
        base: PenaltyTable,
        source: String,
        learned: Learned,
        topo: &Topology,
    ) -> Policy {
        let learned = learned.fit(&base);
        let table = learned.apply(&base, topo);
        Policy {
            slice: Ns::from_ms(20),
            age: MAX_AGE,
            migrate: Migrate::Toll,
            fixed: Ns::ZERO,
            max_turns: MAX_TURNS,
            learn: true,
            matrix: PenaltyMatrix::new(&table, topo),
            fill_q10: table.warmth.fill_share.value.raw(),
            warm_ns_per_kib: table.warmth.ns_per_kib.value,
            decay: DecayTable::new(&table.warmth, topo),
            hysteresis: Hysteresis::defaults(),
            base,
            source,
            learned,
            table,
        }
    }

    /// Replace what moves cost by `table`, about which nothing was learned yet;
    /// everything else stays.
    pub fn set_table(&mut self, table: PenaltyTable, source: String, topo: &Topology) {
        self.set_costs(table, source, Learned::default(), topo);
    }

    /// Replace what was learned. What does not belong to the table is forgotten.
    pub fn set_learned(&mut self, learned: Learned, topo: &Topology) {
        self.set_costs(self.base.clone(), self.source.clone(), learned, topo);
    }

    fn set_costs(&mut self, base: PenaltyTable, source: String, learned: Learned, topo: &Topology) {
        let Policy { slice, age, migrate, fixed, max_turns, learn, hysteresis, .. } = *self;
        let made = Policy::with_learned(base, source, learned, topo);
        *self = Policy { slice, age, migrate, fixed, max_turns, learn, hysteresis, ..made };
    }

    /// The same policy on the machine `topo`, whose CPUs may have changed.
    pub fn on(mut self, topo: &Topology) -> Policy {
        self.set_learned(self.learned.clone(), topo);
        self
    }

    /// The bytes of the policy as BPF reads it, as version `version`.
    pub fn to_bytes(&self, topo: &Topology, version: u64) -> Vec<u8> {
        let encoded = self.encode(topo, version);
        // SAFETY: see `impl Plain for Bytes`.
        unsafe { plain::as_bytes(&*encoded) }.to_vec()
    }

    /// The policy as BPF reads it. All bounds of `intf.h` hold, because the
    /// units enforce them.
    fn encode(&self, topo: &Topology, version: u64) -> Box<Bytes> {
        let mut out: Box<Bytes> = Box::new(Bytes(types::toll_policy::default()));
        let p = &mut out.0;
        p.version = version;
        p.slice_ns = self.slice.get();
        p.least_slice_ns = self.slice.get() / LEAST_SLICE;
        p.age_ns = self.age.get();
        p.fixed_ns = self.fixed.get();
        p.decay_step_ns = self.decay.step.get();
        p.migrate = self.migrate as u32;
        p.fill_q10 = self.fill_q10;
        p.warm_ns_per_kib = self.warm_ns_per_kib;
        p.max_turns = self.max_turns.max(1);
        p.learn = self.learn.into();
        p.price_q10 = self.matrix.price.raw();
        for level in Level::ALL {
            let i = level.index();
            p.refill_q10[i] = self.matrix.refill[i].raw();
            p.hyst[i].open_ns = self.hysteresis[i].open.get();
            p.hyst[i].close_ns = self.hysteresis[i].close.get();
            p.hyst[i].hold_ns = self.hysteresis[i].hold.get();
        }
        p.decay_q10 = self.decay.q10;
        for (i, from) in topo.llcs.iter().enumerate() {
            for (j, to) in topo.llcs.iter().enumerate() {
                p.hop_ns[i][j] = self.matrix.hop(from.id, to.id).get();
            }
        }
        for i in 0..topo.nodes.len() {
            for j in 0..topo.nodes.len() {
                p.remote_pm[i][j] = self.matrix.remote[i][j].get();
            }
        }
        out.seal(topo.llcs.len());
        out
    }
}

/// The single writer of the policy's double buffer.
pub struct PolicyWriter<'a, M: MapCore> {
    map: &'a M,
    version: &'a AtomicU64,
    settled: &'a mut bool,
}

impl<'a, M: MapCore> PolicyWriter<'a, M> {
    /// A writer to `map` (two entries) and the version variable beside it.
    /// `settled` is this writer's memory between two writes: true when nobody
    /// reads the half that is not in force. It begins as false.
    pub fn new(map: &'a M, version: &'a AtomicU64, settled: &'a mut bool) -> Self {
        PolicyWriter { map, version, settled }
    }

    /// Put `policy` in force and return its version. When this returns, no
    /// decision under the policy before it is under way any more.
    ///
    /// # Errors
    /// When the kernel refuses the write, or has no means to wait for the
    /// readers; the policy before it stays in force.
    pub fn write(&mut self, policy: &Policy, topo: &Topology) -> Result<u64> {
        if !*self.settled {
            grace::wait_for_readers().context("the policy cannot be replaced safely")?;
        }
        let next = self.version.load(Ordering::Relaxed) + 1;
        self.put(next & 1, &policy.encode(topo, next))?;
        self.version.store(next, Ordering::Release);
        let waited = grace::wait_for_readers();
        *self.settled = waited.is_ok();
        if let Err(why) = waited {
            warn!("policy version {next} is in force, the next has to wait for it: {why:#}");
        }
        Ok(next)
    }

    /// For tests: write into the half that BPF reads, and leave it half written
    /// for a while. This is what [`PolicyWriter::write`] is there to avoid.
    ///
    /// # Errors
    /// As [`PolicyWriter::write`].
    pub fn write_in_place(&mut self, policy: &Policy, topo: &Topology) -> Result<u64> {
        let before = self.version.load(Ordering::Relaxed);
        let next = before + 2;
        let whole = policy.encode(topo, next);
        let mut half_written = policy.encode(topo, before);
        half_written.0.version = next;
        self.put(next & 1, &half_written)?;
        std::thread::sleep(Duration::from_millis(2));
        self.put(next & 1, &whole)?;
        self.version.store(next, Ordering::Release);
        Ok(next)
    }

    fn put(&self, half: u64, bytes: &Bytes) -> Result<()> {
        // SAFETY: see `impl Plain for Bytes`.
        let value = unsafe { plain::as_bytes(bytes) };
        self.map
            .update(&(half as u32).to_ne_bytes(), value, MapFlags::ANY)
            .with_context(|| format!("policy version {} cannot be written", bytes.0.version))
    }
}
