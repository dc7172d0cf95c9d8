// SPDX-License-Identifier: GPL-2.0-only
//! Random numbers for the formulas of decide.h: ordinary ones, anything at all, and above all the
//! bounds at which clamping, rounding and overflow happen.

use proptest::prelude::*;

/// The numbers around every bound that decide.h names.
const EDGES: [u64; 20] = [
    0,
    1,
    2,
    63,
    64,
    999,
    1_000,
    1_023,
    1_024,
    1_025,
    (1 << 20) - 1,
    1 << 20,
    (1 << 20) + 1,
    (1 << 40) - 1,
    1 << 40,
    (1 << 40) + 1,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

/// A time in ns, or a count.
pub fn any_u64() -> impl Strategy<Value = u64> {
    prop_oneof![
        2 => prop::sample::select(EDGES.to_vec()),
        2 => 0..100_000_000u64,
        1 => any::<u64>(),
        1 => (0..64u32).prop_map(|bits| u64::MAX >> bits),
    ]
}

/// A factor, a rate or a small count.
pub fn any_u32() -> impl Strategy<Value = u32> {
    prop_oneof![
        2 => prop::sample::select(EDGES.to_vec()).prop_map(|edge| edge as u32),
        2 => 0..10_000u32,
        1 => any::<u32>(),
    ]
}

/// A gain or a cost, which may be negative.
pub fn any_i64() -> impl Strategy<Value = i64> {
    prop_oneof![
        2 => (any_u64(), any::<bool>()).prop_map(|(ns, minus)| {
            let ns = ns as i64;
            if minus { ns.wrapping_neg() } else { ns }
        }),
        1 => any::<i64>(),
        1 => Just(i64::MIN),
    ]
}
