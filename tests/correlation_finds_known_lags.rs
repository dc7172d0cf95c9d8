// SPDX-License-Identifier: GPL-2.0-only
//! Lagged correlation on made-up loads whose answer is known: the exact lag, seldom a false alarm,
//! and the right direction. The seeds are 1, 2, 3 … of each case.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scx_toll::analysis::correlate::{Effect, all_pairs};
use scx_toll::measure::chase::Rng;

const N: usize = 256;
/// Bins before the series begin, so that they have forgotten their start.
const WARM_UP: usize = 400;

/// A standard normal value (Box and Muller).
fn normal(rng: &mut Rng) -> f64 {
    let mut uniform = || (rng.bits() >> 11) as f64 / (1u64 << 53) as f64;
    let (u, v) = (1.0 - uniform(), uniform());
    (-2.0 * u.ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()
}

/// `x(t) = φ x(t−1) + noise`, `len` values.
fn autoregressive(phi: f64, len: usize, rng: &mut Rng) -> Vec<f64> {
    let mut value = 0.0;
    let all = (0..WARM_UP + len).map(|_| {
        value = phi * value + normal(rng);
        value
    });
    all.skip(WARM_UP).collect()
}

/// `y(t) = β x(t−lag) + a series of its own of the same kind`.
fn coupled(beta: f64, phi: f64, lag: usize, rng: &mut Rng) -> [Vec<f64>; 2] {
    let x = autoregressive(phi, N + lag, rng);
    let own = autoregressive(phi, N, rng);
    let y = own.iter().zip(&x).map(|(own, x)| own + beta * x).collect();
    [x[lag..].to_vec(), y]
}

#[test]
fn a_known_lag_is_found_exactly() {
    const SERIES: u64 = 4000;
    let (mut exact, mut significant) = (0, 0);
    for seed in 1..=SERIES {
        let mut rng = Rng(seed);
        let lag = 1 + rng.below(15) as usize;
        let pair = coupled(0.3, 0.9, lag, &mut rng);
        let found = &all_pairs(&pair)[0];
        let right = found.lag == lag as i32;
        exact += u64::from(right);
        significant += u64::from(right && found.significant());
    }
    let percent = |count: u64| 100.0 * count as f64 / SERIES as f64;
    println!("exact {:.1} %, exact and significant {:.1} %", percent(exact), percent(significant));
    assert!(percent(exact) >= 95.0, "{:.1} %", percent(exact));
    // At that N an ideal test of 41 lags finds 92 % significant.
    assert!(percent(significant) >= 90.0, "{:.1} %", percent(significant));
}

#[test]
fn the_sign_of_the_lag_says_who_leads() {
    let mut rng = Rng(7);
    let [x, y] = coupled(0.6, 0.9, 4, &mut rng);
    assert_eq!(all_pairs(&[x.clone(), y.clone()])[0].lag, 4);
    assert_eq!(all_pairs(&[y, x])[0].lag, -4);
}

#[test]
fn independent_loads_seldom_look_coupled() {
    const PAIRS: u64 = 4000;
    for phi in [0.0, 0.5, 0.9, 0.97] {
        let alarms = (1..=PAIRS).filter(|&seed| {
            let mut rng = Rng(1_000_000 + seed);
            let pair = [autoregressive(phi, N, &mut rng), autoregressive(phi, N, &mut rng)];
            all_pairs(&pair)[0].significant()
        });
        let percent = 100.0 * alarms.count() as f64 / PAIRS as f64;
        println!("φ {phi}: {percent:.1} % false alarms");
        assert!(percent <= 5.0, "φ {phi}: {percent:.1} %");
    }
}

/// What the test is against: without pre-whitening and without correction nearly all alarm.
#[test]
fn a_plain_correlation_would_alarm_nearly_always() {
    let alarms = (1..=200).filter(|&seed| {
        let mut rng = Rng(1_000_000 + seed);
        let centred = |series: Vec<f64>| {
            let mean = series.iter().sum::<f64>() / N as f64;
            series.into_iter().map(|value| value - mean).collect::<Vec<_>>()
        };
        let x = centred(autoregressive(0.9, N, &mut rng));
        let y = centred(autoregressive(0.9, N, &mut rng));
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let scale = (dot(&x, &x) * dot(&y, &y)).sqrt();
        let limit = 1.96 / (N as f64).sqrt();
        (0..=20).any(|lag| {
            (dot(&x[..N - lag], &y[lag..]) / scale).abs() > limit
                || (dot(&y[..N - lag], &x[lag..]) / scale).abs() > limit
        })
    });
    assert!(alarms.count() > 180);
}

/// A machine that gets more to do gets it everywhere; that is no push.
#[test]
fn the_load_of_the_whole_machine_is_no_coupling() {
    let machine = |seed: u64| -> Vec<Vec<f64>> {
        let mut rng = Rng(seed);
        let common = autoregressive(0.9, N, &mut rng);
        let cpu = |rng: &mut Rng| -> Vec<f64> {
            autoregressive(0.9, N, rng).iter().zip(&common).map(|(own, all)| own + all).collect()
        };
        (0..16).map(|_| cpu(&mut rng)).collect()
    };
    let alarms = |cpus: usize| {
        (1..=60)
            .filter(|&seed| all_pairs(&machine(2_000_000 + seed)[..cpus])[0].significant())
            .count()
    };
    let (two, sixteen) = (alarms(2), alarms(16));
    println!("of 60 machines: {two} alarms from two CPUs alone, {sixteen} from all sixteen");
    assert!(two >= 57, "two CPUs cannot know of the machine: {two}");
    assert!(sixteen <= 9, "{sixteen}");
}

/// Spikes that are followed over there are pushes; falls that are, pulls.
#[test]
fn rises_that_are_followed_are_pushes_and_falls_pulls() {
    for (rises, expected) in [(true, Effect::Push), (false, Effect::Pull)] {
        let right = (1..=50).filter(|&seed| {
            let mut rng = Rng(3_000_000 + seed);
            let noise: Vec<f64> = (0..512).map(|_| normal(&mut rng)).collect();
            let y: Vec<f64> = (0..512usize)
                .map(|t| {
                    let lead = t.checked_sub(3).map_or(0.0, |t| noise[t]);
                    let part = if rises { lead.max(0.0) } else { lead.min(0.0) };
                    part + 0.8 * normal(&mut rng)
                })
                .collect();
            let found = &all_pairs(&[noise, y])[0];
            found.lag == 3 && found.significant() && found.effect == expected
        });
        let right = right.count();
        assert!(right >= 45, "{expected:?}: {right} of 50");
    }
}

#[test]
fn too_little_says_nothing() {
    assert_eq!(all_pairs(&[]), []);
    assert_eq!(all_pairs(&[vec![1.0; 50], vec![2.0; 50]]), []);
    assert_eq!(all_pairs(&[vec![1.0; 200], vec![2.0; 200]]), [], "they never change");
}
