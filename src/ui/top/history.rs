// SPDX-License-Identifier: GPL-2.0-only
//! The load of each LLC over the last intervals, and lines of little bars.

use crate::stats::exported::TollStats;
use std::collections::{BTreeMap, VecDeque};

/// Intervals that are remembered: as many as a wide screen has columns.
const KEPT: usize = 256;
/// An eighth of a line each.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Loads in per cent, the newest last.
#[derive(Debug, Default)]
pub struct History {
    loads: BTreeMap<u32, VecDeque<f64>>,
}

impl History {
    /// Add an interval. When the machine has changed its shape, all begins anew.
    pub fn push(&mut self, stats: &TollStats) {
        if !self.loads.keys().eq(stats.llcs.keys()) {
            self.loads = stats.llcs.keys().map(|id| (*id, VecDeque::new())).collect();
        }
        for (id, llc) in &stats.llcs {
            let loads = self.loads.entry(*id).or_default();
            if loads.len() == KEPT {
                loads.pop_front();
            }
            loads.push_back(llc.load_pct);
        }
    }

    /// The mean load of `llcs`, each with its weight, over the last `width` intervals, as one line
    /// of bars that ends with the newest.
    pub fn bars(&self, llcs: &[(u32, f64)], width: usize) -> String {
        let kept = llcs.iter().filter_map(|(id, _)| self.loads.get(id)).map(VecDeque::len);
        let shown = kept.min().unwrap_or(0).min(width);
        let weight: f64 = llcs.iter().map(|(_, weight)| weight).sum();
        let mean = |back: usize| {
            let sum: f64 = llcs
                .iter()
                .filter_map(|(id, weight)| {
                    let loads = self.loads.get(id)?;
                    Some(loads.get(loads.len().checked_sub(back)?)? * weight)
                })
                .sum();
            sum / weight.max(1e-9)
        };
        let bars = (1..=shown).rev().map(|back| bar(mean(back)));
        " ".repeat(width - shown).chars().chain(bars).collect()
    }
}

/// The bar for a share in per cent.
pub fn bar(pct: f64) -> char {
    let last = BARS.len() - 1;
    BARS[((pct / 100.0 * last as f64).round().max(0.0) as usize).min(last)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::exported::LlcStats;

    fn stats(loads: &[f64]) -> TollStats {
        let llc = |load_pct: &f64| LlcStats { load_pct: *load_pct, ..LlcStats::default() };
        TollStats { llcs: (0..).zip(loads.iter().map(llc)).collect(), ..TollStats::default() }
    }

    #[test]
    fn bars_end_with_the_newest_and_begin_anew_with_the_machine() {
        let mut history = History::default();
        for loads in [[0.0, 100.0], [50.0, 100.0], [100.0, 100.0]] {
            history.push(&stats(&loads));
        }
        assert_eq!(history.bars(&[(0, 1.0)], 5), "  ▁▅█");
        assert_eq!(history.bars(&[(0, 1.0)], 2), "▅█");
        assert_eq!(history.bars(&[(0, 1.0), (1, 3.0)], 3), "▆▇█");
        assert_eq!(history.bars(&[(7, 1.0)], 2), "  ");
        history.push(&stats(&[100.0]));
        assert_eq!(history.bars(&[(0, 1.0)], 3), "  █");
        for _ in 0..2 * KEPT {
            history.push(&stats(&[0.0]));
        }
        assert_eq!(history.bars(&[(0, 1.0)], 400).trim_start().chars().count(), KEPT);
    }
}
