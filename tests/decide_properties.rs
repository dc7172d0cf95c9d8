// SPDX-License-Identifier: GPL-2.0-only
//! What the rule promises, asked of the lines that run in the kernel.
//!
//! `tests/decide_matches_reference.rs` shows that decide.h computes what was meant; this file
//! shows that what was meant is sensible.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod decide_inputs;

use decide_inputs::{any_i64, any_u32, any_u64};
use proptest::prelude::*;
use scx_toll::ffi::{self, Gate};
use scx_toll::model::DecayTable;
use scx_toll::model::decide::{GATE_STALE, Migrate};
use scx_toll::units::{Ns, Q10_ONE};

const TIME_MAX: u64 = Ns::MAX.get();
const MS: u64 = 1_000_000;
const TOLL: u32 = Migrate::Toll as u32;

/// A time of the size that scheduling deals with.
fn time() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..100 * MS, 1 => 0..=TIME_MAX]
}

/// A price that is no discount.
fn price() -> impl Strategy<Value = u32> {
    Q10_ONE..=64 * Q10_ONE
}

// ---- bounds: no input makes a result leave its range -------------------------------------------

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn times_stay_within_the_bound_on_any_input(
        a in any_u64(), b in any_u64(), c in any_u64(), d in any_u64(), n in any_u32(),
    ) {
        prop_assert!(ffi::wait(a, b, n) <= TIME_MAX);
        prop_assert!(ffi::running_need(a, b, c, d) <= 1024 * TIME_MAX);
        prop_assert!(ffi::warm_grow(a, b, n, c) <= c.min(TIME_MAX));
        prop_assert!(ffi::average(a, b) <= TIME_MAX);
        prop_assert!(ffi::expect_turn(a, b, c) <= c.min(TIME_MAX));
        prop_assert!(ffi::expect_stay(a, b) <= TIME_MAX);
    }

    #[test]
    fn turns_lie_between_one_and_the_maximum(e in any_u64(), s in any_u64(), most in any_u32()) {
        prop_assert!((1..=most.max(1)).contains(&ffi::turns(e, s, most)));
    }

    #[test]
    fn products_stay_within_their_bounds_on_any_input(
        a in any_u64(), b in any_u64(), f in any_u32(), g in any_u32(),
    ) {
        prop_assert!(ffi::gain(a, b, f).unsigned_abs() <= TIME_MAX << 20);
        prop_assert!(ffi::refill(a, b, f).unsigned_abs() <= TIME_MAX << 10);
        prop_assert!(ffi::remote(a, f, g).unsigned_abs() <= (TIME_MAX << 20) / 1000);
    }

    #[test]
    fn a_penalty_is_bounded_on_any_input(
        hop in any_u64(), refill in any_i64(), remote in any_i64(), price in any_u32(),
    ) {
        let penalty = ffi::penalty(hop, refill, remote, price);
        prop_assert!(penalty >= -2 * (TIME_MAX as i64));
        prop_assert!(penalty <= (3 * TIME_MAX as i64) << 10);
    }
}

// ---- the wait and the gain ---------------------------------------------------------------------

proptest! {
    #[test]
    fn more_work_never_waits_less_and_more_cpus_never_longer(
        ahead in time(), more in time(), need in time(), cpus in 1..1024u32, extra in 0..64u32,
    ) {
        prop_assert!(ffi::wait(ahead, need, cpus) <= ffi::wait(ahead + more, need, cpus));
        prop_assert!(ffi::wait(ahead, need, cpus + extra) <= ffi::wait(ahead, need, cpus));
    }

    #[test]
    fn tasks_past_their_expected_end_need_nothing(
        now in 1 << 40..u64::MAX / 2, late in prop::collection::vec(0..TIME_MAX, 1..16),
    ) {
        let end_sum = late.iter().fold(0u64, |sum, late| sum.wrapping_add(now - late));
        prop_assert_eq!(ffi::running_need(end_sum, late.len() as u64, now, 20 * MS), 0);
    }

    #[test]
    fn what_one_direction_gains_the_other_loses(a in time(), b in time(), turns in 1..64u32) {
        prop_assert_eq!(ffi::gain(a, b, turns), -ffi::gain(b, a, turns));
    }

    #[test]
    fn an_average_lies_between_its_parts(avg in time(), sample in time()) {
        let new = ffi::average(avg, sample);
        prop_assert!((avg.min(sample)..=avg.max(sample)).contains(&new));
    }
}

// ---- warmth ------------------------------------------------------------------------------------

proptest! {
    #[test]
    fn warmth_never_grows_while_others_run(
        warm in any_u64(), tau in time(), sooner in any_u64(), later in any_u64(),
    ) {
        let table = DecayTable::with_tau(Ns::new(tau));
        let left = |others| ffi::warm_left(warm, others, &table.q10, table.step.get());
        prop_assert_eq!(left(0), warm.min(TIME_MAX));
        prop_assert!(left(sooner.max(later)) <= left(sooner.min(later)));
        prop_assert_eq!(left(table.step.get() * 64), 0);
    }

    #[test]
    fn running_never_cools_and_never_warms_beyond_the_cap(
        warm in time(), run in time(), more in time(), fill in 0..=Q10_ONE, cap in time(),
    ) {
        let warm = warm.min(cap);
        let grown = ffi::warm_grow(warm, run, fill, cap);
        prop_assert!((warm..=cap).contains(&grown));
        prop_assert!(grown <= ffi::warm_grow(warm, run + more, fill, cap));
    }
}

// ---- the price ---------------------------------------------------------------------------------

proptest! {
    #[test]
    fn a_dearer_move_is_never_worth_more(
        mode in 0..4u32, gain in any_i64(), p in any_i64(), q in any_i64(), fixed in any_u64(),
    ) {
        let (cheap, dear) = (p.min(q), p.max(q));
        prop_assert!(!ffi::worth(mode, gain, dear, fixed) || ffi::worth(mode, gain, cheap, fixed));
    }

    #[test]
    fn a_larger_gain_is_never_worth_less(
        mode in 0..4u32, g in any_i64(), h in any_i64(), penalty in any_i64(), fixed in any_u64(),
    ) {
        let (small, large) = (g.min(h), g.max(h));
        prop_assert!(
            !ffi::worth(mode, small, penalty, fixed) || ffi::worth(mode, large, penalty, fixed)
        );
    }

    #[test]
    fn each_part_of_the_cost_raises_the_penalty(
        hop in time(), refill in any_i64(), remote in any_i64(), price in any_u32(),
        by in 0..TIME_MAX, by_price in any_u32(),
    ) {
        let base = ffi::penalty(hop, refill, remote, price);
        let by_ns = by as i64;
        prop_assert!(base <= ffi::penalty(hop + by, refill, remote, price));
        prop_assert!(base <= ffi::penalty(hop, refill.saturating_add(by_ns), remote, price));
        prop_assert!(base <= ffi::penalty(hop, refill, remote.saturating_add(by_ns), price));
        prop_assert!(base <= ffi::penalty(hop, refill, remote, price.saturating_add(by_price)));
    }

    /// Benefits are not multiplied: no price, however high, makes a way home more attractive.
    #[test]
    fn a_price_never_inflates_a_benefit(
        hop in time(), refill in any_i64(), remote in any_i64(), price in any_u32(),
    ) {
        let cost = ffi::penalty(hop, refill, remote, Q10_ONE);
        if cost <= 0 {
            prop_assert_eq!(ffi::penalty(hop, refill, remote, price), cost);
        }
    }

    /// There and back at one instant costs at least both hops: refill and remote time cancel, and
    /// the price is paid on the dear way only.
    #[test]
    fn a_round_trip_costs_at_least_both_hops(trip in trip(), price in price()) {
        let there = trip.penalty(price, false);
        let back = trip.penalty(price, true);
        prop_assert!(there + back >= 2 * trip.hop as i64, "{} + {}", there, back);
    }

    /// So a task cannot be worth moving in both directions at once, whatever the two waits are.
    #[test]
    fn no_pair_of_waits_makes_a_task_go_to_and_fro(
        trip in trip(), price in price(), here in time(), there in time(), turns in 1..16u32,
    ) {
        let goes = ffi::worth(TOLL, ffi::gain(here, there, turns), trip.penalty(price, false), 0);
        let returns = ffi::worth(TOLL, ffi::gain(there, here, turns), trip.penalty(price, true), 0);
        prop_assert!(!(goes && returns));
    }

    #[test]
    fn a_task_without_warmth_and_memory_pays_the_hop_only(hop in time(), factor in any_u32()) {
        let refill = ffi::refill(0, 0, factor);
        let remote = ffi::remote(0, 250, 0);
        prop_assert_eq!(ffi::penalty(hop, refill, remote, Q10_ONE), hop as i64);
    }
}

#[test]
fn a_gain_has_to_exceed_the_price_not_to_equal_it() {
    let fixed = Migrate::Fixed as u32;
    for price in [-5, 0, 7_000] {
        assert!(!ffi::worth(TOLL, price, price, 0));
        assert!(ffi::worth(TOLL, price + 1, price, 0));
    }
    assert!(!ffi::worth(fixed, 7_000, 0, 7_000));
    assert!(ffi::worth(fixed, 7_001, i64::MAX, 7_000));
    assert!(!ffi::worth(Migrate::Always as u32, 0, 0, 0));
}

/// A pair of places with one hop each way, and a task between them.
#[derive(Debug, Clone)]
struct Trip {
    hop: u64,
    warm: [u64; 2],
    remote_pm: [u32; 2],
    expect: u64,
    factor: u32,
}

fn trip() -> impl Strategy<Value = Trip> {
    (time(), [time(), time()], [0..2000u32, 0..2000], time(), 0..8 * Q10_ONE).prop_map(
        |(hop, warm, remote_pm, expect, factor)| Trip { hop, warm, remote_pm, expect, factor },
    )
}

impl Trip {
    /// P of the way from place 0 to place 1, or back.
    fn penalty(&self, price: u32, back: bool) -> i64 {
        let (from, to) = if back { (1, 0) } else { (0, 1) };
        let refill = ffi::refill(self.warm[from], self.warm[to], self.factor);
        let remote = ffi::remote(self.expect, self.remote_pm[to], self.remote_pm[from]);
        ffi::penalty(self.hop, refill, remote, price)
    }
}

// ---- the gate ----------------------------------------------------------------------------------

const OPEN: u64 = 2 * MS;
const CLOSE: u64 = MS / 2;
const HOLD: u64 = 4 * MS;

fn look(gate: &mut Gate, gain: u64, now: u64) -> bool {
    gate.pass(gain as i64, now, OPEN, CLOSE, HOLD)
}

proptest! {
    /// Whatever was seen, a pass needs a gain above the open threshold at least the hold time ago
    /// and none below the close threshold since.
    #[test]
    fn a_gate_with_a_hold_time_never_passes_early(
        looks in prop::collection::vec((0..3 * MS, 0..4 * MS), 1..100),
        start in 1..1u64 << 60,
    ) {
        let mut gate = Gate::default();
        let (mut now, mut since) = (start, None);
        for (after, gain) in looks {
            now += after;
            if gain < CLOSE {
                since = None;
            } else if gain > OPEN {
                since = since.or(Some(now));
            }
            let held = since.is_some_and(|since| now - since >= HOLD);
            prop_assert_eq!(look(&mut gate, gain, now), held);
        }
    }

    #[test]
    fn a_gate_never_passes_a_gain_that_is_not_one(
        since_at in any_u64(), seen_at in any_u64(), now in any_u64(), gain in i64::MIN..=0,
        open in any_u64(), close in any_u64(), hold in any_u64(),
    ) {
        let mut gate = Gate { since_at, seen_at };
        prop_assert!(!gate.pass(gain, now, open, close, hold));
    }

    #[test]
    fn without_hold_time_a_gate_has_no_memory(
        since_at in any_u64(), seen_at in any_u64(), now in any_u64(), gain in any_i64(),
        open in any_u64(), close in any_u64(),
    ) {
        let before = Gate { since_at, seen_at };
        let mut gate = before;
        let above = gain > 0 && gain as u64 > open;
        prop_assert_eq!(gate.pass(gain, now, open, close, 0), above);
        prop_assert_eq!(gate, before);
    }
}

#[test]
fn a_gate_passes_at_the_hold_time_and_not_before() {
    let mut gate = Gate::default();
    assert!(!look(&mut gate, OPEN, 1_000), "the threshold itself is not above it");
    assert!(!look(&mut gate, OPEN + 1, 1_000));
    assert!(!look(&mut gate, OPEN + 1, 1_000 + HOLD - 1));
    assert!(look(&mut gate, OPEN + 1, 1_000 + HOLD));
}

#[test]
fn between_the_thresholds_a_gate_stays_as_it_is() {
    let mut gate = Gate::default();
    for now in (1..10).map(|ms| ms * MS) {
        assert!(!look(&mut gate, OPEN - 1, now), "closed stays closed");
    }
    look(&mut gate, OPEN + 1, 10 * MS);
    assert!(look(&mut gate, CLOSE, 10 * MS + HOLD), "open stays open");
    assert!(!look(&mut gate, CLOSE - 1, 11 * MS + HOLD), "and is closed below");
    assert!(!look(&mut gate, OPEN + 1, 12 * MS + HOLD), "then the hold time counts anew");
}

#[test]
fn an_imbalance_that_nobody_watched_is_not_known_to_have_lasted() {
    let bound = HOLD + GATE_STALE.get();
    let mut gate = Gate::default();
    look(&mut gate, OPEN + 1, 1_000);
    assert!(look(&mut gate, OPEN + 1, 1_000 + bound), "seen just in time");
    assert!(!look(&mut gate, OPEN + 1, 1_000 + 2 * bound + 1), "unseen for too long");
}
