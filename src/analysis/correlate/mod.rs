// SPDX-License-Identifier: GPL-2.0-only
//! Does load in one place cause load in another? Lagged correlation that does not take the past of
//! a series, the load of the whole machine, or the number of looks for an answer.
//!
//! 1. What the own past explains is taken out of each series ([`ar`]).
//! 2. What the load of all *others* explains, a bin earlier, now and a bin later, is taken out too:
//!    a machine that gets more to do gets it everywhere.
//! 3. The rests are correlated at every lag from −[`LAG_MAX`] to +[`LAG_MAX`]; Fisher's z of the
//!    largest gives a probability, which is corrected for the number of lags and of pairs (Bonferroni).
//! 4. Who comes first leads. With a positive correlation a rise of the leader that is followed by a
//!    rise is a **push** to the follower; a fall (the leader idles) that is followed by a fall is a
//!    **pull** from it. Rises and falls are told apart by fitting both slopes. A negative one without
//!    lag is an **exchange**: what one place gains the other loses within a bin.
//!
//! Bad at: causes that act within a bin (no direction then), and third parties that act with a lag.

pub mod ar;
pub mod normal;

use ar::Model;
use serde::Serialize;

/// Farthest lag, in bins.
pub const LAG_MAX: usize = 20;
/// Fewer bins than this say nothing.
pub const BINS_MIN: usize = 4 * LAG_MAX;
/// A finding by chance alone in so many analyses.
pub const ALPHA: f64 = 0.05;
/// A slope counts if it is so many standard errors from 0, and the other is not.
const SLOPE_MIN: f64 = 2.0;

/// What a correlation looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// A rise of the leader is followed by a rise of the other.
    Push,
    /// A fall of the leader is followed by a fall of the other.
    Pull,
    /// What one gains the other loses.
    Exchange,
    /// Rises and falls alike, or no lag.
    Undetermined,
}

impl Effect {
    /// In tables.
    pub const fn name(self) -> &'static str {
        match self {
            Effect::Push => "push",
            Effect::Pull => "pull",
            Effect::Exchange => "exchange",
            Effect::Undetermined => "undetermined",
        }
    }
}

/// The strongest correlation of two series.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Correlation {
    /// The first series, by position.
    pub a: usize,
    /// The second.
    pub b: usize,
    /// Bins by which `a` leads; negative: `b` leads.
    pub lag: i32,
    /// The correlation of the rests there.
    pub r: f64,
    /// The probability of such a one by chance, at one lag of one pair.
    pub p: f64,
    /// The same for the strongest of all lags and pairs that were looked at.
    pub p_family: f64,
    /// Bins that it rests on.
    pub n: usize,
    /// What it looks like.
    pub effect: Effect,
    /// The correlation at every lag, from −[`LAG_MAX`] on.
    pub by_lag: Vec<f64>,
}

impl Correlation {
    /// It is no chance, at [`ALPHA`] for all that was looked at.
    pub fn significant(&self) -> bool {
        self.p_family < ALPHA
    }
}

/// All pairs of `series`, which are of equal length and in equal bins; the strongest first. Series
/// that never change are left out. Empty if there are fewer than [`BINS_MIN`] bins.
pub fn all_pairs(series: &[Vec<f64>]) -> Vec<Correlation> {
    let len = series.iter().map(Vec::len).min().unwrap_or(0);
    if len < BINS_MIN {
        return Vec::new();
    }
    let rests: Vec<Vec<f64>> =
        series.iter().map(|series| Model::fit(&series[..len]).rest(&series[..len])).collect();
    let moving: Vec<usize> = (0..rests.len()).filter(|&at| power(&rests[at]) > 1e-12).collect();
    let pairs = moving.len() * moving.len().saturating_sub(1) / 2;
    let total = sum(series, len);
    let mut found = Vec::with_capacity(pairs);
    for (at, &a) in moving.iter().enumerate() {
        for &b in &moving[at + 1..] {
            let others = Others::of(&total, &series[a], &series[b], moving.len());
            let (x, y) = (others.without(&rests[a]), others.without(&rests[b]));
            found.push(strongest((a, &x), (b, &y), pairs, others.regressors.len()));
        }
    }
    found.sort_by(|one, other| {
        one.p_family.total_cmp(&other.p_family).then(other.r.abs().total_cmp(&one.r.abs()))
    });
    found
}

fn sum(series: &[Vec<f64>], len: usize) -> Vec<f64> {
    (0..len).map(|t| series.iter().map(|series| series[t]).sum()).collect()
}

fn power(series: &[f64]) -> f64 {
    series.iter().map(|value| value * value).sum()
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// What the load of all others was, as series that are orthogonal to each other.
struct Others {
    regressors: Vec<Vec<f64>>,
}

impl Others {
    fn of(total: &[f64], a: &[f64], b: &[f64], nr_series: usize) -> Others {
        if nr_series < 3 {
            return Others { regressors: Vec::new() };
        }
        let rest: Vec<f64> =
            total.iter().zip(a).zip(b).map(|((total, a), b)| total - a - b).collect();
        let rest = Model::fit(&rest).rest(&rest);
        let n = rest.len();
        let shifted = |by: isize| -> Vec<f64> {
            let at = |t: usize| t.checked_add_signed(by).filter(|&t| t < n);
            (0..n).map(|t| at(t).map_or(0.0, |t| rest[t])).collect()
        };
        let mut others = Others { regressors: Vec::new() };
        for by in [0, -1, 1] {
            let regressor = others.without(&shifted(by));
            if power(&regressor) > 1e-12 {
                others.regressors.push(regressor);
            }
        }
        others
    }

    /// What they do not explain of a series.
    fn without(&self, series: &[f64]) -> Vec<f64> {
        let mut left = series.to_vec();
        for regressor in &self.regressors {
            let slope = dot(&left, regressor) / power(regressor);
            left.iter_mut().zip(regressor).for_each(|(left, value)| *left -= slope * value);
        }
        left
    }
}

/// The strongest correlation of two rests.
fn strongest(
    (a, x): (usize, &[f64]),
    (b, y): (usize, &[f64]),
    pairs: usize,
    taken: usize,
) -> Correlation {
    let n = x.len();
    let scale = (power(x) * power(y)).sqrt().max(f64::MIN_POSITIVE);
    let lags = -(LAG_MAX as i32)..=LAG_MAX as i32;
    let by_lag: Vec<f64> = lags
        .clone()
        .map(|lag| {
            let by = lag.unsigned_abs() as usize;
            let (lead, follow) = if lag >= 0 { (x, y) } else { (y, x) };
            dot(&lead[..n - by], &follow[by..]) / scale
        })
        .collect();
    // Sums over n − |lag| bins were divided by n: the test allows for it, and for what was taken out.
    let z = |at: usize| {
        let bins = (n - at.abs_diff(LAG_MAX)) as f64;
        let r = (by_lag[at] * n as f64 / bins).clamp(-0.999_999, 0.999_999);
        r.atanh() * (bins - 3.0 - taken as f64).max(1.0).sqrt()
    };
    let best = (0..by_lag.len()).max_by(|&one, &other| z(one).abs().total_cmp(&z(other).abs()));
    let best = best.unwrap_or(LAG_MAX);
    let p = normal::two_sided(z(best));
    let lag = best as i32 - LAG_MAX as i32;
    Correlation {
        a,
        b,
        lag,
        r: by_lag[best],
        p,
        p_family: normal::family(p, by_lag.len() * pairs),
        n,
        effect: effect(x, y, lag, by_lag[best]),
        by_lag,
    }
}

/// What a correlation at `lag` looks like.
fn effect(x: &[f64], y: &[f64], lag: i32, r: f64) -> Effect {
    if r < 0.0 {
        return if lag == 0 { Effect::Exchange } else { Effect::Undetermined };
    }
    if lag == 0 {
        return Effect::Undetermined;
    }
    let by = lag.unsigned_abs() as usize;
    let (lead, follow) = if lag > 0 { (x, y) } else { (y, x) };
    let (rises, falls) = slopes(&lead[..lead.len() - by], &follow[by..]);
    match (rises > SLOPE_MIN, falls > SLOPE_MIN) {
        (true, false) => Effect::Push,
        (false, true) => Effect::Pull,
        _ => Effect::Undetermined,
    }
}

/// How many standard errors the slopes of `y` over the rises and over the falls of `x` are above 0.
fn slopes(x: &[f64], y: &[f64]) -> (f64, f64) {
    let rises: Vec<f64> = x.iter().map(|value| value.max(0.0)).collect();
    let falls: Vec<f64> = x.iter().map(|value| value.min(0.0)).collect();
    let n = x.len() as f64;
    let mean = |series: &[f64]| series.iter().sum::<f64>() / n;
    let (up, down, level) = (mean(&rises), mean(&falls), mean(y));
    let (mut uu, mut dd, mut ud, mut uy, mut dy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for t in 0..x.len() {
        let (u, d, v) = (rises[t] - up, falls[t] - down, y[t] - level);
        uu += u * u;
        dd += d * d;
        ud += u * d;
        uy += u * v;
        dy += d * v;
    }
    let determinant = uu * dd - ud * ud;
    if determinant <= f64::EPSILON * uu * dd {
        // Only rises, or only falls.
        return if uu >= dd {
            (f64::from(uy > 0.0) * 9.0, 0.0)
        } else {
            (0.0, f64::from(dy > 0.0) * 9.0)
        };
    }
    let (rise, fall) = ((uy * dd - dy * ud) / determinant, (dy * uu - uy * ud) / determinant);
    let mut error = 0.0;
    for t in 0..x.len() {
        let left = y[t] - level - rise * (rises[t] - up) - fall * (falls[t] - down);
        error += left * left;
    }
    let variance = (error / (n - 3.0).max(1.0)).max(f64::MIN_POSITIVE);
    (rise / (variance * dd / determinant).sqrt(), fall / (variance * uu / determinant).sqrt())
}
