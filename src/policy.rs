// SPDX-License-Identifier: GPL-2.0-only
//! The policy in force, and the only writer of its memory in the BPF half.
//!
//! The policy is one struct in a double buffer. A write goes to the half that
//! BPF does not read, then one version bump with release order makes it the
//! one that is read. BPF programs hold a pointer to a half for one callback at
//! most, inside an RCU read section; before a half is written again the writer
//! waits for all such sections to end, so no reader ever sees a mixture.

use crate::bpf::types;
use crate::model::decide::Migrate;
use crate::model::{DecayTable, Hysteresis, PenaltyMatrix};
use crate::topology::{Level, Topology};
use crate::units::Ns;
use anyhow::{Context, Result, bail};
use libbpf_rs::{MapCore, MapFlags};
use std::sync::atomic::{AtomicU64, Ordering};

/// Wait after which a task is moved whatever it costs. Far below the kernel's
/// watchdog (10 s as loaded), and far above any wait that a price should decide.
pub const MAX_AGE: Ns = Ns::from_ms(500);

/// Most turns that a gain counts. A task's past is a fair guess for its future,
/// but a guess: an endless task must not be moved for a wait that a balanced
/// machine would even out within a few turns.
pub const MAX_TURNS: u32 = 4;

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

impl Policy {
    /// The policy as BPF reads it. All bounds of `intf.h` hold, because the
    /// units enforce them.
    fn encode(&self, topo: &Topology, version: u64) -> Box<Bytes> {
        let mut out: Box<Bytes> = Box::new(Bytes(types::toll_policy::default()));
        let p = &mut out.0;
        p.version = version;
        p.slice_ns = self.slice.get();
        p.age_ns = self.age.get();
        p.fixed_ns = self.fixed.get();
        p.decay_step_ns = self.decay.step.get();
        p.migrate = self.migrate as u32;
        p.fill_q10 = self.fill_q10;
        p.warm_ns_per_kib = self.warm_ns_per_kib;
        p.max_turns = self.max_turns.max(1);
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
        out
    }
}

/// The single writer of the policy's double buffer.
pub struct PolicyWriter<'a, M: MapCore> {
    map: &'a M,
    version: &'a AtomicU64,
}

impl<'a, M: MapCore> PolicyWriter<'a, M> {
    /// A writer to `map` (two entries) and the version variable beside it.
    pub fn new(map: &'a M, version: &'a AtomicU64) -> Self {
        PolicyWriter { map, version }
    }

    /// Put `policy` in force and return its version.
    ///
    /// # Errors
    /// When the kernel refuses the write; the policy before it stays in force.
    pub fn write(&mut self, policy: &Policy, topo: &Topology) -> Result<u64> {
        let next = self.version.load(Ordering::Relaxed) + 1;
        let half = (next & 1) as u32;
        let bytes = policy.encode(topo, next);
        // SAFETY: see `impl Plain for Bytes`.
        let value = unsafe { plain::as_bytes(&*bytes) };
        self.map
            .update(&half.to_ne_bytes(), value, MapFlags::ANY)
            .with_context(|| format!("policy version {next} cannot be written"))?;
        self.version.store(next, Ordering::Release);
        wait_for_readers()?;
        Ok(next)
    }
}

/// Wait until every BPF program that may still read the old half has returned.
/// MEMBARRIER_CMD_GLOBAL waits for an RCU grace period, and a BPF program runs
/// inside a read section.
fn wait_for_readers() -> Result<()> {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: the call takes three integers and touches no memory of ours.
    let done = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if done != 0 {
        bail!("membarrier: {}", std::io::Error::last_os_error());
    }
    Ok(())
}
