// SPDX-License-Identifier: GPL-2.0-only
//! Every formula of `src/bpf/decide.h`, compiled for the host, gives the same result as its
//! independent statement in `src/model/decide.rs`, whatever the input.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod decide_inputs;

use decide_inputs::{any_i64, any_u32, any_u64};
use proptest::prelude::*;
use scx_toll::ffi::{self, Limit};
use scx_toll::model::decide::{self as reference, GATE_STALE, Migrate, SHARE_MAX, WEIGHT_ONE};
use scx_toll::model::rule::AGAINST_CLASS;
use scx_toll::model::{Hysteresis, learn, warmth};
use scx_toll::topology::Level;
use scx_toll::units::{FACTOR_MAX, MAX_CPUS, MAX_LLCS, MAX_NODES, Ns, Q10_ONE};

/// A decay table of any content: BPF bounds the entries, nobody promises that they fall.
fn any_table() -> impl Strategy<Value = [u32; warmth::DECAY_LEN]> {
    prop::collection::vec(any_u32(), warmth::DECAY_LEN)
        .prop_map(|entries| entries.try_into().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn running_need(end_sum in any_u64(), nr in any_u64(), now in any_u64(), slice in any_u64()) {
        prop_assert_eq!(
            ffi::running_need(end_sum, nr, now, slice),
            reference::running_need(end_sum, nr, now, slice)
        );
    }

    /// The same with sums as they occur: ends near now, on a clock that is about to wrap.
    #[test]
    fn running_need_of_real_tasks(
        now in prop_oneof![any::<u64>(), Just(u64::MAX), Just(0)],
        left in prop::collection::vec(-50_000_000..50_000_000i64, 0..20),
        slice in 0..30_000_000u64,
    ) {
        let end_sum = left.iter().fold(0u64, |sum, &left| {
            sum.wrapping_add(now.wrapping_add_signed(left))
        });
        let need = ffi::running_need(end_sum, left.len() as u64, now, slice);
        let most = left.len() as u64 * slice;
        prop_assert_eq!(need, (left.iter().sum::<i64>().max(0) as u64).min(most));
        prop_assert_eq!(need, reference::running_need(end_sum, left.len() as u64, now, slice));
    }

    #[test]
    fn wait(ahead in any_u64(), need in any_u64(), capacity in any_u32()) {
        prop_assert_eq!(ffi::wait(ahead, need, capacity), reference::wait(ahead, need, capacity));
    }

    #[test]
    fn thread_capacity(core in any_u32()) {
        prop_assert_eq!(ffi::thread_capacity(core), reference::thread_capacity(core));
    }

    #[test]
    fn delay_bucket(ns in prop_oneof![any_u64(), 0..10_000_000u64]) {
        prop_assert_eq!(ffi::delay_bucket(ns), reference::delay_bucket(ns));
    }

    #[test]
    fn cycles_due(
        insns in any_u64(),
        usual in (any_u64(), any_u64()),
        there in any_u32(),
        here in any_u32(),
    ) {
        let found = ffi::cycles_due(insns, usual, there, here);
        prop_assert_eq!(found, reference::cycles_due(insns, usual, there, here));
    }

    #[test]
    fn refill_found(ran in any_u64(), cycles in any_u64(), due in any_u64(), load in any_u64()) {
        let found = ffi::refill_found(ran, cycles, due, load);
        prop_assert_eq!(found, reference::refill_found(ran, cycles, due, load));
    }

    #[test]
    fn hist_slot(ns in prop_oneof![any_u64(), 0..10_000_000u64]) {
        prop_assert_eq!(ffi::hist_slot(ns), reference::hist_slot(ns));
    }

    #[test]
    fn turns(expect in any_u64(), slice in any_u64(), most in any_u32()) {
        prop_assert_eq!(ffi::turns(expect, slice, most), reference::turns(expect, slice, most));
    }

    #[test]
    fn gain(from in any_u64(), to in any_u64(), turns in any_u32()) {
        prop_assert_eq!(ffi::gain(from, to, turns), reference::gain(from, to, turns));
    }

    #[test]
    fn touch(
        home in 0..1u64 << 52,
        away in prop_oneof![0..1u64 << 52, 0..8u64],
        pages in 0..1u64 << 53,
        at_home in any::<bool>(),
    ) {
        prop_assert_eq!(
            ffi::touch(home, away, pages, at_home),
            reference::touch(home, away, pages, at_home)
        );
    }

    #[test]
    fn warm_grow(warm in any_u64(), run in any_u64(), fill in any_u32(), cap in any_u64()) {
        prop_assert_eq!(
            ffi::warm_grow(warm, run, fill, cap),
            reference::warm_grow(warm, run, fill, cap)
        );
    }

    #[test]
    fn warm_left(
        warm in any_u64(),
        others in any_u64(),
        table in any_table(),
        step in any_u64(),
    ) {
        prop_assert_eq!(
            ffi::warm_left(warm, others, &table, step),
            reference::warm_left(warm, others, &table, step)
        );
    }

    /// The same within the table, which random steps rarely hit.
    #[test]
    fn warm_left_within_the_table(
        warm in any_u64(),
        table in any_table(),
        step in 1..10_000_000u64,
        steps in 0..70u64,
        rest in any::<prop::sample::Index>(),
    ) {
        let others = steps * step + rest.index(step as usize) as u64;
        let left = ffi::warm_left(warm, others, &table, step);
        prop_assert_eq!(left, reference::warm_left(warm, others, &table, step));
        prop_assert!(steps < 64 || left == 0);
    }

    #[test]
    fn refill(from in any_u64(), to in any_u64(), factor in any_u32()) {
        prop_assert_eq!(ffi::refill(from, to, factor), reference::refill(from, to, factor));
    }

    #[test]
    fn remote(expect in any_u64(), there in any_u32(), here in any_u32()) {
        prop_assert_eq!(ffi::remote(expect, there, here), reference::remote(expect, there, here));
    }

    #[test]
    fn penalty(hop in any_u64(), refill in any_i64(), remote in any_i64(), price in any_u32()) {
        prop_assert_eq!(
            ffi::penalty(hop, refill, remote, price),
            reference::penalty(hop, refill, remote, price)
        );
    }

    #[test]
    fn worth(gain in any_i64(), penalty in any_i64(), fixed in any_u64(), unknown in 4..u32::MAX) {
        for mode in [Migrate::Toll, Migrate::Always, Migrate::Never, Migrate::Fixed] {
            prop_assert_eq!(
                ffi::worth(mode as u32, gain, penalty, fixed),
                reference::worth(mode, gain, penalty, fixed),
                "{:?}", mode
            );
        }
        let rule = reference::worth(Migrate::Toll, gain, penalty, fixed);
        prop_assert_eq!(ffi::worth(unknown, gain, penalty, fixed), rule);
    }

    #[test]
    fn average(avg in any_u64(), sample in any_u64()) {
        prop_assert_eq!(ffi::average(avg, sample), reference::average(avg, sample));
    }

    #[test]
    fn expectations(avg in any_u64(), run in any_u64(), slice in any_u64()) {
        prop_assert_eq!(
            ffi::expect_turn(avg, run, slice),
            reference::expect_turn(avg, run, slice)
        );
        prop_assert_eq!(ffi::expect_stay(avg, run), reference::expect_stay(avg, run));
    }

    #[test]
    fn weights(used in any_u64(), weight in any_u64(), sum in any_u64(), nr_cpus in any_u32()) {
        prop_assert_eq!(ffi::vtime(used, weight), reference::vtime(used, weight));
        prop_assert_eq!(
            ffi::weight_usable(weight, sum, nr_cpus),
            reference::weight_usable(weight, sum, nr_cpus)
        );
    }

    #[test]
    fn own_wait(wait in any_u64(), sum in any_u64(), nr in any_u64(), weight in any_u64()) {
        prop_assert_eq!(
            ffi::own_wait(wait, sum, nr, weight),
            reference::own_wait(wait, sum, nr, weight)
        );
    }

    #[test]
    fn turn(slice in any_u64(), least in any_u64(), nr in any_u64(), cpus in any_u32()) {
        prop_assert_eq!(
            ffi::turn(slice, least, nr, cpus),
            reference::turn(slice, least, nr, cpus)
        );
    }

    #[test]
    fn groups(a in any_u64(), b in any_u64(), c in any_u64(), d in any_u64(), lag in any_i64()) {
        prop_assert_eq!(ffi::group_part(a, b, c), reference::group_part(a, b, c));
        prop_assert_eq!(ffi::due(a, b, c, d), reference::due(a, b, c, d));
        prop_assert_eq!(ffi::mend(lag, a), reference::mend(lag, a));
        prop_assert_eq!(ffi::mend_due(a, b, c, d), reference::mend_due(a, b, c, d));
        prop_assert_eq!(ffi::refilled(lag, a, b, c), reference::refilled(lag, a, b, c));
    }
}

/// One look at an imbalance: how much later than the last, and how large the gain is.
#[derive(Debug, Clone)]
struct Look {
    after_ns: u64,
    gain_ns: i64,
}

/// A gate and a history of looks at it, crowded around the gate's own thresholds and times.
fn any_history() -> impl Strategy<Value = (Hysteresis, Vec<Look>)> {
    let threshold = || prop_oneof![Just(0), 1..5_000_000u64, Just(Ns::MAX.get())];
    (threshold(), threshold(), threshold()).prop_flat_map(|(a, b, hold)| {
        let (open, close) = (a.max(b), a.min(b));
        let thresholds = Hysteresis::new(Ns::new(open), Ns::new(close), Ns::new(hold)).unwrap();
        let stale = hold + GATE_STALE.get();
        let after =
            prop_oneof![0..3u64, 0..=hold, hold.saturating_sub(1)..hold + 2, stale - 1..stale + 2];
        let around = |at: u64| (-1..=1i64).prop_map(move |by| at as i64 + by);
        let gain = prop_oneof![
            2 => around(open),
            2 => around(close),
            1 => around(0),
            2 => open as i64..=open as i64 * 2 + 10,
            1 => any_i64(),
        ];
        let look = (after, gain).prop_map(|(after_ns, gain_ns)| Look { after_ns, gain_ns });
        (Just(thresholds), prop::collection::vec(look, 1..60))
    })
}

/// Apply one look to both and compare the verdicts and the states after it.
fn look_at_both(
    kernel: &mut ffi::Gate,
    model: &mut reference::Gate,
    thresholds: &Hysteresis,
    now: u64,
    gain: i64,
) -> Result<(), TestCaseError> {
    let Hysteresis { open, close, hold } = *thresholds;
    let passed = kernel.pass(gain, now, open.get(), close.get(), hold.get());
    prop_assert_eq!(passed, model.pass(gain, now, thresholds), "gain {} at {}", gain, now);
    prop_assert_eq!(kernel.since_at, model.since_ns.unwrap_or(0));
    prop_assert_eq!(kernel.seen_at, model.seen_ns);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn gate((thresholds, history) in any_history(), start in prop_oneof![1..100u64, 1..1u64 << 62]) {
        let (mut kernel, mut model) = (ffi::Gate::default(), reference::Gate::default());
        let mut now = start;
        for Look { after_ns, gain_ns } in history {
            now += after_ns;
            look_at_both(&mut kernel, &mut model, &thresholds, now, gain_ns)?;
        }
    }

    /// CPUs read their clocks a little apart, so a look may seem to come before the last one.
    #[test]
    fn gate_with_clocks_that_differ(
        (thresholds, history) in any_history(),
        skews in prop::collection::vec(0..100_000u64, 60),
    ) {
        let (mut kernel, mut model) = (ffi::Gate::default(), reference::Gate::default());
        let mut now = 1_000_000;
        for (Look { after_ns, gain_ns }, skew) in history.into_iter().zip(skews) {
            now += after_ns;
            look_at_both(&mut kernel, &mut model, &thresholds, now - skew, gain_ns)?;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Any history of runs and sleeps, from any state.
    #[test]
    fn demand(
        (util, little) in (any_u32(), any::<bool>()),
        core in any_u32(),
        little_q10 in any_u32(),
        hold in 0..200_000_000u64,
        history in prop::collection::vec((any_u64(), 0..50_000_000u64, 0..3u8), 1..60),
    ) {
        let mut kernel = ffi::Demand { util_q10: util, little: little.into(), ..Default::default() };
        let mut model = reference::Demand { util_q10: util, little, ..Default::default() };
        let mut now = 5;
        for (any, near, which) in history {
            let (ran, slept) = match which {
                0 => (near, 0),
                1 => (0, near),
                _ => (any, near / 100),
            };
            now += near;
            kernel.add(ran, slept, core);
            model.add(ran, slept, core);
            prop_assert_eq!(
                kernel.class(little_q10, now, hold),
                model.class(little_q10, now, hold)
            );
            prop_assert_eq!(kernel.util_q10, model.util_q10);
            prop_assert_eq!((kernel.ran_ns, kernel.slept_ns), (model.ran_ns, model.slept_ns));
            prop_assert_eq!(kernel.since_at, model.since_ns.unwrap_or(0));
        }
    }
}

#[test]
fn the_numbers_of_the_headers_are_stated_once_more_without_error() {
    let numbers = [
        (Limit::MaxCpus, MAX_CPUS as u64),
        (Limit::MaxLlcs, MAX_LLCS as u64),
        (Limit::MaxNodes, MAX_NODES as u64),
        (Limit::DecayLen, warmth::DECAY_LEN as u64),
        (Limit::DecayLen, ffi::DECAY_LEN as u64),
        (Limit::NsMax, Ns::MAX.get()),
        (Limit::FactorMax, u64::from(FACTOR_MAX)),
        (Limit::Q10One, u64::from(Q10_ONE)),
        (Limit::GateStaleNs, GATE_STALE.get()),
        (Limit::WeightOne, WEIGHT_ONE),
        (Limit::ShareMax, SHARE_MAX),
        (Limit::LevelCore, Level::Core as u64),
        (Limit::LevelLlc, Level::Llc as u64),
        (Limit::LevelNode, Level::Node as u64),
        (Limit::MigrateToll, Migrate::Toll as u64),
        (Limit::MigrateAlways, Migrate::Always as u64),
        (Limit::MigrateNever, Migrate::Never as u64),
        (Limit::MigrateFixed, Migrate::Fixed as u64),
        (Limit::DelayBuckets, learn::BUCKETS as u64),
        (Limit::NrDistances, learn::DISTANCES as u64),
        (Limit::AgainstClassNs, AGAINST_CLASS.get()),
    ];
    for (limit, ours) in numbers {
        assert_eq!(ffi::limit(limit), ours, "{limit:?}");
    }
}
