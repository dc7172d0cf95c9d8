// SPDX-License-Identifier: GPL-2.0-only
//! `src/bpf/decide.h` compiled for the host: the very lines that run in the kernel.
//!
//! Each function here calls one function of `src/bpf/decide_host.c`, which build.rs compiles into
//! the static library `toll_decide`. The formulas are documented in `decide.h` and, as Rust, in
//! [`crate::model::decide`]; times are in nanoseconds, factors in fixed point (1024 = 1.0), rates
//! per mille.

/// Entries of the table that [`warm_left`] takes, `TOLL_DECAY_LEN`.
pub const DECAY_LEN: usize = 64;

mod host {
    use super::Demand;

    // SAFETY: the signatures repeat those of decide_host.c. The functions marked safe take and
    // return numbers only, and decide.h neither divides by zero nor indexes beyond a bound,
    // whatever the numbers are (tests/decide_properties.rs).
    unsafe extern "C" {
        pub safe fn toll_host_running_need(end_sum: u64, nr: u64, now: u64, slice: u64) -> u64;
        pub safe fn toll_host_wait(ahead: u64, need: u64, capacity_q10: u32) -> u64;
        pub safe fn toll_host_thread_capacity(core_q10: u32) -> u32;
        pub safe fn toll_host_turns(expect: u64, slice: u64, max_turns: u32) -> u32;
        pub safe fn toll_host_gain(wait_from: u64, wait_to: u64, turns: u32) -> i64;
        pub safe fn toll_host_warm_grow(warm: u64, run: u64, fill_q10: u32, cap: u64) -> u64;
        pub fn toll_host_touch(home: *mut u64, away: *mut u64, pages: u64, at_home: bool) -> bool;
        pub fn toll_host_warm_left(warm: u64, others: u64, decay: *const u32, step: u64) -> u64;
        pub safe fn toll_host_refill(warm_from: u64, warm_to: u64, factor_q10: u32) -> i64;
        pub safe fn toll_host_remote(expect: u64, there_pm: u32, here_pm: u32) -> i64;
        pub safe fn toll_host_penalty(hop: u64, refill: i64, remote: i64, price: u32) -> i64;
        pub safe fn toll_host_worth(migrate: u32, gain: i64, penalty: i64, fixed: u64) -> bool;
        pub fn toll_host_gate_pass(
            since_at: *mut u64,
            seen_at: *mut u64,
            gain: i64,
            now: u64,
            open: u64,
            close: u64,
            hold: u64,
        ) -> bool;
        pub safe fn toll_host_average(avg: u64, sample: u64) -> u64;
        pub safe fn toll_host_expect_turn(avg_run: u64, run: u64, slice: u64) -> u64;
        pub safe fn toll_host_expect_stay(avg_run: u64, run: u64) -> u64;
        pub safe fn toll_host_delay_bucket(ns: u64) -> u32;
        pub safe fn toll_host_cycles_due(
            insns: u64,
            usual_cycles: u64,
            usual_insns: u64,
            there_pm: u32,
            here_pm: u32,
        ) -> u64;
        pub safe fn toll_host_refill_found(ran: u64, cycles: u64, due: u64, load: u64) -> u64;
        pub safe fn toll_host_hist_slot(ns: u64) -> u32;
        pub safe fn toll_host_vtime(used: u64, weight: u64) -> u64;
        pub safe fn toll_host_weight_usable(weight: u64, sum: u64, nr_cpus: u32) -> u64;
        pub safe fn toll_host_own_wait(wait: u64, sum: u64, nr: u64, weight: u64) -> u64;
        pub safe fn toll_host_turn(slice: u64, least: u64, nr_waiting: u64, nr_cpus: u32) -> u64;
        pub safe fn toll_host_group_part(share: u64, weight: u64, inner: u64) -> u64;
        pub safe fn toll_host_due(fair: u64, sum: u64, used: u64, most: u64) -> u64;
        pub safe fn toll_host_mend_due(due: u64, span: u64, nr: u64, slice: u64) -> u64;
        pub safe fn toll_host_mend(lag: i64, due: u64) -> u32;
        pub safe fn toll_host_refilled(budget: i64, quota: u64, burst: u64, periods: u64) -> i64;
        pub fn toll_host_demand(d: *mut Demand, ran: u64, slept: u64, core_q10: u32) -> u32;
        pub fn toll_host_class_pass(d: *mut Demand, little: u32, now: u64, hold: u64) -> u32;
        pub safe fn toll_host_limit(which: u32) -> u64;
    }
}

/// `toll_running_need()`: what the running tasks still need.
pub fn running_need(end_sum_ns: u64, nr: u64, now_ns: u64, slice_ns: u64) -> u64 {
    host::toll_host_running_need(end_sum_ns, nr, now_ns, slice_ns)
}

/// `toll_wait()`: W of an LLC.
pub fn wait(ahead_ns: u64, need_ns: u64, capacity_q10: u32) -> u64 {
    host::toll_host_wait(ahead_ns, need_ns, capacity_q10)
}

/// `toll_thread_capacity()`: what one more thread adds to a core.
pub fn thread_capacity(core_q10: u32) -> u32 {
    host::toll_host_thread_capacity(core_q10)
}

/// `toll_turns()`: turns that a task will probably still take.
pub fn turns(expect_ns: u64, slice_ns: u64, max_turns: u32) -> u32 {
    host::toll_host_turns(expect_ns, slice_ns, max_turns)
}

/// `toll_gain()`: ΔL.
pub fn gain(wait_from_ns: u64, wait_to_ns: u64, turns: u32) -> i64 {
    host::toll_host_gain(wait_from_ns, wait_to_ns, turns)
}

/// `toll_warm_grow()`: warmth after more running.
pub fn warm_grow(warm_ns: u64, run_ns: u64, fill_q10: u32, cap_ns: u64) -> u64 {
    host::toll_host_warm_grow(warm_ns, run_ns, fill_q10, cap_ns)
}

/// `toll_touch()`: pages at home and elsewhere after a look that finds `pages`, and whether more
/// are elsewhere.
pub fn touch(mut home: u64, mut away: u64, pages: u64, at_home: bool) -> (u64, u64, bool) {
    // SAFETY: both pointers come from exclusive references to initialised numbers, and the
    // function keeps no copy of them.
    let elsewhere = unsafe { host::toll_host_touch(&mut home, &mut away, pages, at_home) };
    (home, away, elsewhere)
}

/// `toll_warm_left()`: warmth after others ran.
pub fn warm_left(warm_ns: u64, others_ns: u64, decay_q10: &[u32; DECAY_LEN], step_ns: u64) -> u64 {
    // SAFETY: the pointer comes from a reference to as many entries as the function may read, and
    // it keeps no copy of it.
    unsafe { host::toll_host_warm_left(warm_ns, others_ns, decay_q10.as_ptr(), step_ns) }
}

/// `toll_refill()`: what has to be loaded again.
pub fn refill(warm_from_ns: u64, warm_to_ns: u64, factor_q10: u32) -> i64 {
    host::toll_host_refill(warm_from_ns, warm_to_ns, factor_q10)
}

/// `toll_remote()`: extra run time by far memory.
pub fn remote(expect_ns: u64, there_pm: u32, here_pm: u32) -> i64 {
    host::toll_host_remote(expect_ns, there_pm, here_pm)
}

/// `toll_penalty()`: P.
pub fn penalty(hop_ns: u64, refill_ns: i64, remote_ns: i64, price_q10: u32) -> i64 {
    host::toll_host_penalty(hop_ns, refill_ns, remote_ns, price_q10)
}

/// `toll_worth()`: the rule; `migrate` is an `enum toll_migrate`, unknown values mean the rule.
pub fn worth(migrate: u32, gain_ns: i64, penalty_ns: i64, fixed_ns: u64) -> bool {
    host::toll_host_worth(migrate, gain_ns, penalty_ns, fixed_ns)
}

/// `struct toll_gate`: the memory of an imbalance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gate {
    /// When the gain first exceeded the open threshold; 0: closed.
    pub since_at: u64,
    /// When it was last seen above the close threshold.
    pub seen_at: u64,
}

impl Gate {
    /// `toll_gate_pass()`; the thresholds are those of `struct toll_hysteresis`.
    pub fn pass(&mut self, gain_ns: i64, now_ns: u64, open: u64, close: u64, hold: u64) -> bool {
        let Gate { since_at, seen_at } = self;
        // SAFETY: both pointers come from exclusive references to initialised numbers, and the
        // function keeps no copy of them.
        unsafe { host::toll_host_gate_pass(since_at, seen_at, gain_ns, now_ns, open, close, hold) }
    }
}

/// `struct toll_demand` of `intf.h`: how much of a core a task uses, and where it belongs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Demand {
    /// Run time that `util_q10` does not contain yet, in ns.
    pub ran_ns: u64,
    /// Sleep that it does not contain yet, in ns.
    pub slept_ns: u64,
    /// Since when it asks for the other class, in ns; 0: it does not.
    pub since_at: u64,
    /// Share of a most capable core, Q10, fading over time.
    pub util_q10: u32,
    /// 1: it belongs on a little core.
    pub little: u32,
}

impl Demand {
    /// `toll_demand_add()`: it slept, and then ran on a core of `core_q10`. Returns `util_q10`.
    pub fn add(&mut self, ran_ns: u64, slept_ns: u64, core_q10: u32) -> u32 {
        // SAFETY: the pointer comes from an exclusive reference to a struct of the C layout, and
        // the function keeps no copy of it.
        unsafe { host::toll_host_demand(self, ran_ns, slept_ns, core_q10) }
    }

    /// `toll_class_pass()`: where it belongs, with little cores of `little_q10`.
    pub fn class(&mut self, little_q10: u32, now_ns: u64, hold_ns: u64) -> bool {
        // SAFETY: as above.
        unsafe { host::toll_host_class_pass(self, little_q10, now_ns, hold_ns) != 0 }
    }
}

/// `toll_average()`: running average over bursts.
pub fn average(avg_ns: u64, sample_ns: u64) -> u64 {
    host::toll_host_average(avg_ns, sample_ns)
}

/// `toll_expect_turn()`: expected run time of the next turn.
pub fn expect_turn(avg_run_ns: u64, run_ns: u64, slice_ns: u64) -> u64 {
    host::toll_host_expect_turn(avg_run_ns, run_ns, slice_ns)
}

/// `toll_expect_stay()`: expected run time over all turns.
pub fn expect_stay(avg_run_ns: u64, run_ns: u64) -> u64 {
    host::toll_host_expect_stay(avg_run_ns, run_ns)
}

/// `toll_delay_bucket()`: the bucket that counts a delay.
pub fn delay_bucket(ns: u64) -> u32 {
    host::toll_host_delay_bucket(ns)
}

/// `toll_cycles_due()`: cycles that so many instructions should have taken after a move.
pub fn cycles_due(insns: u64, usual: (u64, u64), there_pm: u32, here_pm: u32) -> u64 {
    let (usual_cycles, usual_insns) = usual;
    host::toll_host_cycles_due(insns, usual_cycles, usual_insns, there_pm, here_pm)
}

/// `toll_refill_found()`: the refill factor that a move turned out to have, 16384 = 1.0.
pub fn refill_found(ran_ns: u64, cycles: u64, due: u64, load_ns: u64) -> u64 {
    host::toll_host_refill_found(ran_ns, cycles, due, load_ns)
}

/// `toll_hist_slot()`: the slot of a histogram that counts a time.
pub fn hist_slot(ns: u64) -> u32 {
    host::toll_host_hist_slot(ns)
}

/// `toll_vtime()`: virtual time of run time.
pub fn vtime(used_ns: u64, weight_q10: u64) -> u64 {
    host::toll_host_vtime(used_ns, weight_q10)
}

/// `toll_weight_usable()`: the weight that counts on so many CPUs.
pub fn weight_usable(weight_q10: u64, sum_q10: u64, nr_cpus: u32) -> u64 {
    host::toll_host_weight_usable(weight_q10, sum_q10, nr_cpus)
}

/// `toll_own_wait()`: the wait of a task of this weight.
pub fn own_wait(wait_ns: u64, sum_q10: u64, nr: u64, weight_q10: u64) -> u64 {
    host::toll_host_own_wait(wait_ns, sum_q10, nr, weight_q10)
}

/// `toll_turn()`: length of a turn.
pub fn turn(slice_ns: u64, least_ns: u64, nr_waiting: u64, nr_cpus: u32) -> u64 {
    host::toll_host_turn(slice_ns, least_ns, nr_waiting, nr_cpus)
}

/// `toll_group_part()`: part of a group's share.
pub fn group_part(share_q10: u64, weight: u64, inner: u64) -> u64 {
    host::toll_host_group_part(share_q10, weight, inner)
}

/// `toll_due()`: run time due to a group.
pub fn due(fair_q10: u64, sum_q10: u64, used_ns: u64, most_ns: u64) -> u64 {
    host::toll_host_due(fair_q10, sum_q10, used_ns, most_ns)
}

/// `toll_mend_due()`: what a group is due while it gets back what it is owed.
pub fn mend_due(due_ns: u64, span_ns: u64, nr: u64, slice_ns: u64) -> u64 {
    host::toll_host_mend_due(due_ns, span_ns, nr, slice_ns)
}

/// `toll_mend()`: correction of a group's share, Q10.
pub fn mend(lag_ns: i64, due_ns: u64) -> u32 {
    host::toll_host_mend(lag_ns, due_ns)
}

/// `toll_refilled()`: budget of a limit after so many periods.
pub fn refilled(budget_ns: i64, quota_ns: u64, burst_ns: u64, nr_periods: u64) -> i64 {
    host::toll_host_refilled(budget_ns, quota_ns, burst_ns, nr_periods)
}

/// A number of `intf.h` or `decide.h` that the pure half states too, in the order of
/// `toll_host_limit()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names are those of the headers
pub enum Limit {
    MaxCpus,
    MaxLlcs,
    MaxNodes,
    DecayLen,
    NsMax,
    FactorMax,
    Q10One,
    GateStaleNs,
    WeightOne,
    ShareMax,
    LevelCore,
    LevelLlc,
    LevelNode,
    MigrateToll,
    MigrateAlways,
    MigrateNever,
    MigrateFixed,
    DelayBuckets,
    NrDistances,
    AgainstClassNs,
}

/// The header's value of `limit`.
pub fn limit(limit: Limit) -> u64 {
    host::toll_host_limit(limit as u32)
}
