// SPDX-License-Identifier: GPL-2.0-only
//! How warm cache lines fade while others run.
//!
//! Problem: a task that stopped running loses its lines to whoever runs in the same LLC. Nobody
//! can see which lines are left; only the busy time of the others is known.
//!
//! Approach: the others load new lines during a share `fill_share` of their run time, one KiB per
//! `ns_per_kib`. Each line they load evicts a random one, so what is left after busy time `t` is
//! `exp(−t/τ)`, where τ is the busy time in which they load as much as the cache holds:
//!
//! ```text
//!   τ = cache_kib × ns_per_kib / fill_share
//! ```
//!
//! For 32 MiB, 340 ns and 0.25 that is 45 ms. There is one table for the machine, made for its
//! smallest LLC: in the larger ones warmth is then underestimated and moves look a little too
//! cheap, rather than so dear that a queue waits for a cache that is cold.
//!
//! Invariants: the first entry is 1.0, the entries never rise, and the step is at least 100 µs.

use crate::model::penalty::Warmth;
use crate::topology::Topology;
use crate::units::{Ns, Q10};

/// Entries of the table, as `TOLL_DECAY_LEN` in `intf.h`.
pub const DECAY_LEN: usize = 64;
/// Steps per τ: 64 entries then reach exp(−5.25), half a per cent.
const STEPS_PER_TAU: f64 = 12.0;
/// Shortest step: below it the busy clock, which advances in whole turns, has no resolution.
pub const STEP_MIN: Ns = Ns::from_us(100);

/// Warmth that is left after `k` steps of others' busy time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecayTable {
    /// What is left after `k` steps, 1024 = all of it; never rising; nothing is left beyond.
    pub q10: [u32; DECAY_LEN],
    /// Busy time of others per step; at least [`STEP_MIN`].
    pub step: Ns,
    /// Busy time of others after which 1/e is left.
    pub tau: Ns,
}

impl DecayTable {
    /// The table for `topo`: τ from `warmth.wear`, or else from the smallest LLC's size.
    pub fn new(warmth: &Warmth, topo: &Topology) -> DecayTable {
        let tau = warmth.wear.map_or_else(|| tau_from_cache(warmth, topo), |wear| wear.value);
        DecayTable::with_tau(tau)
    }

    /// The table for a given τ.
    pub fn with_tau(tau: Ns) -> DecayTable {
        let step = tau.times(1.0 / STEPS_PER_TAU).max(STEP_MIN);
        let per_step =
            if tau == Ns::ZERO { f64::INFINITY } else { step.get() as f64 / tau.get() as f64 };
        let left = |k: usize| match k {
            0 => Q10::ONE,
            _ => Q10::clamped_from_f64((-(k as f64) * per_step).exp()),
        };
        DecayTable { q10: std::array::from_fn(|k| left(k).raw()), step, tau }
    }
}

/// Time for others to stream through the smallest LLC; the longest time when nothing is ever
/// loaded.
fn tau_from_cache(warmth: &Warmth, topo: &Topology) -> Ns {
    let smallest = topo.llcs.iter().map(|llc| llc.cache_kib).min().unwrap_or(1);
    let load_all = f64::from(smallest) * f64::from(warmth.ns_per_kib.value);
    let share = warmth.fill_share.value;
    if share == Q10::ZERO {
        return Ns::MAX;
    }
    Ns::clamped_from_f64(load_all / share.as_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::penalty::{Cell, PenaltyTable, Provenance};

    #[test]
    fn the_example_of_the_page_above() {
        let mut topo = Topology::synthetic(1, 2, 1).unwrap();
        topo.llcs[0].cache_kib = 32 * 1024;
        topo.llcs[1].cache_kib = 96 * 1024;
        let table = DecayTable::new(&PenaltyTable::default().warmth, &topo);
        assert_eq!(table.tau, Ns::new(32 * 1024 * 340 * 4));
        assert_eq!(table.q10[0], 1024);
        assert_eq!(table.q10[12], (1024.0 / std::f64::consts::E).round() as u32);
        assert!(table.q10[63] <= 6, "{}", table.q10[63]);
    }

    #[test]
    fn entries_never_rise_and_the_step_has_a_floor() {
        for tau in [0, 1, 1_000, 100_000, 1_200_000, 44_564_480, 1 << 40] {
            let table = DecayTable::with_tau(Ns::new(tau));
            assert_eq!(table.q10[0], 1024, "{tau}");
            assert!(table.q10.is_sorted_by(|a, b| a >= b), "{tau}: {:?}", table.q10);
            assert!(table.step >= STEP_MIN && table.step <= Ns::MAX, "{tau}");
        }
        assert_eq!(DecayTable::with_tau(Ns::ZERO).q10[1], 0);
    }

    #[test]
    fn a_given_wear_time_wins_over_the_cache_size() {
        let topo = Topology::synthetic(1, 1, 4).unwrap();
        let mut warmth = PenaltyTable::default().warmth;
        warmth.wear = Some(Cell::new(Ns::from_ms(12), Provenance::Given));
        let table = DecayTable::new(&warmth, &topo);
        assert_eq!((table.tau, table.step), (Ns::from_ms(12), Ns::from_ms(1)));
        warmth.wear = None;
        warmth.fill_share.value = Q10::ZERO;
        assert_eq!(DecayTable::new(&warmth, &topo).tau, Ns::MAX);
    }
}
