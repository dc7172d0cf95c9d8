// SPDX-License-Identifier: GPL-2.0-only
//! What is remembered of a task between two arrivals.

use super::Arrival;
use crate::events::Kind;
use crate::model::decide;
use crate::policy::Policy;

/// LLCs that a task remembers being warm in, as `TOLL_NR_WARM`.
const NR_WARM: usize = 2;
/// Longest stretch that is believed, in ns: a clock that was read too early must not fill a cache.
const STRETCH_MAX_NS: u64 = 1_000_000_000;

/// What a task left in one LLC.
#[derive(Debug, Clone, Copy, Default)]
struct Warm {
    llc: u32,
    warm_ns: u64,
    /// The LLC's busy clock when `warm_ns` was last true.
    busy_at_ns: u64,
}

/// A move whose task has not run since.
#[derive(Debug, Clone, Copy)]
pub struct Move {
    pub kind: Kind,
    pub at_ns: u64,
    pub wait_from_ns: u64,
    pub gain_ns: i64,
    pub penalty_ns: i64,
    pub turns: u32,
    /// It was moved for its gain, and not for its age.
    pub for_gain: bool,
}

/// What is known of a task.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// When it was last heard of.
    pub seen_ns: u64,
    pub avg_run_ns: u64,
    /// Run time in this burst.
    pub run_ns: u64,
    pub vtime_ns: u64,
    /// Node that is taken to hold its memory: where it ran first.
    pub home: Option<u32>,
    /// When its last stretch began, to find out how long it had waited.
    started_ns: u64,
    warm: [Option<Warm>; NR_WARM],
    pub moved: Option<Move>,
    /// CPU where it ran last.
    pub ran_cpu: Option<u32>,
}

impl Known {
    /// Account for what `a` says that the task ran in LLC `llc`, and return that, in ns. `busy_ns` is the
    /// LLC's busy clock before it, `cap_ns` the most warmth that a task can have there.
    pub fn account(
        &mut self,
        a: &Arrival,
        llc: u32,
        node: u32,
        busy_ns: u64,
        cap_ns: u64,
        by: &Policy,
    ) -> u64 {
        let fresh = a.start_ns > self.started_ns && a.stop_ns > a.start_ns;
        let ran_ns = if fresh { (a.stop_ns - a.start_ns).min(STRETCH_MAX_NS) } else { 0 };
        if a.run_ns == 0 {
            // It slept: the burst is over, with the stretch before the sleep.
            let burst_ns = self.run_ns + ran_ns;
            self.avg_run_ns = decide::average(self.avg_run_ns, burst_ns);
        }
        self.run_ns = a.run_ns;
        if !fresh {
            return 0;
        }
        self.started_ns = a.start_ns;
        self.ran_cpu = Some(a.cpu);
        self.home.get_or_insert(node);
        let weight_q10 = a.weight.max(1).saturating_mul(1024);
        self.vtime_ns = self.vtime_ns.wrapping_add(decide::vtime(ran_ns, weight_q10));
        let left = self.warm_in(llc, busy_ns, by);
        let warm_ns = decide::warm_grow(left, ran_ns, by.fill_q10, cap_ns);
        let now = Some(Warm { llc, warm_ns, busy_at_ns: busy_ns + ran_ns });
        if self.warm[0].is_some_and(|warm| warm.llc != llc) {
            self.warm[1] = self.warm[0];
        }
        self.warm[0] = now;
        ran_ns
    }

    /// What is left of its warmth in `llc`, whose busy clock is `busy_ns`.
    pub fn warm_in(&self, llc: u32, busy_ns: u64, by: &Policy) -> u64 {
        let warm = self.warm.iter().flatten().find(|warm| warm.llc == llc);
        warm.map_or(0, |warm| {
            let others_ns = busy_ns.saturating_sub(warm.busy_at_ns);
            decide::warm_left(warm.warm_ns, others_ns, &by.decay.q10, by.decay.step.get())
        })
    }
}
