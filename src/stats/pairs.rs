// SPDX-License-Identifier: GPL-2.0-only
//! What moved from LLC to LLC: the map `toll_pairs` → one [`Pair`] for each two LLCs.

use crate::bpf::types;
use anyhow::{Context, Result, bail};
use libbpf_rs::{MapCore, MapFlags};
use serde::Serialize;

#[repr(transparent)]
#[derive(Default)]
struct PairBytes(types::toll_pair);

// SAFETY: the generated struct is `repr(C)`, made of integers only, and every
// bit pattern is a valid value.
unsafe impl plain::Plain for PairBytes {}

/// What moved from one LLC to another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// LLC that it came from.
    pub from: u32,
    /// LLC where it landed.
    pub to: u32,
    /// Tasks that landed, whatever moved them.
    pub moves: u64,
    /// Moves that were decided because ΔL exceeded P.
    pub judged: u64,
    /// ΔL of these, summed, in ns.
    pub gain_ns: i64,
    /// P of these, summed, in ns; below 0 where tasks went home.
    pub penalty_ns: i64,
}

/// Entries that one system call reads.
const BATCH: u32 = 1024;

/// Read the map `toll_pairs` of a machine with `nr_llcs` LLCs, row by row.
///
/// # Errors
/// When the map cannot be read, or has another size.
pub fn read(map: &impl MapCore, nr_llcs: usize) -> Result<Vec<Pair>> {
    let entries = nr_llcs * nr_llcs;
    let batch = BATCH.min(entries as u32);
    let mut pairs = Vec::with_capacity(entries);
    let read = map.lookup_batch(batch, MapFlags::ANY, MapFlags::ANY);
    for (index, (_, bytes)) in read.context("toll_pairs cannot be read")?.enumerate() {
        let mut entry = PairBytes::default();
        if plain::copy_from_bytes(&mut entry, &bytes).is_err() {
            bail!("entry {index} of toll_pairs has {} bytes", bytes.len());
        }
        let types::toll_pair { nr_moves, nr_judged, gain_ns, penalty_ns } = entry.0;
        pairs.push(Pair {
            from: (index / nr_llcs.max(1)) as u32,
            to: (index % nr_llcs.max(1)) as u32,
            moves: nr_moves,
            judged: nr_judged,
            gain_ns,
            penalty_ns,
        });
    }
    if pairs.len() != entries {
        bail!("toll_pairs has {} entries, expected {entries}", pairs.len());
    }
    Ok(pairs)
}

/// What moved from `before` to `after`, without the pairs between which nothing did.
pub(super) fn since(after: &[Pair], before: &[Pair]) -> Vec<Pair> {
    let none = Pair::default();
    let before = before.iter().chain(std::iter::repeat(&none));
    let moved = after.iter().zip(before).map(|(after, before)| Pair {
        moves: after.moves.saturating_sub(before.moves),
        judged: after.judged.saturating_sub(before.judged),
        gain_ns: after.gain_ns.wrapping_sub(before.gain_ns),
        penalty_ns: after.penalty_ns.wrapping_sub(before.penalty_ns),
        ..*after
    });
    moved.filter(|pair| pair.moves > 0 || pair.judged > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pairs_that_moved_are_kept_and_sums_may_be_negative() {
        let pair = |to, moves, penalty_ns| Pair { to, moves, penalty_ns, ..Pair::default() };
        let before = [pair(0, 0, 0), pair(1, 5, 100), pair(2, 7, 0)];
        let after = [pair(0, 0, 0), pair(1, 5, 100), pair(2, 9, -40)];
        assert_eq!(since(&after, &before), [pair(2, 2, -40)]);
        assert_eq!(since(&after, &[]).len(), 2, "since the start");
    }
}
