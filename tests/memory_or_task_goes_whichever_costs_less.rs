// SPDX-License-Identifier: GPL-2.0-only
//! The choice between memory that follows and a task that goes home, against a second version of
//! it in floating point that is written from the definition, and as properties.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use scx_toll::model::follow::{
    BATCH_PAGES, Choice, HORIZON_MAX, MARGIN, MoveCost, Settled, decide, majority,
};
use scx_toll::units::{Ns, PerMille};

/// Savings and costs in seconds: (memory follows, task goes home).
fn reference(s: &Settled) -> ((f64, f64), Option<(f64, f64)>) {
    let seconds = |ns: Ns| ns.get() as f64 / 1e9;
    let total: f64 = s.pages.iter().map(|p| *p as f64).sum();
    let busy = seconds(s.stayed).min(seconds(HORIZON_MAX)) * f64::from(s.busy.get()) / 1e3;
    let mean = |rates: &[PerMille]| -> f64 {
        let weighted = s.pages.iter().zip(rates);
        let sum: f64 = weighted.map(|(p, r)| *p as f64 * f64::from(r.get()) / 1e3).sum();
        if total > 0.0 { sum / total } else { 0.0 }
    };
    let lost = busy * mean(&s.remote_here);
    let far = s.pages.iter().zip(&s.remote_here).filter(|(_, r)| r.get() > 0);
    let far: f64 = far.map(|(p, _)| *p as f64).sum();
    let moved = (s.movable as f64).min(far);
    let batches = (moved / BATCH_PAGES as f64).ceil();
    let per_batch = seconds(s.cost.batch) + f64::from(s.cpus.max(1)) * seconds(s.cost.shootdown);
    let bring = (
        if far > 0.0 { lost * moved / far } else { 0.0 },
        moved * seconds(s.cost.page) + batches * per_batch,
    );
    let home = s.way_home.map(|way| {
        let saved = (lost - busy * mean(&s.remote_home)).max(0.0);
        let turns = (busy / seconds(s.turn)).floor();
        let longer = (seconds(s.wait_home) - seconds(s.wait_here)).max(0.0);
        let span = seconds(s.stayed).min(seconds(HORIZON_MAX));
        let crowding = f64::from(s.busy.get()) - f64::from(s.spare_home.get());
        (saved, seconds(way) + (turns * longer).max(span * crowding / 1e3))
    });
    (bring, home)
}

fn ms(range: std::ops::Range<u64>) -> impl Strategy<Value = Ns> {
    range.prop_map(|us| Ns::from_us(us * 10))
}

fn rates(nodes: usize) -> impl Strategy<Value = Vec<PerMille>> {
    prop::collection::vec((0u32..1500).prop_map(PerMille::new), nodes)
}

prop_compose! {
    fn settled()(nodes in 1usize..6)(
        pages in prop::collection::vec(prop_oneof![Just(0u64), 0u64..50_000_000], nodes),
        remote_here in rates(nodes),
        remote_home in rates(nodes),
        movable in prop_oneof![Just(0u64), Just(u64::MAX), 0u64..50_000_000],
        busy in 0u32..8000,
        stayed in ms(0..20_000_000),
        cpus in 0u32..64,
        turn in ms(10..2_000),
        waits in (ms(0..100_000), ms(0..100_000)),
        spare in 0u32..8000,
        way_home in prop::option::of(ms(0..100_000)),
    ) -> Settled {
        Settled {
            pages, remote_here, remote_home, movable,
            busy: PerMille::new(busy),
            stayed, cpus, turn, wait_here: waits.0, wait_home: waits.1, way_home,
            spare_home: PerMille::new(spare),
            cost: MoveCost::default(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn both_versions_agree(s in settled()) {
        let verdict = decide(&s);
        let (bring, home) = reference(&s);
        // Rounding down to a nanosecond, and one turn more or less by rounding of a quotient.
        let near = |ns: Ns, seconds: f64, slack: f64| {
            let longest = Ns::MAX.get() as f64 / 1e9;
            (ns.get() as f64 / 1e9 - seconds.min(longest)).abs() <= 1e-8 + seconds * 1e-5 + slack
        };
        let a_turn = s.wait_home.get().saturating_sub(s.wait_here.get()) as f64 / 1e9;
        prop_assert!(near(verdict.bring.saves, bring.0, 0.0), "{verdict:?} {bring:?}");
        prop_assert!(near(verdict.bring.costs, bring.1, 0.0), "{verdict:?} {bring:?}");
        prop_assert_eq!(verdict.go_home.is_some(), home.is_some());
        if let (Some(way), Some(home)) = (verdict.go_home, home) {
            prop_assert!(near(way.saves, home.0, 0.0), "{way:?} {home:?}");
            prop_assert!(near(way.costs, home.1, a_turn), "{way:?} {home:?}");
        }
    }

    #[test]
    fn only_what_pays_is_chosen_and_the_better_of_the_two(s in settled()) {
        let verdict = decide(&s);
        let pays = |saves: Ns, costs: Ns| saves.get() > MARGIN * costs.get();
        let leaves = |saves: Ns, costs: Ns| i128::from(saves.get()) - i128::from(costs.get());
        let bring = verdict.bring;
        let home = verdict.go_home;
        let bring_pays = pays(bring.saves, bring.costs);
        let home_pays = home.is_some_and(|way| pays(way.saves, way.costs));
        match verdict.choice {
            Choice::Stay => prop_assert!(!bring_pays && !home_pays),
            Choice::Bring => {
                prop_assert!(bring_pays && s.movable > 0);
                if let Some(way) = home && home_pays {
                    prop_assert!(leaves(bring.saves, bring.costs) >= leaves(way.saves, way.costs));
                }
            }
            Choice::GoHome => {
                prop_assert!(home_pays);
                let way = home.unwrap();
                if bring_pays {
                    prop_assert!(leaves(way.saves, way.costs) > leaves(bring.saves, bring.costs));
                }
            }
        }
    }

    /// After the memory has come there is nothing left to do.
    #[test]
    fn a_process_that_is_at_home_stays(s in settled()) {
        let near = s.remote_here.iter().map(|_| PerMille::ZERO).collect();
        prop_assert_eq!(decide(&Settled { remote_here: near, ..s }).choice, Choice::Stay);
    }

    #[test]
    fn a_longer_stay_never_speaks_against_the_move(s in settled(), more in 1u64..1000) {
        let longer = Settled { stayed: s.stayed.plus(Ns::from_ms(more)), ..s.clone() };
        prop_assert!(decide(&longer).bring.saves >= decide(&s).bring.saves);
        prop_assert_eq!(decide(&longer).bring.costs, decide(&s).bring.costs);
    }

    #[test]
    fn a_majority_is_three_quarters_and_there_is_one_at_most(
        busy in prop::collection::vec(prop_oneof![Just(0u64), 0u64..1000, any::<u64>()], 0..6)
    ) {
        let total: u128 = busy.iter().map(|b| u128::from(*b)).sum();
        let enough = |b: &u64| *b > 0 && u128::from(*b) * 100 >= total * 75;
        prop_assert_eq!(majority(&busy), busy.iter().position(enough));
    }
}

fn two_nodes(busy_pm: u32, pages: u64) -> Settled {
    let rate = |pm: u32| PerMille::new(pm);
    Settled {
        pages: vec![pages, 0],
        remote_here: vec![rate(250), rate(0)],
        remote_home: vec![rate(0), rate(250)],
        movable: pages,
        busy: rate(busy_pm),
        stayed: Ns::from_ms(10_000),
        cpus: 1,
        turn: Ns::from_ms(20),
        wait_here: Ns::ZERO,
        wait_home: Ns::from_ms(20),
        spare_home: rate(1000),
        way_home: Some(Ns::from_ms(2)),
        cost: MoveCost::default(),
    }
}

/// A tenth of a CPU and 4 GB; a whole CPU and 200 MB, which would wait at home.
#[test]
fn the_light_one_goes_home_and_the_busy_one_brings_its_memory() {
    let light = Settled { wait_home: Ns::from_ms(2), ..two_nodes(100, 1 << 20) };
    assert_eq!(decide(&light).choice, Choice::GoHome, "{:?}", decide(&light));
    assert_eq!(decide(&two_nodes(1000, 51_200)).choice, Choice::Bring);
    assert_eq!(decide(&two_nodes(1, 1 << 20)).choice, Choice::Stay, "it hardly ever runs");
}

/// At one look nobody waits at home; yet its CPUs have been busy all the time.
#[test]
fn nobody_goes_home_to_where_there_is_no_room() {
    let quiet = Settled { wait_home: Ns::ZERO, ..two_nodes(900, 8 * 51_200) };
    assert_eq!(decide(&quiet).choice, Choice::GoHome);
    let full = Settled { spare_home: PerMille::new(300), ..quiet };
    assert_eq!(decide(&full).choice, Choice::Bring);
}
