// SPDX-License-Identifier: GPL-2.0-only
//! Pointer chasing: lines that name each other in one random cycle, so that each load has to wait
//! for the one before and no prefetcher can guess the next.

use std::hint::black_box;

/// Bytes of a [`CacheLine`].
pub const LINE_BYTES: usize = 64;

/// One cache line: the index of the next, and room to make the line dirty.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
pub struct CacheLine {
    next: u32,
    mark: u32,
    fill: [u64; 7],
}

/// A small seeded generator (splitmix64): the same seed gives the same cycle.
pub struct Rng(pub u64);

impl Rng {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, 0 for a bound of 0; the bias of at most 2^-32 does not matter here.
    pub fn below(&mut self, bound: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(bound)) >> 32) as u32
    }
}

/// A random permutation of `0 .. len` that is one cycle (Sattolo's algorithm).
pub fn random_cycle(len: u32, rng: &mut Rng) -> Vec<u32> {
    let mut next: Vec<u32> = (0..len).collect();
    for i in (1..len).rev() {
        next.swap(i as usize, rng.below(i) as usize);
    }
    next
}

/// Link `lines` into one random cycle; every line is written, so its memory is there afterwards.
pub fn link(lines: &mut [CacheLine], rng: &mut Rng) {
    let cycle = random_cycle(lines.len() as u32, rng);
    for (line, next) in lines.iter_mut().zip(cycle) {
        *line = CacheLine { next, ..CacheLine::default() };
    }
}

/// Write to each line, so that no other cache holds a copy any more.
pub fn modify(lines: &mut [CacheLine]) {
    for line in lines {
        line.mark = black_box(line.mark.wrapping_add(1));
    }
}

/// Follow the cycle for `steps` lines from `at`, and return where it led.
pub fn follow(lines: &[CacheLine], at: u32, steps: usize) -> u32 {
    let mut at = at;
    for _ in 0..steps {
        at = lines.get(at as usize).map_or(0, |line| line.next);
    }
    black_box(at)
}

/// Read each line in order, as a stream; the sum of what was read.
pub fn stream(lines: &[CacheLine]) -> u64 {
    let sum = |line: &CacheLine| {
        line.fill.iter().fold(u64::from(line.next), |sum, word| sum.wrapping_add(*word))
    };
    black_box(lines.iter().map(sum).fold(0, u64::wrapping_add))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cycle_visits_every_line_once_and_depends_on_the_seed_only() {
        for len in [1, 2, 3, 257] {
            let cycle = random_cycle(len, &mut Rng(7));
            let mut seen = vec![false; len as usize];
            let mut at = 0;
            for _ in 0..len {
                assert!(!std::mem::replace(&mut seen[at as usize], true), "{len}: {at} twice");
                at = cycle[at as usize];
            }
            assert_eq!(at, 0);
            assert_eq!(cycle, random_cycle(len, &mut Rng(7)));
        }
        assert_ne!(random_cycle(257, &mut Rng(7)), random_cycle(257, &mut Rng(8)));
    }

    #[test]
    fn a_line_is_a_line() {
        assert_eq!((size_of::<CacheLine>(), align_of::<CacheLine>()), (LINE_BYTES, LINE_BYTES));
        let mut lines = vec![CacheLine::default(); 64];
        link(&mut lines, &mut Rng(1));
        assert_eq!(follow(&lines, 5, 64), 5);
    }
}
