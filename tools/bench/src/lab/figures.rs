// SPDX-License-Identifier: GPL-2.0-only
//! What a scenario found: figures with their bounds, and what its tasks paid.

use serde::{Deserialize, Serialize};

/// Which way a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Times, deviations.
    Lower,
    /// Work, shares, rates.
    Higher,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Short, with `_` between words.
    pub name: String,
    /// In `unit`.
    pub value: f64,
    /// `ms`, `us`, `pct`, `per_s`, or nothing for a ratio.
    pub unit: String,
    /// What no scheduler can beat on a machine on which moves are free; none where nobody knows.
    pub bound: Option<f64>,
    /// Which way it is better.
    pub better: Better,
}

impl Figure {
    /// A figure for which less is better.
    pub fn lower(name: &str, value: f64, unit: &str) -> Figure {
        Figure { name: name.into(), value, unit: unit.into(), bound: None, better: Better::Lower }
    }

    /// A figure for which more is better.
    pub fn higher(name: &str, value: f64, unit: &str) -> Figure {
        Figure { better: Better::Higher, ..Figure::lower(name, value, unit) }
    }

    /// The same with its bound.
    pub fn bounded(self, bound: f64) -> Figure {
        Figure { bound: Some(bound), ..self }
    }

    /// Value ÷ bound, the figure to quote; none without a bound.
    pub fn ratio(&self) -> Option<f64> {
        self.bound.filter(|bound| *bound > 0.0).map(|bound| self.value / bound)
    }
}

/// What the tasks of a scenario did and paid in sum; CPU time in ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paid {
    /// Work done, as at home.
    pub work_ns: u64,
    /// Paid for moves.
    pub refill_ns: u64,
    /// Paid for being away from the memory.
    pub remote_ns: u64,
    /// Moves to another LLC of the node, by the tasks' own looks.
    pub llc_moves: u64,
    /// Moves to another node, likewise.
    pub node_moves: u64,
}

/// What one run of a scenario found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Its name.
    pub scenario: String,
    /// The scenario's own figures.
    pub figures: Vec<Figure>,
    /// What its tasks paid.
    pub paid: Paid,
    /// When it was released and when it was over, by the monotonic clock, ns.
    pub from_ns: u64,
    /// See `from_ns`.
    pub until_ns: u64,
}

/// The mean of `samples`; 0 of none.
pub fn mean(samples: &[u64]) -> f64 {
    let sum: u128 = samples.iter().map(|&sample| u128::from(sample)).sum();
    sum as f64 / samples.len().max(1) as f64
}

/// The value below which `per_mille` thousandths of `samples` lie, by nearest rank; 0 of none.
pub fn quantile(samples: &[u64], per_mille: usize) -> u64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * per_mille).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_go_by_nearest_rank() {
        let samples: Vec<u64> = (1..=200).rev().collect();
        assert_eq!(quantile(&samples, 990), 198);
        assert_eq!(quantile(&samples, 500), 100);
        assert_eq!(quantile(&samples, 1000), 200);
        assert_eq!((quantile(&[7], 999), quantile(&[], 500)), (7, 0));
    }

    #[test]
    fn a_ratio_needs_a_bound() {
        assert_eq!(Figure::lower("mean", 3.0, "ms").bounded(2.0).ratio(), Some(1.5));
        assert_eq!(Figure::higher("rate", 3.0, "per_s").ratio(), None);
        assert_eq!(Figure::lower("none", 3.0, "ms").bounded(0.0).ratio(), None);
        assert_eq!(mean(&[1, 2, 6]), 3.0);
    }
}
