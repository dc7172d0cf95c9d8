// SPDX-License-Identifier: GPL-2.0-only
//! The formulas of the rule `ΔL > P`, stated a second time.
//!
//! `src/bpf/decide.h` holds the lines that run in the kernel. This page states the same formulas
//! from their documentation, in a form chosen for being obvious: exact arithmetic in 128 bits,
//! bounds applied where the documentation names them, options instead of magic zeros. The two are
//! compared on random input by `tests/decide_matches_reference.rs`; a difference is a mistake in
//! one of them.
//!
//! Three conventions hold for every function:
//! - a time is taken to be at most [`Ns::MAX`], a factor or rate at most [`FACTOR_MAX`];
//!   anything larger counts as that bound;
//! - a quotient is rounded towards zero;
//! - the arguments are plain integers and not the types of [`crate::units`], because the point is
//!   to be right on input that those types exclude.
//!
//! | quantity | formula | function |
//! |---|---|---|
//! | W, the wait | (queued + still needed by what runs) / capacity of the CPUs | [`wait`], [`running_need`] |
//! | ΔL, the gain | turns × (W here − W there) | [`gain`], [`turns`] |
//! | warmth | grows by a share of run time, fades by others' busy time | [`warm_grow`], [`warm_left`] |
//! | refill | (warm here − warm there) × factor of the level | [`refill`] |
//! | remote | run time × (rate there − rate here) | [`remote`] |
//! | P, the penalty | (hop + refill + remote) × price, the price only on a cost | [`penalty`] |
//! | verdict | ΔL > P, or what replaces it | [`worth`] |
//! | hysteresis | two thresholds and a hold time | [`Gate`] |
//! | delays | eight buckets to the octave | [`delay_bucket`] |
//! | refill as found | (cycles − those due) / cycles × run time / warmth lost | [`cycles_due`], [`refill_found`] |
//! | histograms | 1024 ns, and doubled from slot to slot | [`hist_slot`] |
//! | virtual time | run time / weight, of which no more counts than one CPU | [`vtime`], [`weight_usable`] |
//! | own wait | W × mean weight / own weight | [`own_wait`] |
//! | turn | four slices over those who want a CPU, within bounds | [`turn`] |
//! | groups | parts of shares, what is due, its correction, limits | [`group_part`], [`due`], [`mend_due`], [`mend`], [`refilled`] |

use crate::model::Hysteresis;
use crate::model::warmth::DECAY_LEN;
use crate::units::{FACTOR_MAX, MAX_CPUS, Ns, Q10_ONE};
use serde::{Deserialize, Serialize};

/// How much longer than its hold time an imbalance may go unseen before it is taken for a new
/// one, as `TOLL_GATE_STALE_NS` in `decide.h`.
pub const GATE_STALE: Ns = Ns::from_ms(50);

/// Weight at which virtual time is run time, as `TOLL_WEIGHT_ONE`.
pub const WEIGHT_ONE: u64 = 100 * Q10_ONE as u64;

/// Bound on a weight or a sum of weights where they are multiplied, as `TOLL_SHARE_MAX`.
pub const SHARE_MAX: u64 = 1 << 31;

const ONE: i128 = Q10_ONE as i128;
const THOUSAND: i128 = 1000;

/// What decides about a move, with the numbers of `enum toll_migrate` in `intf.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Migrate {
    /// The rule: the gain exceeds the penalty.
    #[default]
    Toll = 0,
    /// Any gain.
    Always = 1,
    /// Nothing.
    Never = 2,
    /// The gain exceeds one fixed price, whatever the distance and the task.
    Fixed = 3,
}

/// A time, bounded.
fn time(ns: u64) -> i128 {
    i128::from(ns.min(Ns::MAX.get()))
}

/// A factor or rate, bounded.
fn factor(raw: u32) -> i128 {
    i128::from(raw.min(FACTOR_MAX))
}

/// An exact result as a non-negative time. All results fit; the bound only rules out a surprise.
fn unsigned(exact: i128) -> u64 {
    u64::try_from(exact.max(0)).unwrap_or(u64::MAX)
}

/// An exact result as a signed time; see [`unsigned`].
fn signed(exact: i128) -> i64 {
    i64::try_from(exact).unwrap_or(if exact < 0 { i64::MIN } else { i64::MAX })
}

/// Time that the running tasks of an LLC still need in sum, in ns.
///
/// `end_sum_ns` is the sum of the clock times at which `nr` tasks are expected to end, kept
/// modulo 2^64; `now_ns` is the same clock. The result lies between 0 and one slice for each
/// task, of which there are at most [`MAX_CPUS`].
pub fn running_need(end_sum_ns: u64, nr: u64, now_ns: u64, slice_ns: u64) -> u64 {
    // The clock may have wrapped in both sums, so only the difference modulo 2^64 means
    // something: read it as the number nearest to zero.
    let modulus = 1i128 << 64;
    let now_sum = (u128::from(nr) * u128::from(now_ns)) as u64;
    let ahead = (i128::from(end_sum_ns) - i128::from(now_sum)).rem_euclid(modulus);
    let need = if ahead >= modulus / 2 { ahead - modulus } else { ahead };
    let most = i128::from(nr.min(MAX_CPUS as u64)) * time(slice_ns);
    unsigned(need.clamp(0, most))
}

/// W: how long a task that joins an LLC waits, in ns, when `ahead_ns` of run time is queued, the
/// running tasks need `need_ns` yet, and CPUs of together `capacity_q10` (1024 = one core of the
/// most capable kind) work it off. Where there is no CPU it waits for the longest time there is.
pub fn wait(ahead_ns: u64, need_ns: u64, capacity_q10: u32) -> u64 {
    let work = time(ahead_ns) + time(need_ns);
    let wait = (work * ONE).checked_div(i128::from(capacity_q10));
    unsigned(wait.unwrap_or(i128::MAX).min(time(u64::MAX)))
}

/// Share of a core that one more thread adds to it, in Q10, as `TOLL_THREAD_Q10` in `decide.h`.
pub const THREAD_Q10: u32 = 307;

/// What one more thread adds to a core of `core_q10` that has one already.
pub fn thread_capacity(core_q10: u32) -> u32 {
    core_q10.min(Q10_ONE) * THREAD_Q10 / Q10_ONE
}

/// Full slices in the expected run time, between 1 and `max_turns` (which counts as at least 1).
/// A slice of 0 means one turn.
pub fn turns(expect_ns: u64, slice_ns: u64, max_turns: u32) -> u32 {
    let full = if slice_ns == 0 { 1 } else { time(expect_ns) / i128::from(slice_ns) };
    let bounded = full.min(factor(max_turns)).max(1);
    u32::try_from(bounded).unwrap_or(1)
}

/// ΔL: the wait saved over `turns` turns, in ns; negative when the wait is longer over there.
pub fn gain(wait_from_ns: u64, wait_to_ns: u64, turns: u32) -> i64 {
    signed((time(wait_from_ns) - time(wait_to_ns)) * factor(turns))
}

/// Warmth after `run_ns` more of running, of which the share `fill_q10` loads lines; at most
/// `cap_ns`.
pub fn warm_grow(warm_ns: u64, run_ns: u64, fill_q10: u32, cap_ns: u64) -> u64 {
    let loaded = time(run_ns) * factor(fill_q10) / ONE;
    unsigned((time(warm_ns) + loaded).min(time(cap_ns)))
}

/// Pages at home and elsewhere when a look finds `pages` of a task that had `home` and `away`, and
/// whether more are elsewhere: the difference is where it runs, or is taken from elsewhere first.
pub fn touch(home: u64, away: u64, pages: u64, at_home: bool) -> (u64, u64, bool) {
    let change = i128::from(pages) - i128::from(home) - i128::from(away);
    let (home, away) = (i128::from(home), i128::from(away));
    let (home, away) = match (change >= 0, at_home) {
        (true, true) => (home + change, away),
        (true, false) => (home, away + change),
        (false, _) => (home + (away + change).min(0), (away + change).max(0)),
    };
    (unsigned(home), unsigned(away), away > home)
}

/// Warmth left after others used `others_ns` of CPU time: the table's entry for the number of
/// full steps, at most 1.0; nothing beyond the table. A step of 0 counts as 1 ns.
pub fn warm_left(warm_ns: u64, others_ns: u64, decay: &[u32; DECAY_LEN], step_ns: u64) -> u64 {
    let steps = others_ns / step_ns.max(1);
    let entry = usize::try_from(steps).ok().and_then(|steps| decay.get(steps));
    let left = entry.map_or(0, |&entry| i128::from(entry).min(ONE));
    unsigned(time(warm_ns) * left / ONE)
}

/// What has to be loaded again over there minus what would have to be loaded again here, in ns,
/// times the factor of the level; negative on the way to where the task is warmer.
pub fn refill(warm_from_ns: u64, warm_to_ns: u64, factor_q10: u32) -> i64 {
    signed((time(warm_from_ns) - time(warm_to_ns)) * factor(factor_q10) / ONE)
}

/// Extra run time over `expect_ns`, in ns, because the memory is `there_pm` per mille slower over
/// there and `here_pm` here; negative on the way home.
pub fn remote(expect_ns: u64, there_pm: u32, here_pm: u32) -> i64 {
    signed(time(expect_ns) * (factor(there_pm) - factor(here_pm)) / THOUSAND)
}

/// P: what the move costs, in ns. What the mover pays is hop + refill + remote; a cost is
/// multiplied by what the whole system pays for it, a benefit is not.
pub fn penalty(hop_ns: u64, refill_ns: i64, remote_ns: i64, price_q10: u32) -> i64 {
    let bound = time(u64::MAX);
    let bounded = |ns: i64| i128::from(ns).clamp(-bound, bound);
    let cost = time(hop_ns) + bounded(refill_ns) + bounded(remote_ns);
    signed(if cost > 0 { cost * factor(price_q10) / ONE } else { cost })
}

/// True when a gain is worth the move: by the rule, or by what replaces it for comparison.
pub fn worth(migrate: Migrate, gain_ns: i64, penalty_ns: i64, fixed_ns: u64) -> bool {
    match migrate {
        Migrate::Toll => gain_ns > penalty_ns,
        Migrate::Always => gain_ns > 0,
        Migrate::Never => false,
        Migrate::Fixed => i128::from(gain_ns) > time(fixed_ns),
    }
}

/// The memory of one imbalance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gate {
    /// When the gain first exceeded the open threshold; `None`: closed.
    pub since_ns: Option<u64>,
    /// When it was last seen at or above the close threshold.
    pub seen_ns: u64,
}

impl Gate {
    /// True when `gain_ns` may pass at `now_ns`: it exceeded the open threshold once, was never
    /// seen below the close threshold since, and that was at least the hold time ago. A gain that
    /// is not positive is below any threshold. Without hold time the gate has no memory, and only
    /// the open threshold counts.
    ///
    /// An imbalance that went unseen for more than [`GATE_STALE`] beyond the hold time starts
    /// anew. An instant before one that was already noted, as the clock of another CPU may give,
    /// counts as that one.
    pub fn pass(&mut self, gain_ns: i64, now_ns: u64, thresholds: &Hysteresis) -> bool {
        let gain = u64::try_from(gain_ns).ok().filter(|&gain| gain > 0);
        let above_open = gain.is_some_and(|gain| gain > thresholds.open.get());
        let below_close = gain.is_none_or(|gain| gain < thresholds.close.get());
        let hold = thresholds.hold.get();

        if hold == 0 {
            return above_open;
        }
        let now = now_ns.max(self.seen_ns);
        if now - self.seen_ns > hold + GATE_STALE.get() {
            self.since_ns = None;
        }
        if below_close {
            self.since_ns = None;
            return false;
        }
        self.seen_ns = now;
        if above_open && self.since_ns.is_none() {
            self.since_ns = Some(now);
        }
        self.since_ns.is_some_and(|since| now.saturating_sub(since) >= hold)
    }
}

/// The bucket that counts a delay: the last of 128 that does not begin after it, where eight
/// equal ones make an octave and the first octave is that of 64 to 127 ns.
pub fn delay_bucket(ns: u64) -> u32 {
    let begins = |bucket: u32| (64 << (bucket / 8)) + u64::from(bucket % 8) * (8 << (bucket / 8));
    (1..128).take_while(|&bucket| begins(bucket) <= ns).last().unwrap_or(0)
}

/// A refill factor of 1.0 as [`refill_found`] gives it, `TOLL_FOUND_ONE`.
pub const FOUND_ONE: u64 = 1 << 14;

/// Cycles that `insns` instructions should have taken after a move: as many for each as before it,
/// where `usual` gives cycles and the instructions that took them, and more by the rates of remote
/// memory, per mille, there than here. At most 2^20 cycles count for one instruction, and 2^33
/// instructions; none where no instructions are known.
pub fn cycles_due(insns: u64, usual: (u64, u64), there_pm: u32, here_pm: u32) -> u64 {
    let (cycles, usual_insns) = usual;
    if usual_insns == 0 {
        return 0;
    }
    let each = (time(cycles) * ONE / i128::from(usual_insns)).min(1 << 30);
    let due = i128::from(insns.min(1 << 33)) * each / ONE;
    let due = due.min(time(u64::MAX));
    let (there, here) = (THOUSAND + factor(there_pm), THOUSAND + factor(here_pm));
    unsigned((due * there / here).min(time(u64::MAX)))
}

/// The refill factor that a move turned out to have, [`FOUND_ONE`] for 1.0: the share of the run
/// time after it that went beyond what was due, over the warmth that it lost. 0 when nothing did.
pub fn refill_found(ran_ns: u64, cycles: u64, due: u64, load_ns: u64) -> u64 {
    let beyond = time(cycles) - i128::from(due);
    if beyond <= 0 || load_ns == 0 {
        return 0;
    }
    let share = beyond * i128::from(FOUND_ONE) / time(cycles);
    unsigned(time(ran_ns) * share / i128::from(load_ns))
}

/// Slots of a histogram of times.
pub const HIST_SLOTS: usize = 32;

/// The time, in ns, below which the times of a slot lie; the last slot has no bound.
pub fn hist_bound(slot: usize) -> Option<u64> {
    (slot < HIST_SLOTS - 1).then(|| 1024 << slot)
}

/// The slot of a histogram that counts a time: the first whose bound lies above it.
pub fn hist_slot(ns: u64) -> u32 {
    let slot = (0..HIST_SLOTS).find(|&slot| hist_bound(slot).is_none_or(|bound| ns < bound));
    slot.unwrap_or(HIST_SLOTS - 1) as u32
}

/// Running average over bursts, in ns: a quarter for the newest.
pub fn average(avg_ns: u64, sample_ns: u64) -> u64 {
    unsigned((3 * time(avg_ns) + time(sample_ns)) / 4)
}

/// Expected run time of a task's next turn, in ns: what is left of its average burst; once the
/// burst is no shorter than the average, as much again as it has lasted; at most one slice.
pub fn expect_turn(avg_run_ns: u64, run_ns: u64, slice_ns: u64) -> u64 {
    let left = match avg_run_ns.checked_sub(run_ns) {
        Some(left) if left > 0 => left,
        _ => run_ns,
    };
    unsigned(time(left).min(time(slice_ns)))
}

/// Expected run time over all turns of the burst, in ns: its average, or what it has already
/// used when that is more.
pub fn expect_stay(avg_run_ns: u64, run_ns: u64) -> u64 {
    unsigned(time(avg_run_ns.max(run_ns)))
}

/// A weight, bounded.
fn bounded_weight(raw: u64) -> i128 {
    i128::from(raw.min(SHARE_MAX))
}

/// Virtual time of `used_ns` of run time, in ns: the run time itself at [`WEIGHT_ONE`]. A weight
/// of 0 counts as 1.
pub fn vtime(used_ns: u64, weight_q10: u64) -> u64 {
    unsigned(time(used_ns) * i128::from(WEIGHT_ONE) / i128::from(weight_q10.max(1)))
}

/// The weight that counts for a task among `sum_q10` on `nr_cpus` CPUs: no more than five quarters
/// of what the others weigh per CPU that the task leaves them (at least 1). Alone, or on one CPU, its own.
pub fn weight_usable(weight_q10: u64, sum_q10: u64, nr_cpus: u32) -> u64 {
    match sum_q10.checked_sub(weight_q10) {
        Some(others) if others > 0 && nr_cpus > 1 => {
            let each = others / u64::from(nr_cpus - 1);
            weight_q10.min((each + each / 4).max(1))
        }
        _ => weight_q10,
    }
}

/// The wait of a task where `nr` tasks (at least 1) weigh `sum_q10` and wait `wait_ns` on average:
/// times the mean weight over its own, from a 64th to 64 times; the average where a weight is 0.
pub fn own_wait(wait_ns: u64, sum_q10: u64, nr: u64, weight_q10: u64) -> u64 {
    let mean = bounded_weight(sum_q10 / nr.max(1));
    if mean == 0 || weight_q10 == 0 {
        return unsigned(time(wait_ns));
    }
    let ratio = (mean * ONE / bounded_weight(weight_q10)).clamp(ONE / 64, ONE * 64);
    unsigned((time(wait_ns) * ratio / ONE).min(time(u64::MAX)))
}

/// Length of a turn in ns: four slices shared by those who wait and those who run, but at most one
/// slice and at least `least_ns`, where the slice is the stronger bound. No CPU counts as one.
pub fn turn(slice_ns: u64, least_ns: u64, nr_waiting: u64, nr_cpus: u32) -> u64 {
    let cpus = i128::from(nr_cpus.clamp(1, MAX_CPUS as u32));
    let waiting = i128::from(nr_waiting.min(u64::from(FACTOR_MAX)));
    let each = 4 * time(slice_ns) * cpus / (waiting + cpus);
    unsigned(each.max(time(least_ns)).min(time(slice_ns)))
}

/// What `weight` gets of `share_q10`, which all that weighs `inner` (at least 1) shares: from 1 to
/// [`SHARE_MAX`].
pub fn group_part(share_q10: u64, weight: u64, inner: u64) -> u64 {
    let part = bounded_weight(share_q10) * bounded_weight(weight) / i128::from(inner.max(1));
    unsigned(part.clamp(1, bounded_weight(u64::MAX)))
}

/// Run time due to `fair_q10` (at most 8 × [`FACTOR_MAX`]) of `sum_q10` (at least 1) when
/// `used_ns` are used by all, at most `most_ns`.
pub fn due(fair_q10: u64, sum_q10: u64, used_ns: u64, most_ns: u64) -> u64 {
    let fair = i128::from(fair_q10.min(8 * u64::from(FACTOR_MAX)));
    unsigned((fair * time(used_ns) / i128::from(sum_q10.max(1))).min(time(most_ns)))
}

/// The shortest time in which a group gets back what it is owed, as `TOLL_MEND_NS`; the longest
/// is 80 times that, `TOLL_MEND_RANGE`.
pub const MEND: Ns = Ns::from_ms(50);

/// What a group is due, in ns, over the time in which it gets back what it is owed: at `due_ns` in
/// `span_ns`, two turns of `slice_ns` for each of its `nr` tasks, or what it is due in [`MEND`] or
/// 80 times that where that is more or less. Sooner, a correction would answer to what an earlier
/// one has not yet brought about.
pub fn mend_due(due_ns: u64, span_ns: u64, nr: u64, slice_ns: u64) -> u64 {
    let factor_most = i128::from(FACTOR_MAX);
    let turns = 2 * i128::from(nr).min(factor_most) * i128::from(slice_ns).min(64 * factor_most);
    let due = time(due_ns).min(time(u64::MAX) / 16);
    let least = due * i128::from(MEND.get()) / i128::from(span_ns.max(1));
    let most = least.min(time(u64::MAX)) * 80;
    u64::try_from(if turns < least { least } else { turns.min(most) }).unwrap_or(u64::MAX)
}

/// The correction of a share, Q10: 1 + lag / due up to 8, or for a negative lag one over that.
pub fn mend(lag_ns: i64, due_ns: u64) -> u32 {
    let most = 7 * ONE;
    let extra = (time(lag_ns.unsigned_abs()) * ONE / time(due_ns).max(1)).min(most);
    let factor = if lag_ns < 0 { ONE * ONE / (ONE + extra) } else { ONE + extra };
    u32::try_from(factor).unwrap_or(u32::MAX)
}

/// The budget of a limit after `nr_periods` (at most [`FACTOR_MAX`]) more, in ns: a quota for each,
/// never more than one quota and the burst.
pub fn refilled(budget_ns: i64, quota_ns: u64, burst_ns: u64, nr_periods: u64) -> i64 {
    let most = time(quota_ns) + time(burst_ns);
    let left = i128::from(budget_ns).clamp(-time(u64::MAX), most);
    let periods = i128::from(nr_periods.min(u64::from(FACTOR_MAX)));
    signed((left + time(quota_ns) * periods).min(most))
}
/// Time in which half of a task's demand fades, in ns.
pub const UTIL_HALF_NS: u64 = 32_000_000;
/// Run time and sleep are summed up to this much before they count, in ns.
pub const UTIL_STEP_NS: u64 = 1_000_000;

/// How much of a core a task uses, and on which class of cores it belongs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Demand {
    /// Run time not counted yet, in ns.
    pub ran_ns: u64,
    /// Sleep not counted yet, in ns.
    pub slept_ns: u64,
    /// Since when the demand asks for the other class, in ns.
    pub since_ns: Option<u64>,
    /// Share of a most capable core, Q10.
    pub util_q10: u32,
    /// True if it belongs on a little core.
    pub little: bool,
}

impl Demand {
    /// What is left of 1024 after `ns`: a half per [`UTIL_HALF_NS`], straight lines in between.
    fn fade(ns: i128) -> i128 {
        let (halves, rest) = (ns / i128::from(UTIL_HALF_NS), ns % i128::from(UTIL_HALF_NS));
        let left = ONE - rest * (ONE / 2) / i128::from(UTIL_HALF_NS);
        (0..halves.min(10)).fold(left, |left, _| left / 2) * i128::from(halves < 10)
    }

    /// The task slept for `slept_ns` and then ran for `ran_ns` on a core of `core_q10`.
    pub fn add(&mut self, ran_ns: u64, slept_ns: u64, core_q10: u32) {
        let step = i128::from(UTIL_STEP_NS);
        let (core, util) = (i128::from(core_q10).min(ONE), i128::from(self.util_q10).min(ONE));
        let slept = time(self.slept_ns) + time(slept_ns);
        let ran = time(self.ran_ns) + time(ran_ns);
        let faded =
            if slept < step { i128::from(self.util_q10) } else { util * Self::fade(slept) / ONE };
        self.slept_ns = if slept < step { unsigned(slept) } else { 0 };
        if ran_ns > 0 && ran >= step {
            let keep = Self::fade(ran);
            self.util_q10 = ((faded.min(ONE) * keep + core * (ONE - keep)) / ONE) as u32;
            self.ran_ns = 0;
        } else {
            self.util_q10 = faded as u32;
            self.ran_ns = unsigned(ran);
        }
    }

    /// Where the task belongs: it changes after `hold_ns` without a break above four fifths of
    /// what a little core gives, or below half of it.
    pub fn class(&mut self, little_q10: u32, now_ns: u64, hold_ns: u64) -> bool {
        let little = little_q10.min(ONE as u32);
        let other = match self.little {
            true => self.util_q10 > little * 4 / 5,
            false => self.util_q10 < little / 2,
        };
        match self.since_ns {
            _ if !other => self.since_ns = None,
            None => self.since_ns = Some(now_ns.max(1)),
            Some(since) if now_ns > since && now_ns - since >= hold_ns => {
                self.little = !self.little;
                self.since_ns = None;
            }
            Some(_) => {}
        }
        self.little
    }
}
