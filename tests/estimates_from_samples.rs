// SPDX-License-Identifier: GPL-2.0-only
//! The estimator against samples with a known answer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scx_toll::measure::chase::Rng;
use scx_toll::measure::estimate::{Estimate, SAMPLES_MIN, Sample};
use scx_toll::measure::table::{Cell, Origin};

fn calm(value: f64) -> Sample {
    Sample { value, disturbed: false }
}

#[test]
fn the_figure_is_the_tenth_percentile_and_the_spread_reaches_to_the_median() {
    let samples: Vec<Sample> = (1..=100).rev().map(|n| calm(f64::from(n))).collect();
    let estimate = Estimate::of(&samples).unwrap();
    assert_eq!((estimate.p10, estimate.median()), (10.0, 50.0));
    assert_eq!((estimate.spread, estimate.samples, estimate.rejected), (4.0, 100, 0));
}

/// Of samples that are rejected not even the smallest counts.
#[test]
fn disturbed_and_impossible_samples_do_not_count() {
    let mut samples: Vec<Sample> = (0..20).map(|_| calm(50.0)).collect();
    samples.extend((0..300).map(|_| Sample { value: 1.0, disturbed: true }));
    samples.extend([f64::NAN, f64::INFINITY, 0.0, -3.0].map(calm));
    let estimate = Estimate::of(&samples).unwrap();
    assert_eq!((estimate.p10, estimate.spread), (50.0, 0.0));
    assert_eq!((estimate.samples, estimate.rejected), (20, 304));
}

#[test]
fn too_few_samples_make_no_figure() {
    let few: Vec<Sample> = (0..SAMPLES_MIN - 1).map(|_| calm(5.0)).collect();
    assert_eq!(Estimate::of(&few), None);
    assert_eq!(Estimate::of(&[]), None);
    assert!(Estimate::of(&[few, vec![calm(5.0)]].concat()).is_some());
}

/// Noise that only adds time: a truth of 100 ns, half of the samples up to eight times too high.
#[test]
fn a_busy_machine_does_not_move_the_figure_by_more_than_a_tenth() {
    for seed in 0..50 {
        let mut rng = Rng(seed);
        let mut noise = || {
            let jitter = f64::from(rng.below(10));
            let hit = if rng.below(2) == 0 { f64::from(rng.below(700)) } else { 0.0 };
            calm(100.0 + jitter + hit)
        };
        let samples: Vec<Sample> = (0..200).map(|_| noise()).collect();
        let estimate = Estimate::of(&samples).unwrap();
        assert!((100.0..110.0).contains(&estimate.p10), "seed {seed}: {estimate:?}");
    }
}

#[test]
fn what_spreads_too_widely_is_not_believed_and_keeps_its_default() {
    let date = "2026-01-01T00:00:00Z";
    let estimate = |spread| Estimate { p10: 30.0, spread, samples: 40, rejected: 2 };
    let calm = Cell::measured(Some(&estimate(0.9)), 21.0, date);
    assert_eq!((calm.value, calm.from, calm.date.as_str()), (30.0, Origin::Measured, date));
    let wild = Cell::measured(Some(&estimate(1.1)), 21.0, date);
    assert_eq!((wild.value, wild.from, wild.date.as_str()), (21.0, Origin::Default, ""));
    assert_eq!((wild.spread, wild.samples, wild.known()), (1.1, 40, None));
    assert_eq!(Cell::measured(None, 21.0, date), Cell::default_value(21.0));
}
