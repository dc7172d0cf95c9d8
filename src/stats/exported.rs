// SPDX-License-Identifier: GPL-2.0-only
//! Statistics as they leave the process, in the form that the sched_ext family's tools read:
//! numbers, names and maps of them, described by `scx_toll --help-stats`.
//!
//! Times are in ns and counts are those of the interval, unless said otherwise.

use super::{Counters, Delta, KINDS, LlcSnapshot, NR_APPLIED, NR_ASKING, VERDICTS};
use crate::model::decide::hist_bound;
use crate::topology::Level;
use scx_stats_derive::Stats;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One LLC.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Stats)]
#[serde(default)]
#[stat(desc = "one LLC at the end of the interval", _om_prefix = "llc_", _om_label = "llc")]
pub struct LlcStats {
    /// Node that it belongs to.
    #[stat(desc = "node that it belongs to")]
    pub node: u32,
    /// CPUs of the LLC.
    #[stat(desc = "its CPUs")]
    pub cpus: u32,
    /// Share of its capacity that was used, in per cent.
    #[stat(desc = "% of its CPU time that was used")]
    pub load_pct: f64,
    /// Time that a task added now would wait, in ns.
    #[stat(desc = "W: ns that a task added now would wait")]
    pub wait_ns: u64,
    /// Tasks in its queue.
    #[stat(desc = "tasks in its queue")]
    pub queued: u64,
    /// Expected run time of what waits, in ns.
    #[stat(desc = "ns of run time expected of what waits")]
    pub queued_ns: u64,
    /// Tasks that run.
    #[stat(desc = "tasks that run")]
    pub running: u64,
    /// CPUs that are idle.
    #[stat(desc = "idle CPUs")]
    pub idle: u64,
}

/// What landed elsewhere, for one kind of move.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Stats)]
#[serde(default)]
#[stat(
    desc = "tasks that ran on another CPU than before",
    _om_prefix = "moves_",
    _om_label = "kind"
)]
pub struct MoveStats {
    /// Within an LLC.
    #[stat(desc = "within an LLC")]
    pub core: u64,
    /// Between LLCs of a node.
    #[stat(desc = "between LLCs of a node")]
    pub llc: u64,
    /// Between nodes.
    #[stat(desc = "between nodes")]
    pub node: u64,
}

/// How the decisions of one kind at one level ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Stats)]
#[serde(default)]
#[stat(desc = "how decisions ended", _om_prefix = "decisions_", _om_label = "kind_level")]
pub struct DecisionStats {
    /// Asked.
    #[stat(desc = "asked; the sum of all that follow")]
    pub asked: u64,
    /// Moved because ΔL exceeded P.
    #[stat(desc = "moved: dL > P")]
    pub applied: u64,
    /// Moved for age.
    #[stat(desc = "moved whatever it cost: waited too long, or its group got too little")]
    pub applied_aged: u64,
    /// Refused: ΔL does not exceed P.
    #[stat(desc = "refused: dL <= P")]
    pub not_worth: u64,
    /// Refused: not for long enough.
    #[stat(desc = "refused: dL > P, but not yet for long enough")]
    pub hysteresis: u64,
    /// Refused: no task there may run here.
    #[stat(desc = "refused: the tasks there may not run here")]
    pub affinity: u64,
    /// Refused: nothing to move, or nowhere to move it to.
    #[stat(desc = "refused: no queue with a task, no idle CPU")]
    pub nothing: u64,
    /// Refused: another CPU was faster.
    #[stat(desc = "refused: another CPU was faster")]
    pub raced: u64,
}

/// What moved from one LLC to another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Stats)]
#[serde(default)]
#[stat(desc = "what moved from one LLC to another", _om_prefix = "pair_", _om_label = "from_to")]
pub struct PairStats {
    /// LLC that it came from.
    #[stat(desc = "LLC that it came from", _om_skip)]
    pub from: u32,
    /// LLC where it landed.
    #[stat(desc = "LLC where it landed", _om_skip)]
    pub to: u32,
    /// Tasks that landed.
    #[stat(desc = "tasks that landed, whatever moved them")]
    pub moves: u64,
    /// Moves decided by the rule.
    #[stat(desc = "moves that were decided because dL > P")]
    pub judged: u64,
    /// ΔL of these, summed, in ns.
    #[stat(desc = "dL of these, ns, summed")]
    pub gain_ns: i64,
    /// P of these, summed, in ns.
    #[stat(desc = "P of these, ns, summed; below 0 on the way home")]
    pub penalty_ns: i64,
}

/// Everything, for one interval.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Stats)]
#[serde(default)]
#[stat(
    desc = "scx_toll since this client last asked; the first time, since it was loaded",
    top,
    _om_prefix = "toll_"
)]
pub struct TollStats {
    /// Length of the interval, in seconds.
    #[stat(desc = "length of the interval in seconds")]
    pub seconds: f64,
    /// Version of the policy in force.
    #[stat(desc = "version of the policy in force")]
    pub policy_version: u64,
    /// CPUs.
    #[stat(desc = "CPUs")]
    pub cpus: u32,
    /// Share of the machine's capacity that was used, in per cent.
    #[stat(desc = "% of all CPU time that was used")]
    pub load_pct: f64,
    /// Tasks that woke up.
    #[stat(desc = "tasks that woke up")]
    pub wakes: u64,
    /// Forked tasks that found no idle CPU in their parent's LLC.
    #[stat(desc = "forked tasks that found no idle CPU in their parent's LLC")]
    pub births: u64,
    /// … started in another LLC.
    #[stat(desc = "... and were started in another LLC")]
    pub births_away: u64,
    /// Idle CPUs woken by a tick.
    #[stat(desc = "idle CPUs woken by a tick because a queue paid")]
    pub kicks: u64,
    /// Turns through a CPU's own queue.
    #[stat(desc = "turns that went through a CPU's own queue")]
    pub pinned: u64,
    /// Turns on a CPU.
    #[stat(desc = "turns on a CPU")]
    pub turns: u64,
    /// Time from enqueue to running, summed over the turns.
    #[stat(desc = "ns from enqueue to running, summed over the turns")]
    pub wait_ns: u64,
    /// Running tasks made to yield.
    #[stat(desc = "running tasks that were made to yield to a waking one")]
    pub preempts: u64,
    /// Hand-offs.
    #[stat(desc = "tasks left to the CPU of a waker that was about to sleep")]
    pub handoffs: u64,
    /// Moves because ΔL > P after which the task has run.
    #[stat(desc = "moves because dL > P after which the task has run")]
    pub judged: u64,
    /// … that paid, by the wait that followed.
    #[stat(desc = "... and that paid, by the wait that followed")]
    pub paid: u64,
    /// Context switches.
    #[stat(desc = "context switches of the machine")]
    pub switches: u64,
    /// Time in our BPF programs.
    #[stat(desc = "ns in the scheduler's BPF programs; 0 unless kernel.bpf_stats_enabled is 1")]
    pub bpf_ns: u64,
    /// Timed runs of our BPF programs.
    #[stat(desc = "... over so many runs")]
    pub bpf_runs: u64,
    /// Turns by how long they waited.
    #[stat(
        desc = "turns by wait: the first below 1024 ns, each next below twice as much",
        _om_skip
    )]
    pub wait_hist: Vec<u64>,
    /// Moves because ΔL > P, by ΔL.
    #[stat(desc = "moves because dL > P by dL, in the same slots", _om_skip)]
    pub gain_hist: Vec<u64>,
    /// The same by P.
    #[stat(desc = "moves because dL > P by P, in the same slots; below 0 counts as 0", _om_skip)]
    pub cost_hist: Vec<u64>,
    /// By kind.
    #[stat(desc = "tasks that ran on another CPU than before, by what moved them")]
    pub moves: BTreeMap<String, MoveStats>,
    /// By kind and level, as in `push_llc`.
    #[stat(desc = "decisions by kind and level: how they ended")]
    pub decisions: BTreeMap<String, DecisionStats>,
    /// By LLC number.
    #[stat(desc = "LLCs")]
    pub llcs: BTreeMap<u32, LlcStats>,
    /// By `FROM:TO`; those between which nothing moved are left out.
    #[stat(desc = "what moved from LLC to LLC; FROM:TO without any are left out")]
    pub pairs: BTreeMap<String, PairStats>,
}

impl LlcStats {
    fn new(llc: &LlcSnapshot, load: f64) -> LlcStats {
        LlcStats {
            node: llc.node,
            cpus: llc.cpus,
            load_pct: load * 100.0,
            wait_ns: llc.wait_ns,
            queued: llc.queued,
            queued_ns: llc.queued_ns,
            running: llc.running,
            idle: llc.idle,
        }
    }
}

impl DecisionStats {
    fn new(asked: u64, verdicts: &[u64; VERDICTS.len()]) -> DecisionStats {
        let [applied, applied_aged, not_worth, hysteresis, affinity, nothing, raced] = *verdicts;
        DecisionStats {
            asked,
            applied,
            applied_aged,
            not_worth,
            hysteresis,
            affinity,
            nothing,
            raced,
        }
    }

    /// The counts in the order of [`VERDICTS`].
    pub fn verdicts(&self) -> [u64; VERDICTS.len()] {
        [
            self.applied,
            self.applied_aged,
            self.not_worth,
            self.hysteresis,
            self.affinity,
            self.nothing,
            self.raced,
        ]
    }
}

impl MoveStats {
    /// By level, nearest first.
    pub fn levels(&self) -> [u64; 3] {
        [self.core, self.llc, self.node]
    }
}

/// What landed, by kind.
pub fn moves(counters: &Counters) -> BTreeMap<String, MoveStats> {
    let by_kind = KINDS.iter().zip(counters.landed);
    by_kind
        .map(|(kind, [core, llc, node])| ((*kind).into(), MoveStats { core, llc, node }))
        .collect()
}

/// The name of a kind and level among [`TollStats::decisions`].
pub fn decision_key(kind: usize, level: Level) -> String {
    format!("{}_{}", KINDS[kind], level.name())
}

impl From<&Delta> for TollStats {
    fn from(delta: &Delta) -> TollStats {
        let counters = &delta.counters;
        let cpus: u32 = delta.llcs.iter().map(|llc| llc.cpus).sum();
        let loads = || delta.llcs.iter().zip(&delta.load);
        let used: f64 = loads().map(|(llc, load)| load * f64::from(llc.cpus)).sum();
        let decision = |(kind, level): (usize, Level)| {
            let asked = counters.asked[kind][level.index()];
            let verdicts = &counters.verdicts[kind][level.index()];
            (decision_key(kind, level), DecisionStats::new(asked, verdicts))
        };
        let kinds = (0..NR_ASKING).flat_map(|kind| Level::ALL.map(|level| (kind, level)));
        let pair = |pair: &super::Pair| {
            let super::Pair { from, to, moves, judged, gain_ns, penalty_ns } = *pair;
            let stats = PairStats { from, to, moves, judged, gain_ns, penalty_ns };
            (format!("{from}:{to}"), stats)
        };
        TollStats {
            seconds: delta.seconds,
            policy_version: delta.policy_version,
            cpus,
            load_pct: used / f64::from(cpus.max(1)) * 100.0,
            wakes: counters.wakes,
            births: counters.births,
            births_away: counters.births_away,
            kicks: counters.kicks,
            pinned: counters.pinned,
            turns: counters.waits,
            wait_ns: counters.wait_ns,
            preempts: counters.preempts,
            handoffs: counters.handoffs,
            judged: counters.judged,
            paid: counters.paid,
            switches: delta.overhead.switches,
            bpf_ns: delta.overhead.bpf_ns,
            bpf_runs: delta.overhead.bpf_runs,
            wait_hist: counters.wait_hist.to_vec(),
            gain_hist: counters.gain_hist.to_vec(),
            cost_hist: counters.cost_hist.to_vec(),
            moves: moves(counters),
            decisions: kinds.map(decision).collect(),
            llcs: (0..).zip(loads().map(|(llc, load)| LlcStats::new(llc, *load))).collect(),
            pairs: delta.pairs.iter().map(pair).collect(),
        }
    }
}

impl TollStats {
    /// Mean time from enqueue to running, in ns.
    pub fn mean_wait_ns(&self) -> u64 {
        self.wait_ns.checked_div(self.turns).unwrap_or(0)
    }

    /// The wait, in ns, that a share of the turns (0 to 1) did not exceed: the bound of its slot
    /// of the histogram, so up to twice too much; `None` without any turn.
    pub fn wait_quantile_ns(&self, share: f64) -> Option<u64> {
        let turns: u64 = self.wait_hist.iter().sum();
        let rank = ((turns as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let slot = self.wait_hist.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(hist_bound(slot).unwrap_or(u64::MAX))
    }

    /// A count of the interval as a rate.
    pub fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.seconds.max(1e-9)
    }

    /// How often decisions between LLCs ended with each verdict, in the order of [`VERDICTS`].
    pub fn by_verdict(&self) -> [u64; VERDICTS.len()] {
        let mut sums = [0; VERDICTS.len()];
        for kind in 0..NR_ASKING {
            for level in [Level::Llc, Level::Node] {
                let Some(ended) = self.decisions.get(&decision_key(kind, level)) else { continue };
                for (sum, count) in sums.iter_mut().zip(ended.verdicts()) {
                    *sum += count;
                }
            }
        }
        sums
    }

    /// Tasks that landed in another LLC.
    pub fn moves_between_llcs(&self) -> u64 {
        self.moves.values().map(|moves| moves.llc + moves.node).sum()
    }
}

/// Moves among [`TollStats::by_verdict`].
pub fn applied(by_verdict: &[u64; VERDICTS.len()]) -> u64 {
    by_verdict[..NR_APPLIED].iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_bounds_of_slots() {
        let mut stats = TollStats { wait_hist: vec![0; 32], ..TollStats::default() };
        assert_eq!(stats.wait_quantile_ns(0.5), None);
        stats.wait_hist[0] = 90;
        stats.wait_hist[10] = 9;
        stats.wait_hist[12] = 1;
        assert_eq!(stats.wait_quantile_ns(0.5), Some(1024));
        assert_eq!(stats.wait_quantile_ns(0.99), Some(1024 << 10));
        assert_eq!(stats.wait_quantile_ns(1.0), Some(1024 << 12));
    }

    #[test]
    fn verdicts_keep_their_order() {
        let counts = [1, 2, 3, 4, 5, 6, 7];
        let ended = DecisionStats::new(28, &counts);
        assert_eq!(ended.verdicts(), counts);
        let json = serde_json::to_value(ended).expect("JSON");
        for (verdict, count) in VERDICTS.iter().zip(counts) {
            assert_eq!(json[verdict], count, "{verdict}");
        }
    }
}
