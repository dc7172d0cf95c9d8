// SPDX-License-Identifier: GPL-2.0-only
//! Autoregressive models: what of a series its own past explains, taken out of it.
//!
//! Loads follow their own past closely, and two such series look correlated although neither knows
//! of the other. What is left of each after its own past is taken out is nearly independent from one
//! bin to the next, so that a correlation of the rests means something.

/// Highest order that is tried.
const ORDER_MAX: usize = 12;

/// `x(t) = Σ coefficient(k) · x(t−1−k) + rest(t)`, by Burg's method. The order is the one with the
/// lowest Bayesian information criterion: a filter with more terms than it needs smears what it
/// lets through over several lags.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// By lag, from 1 on.
    pub coefficients: Vec<f64>,
}

impl Model {
    /// Of a series, whose mean is taken out first. A constant one gets order 0.
    pub fn fit(series: &[f64]) -> Model {
        let n = series.len();
        let centred = centre(series);
        let mut variance = mean_square(&centred);
        let mut best = (criterion(n, 0, variance), Vec::new());
        let (mut forward, mut backward) = (centred.clone(), centred);
        let mut coefficients: Vec<f64> = Vec::new();
        for order in 1..=ORDER_MAX.min(n / 8) {
            let ahead = &forward[order..];
            let behind = &backward[order - 1..n - 1];
            let product: f64 = ahead.iter().zip(behind).map(|(f, b)| f * b).sum();
            let power: f64 = ahead.iter().zip(behind).map(|(f, b)| f * f + b * b).sum();
            if power <= f64::EPSILON {
                break;
            }
            let reflection = 2.0 * product / power;
            let mirrored: Vec<f64> = coefficients.iter().rev().copied().collect();
            for (own, mirror) in coefficients.iter_mut().zip(mirrored) {
                *own -= reflection * mirror;
            }
            coefficients.push(reflection);
            for t in (order..n).rev() {
                let (f, b) = (forward[t], backward[t - 1]);
                forward[t] = f - reflection * b;
                backward[t] = b - reflection * f;
            }
            variance *= 1.0 - reflection * reflection;
            let found = criterion(n, order, variance);
            if found < best.0 {
                best = (found, coefficients.clone());
            }
        }
        Model { coefficients: best.1 }
    }

    /// What the past does not explain. The first values, as many as the order, have no past and
    /// count as explained.
    pub fn rest(&self, series: &[f64]) -> Vec<f64> {
        let centred = centre(series);
        let order = self.coefficients.len();
        let mut rest = vec![0.0; series.len()];
        for t in order..series.len() {
            let past = self.coefficients.iter().enumerate().map(|(k, c)| c * centred[t - 1 - k]);
            rest[t] = centred[t] - past.sum::<f64>();
        }
        rest
    }
}

fn centre(series: &[f64]) -> Vec<f64> {
    let mean = series.iter().sum::<f64>() / series.len().max(1) as f64;
    series.iter().map(|value| value - mean).collect()
}

fn mean_square(series: &[f64]) -> f64 {
    series.iter().map(|value| value * value).sum::<f64>() / series.len().max(1) as f64
}

/// Bayesian information criterion, but for a constant.
fn criterion(n: usize, order: usize, variance: f64) -> f64 {
    let n = n as f64;
    if variance <= 0.0 { f64::INFINITY } else { n * variance.ln() + order as f64 * n.ln() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decay_is_explained_by_its_past() {
        let series: Vec<f64> = (0..200).map(|t| if t % 50 == 0 { 10.0 } else { 0.0 }).collect();
        let mut smooth = vec![0.0; 200];
        for t in 1..200 {
            smooth[t] = 0.8 * smooth[t - 1] + series[t];
        }
        let model = Model::fit(&smooth);
        assert!((model.coefficients[0] - 0.8).abs() < 0.1, "{model:?}");
        let rest = model.rest(&smooth);
        assert!(mean_square(&rest) < 0.5 * mean_square(&centre(&smooth)));
    }

    #[test]
    fn short_and_constant_series_have_no_past() {
        assert!(Model::fit(&[]).coefficients.is_empty());
        assert!(Model::fit(&[3.0; 100]).coefficients.is_empty());
        assert_eq!(Model::fit(&[3.0; 100]).rest(&[3.0; 100]), vec![0.0; 100]);
    }
}
