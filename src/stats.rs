// SPDX-License-Identifier: GPL-2.0-only
//! Counters of the BPF half → [`Snapshot`], and what happened between two of them.

use crate::bpf::types;
use crate::model::decide::HIST_SLOTS;
use crate::topology::{Level, Topology};
use crate::units::{CpuId, LlcId};
use anyhow::{Context, Result, bail};
use libbpf_rs::{MapCore, MapFlags};
use overhead::Overhead;
use pairs::Pair;
use serde::Serialize;
use std::time::Instant;

/// Which callback asked for a move, as `enum toll_kind`; the last is not a question.
pub const KINDS: [&str; 4] = ["place", "push", "pull", "other"];
/// How a decision ended, as `enum toll_verdict`.
pub const VERDICTS: [&str; 7] =
    ["applied", "applied_aged", "not_worth", "hysteresis", "affinity", "nothing", "raced"];
/// How many of [`VERDICTS`] are moves.
pub const NR_APPLIED: usize = 2;
/// How many of [`KINDS`] ask questions.
pub const NR_ASKING: usize = 3;

pub mod delays;
pub mod exported;
pub mod feed;
pub mod openmetrics;
pub mod overhead;
pub mod pairs;
pub mod scrape;
pub mod server;

const NR_LEVELS: usize = Level::ALL.len();

#[repr(transparent)]
#[derive(Default)]
struct CpuBytes(types::toll_cpu);
#[repr(transparent)]
#[derive(Default)]
struct LlcBytes(types::toll_llc);

// SAFETY: the generated structs are `repr(C)`, made of integers only, and every
// bit pattern is a valid value.
unsafe impl plain::Plain for CpuBytes {}
// SAFETY: as above.
unsafe impl plain::Plain for LlcBytes {}

/// One LLC at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LlcSnapshot {
    /// Node that the LLC belongs to.
    pub node: u32,
    /// CPUs of the LLC.
    pub cpus: u32,
    /// Expected run time of what waits, in ns.
    pub queued_ns: u64,
    /// Tasks in the LLC's queue.
    pub queued: u64,
    /// Tasks that run.
    pub running: u64,
    /// CPUs that are idle.
    pub idle: u64,
    /// Time that a task added now would wait, in ns.
    pub wait_ns: u64,
    /// CPU time used since the start, in ns.
    pub busy_ns: u64,
}

/// Everything that is counted, summed over the CPUs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Tasks that woke up.
    pub wakes: u64,
    /// Forked tasks that found no idle CPU in their parent's LLC.
    pub births: u64,
    /// … and were started in another LLC.
    pub births_away: u64,
    /// Idle CPUs woken by a tick because a queue paid.
    pub kicks: u64,
    /// Turns that went through a CPU's own queue.
    pub pinned: u64,
    /// Time from enqueue to running, summed, in ns.
    pub wait_ns: u64,
    /// … over so many turns.
    pub waits: u64,
    /// These turns by how long they waited; see [`crate::model::decide::hist_bound`].
    pub wait_hist: [u64; HIST_SLOTS],
    /// ΔL of the moves that were made because it exceeded P, summed, in ns; below 0 counts as 0.
    pub gain_ns: u64,
    /// P of these moves, likewise.
    pub cost_ns: u64,
    /// These moves by ΔL.
    pub gain_hist: [u64; HIST_SLOTS],
    /// These moves by P.
    pub cost_hist: [u64; HIST_SLOTS],
    /// Running tasks that were made to yield to a waking one.
    pub preempts: u64,
    /// Tasks left to the CPU of a waker that was about to sleep.
    pub handoffs: u64,
    /// Moves between LLCs, made for their gain, whose task has run since.
    pub judged: u64,
    /// … and that paid, by the wait that followed.
    pub paid: u64,
    /// Looks at the policy that were checked; only where a test asks for it.
    pub policy_checked: u64,
    /// … that saw a mixture of two policies.
    pub policy_mixed: u64,
    /// Decisions that were asked for, by kind and level.
    pub asked: [[u64; NR_LEVELS]; NR_ASKING],
    /// How they ended, by kind, level and verdict.
    pub verdicts: [[[u64; VERDICTS.len()]; NR_LEVELS]; NR_ASKING],
    /// Tasks that really ran on another CPU than before, by kind and level.
    pub landed: [[u64; NR_LEVELS]; KINDS.len()],
}

/// What is not counted.
#[derive(Debug, Clone)]
pub struct About {
    /// When the scheduler was loaded, and all counts began.
    pub loaded_at: Instant,
    /// Version of the policy in force.
    pub policy_version: u64,
}

/// The state of the scheduler at one instant.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// When it was taken.
    pub at: Instant,
    /// Whose state it is.
    pub about: About,
    /// Sums over all CPUs since the start.
    pub counters: Counters,
    /// By LLC number.
    pub llcs: Vec<LlcSnapshot>,
    /// What moved since the start, by LLC × LLC, row from and column to.
    pub pairs: Vec<Pair>,
    /// What scheduling itself took since the start.
    pub overhead: Overhead,
}

/// What happened between two snapshots.
#[derive(Debug, Clone, Serialize)]
pub struct Delta {
    /// Length of the interval, in seconds.
    pub seconds: f64,
    /// Version of the policy at its end.
    pub policy_version: u64,
    /// What was counted in between.
    pub counters: Counters,
    /// State at its end.
    pub llcs: Vec<LlcSnapshot>,
    /// Share of each LLC's capacity that was used, 0 to 1.
    pub load: Vec<f64>,
    /// What moved in between; pairs of LLCs between which nothing did are left out.
    pub pairs: Vec<Pair>,
    /// What scheduling itself took.
    pub overhead: Overhead,
}

fn add(to: &mut [u64], from: &[u64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}

fn sub<const N: usize>(from: &mut [u64; N], what: &[u64; N]) {
    for (from, what) in from.iter_mut().zip(what) {
        *from = from.saturating_sub(*what);
    }
}

impl Counters {
    fn add_cpu(&mut self, cpu: &types::toll_cpu) {
        self.wakes += cpu.nr_wakes;
        self.births += cpu.nr_births;
        self.births_away += cpu.nr_births_away;
        self.kicks += cpu.nr_kicks;
        self.pinned += cpu.nr_pinned;
        self.wait_ns += cpu.wait_ns;
        self.waits += cpu.nr_waits;
        add(&mut self.wait_hist, &cpu.wait_hist);
        self.gain_ns += cpu.gain_ns;
        self.cost_ns += cpu.cost_ns;
        add(&mut self.gain_hist, &cpu.gain_hist);
        add(&mut self.cost_hist, &cpu.cost_hist);
        self.preempts += cpu.nr_preempts;
        self.handoffs += cpu.nr_handoffs;
        self.judged += cpu.nr_judged;
        self.paid += cpu.nr_paid;
        self.policy_checked += cpu.nr_checked;
        self.policy_mixed += cpu.nr_mixed;
        for kind in 0..NR_ASKING {
            add(&mut self.asked[kind], &cpu.asked[kind]);
            for level in 0..NR_LEVELS {
                add(&mut self.verdicts[kind][level], &cpu.verdicts[kind][level]);
            }
        }
        for kind in 0..KINDS.len() {
            add(&mut self.landed[kind], &cpu.landed[kind]);
        }
    }

    /// What was counted since `before`.
    pub fn since(&self, before: &Counters) -> Counters {
        let mut delta = self.clone();
        delta.wakes = delta.wakes.saturating_sub(before.wakes);
        delta.births = delta.births.saturating_sub(before.births);
        delta.births_away = delta.births_away.saturating_sub(before.births_away);
        delta.kicks = delta.kicks.saturating_sub(before.kicks);
        delta.pinned = delta.pinned.saturating_sub(before.pinned);
        delta.wait_ns = delta.wait_ns.saturating_sub(before.wait_ns);
        delta.waits = delta.waits.saturating_sub(before.waits);
        sub(&mut delta.wait_hist, &before.wait_hist);
        delta.gain_ns = delta.gain_ns.saturating_sub(before.gain_ns);
        delta.cost_ns = delta.cost_ns.saturating_sub(before.cost_ns);
        sub(&mut delta.gain_hist, &before.gain_hist);
        sub(&mut delta.cost_hist, &before.cost_hist);
        delta.preempts = delta.preempts.saturating_sub(before.preempts);
        delta.handoffs = delta.handoffs.saturating_sub(before.handoffs);
        delta.judged = delta.judged.saturating_sub(before.judged);
        delta.paid = delta.paid.saturating_sub(before.paid);
        delta.policy_checked = delta.policy_checked.saturating_sub(before.policy_checked);
        delta.policy_mixed = delta.policy_mixed.saturating_sub(before.policy_mixed);
        for kind in 0..NR_ASKING {
            sub(&mut delta.asked[kind], &before.asked[kind]);
            for level in 0..NR_LEVELS {
                sub(&mut delta.verdicts[kind][level], &before.verdicts[kind][level]);
            }
        }
        for kind in 0..KINDS.len() {
            sub(&mut delta.landed[kind], &before.landed[kind]);
        }
        delta
    }

    /// Decisions asked minus decisions answered, over all kinds and levels: 0
    /// unless one is under way right now.
    pub fn unanswered(&self) -> i64 {
        let asked: u64 = self.asked.iter().flatten().sum();
        let answered: u64 = self.verdicts.iter().flatten().flatten().sum();
        asked as i64 - answered as i64
    }

    /// Moves that were decided, by kind and level.
    pub fn applied(&self, kind: usize, level: Level) -> u64 {
        self.verdicts[kind][level.index()][..NR_APPLIED].iter().sum()
    }

    /// Share of the judged moves that paid; `None` before there is one.
    pub fn precision(&self) -> Option<f64> {
        (self.judged > 0).then(|| self.paid as f64 / self.judged as f64)
    }

    /// Mean time from enqueue to running, in ns.
    pub fn mean_wait_ns(&self) -> u64 {
        self.wait_ns.checked_div(self.waits).unwrap_or(0)
    }
}

impl Snapshot {
    /// What a snapshot would have been when the scheduler was loaded.
    pub fn beginning(&self) -> Snapshot {
        Snapshot {
            at: self.about.loaded_at,
            about: self.about.clone(),
            counters: Counters::default(),
            llcs: vec![LlcSnapshot::default(); self.llcs.len()],
            pairs: Vec::new(),
            overhead: Overhead::default(),
        }
    }
}

impl Delta {
    /// What happened from `before` to `after`.
    pub fn between(before: &Snapshot, after: &Snapshot) -> Delta {
        let elapsed = after.at.duration_since(before.at);
        let load = before.llcs.iter().zip(&after.llcs).map(|(before, after)| {
            let used = after.busy_ns.saturating_sub(before.busy_ns) as f64;
            let capacity = elapsed.as_nanos() as f64 * f64::from(after.cpus);
            if capacity > 0.0 { (used / capacity).min(1.0) } else { 0.0 }
        });
        Delta {
            seconds: elapsed.as_secs_f64(),
            policy_version: after.about.policy_version,
            counters: after.counters.since(&before.counters),
            llcs: after.llcs.clone(),
            load: load.collect(),
            pairs: pairs::since(&after.pairs, &before.pairs),
            overhead: after.overhead.since(&before.overhead),
        }
    }
}

/// Read entry `key` of an array map into `out`.
fn read_entry<T: plain::Plain>(map: &impl MapCore, key: u32, out: &mut T) -> Result<()> {
    let name = || map.name().to_string_lossy().into_owned();
    let bytes = map
        .lookup(&key.to_ne_bytes(), MapFlags::ANY)
        .with_context(|| format!("entry {key} of {} cannot be read", name()))?;
    let Some(bytes) = bytes else { bail!("{} has no entry {key}", name()) };
    out.copy_from_bytes(&bytes)
        .map_err(|_| anyhow::anyhow!("entry {key} of {} is {} bytes short", name(), bytes.len()))
}

/// Set the entry of `llc` before the scheduler is attached.
///
/// # Errors
/// When the kernel refuses the write.
pub fn write_llc(map: &impl MapCore, llc: LlcId, entry: types::toll_llc) -> Result<()> {
    write_entry(map, llc.0, &LlcBytes(entry))
}

/// Set the entry of `cpu` before the scheduler is attached.
///
/// # Errors
/// When the kernel refuses the write.
pub fn write_cpu(map: &impl MapCore, cpu: CpuId, entry: types::toll_cpu) -> Result<()> {
    write_entry(map, cpu.0, &CpuBytes(entry))
}

fn write_entry<T: plain::Plain>(map: &impl MapCore, key: u32, value: &T) -> Result<()> {
    // SAFETY: `T: Plain` has no padding that is not a field and no pointers.
    let bytes = unsafe { plain::as_bytes(value) };
    map.update(&key.to_ne_bytes(), bytes, MapFlags::ANY).with_context(|| {
        format!("entry {key} of {} cannot be written", map.name().to_string_lossy())
    })
}

/// The maps that a snapshot is read from.
pub struct Maps<'a, M> {
    /// `toll_cpus`.
    pub cpus: &'a M,
    /// `toll_llcs`.
    pub llcs: &'a M,
    /// `toll_pairs`.
    pub pairs: &'a M,
}

/// Take a snapshot, after the BPF half has been asked to bring the waits up to date. CPUs count on
/// while they are read, so sums over CPUs can be off by what happened meanwhile; at rest they are
/// exact.
///
/// # Errors
/// When a map cannot be read.
pub fn read<M: MapCore>(
    topo: &Topology,
    maps: &Maps<M>,
    about: About,
    overhead: Overhead,
) -> Result<Snapshot> {
    let Maps { cpus, llcs, pairs } = *maps;
    let mut counters = Counters::default();
    for cpu in &topo.cpus {
        let mut entry = CpuBytes::default();
        read_entry(cpus, cpu.id.0, &mut entry)?;
        counters.add_cpu(&entry.0);
    }
    let mut snapshots = Vec::with_capacity(topo.llcs.len());
    for llc in &topo.llcs {
        let mut entry = LlcBytes::default();
        read_entry(llcs, llc.id.0, &mut entry)?;
        snapshots.push(llc_snapshot(&entry.0));
    }
    Ok(Snapshot {
        at: Instant::now(),
        about,
        counters,
        llcs: snapshots,
        pairs: pairs::read(pairs, topo.llcs.len())?,
        overhead,
    })
}

fn llc_snapshot(llc: &types::toll_llc) -> LlcSnapshot {
    LlcSnapshot {
        node: llc.node,
        cpus: llc.nr_cpus,
        queued_ns: llc.queued_ns,
        queued: llc.nr_queued,
        running: llc.nr_running,
        idle: llc.nr_idle,
        wait_ns: llc.wait_ns,
        busy_ns: llc.busy_ns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_header() {
        let kinds = [
            types::toll_kind::TOLL_KIND_PLACE,
            types::toll_kind::TOLL_KIND_PUSH,
            types::toll_kind::TOLL_KIND_PULL,
            types::toll_kind::TOLL_KIND_OTHER,
        ];
        assert_eq!(kinds.map(|k| k.0), [0, 1, 2, 3]);
        assert_eq!(types::toll_kind::TOLL_NR_KINDS.0 as usize, NR_ASKING);
        assert_eq!(types::toll_verdict::TOLL_NR_VERDICTS.0 as usize, VERDICTS.len());
        assert_eq!(types::toll_verdict::TOLL_APPLIED_AGED.0 as usize, NR_APPLIED - 1);
        assert_eq!(types::toll_verdict::TOLL_RACED.0 as usize, VERDICTS.len() - 1);
        assert_eq!(types::toll_level::TOLL_NR_LEVELS.0 as usize, NR_LEVELS);
    }

    #[test]
    fn a_delta_is_what_happened_in_between() {
        let mut before = Counters { wakes: 3, ..Counters::default() };
        before.asked[1][2] = 5;
        let mut after = before.clone();
        after.wakes = 10;
        after.asked[1][2] = 6;
        after.verdicts[1][2][0] = 1;
        let delta = after.since(&before);
        assert_eq!((delta.wakes, delta.asked[1][2], delta.unanswered()), (7, 1, 0));
        assert_eq!(delta.applied(1, Level::Node), 1);
    }
}
