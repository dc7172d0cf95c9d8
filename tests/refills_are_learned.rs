// SPDX-License-Identifier: GPL-2.0-only
//! Wrong refill factors recover towards what moves turn out to cost, slowly and within bounds, and
//! nothing that was not seen or not meant to change does. Synthetic runs with a known answer, put
//! through the formulas that the BPF half counts with.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scx_toll::ffi;
use scx_toll::measure::chase::Rng;
use scx_toll::model::file;
use scx_toll::model::learn::refill::{RefillLearner, Refills};
use scx_toll::model::learn::{BUCKETS, Histogram, Learned, REACH, SAMPLES_MIN, STEP_MAX};
use scx_toll::model::penalty::{Cell, PenaltyTable, Provenance};
use scx_toll::policy::Policy;
use scx_toll::policy::view::PolicyView;
use scx_toll::topology::{Level, Topology};
use scx_toll::ui::policy::policy_page;
use scx_toll::units::Q10;

const DATE: &str = "2026-01-31T12:00:00Z";
/// What factors really are, by level.
const TRUTH: [f64; 3] = [0.1, 1.2, 2.0];
/// Cycles of each instruction without misses, and cycles of each ns.
const PACE: f64 = 0.8;
const GHZ: f64 = 3.0;

fn topo() -> Topology {
    Topology::synthetic(2, 4, 2).unwrap()
}

/// How far a task's pace strays from what it usually is: a tenth for most, by any factor for one
/// in five.
fn stray(rng: &mut Rng) -> f64 {
    let share = |rng: &mut Rng| f64::from(rng.below(2001)) / 1000.0 - 1.0;
    match rng.below(5) {
        0 => (2.0 * share(rng)).exp(),
        _ => 1.0 + 0.1 * share(rng),
    }
}

/// The kernel's counters, as they go on counting.
struct Kernel {
    counts: [[u64; BUCKETS]; 3],
}

impl Kernel {
    /// Counters that stand at `count`.
    fn at(count: u64) -> Kernel {
        Kernel { counts: [[count; BUCKETS]; 3] }
    }

    /// A move of `level` that lost `load_ns` of warmth, whose task then ran for `ran_ns` at `stray`
    /// times its usual pace and besides loaded what it lost, at factor `truth`, on memory that
    /// is `remote_pm` slower than before.
    fn moved(&mut self, level: usize, truth: f64, load_ns: f64, stray: f64, remote_pm: u32) {
        let usual_insns = 10_000_000.0;
        let usual = ((usual_insns * PACE) as u64, usual_insns as u64);
        let ran_ns = 6.0 * load_ns + truth * load_ns;
        let slower = 1.0 + f64::from(remote_pm) / 1000.0;
        let insns = 6.0 * load_ns * GHZ / (PACE * stray * slower);
        let due = ffi::cycles_due(insns as u64, usual, remote_pm, 0);
        let cycles = (ran_ns * GHZ) as u64;
        let found = ffi::refill_found(ran_ns as u64, cycles, due, load_ns as u64);
        let count = &mut self.counts[level][ffi::delay_bucket(found) as usize];
        *count = u64::from((*count as u32).wrapping_add(1));
    }

    /// `n` moves of each level.
    fn moves(&mut self, n: u64, truth: [f64; 3], rng: &mut Rng) {
        for _ in 0..n {
            for (level, truth) in truth.iter().enumerate() {
                let load_ns = f64::from(50_000 + rng.below(2_000_000));
                let remote_pm = if level == 2 { 250 } else { 0 };
                self.moved(level, *truth, load_ns, stray(rng), remote_pm);
            }
        }
    }

    fn refills(&self) -> Refills {
        Refills { found: self.counts.map(Histogram::new) }
    }
}

/// A table whose factors are `factor` times the truth.
fn wrong(factor: f64) -> PenaltyTable {
    let mut table = PenaltyTable::default();
    for level in Level::ALL {
        let refill = Q10::clamped_from_f64(TRUTH[level.index()] * factor);
        table.class_mut(level).refill = Cell::new(refill, Provenance::Measured);
    }
    table
}

/// The factor in force.
fn factor(policy: &Policy, level: Level) -> f64 {
    policy.matrix.refill[level.index()].as_f64()
}

/// Learn for `steps` steps from moves of factors `truth`.
fn learn(policy: &mut Policy, steps: u32, truth: [f64; 3], topo: &Topology) {
    // The counters are about to wrap.
    let mut kernel = Kernel::at(u64::from(u32::MAX) - 3);
    let (mut learner, mut rng) = (RefillLearner::default(), Rng(7));
    learner.skip(kernel.refills());
    for _ in 0..steps {
        kernel.moves(300, truth, &mut rng);
        learner.observe(kernel.refills());
        if let Some(learned) = learner.step(&policy.base, &policy.learned, DATE) {
            policy.set_learned(learned, topo);
        }
    }
}

#[test]
fn factors_four_times_too_high_or_too_low_recover_within_a_third() {
    let topo = topo();
    for wrong_by in [4.0, 0.25] {
        let mut policy = Policy::new(wrong(wrong_by), "measure".into(), &topo);
        let before = Level::ALL.map(|level| factor(&policy, level));
        learn(&mut policy, 1, TRUTH, &topo);
        for level in [Level::Llc, Level::Node] {
            let step = factor(&policy, level) / before[level.index()];
            assert!(step.max(1.0 / step) <= STEP_MAX + 0.01, "slowly: {level} by {step}");
        }
        learn(&mut policy, 24, TRUTH, &topo);
        for level in [Level::Llc, Level::Node] {
            let (now, truth) = (factor(&policy, level), TRUTH[level.index()]);
            eprintln!("{level}: {} -> {now}, truth {truth}", before[level.index()]);
            assert!((0.75..1.33).contains(&(now / truth)), "{level} {now} of {truth}");
            let learned = policy.learned.refills[level.index()].as_ref().unwrap();
            assert!(learned.samples >= 5 * 300 && learned.spread > 0.0, "{learned:?}");
            assert_eq!(learned.date, DATE);
            assert_eq!(policy.table.class(level).refill.from, Provenance::Learned);
        }
    }
}

#[test]
fn right_factors_stay_where_they_are() {
    let topo = topo();
    let mut policy = Policy::new(wrong(1.0), "measure".into(), &topo);
    learn(&mut policy, 50, TRUTH, &topo);
    for level in [Level::Llc, Level::Node] {
        let ratio = factor(&policy, level) / TRUTH[level.index()];
        assert!((0.75..1.33).contains(&ratio), "{level}: {ratio}");
    }
}

#[test]
fn no_factor_leaves_its_reach() {
    let topo = topo();
    for (truth, reach) in [([0.0; 3], 1.0 / REACH), ([60.0; 3], REACH)] {
        let mut policy = Policy::new(wrong(1.0), "measure".into(), &topo);
        learn(&mut policy, 200, truth, &topo);
        for level in [Level::Llc, Level::Node] {
            let ratio = factor(&policy, level) / TRUTH[level.index()];
            assert!((ratio / reach - 1.0).abs() < 0.06, "{level}: {ratio}, expected {reach}");
        }
    }
}

#[test]
fn too_few_moves_change_nothing() {
    let (mut kernel, mut rng) = (Kernel::at(0), Rng(1));
    let base = wrong(4.0);
    let mut learner = RefillLearner::default();
    kernel.moves(SAMPLES_MIN - 1, TRUTH, &mut rng);
    learner.observe(kernel.refills());
    assert_eq!(learner.step(&base, &Learned::default(), DATE), None);
    // They are not forgotten: one more move is enough, for its own level.
    kernel.moved(1, TRUTH[1], 200_000.0, 1.0, 0);
    learner.observe(kernel.refills());
    let learned = learner.step(&base, &Learned::default(), DATE).expect("a step");
    let known = learned.refills.each_ref().map(Option::is_some);
    assert_eq!(known, [false, true, false]);
    assert!(learned.hops.iter().all(Option::is_none));
    // Each move counts once.
    learner.observe(kernel.refills());
    assert_eq!(learner.step(&base, &learned, DATE), None);
}

/// While learning is off, the loop skips what was counted.
#[test]
fn what_is_skipped_teaches_nothing() {
    let (mut kernel, mut rng) = (Kernel::at(0), Rng(1));
    let mut learner = RefillLearner::default();
    kernel.moves(1000, TRUTH, &mut rng);
    learner.skip(kernel.refills());
    learner.observe(kernel.refills());
    assert_eq!(learner.step(&wrong(4.0), &Learned::default(), DATE), None);
}

#[test]
fn given_factors_stay_and_no_learned_one_contradicts_them() {
    let topo = topo();
    let table = file::parse("[class.llc]\nrefill = 3.0\n", "p.toml", &topo).unwrap();
    let mut policy = Policy::new(table.clone(), "p.toml".into(), &topo);
    learn(&mut policy, 60, [0.1, 1.0, 1.1], &topo);
    assert_eq!(policy.table.class(Level::Llc).refill, table.class(Level::Llc).refill);
    // The node's own factor would be 1.1; a farther class is never cheaper than a given one.
    assert_eq!(factor(&policy, Level::Node), 3.0);
    assert!(policy.matrix.notes.is_empty(), "{:?}", policy.matrix.notes);
}

#[test]
fn what_was_learned_survives_other_changes_and_not_another_table() {
    let topo = topo();
    let mut policy = Policy::new(wrong(4.0), "measure".into(), &topo);
    learn(&mut policy, 5, TRUTH, &topo);
    let learned = policy.learned.clone();
    assert!(learned.refills[1].is_some() && learned.refills[2].is_some());
    let restarted = policy.clone().on(&topo);
    assert_eq!((&restarted.learned, &restarted.table), (&learned, &policy.table));
    let mut table = wrong(4.0);
    table.class_mut(Level::Llc).refill.value = Q10::ONE;
    let mut measured = Policy::new(table, "measure".into(), &topo);
    measured.set_learned(learned, &topo);
    assert!(measured.learned.refills[1].is_none() && measured.learned.refills[2].is_some());
    assert_eq!(measured.table.class(Level::Llc).refill.from, Provenance::Measured);
}

#[test]
fn a_learned_factor_is_shown_as_such_with_what_it_rests_on() {
    let topo = topo();
    let mut policy = Policy::new(wrong(4.0), "measure".into(), &topo);
    learn(&mut policy, 1, TRUTH, &topo);
    let page = policy_page(&PolicyView::new(&policy, &topo, 2));
    for words in [
        "3.84 (learned)",
        "llc refill began with 4.8; learned from 300 moves, spread ",
        &format!("at {DATE}"),
    ] {
        assert!(page.contains(words), "{words:?} is not in:\n{page}");
    }
}
