// SPDX-License-Identifier: GPL-2.0-only
//! What a move costs a warm working set.
//!
//! A thread on the first CPU writes each line of the set, which throws copies out of all other
//! caches, and follows a random cycle through it: the warm time. It then moves to the second CPU
//! and follows the cycle there: the cold time. The difference per line is the refill. The loads
//! depend on each other, so it is an upper bound; independent loads overlap.
//!
//! Large sets are followed in part only, in segments, and the cold segments are others
//! than the warm ones: each line is met once, in the state in which the writing left it.

use super::chase::{self, CacheLine, LINE_BYTES};
use super::estimate::{Estimate, Sample};
use super::os;
use super::plan::{Distance, Pair};
use std::io;
use std::time::{Duration, Instant};

/// Working sets in KiB that are always measured; one beyond the LLC is added.
const SIZES_KIB: [u32; 6] = [16, 64, 256, 1024, 4096, 16384];
/// Largest working set in KiB; memory is taken for one set at a time.
const BEYOND_KIB_MAX: u32 = 64 * 1024;
/// Lines that are timed at once: short enough to fit between two context switches.
const SEGMENT_LINES: usize = 1024;
/// Most segments after one move.
const SEGMENTS_MAX: usize = 16;
/// Sets of up to this many lines are followed once before they count as warm, for the caches
/// nearest to the core; of larger ones those hold a small part anyway.
const SETTLE_LINES: usize = 16 * 1024;
/// Most and fewest moves per distance and size.
const ROUNDS: std::ops::RangeInclusive<usize> = 12..=200;

/// The refill of one working set across one distance.
#[derive(Debug, Clone, PartialEq)]
pub struct RefillEstimate {
    /// How far the move went.
    pub distance: Distance,
    /// Size of the set in KiB.
    pub kib: u32,
    /// ns per line before the move, and after it.
    pub warm_cold: Option<(Estimate, Estimate)>,
}

impl RefillEstimate {
    /// Extra ns per line after the move; 0 where the difference drowned.
    pub fn extra_ns(&self) -> Option<f64> {
        self.warm_cold.map(|(warm, cold)| (cold.p10 - warm.p10).max(0.0))
    }

    /// Wider of the two spreads.
    pub fn spread(&self) -> f64 {
        self.warm_cold.map_or(0.0, |(warm, cold)| warm.spread.max(cold.spread))
    }
}

/// The working sets in KiB for LLCs of `llc_kib`: up to a set beyond the LLC, bounded.
pub fn sizes_kib(llc_kib: u32) -> Vec<u32> {
    let beyond = llc_kib.saturating_mul(2).clamp(1024, BEYOND_KIB_MAX);
    let mut sizes: Vec<u32> = SIZES_KIB.into_iter().filter(|kib| *kib < beyond).collect();
    sizes.push(beyond);
    sizes
}

/// Measure a set of `kib` across each of `moves`, for about `budget` in all. It runs on a thread
/// of its own, so the caller stays where it is.
///
/// # Errors
/// The kernel's, when a CPU cannot be used.
pub fn measure(
    moves: &[Pair],
    kib: u32,
    budget: Duration,
    rng: &mut chase::Rng,
) -> io::Result<Vec<RefillEstimate>> {
    let work = || -> io::Result<Vec<RefillEstimate>> {
        let Some(first) = moves.first() else { return Ok(Vec::new()) };
        os::pin(first.from)?;
        let mut lines = vec![CacheLine::default(); kib as usize * 1024 / LINE_BYTES];
        chase::link(&mut lines, rng);
        let share = budget / moves.len() as u32;
        moves.iter().map(|pair| across(pair, kib, &mut lines, share)).collect()
    };
    std::thread::scope(|scope| {
        let joined = scope.spawn(work).join();
        joined.unwrap_or_else(|_| Err(io::Error::other("the measuring thread panicked")))
    })
}

/// Rounds across one pair until the time is over; twice the time on a machine so busy that the
/// fewest rounds take longer.
fn across(
    pair: &Pair,
    kib: u32,
    lines: &mut [CacheLine],
    budget: Duration,
) -> io::Result<RefillEstimate> {
    let start = Instant::now();
    let (mut warm, mut cold) = (Vec::new(), Vec::new());
    let mut at = 0;
    for round in 0..*ROUNDS.end() {
        let spent = start.elapsed();
        if spent > 2 * budget || (round >= *ROUNDS.start() && spent > budget) {
            break;
        }
        os::pin(pair.from)?;
        chase::modify(lines);
        if lines.len() <= SETTLE_LINES {
            at = chase::follow(lines, at, lines.len());
        }
        at = segments(lines, at, &mut warm);
        os::pin(pair.to)?;
        if pair.distance == Distance::Same {
            os::pin(pair.from)?;
        }
        at = segments(lines, at, &mut cold);
    }
    let warm_cold = Estimate::of(&warm).zip(Estimate::of(&cold));
    Ok(RefillEstimate { distance: pair.distance, kib, warm_cold })
}

/// Follow the cycle from `at` until it is through or long enough, and add the mean time per line
/// as one sample: within a pass later lines are cheaper, because earlier ones had theirs fetched
/// along. Segments in which the thread was switched out are left out of the mean; with more than
/// a quarter of them the sample is disturbed.
fn segments(lines: &[CacheLine], at: u32, samples: &mut Vec<Sample>) -> u32 {
    let steps = lines.len().min(SEGMENT_LINES);
    let count = (lines.len() / steps.max(1)).min(SEGMENTS_MAX);
    let (mut at, mut ns, mut calm) = (at, 0, 0);
    for _ in 0..count {
        let switches = os::switches();
        let start = Instant::now();
        at = chase::follow(lines, at, steps);
        let took = start.elapsed().as_nanos();
        if os::switches() == switches {
            ns += took;
            calm += 1;
        }
    }
    let value = ns as f64 / (calm * steps).max(1) as f64;
    samples.push(Sample { value, disturbed: 4 * calm < 3 * count });
    at
}
