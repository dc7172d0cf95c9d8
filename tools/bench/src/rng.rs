// SPDX-License-Identifier: GPL-2.0-only
//! Randomness that is the same on every machine: xoshiro256**, seeded by SplitMix64.
//!
//! Each thread of a load draws from a stream of its own, so that what one thread draws does not
//! depend on how the threads were scheduled.

/// One stream of random numbers.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// Stream number `stream` of `seed`.
    pub fn stream(seed: u64, stream: u64) -> Self {
        let mut mix = SplitMix { state: seed };
        let mut mix = SplitMix { state: mix.next() ^ stream };
        Self { state: std::array::from_fn(|_| mix.next()) }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let drawn = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        drawn
    }

    /// A number in `0..n`, or 0 if `n` is 0. (Multiply and shift: the bias is below n / 2^64.)
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// A number in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        const BITS: u32 = f64::MANTISSA_DIGITS;
        (self.bits() >> (u64::BITS - BITS)) as f64 / (1u64 << BITS) as f64
    }

    /// True in `pct` of 100 draws.
    pub fn chance_pct(&mut self, pct: u64) -> bool {
        self.below(100) < pct
    }

    /// An exponentially distributed time with this mean. Never above about 37 means.
    pub fn exponential_ns(&mut self, mean_ns: u64) -> u64 {
        (-(1.0 - self.unit()).ln() * mean_ns as f64) as u64
    }
}

/// The generator whose outputs seed the other one.
struct SplitMix {
    state: u64,
}

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: usize = 100_000;

    #[test]
    fn splitmix_gives_the_published_values_for_seed_0() {
        let mut mix = SplitMix { state: 0 };
        assert_eq!(mix.next(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix.next(), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn xoshiro_gives_the_published_values_for_state_1234() {
        let mut rng = Rng { state: [1, 2, 3, 4] };
        let drawn: Vec<u64> = (0..4).map(|_| rng.bits()).collect();
        assert_eq!(drawn, [11_520, 0, 1_509_978_240, 1_215_971_899_390_074_240]);
    }

    #[test]
    fn a_stream_repeats_and_streams_differ() {
        let draw = |seed, stream| Rng::stream(seed, stream).bits();
        assert_eq!(draw(1, 7), draw(1, 7));
        assert_ne!(draw(1, 7), draw(1, 8));
        assert_ne!(draw(1, 7), draw(2, 7));
    }

    #[test]
    fn below_fills_its_range_evenly() {
        let mut rng = Rng::stream(1, 0);
        let mut counts = [0usize; 10];
        for _ in 0..DRAWS {
            counts[rng.below(10) as usize] += 1;
        }
        let share = DRAWS / 10;
        for count in counts {
            assert!(count.abs_diff(share) < share / 20, "{counts:?}");
        }
        assert_eq!(rng.below(0), 0);
    }

    #[test]
    fn unit_stays_in_range_with_mean_a_half() {
        let mut rng = Rng::stream(2, 0);
        let drawn: Vec<f64> = (0..DRAWS).map(|_| rng.unit()).collect();
        assert!(drawn.iter().all(|u| (0.0..1.0).contains(u)));
        let mean = drawn.iter().sum::<f64>() / DRAWS as f64;
        assert!((mean - 0.5).abs() < 0.005, "{mean}");
    }

    #[test]
    fn exponential_has_its_mean_and_its_median() {
        let mut rng = Rng::stream(3, 0);
        let mut drawn: Vec<u64> = (0..DRAWS).map(|_| rng.exponential_ns(1_000_000)).collect();
        let mean = drawn.iter().sum::<u64>() as f64 / DRAWS as f64;
        assert!((mean / 1e6 - 1.0).abs() < 0.02, "{mean}");
        drawn.sort_unstable();
        let median = drawn[DRAWS / 2] as f64 / 1e6;
        assert!((median - std::f64::consts::LN_2).abs() < 0.02, "{median}");
    }
}
