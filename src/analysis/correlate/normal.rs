// SPDX-License-Identifier: GPL-2.0-only
//! Probabilities of the normal distribution.

/// The probability that a standard normal value is farther from 0 than `z`.
pub fn two_sided(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    if x < 2.0 { 1.0 - erf_series(x) } else { erfc_fraction(x) }
}

/// The probability that the least of `m` values of probability `p` is that small, at most
/// (Bonferroni), however they depend on each other.
pub fn family(p: f64, m: usize) -> f64 {
    (m as f64 * p).min(1.0)
}

/// erf by its Taylor series around 0; exact to rounding below 3.
fn erf_series(x: f64) -> f64 {
    let mut term = x;
    let mut sum = x;
    for n in 1..80u32 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

/// erfc by its continued fraction, from behind; good above 1.5.
fn erfc_fraction(x: f64) -> f64 {
    let tail = (1..=60u32).rev().fold(0.0, |tail, k| f64::from(k) / 2.0 / (x + tail));
    (-x * x).exp() / (std::f64::consts::PI.sqrt() * (x + tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_as_in_the_tables() {
        for (z, p) in [
            (0.0, 1.0),
            (1.0, 0.317_310_507_9),
            (1.959_964, 0.05),
            (2.828, 0.004_683_9),
            (2.829, 0.004_669_3),
            (5.0, 5.733_031_4e-7),
            (10.0, 1.523_970_6e-23),
        ] {
            let found = two_sided(z);
            assert!((found / p - 1.0).abs() < 2e-4, "{z}: {found} for {p}");
        }
    }

    #[test]
    fn the_least_of_many_is_small_by_chance() {
        assert_eq!(family(0.001, 41), 0.041);
        assert_eq!(family(0.5, 41), 1.0);
    }
}
