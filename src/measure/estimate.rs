// SPDX-License-Identifier: GPL-2.0-only
//! From samples to one figure that survives a busy machine.
//!
//! Noise only ever adds time, so the truth lies at the lower end: the figure is the 10th
//! percentile of the samples in which the thread was not switched out. (Not the least: one lucky
//! sample, or one reading of a clock that jumped, would decide.) How far the median lies above it
//! is the spread, the figure's own confession.

/// Fewest undisturbed samples that make a figure.
pub const SAMPLES_MIN: usize = 8;
/// Widest spread that is believed: a median above twice the 10th percentile says that something
/// other than the machine was measured.
pub const SPREAD_MAX: f64 = 1.0;

/// One reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// What was read, in the unit of the figure (mostly ns).
    pub value: f64,
    /// A thread that took part was switched out meanwhile.
    pub disturbed: bool,
}

/// What a series of samples says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// 10th percentile of the samples that were kept.
    pub p10: f64,
    /// `(median − p10) / p10`; 0 when all samples agree.
    pub spread: f64,
    /// Samples that were kept.
    pub samples: u32,
    /// Samples that were rejected.
    pub rejected: u32,
}

impl Estimate {
    /// The figure for `samples`; `None` with fewer than [`SAMPLES_MIN`] that are undisturbed,
    /// finite and above 0.
    pub fn of(samples: &[Sample]) -> Option<Estimate> {
        let good = |s: &&Sample| !s.disturbed && s.value.is_finite() && s.value > 0.0;
        let mut kept: Vec<f64> = samples.iter().filter(good).map(|s| s.value).collect();
        if kept.len() < SAMPLES_MIN {
            return None;
        }
        kept.sort_unstable_by(f64::total_cmp);
        let p10 = percentile(&kept, 10);
        Some(Estimate {
            p10,
            spread: (percentile(&kept, 50) - p10) / p10,
            samples: kept.len() as u32,
            rejected: (samples.len() - kept.len()) as u32,
        })
    }

    /// True when the spread is narrow enough to be believed.
    pub fn is_calm(&self) -> bool {
        self.spread <= SPREAD_MAX
    }

    /// The median, in the unit of the samples.
    pub fn median(&self) -> f64 {
        self.p10 * (1.0 + self.spread)
    }
}

/// The smallest value that at least `pct` per cent of `sorted` do not exceed (nearest rank);
/// 0 for an empty series.
fn percentile(sorted: &[f64], pct: usize) -> f64 {
    let rank = (sorted.len() * pct).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0.0)
}
