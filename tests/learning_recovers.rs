// SPDX-License-Identifier: GPL-2.0-only
//! A wrong table recovers towards what moves take, slowly and within bounds, and nothing that
//! was not seen or not meant to change does. Synthetic delays with a known answer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod measured_tables;

use measured_tables::full_table;
use scx_toll::ffi;
use scx_toll::measure::chase::Rng;
use scx_toll::model::learn::{
    BUCKETS, Delays, Histogram, Learned, Learner, REACH, SAMPLES_MIN, STEP_MAX,
};
use scx_toll::model::penalty::{Cell, PenaltyMatrix, PenaltyTable, Provenance};
use scx_toll::model::{file, from_measured};
use scx_toll::policy::Policy;
use scx_toll::topology::{Level, Topology};
use scx_toll::units::{LlcId, Ns};

const DATE: &str = "2026-01-31T12:00:00Z";
/// What moves really take, by level, in ns.
const TRUTH: [f64; 3] = [1_500.0, 9_000.0, 30_000.0];
/// A wakeup of an idle CPU, without noise, in ns.
const WAKEUP: f64 = 4_000.0;

fn topo() -> Topology {
    Topology::synthetic(2, 4, 2).unwrap()
}

/// A delay of `least` ns or more: half of them up to a fifth later, some much later.
fn noisy(least: f64, rng: &mut Rng) -> u64 {
    let share = |rng: &mut Rng| f64::from(rng.below(1000)) / 1000.0;
    let late = match rng.below(10) {
        0 => 20.0 * share(rng),
        1..=4 => 1.5 * share(rng),
        _ => 0.2 * share(rng),
    };
    (least * (1.0 + late)) as u64
}

/// The kernel's counters, as they go on counting.
struct Kernel {
    counts: [[u64; BUCKETS]; 4],
}

impl Kernel {
    /// Counters that stand at `count`.
    fn at(count: u64) -> Kernel {
        Kernel { counts: [[count; BUCKETS]; 4] }
    }

    fn count(&mut self, distance: usize, ns: u64) {
        let count = &mut self.counts[distance][ffi::delay_bucket(ns) as usize];
        *count = u64::from((*count as u32).wrapping_add(1));
    }

    /// `n` wakeups of each kind.
    fn wake(&mut self, n: u64, truth: [f64; 3], rng: &mut Rng) {
        for _ in 0..n {
            self.count(0, noisy(WAKEUP, rng));
            for (i, extra) in truth.iter().enumerate() {
                // What distance adds comes on top of the wakeup's own noise.
                let wakeup = noisy(WAKEUP, rng) as f64;
                self.count(1 + i, (wakeup + extra) as u64);
            }
        }
    }

    fn delays(&self) -> Delays {
        let [stayed, moved @ ..] = self.counts.map(Histogram::new);
        Delays { stayed, moved }
    }
}

/// A table whose hops are `factor` times the truth.
fn wrong(factor: f64) -> PenaltyTable {
    let mut table = PenaltyTable::default();
    for level in Level::ALL {
        let hop = Ns::clamped_from_f64(TRUTH[level.index()] * factor);
        table.class_mut(level).hop = Cell::new(hop, Provenance::Measured);
    }
    table
}

fn hop(policy: &Policy, level: Level) -> f64 {
    policy.table.class(level).hop.value.get() as f64
}

/// Learn for `steps` steps from wakeups of which moves take `truth`.
fn learn(policy: &mut Policy, steps: u32, truth: [f64; 3], topo: &Topology) {
    // The counters are about to wrap.
    let mut kernel = Kernel::at(u64::from(u32::MAX) - 3);
    let (mut learner, mut rng) = (Learner::default(), Rng(7));
    learner.skip(kernel.delays());
    for _ in 0..steps {
        kernel.wake(200, truth, &mut rng);
        learner.observe(kernel.delays());
        if let Some(learned) = learner.step(&policy.base, &policy.learned, DATE) {
            policy.set_learned(learned, topo);
        }
    }
}

#[test]
fn a_table_four_times_too_dear_or_too_cheap_recovers_within_a_quarter() {
    let topo = topo();
    for factor in [4.0, 0.25] {
        let mut policy = Policy::new(wrong(factor), "measure".into(), &topo);
        let before = Level::ALL.map(|level| hop(&policy, level));
        learn(&mut policy, 1, TRUTH, &topo);
        for level in Level::ALL {
            let step = hop(&policy, level) / before[level.index()];
            assert!(step.max(1.0 / step) <= STEP_MAX + 0.01, "slowly: {level} by {step}");
        }
        learn(&mut policy, 24, TRUTH, &topo);
        for level in Level::ALL {
            let (now, truth) = (hop(&policy, level), TRUTH[level.index()]);
            eprintln!("{level}: {} -> {now} ns, truth {truth} ns", before[level.index()]);
            assert!((0.75..1.25).contains(&(now / truth)), "{level} {now} of {truth}");
            let learned = policy.learned.hops[level.index()].as_ref().unwrap();
            assert!(learned.samples >= 5 * 200 && learned.spread > 0.0, "{learned:?}");
            assert_eq!(learned.date, DATE);
            assert_eq!(policy.table.class(level).hop.from, Provenance::Learned);
        }
    }
}

#[test]
fn a_right_table_stays_where_it_is() {
    let topo = topo();
    let mut policy = Policy::new(wrong(1.0), "measure".into(), &topo);
    learn(&mut policy, 50, TRUTH, &topo);
    for level in Level::ALL {
        let ratio = hop(&policy, level) / TRUTH[level.index()];
        assert!((0.75..1.25).contains(&ratio), "{level}: {ratio}");
    }
}

#[test]
fn no_number_leaves_its_reach() {
    let topo = topo();
    for (truth, reach) in [([0.0; 3], 1.0 / REACH), ([3e6; 3], REACH)] {
        let mut policy = Policy::new(wrong(1.0), "measure".into(), &topo);
        let bases = Level::ALL.map(|level| hop(&policy, level));
        learn(&mut policy, 200, truth, &topo);
        for level in [Level::Llc, Level::Node] {
            let ratio = hop(&policy, level) / bases[level.index()];
            assert!((ratio / reach - 1.0).abs() < 0.05, "{level}: {ratio}, expected {reach}");
        }
    }
}

#[test]
fn too_few_samples_change_nothing() {
    let (mut kernel, mut rng) = (Kernel::at(0), Rng(1));
    let base = wrong(4.0);
    let mut learner = Learner::default();
    kernel.wake(SAMPLES_MIN - 1, TRUTH, &mut rng);
    learner.observe(kernel.delays());
    assert_eq!(learner.step(&base, &Learned::default(), DATE), None);
    // Those that only moved, or only stayed, do not count either.
    for _ in 0..1000 {
        kernel.count(2, 10_000);
    }
    learner.observe(kernel.delays());
    assert_eq!(learner.step(&base, &Learned::default(), DATE), None);
    // They are not forgotten: one more wakeup is enough.
    kernel.count(0, 4_000);
    learner.observe(kernel.delays());
    let learned = learner.step(&base, &Learned::default(), DATE).expect("a step");
    assert!(learned.hops[1].is_some() && learned.hops[0].is_none() && learned.hops[2].is_none());
}

#[test]
fn what_is_skipped_teaches_nothing() {
    let (mut kernel, mut rng) = (Kernel::at(0), Rng(1));
    let mut learner = Learner::default();
    kernel.wake(1000, TRUTH, &mut rng);
    learner.skip(kernel.delays());
    learner.observe(kernel.delays());
    assert_eq!(learner.step(&wrong(4.0), &Learned::default(), DATE), None);
}

#[test]
fn given_numbers_stay_and_no_learned_one_contradicts_them() {
    let topo = topo();
    let text = "[class.llc]\nhop_us = 100\n[[pair]]\nfrom = 0\nto = 4\nhop_us = 7\n";
    let table = file::parse(text, "p.toml", &topo).unwrap();
    let mut policy = Policy::new(table.clone(), "p.toml".into(), &topo);
    learn(&mut policy, 60, [1_000.0, 2_000.0, 3_500.0], &topo);
    assert_eq!(policy.table.class(Level::Llc).hop, table.class(Level::Llc).hop);
    assert_eq!(policy.matrix.hop(LlcId(0), LlcId(4)), Ns::from_us(7));
    assert_eq!(policy.matrix.hop(LlcId(0), LlcId(1)), Ns::from_us(100), "given");
    // The node's own price would be 3.5 µs; a farther class is never cheaper than a given one.
    assert_eq!(policy.matrix.hop(LlcId(0), LlcId(5)), Ns::from_us(100));
    assert_eq!(policy.table.class(Level::Core).hop.from, Provenance::Learned);
}

#[test]
fn a_price_of_nothing_stays_nothing() {
    let topo = topo();
    let mut table = wrong(1.0);
    table.class_mut(Level::Core).hop.value = Ns::ZERO;
    let mut policy = Policy::new(table, "measure".into(), &topo);
    learn(&mut policy, 20, TRUTH, &topo);
    assert_eq!(policy.table.class(Level::Core).hop, Cell::new(Ns::ZERO, Provenance::Measured));
}

#[test]
fn measured_pairs_follow_their_class_and_the_matrix_keeps_its_promises() {
    let topo = topo();
    let base = from_measured(&full_table(&topo), &topo);
    let pair = (LlcId(0), LlcId(1));
    assert_eq!(base.pairs[&pair].from, Provenance::Measured);
    for seed in 0..300 {
        let mut rng = Rng(seed);
        let mut policy = Policy::new(base.clone(), "measure".into(), &topo);
        let truth = [0; 3].map(|_| f64::from(1 << rng.below(20)));
        learn(&mut policy, 1 + rng.below(12), truth, &topo);
        let (hops, level) = (&policy.table.pairs, |a, b| topo.level(a, b));
        if policy.table.class(Level::Llc).hop.from == Provenance::Learned {
            assert_eq!(hops[&pair].from, Provenance::Learned);
        }
        let of = |wanted| {
            let far = |from: LlcId, to: LlcId| level(from, to) == wanted;
            let matrix: &PenaltyMatrix = &policy.matrix;
            let ids = || topo.llcs.iter().map(|llc| llc.id);
            ids()
                .flat_map(|from| ids().map(move |to| (from, to)))
                .filter(|(from, to)| far(*from, *to))
                .map(|(from, to)| matrix.hop(from, to))
                .collect::<Vec<_>>()
        };
        assert!(of(Level::Core).iter().all(|hop| *hop == Ns::ZERO));
        assert!(of(Level::Llc).iter().max() <= of(Level::Node).iter().min(), "{truth:?}");
        assert!(policy.matrix.notes.is_empty(), "{:?}", policy.matrix.notes);
    }
}

#[test]
fn what_was_learned_survives_other_changes_and_not_another_table() {
    let topo = topo();
    let mut policy = Policy::new(wrong(4.0), "measure".into(), &topo);
    learn(&mut policy, 5, TRUTH, &topo);
    let learned = policy.learned.clone();
    assert!(learned.hops.iter().all(Option::is_some));
    let restarted = policy.clone().on(&topo);
    assert_eq!((&restarted.learned, &restarted.table), (&learned, &policy.table));
    // The same table in another run: it goes on from there.
    let mut again = Policy::new(wrong(4.0), "measure".into(), &topo);
    again.set_learned(learned.clone(), &topo);
    assert_eq!(again.table, policy.table);
    // Measured anew, with one other number: that one begins anew.
    let mut table = wrong(4.0);
    table.class_mut(Level::Llc).hop.value = Ns::from_us(50);
    let mut measured = Policy::new(table, "measure".into(), &topo);
    measured.set_learned(learned, &topo);
    assert!(measured.learned.hops[1].is_none() && measured.learned.hops[2].is_some());
    assert_eq!(measured.table.class(Level::Llc).hop.from, Provenance::Measured);
    policy.set_table(wrong(1.0), "measure".into(), &topo);
    assert_eq!(policy.learned, Learned::default());
}

#[test]
fn percentiles_lie_in_their_bucket() {
    let mut counts = [0; BUCKETS];
    assert_eq!(Histogram::new(counts).percentile(10), None);
    for ns in 1_000..2_000u64 {
        counts[ffi::delay_bucket(ns) as usize] += 1;
    }
    let histogram = Histogram::new(counts);
    for pct in [1, 10, 50, 90, 99] {
        let (found, truth) = (histogram.percentile(pct).unwrap(), 1_000.0 + 10.0 * pct as f64);
        assert!((found / truth - 1.0).abs() < 0.07, "p{pct}: {found}, expected {truth}");
    }
}
