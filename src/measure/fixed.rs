// SPDX-License-Identifier: GPL-2.0-only
//! What a move takes without a working set.
//!
//! The thread asks to be moved (`sched_setaffinity`) and looks at the clock when it runs on the
//! other CPU. Included: the system call, the kernel's stopper thread on the old CPU, the wakeup
//! of the new one (an interrupt, and its exit from idle), one context switch there, and the
//! kernel's own lines that follow. A move by the scheduler needs no stopper, so this is an upper
//! bound of it. Every sample includes the same switch, so samples are rejected when they had more
//! of them than the calmest.

use super::estimate::{Estimate, Sample};
use super::os;
use super::plan::Pair;
use std::io;
use std::time::{Duration, Instant};

/// Most and fewest moves.
const ROUNDS: std::ops::RangeInclusive<usize> = 40..=2000;

/// Move to and fro across `pair` for about `budget`; ns per move.
///
/// # Errors
/// The kernel's, when a CPU cannot be used.
pub fn measure(pair: &Pair, budget: Duration) -> io::Result<Option<Estimate>> {
    let work = || -> io::Result<Option<Estimate>> {
        os::pin(pair.from)?;
        let start = Instant::now();
        let mut moves = Vec::new();
        while moves.len() < *ROUNDS.end() {
            let spent = start.elapsed();
            if spent > 2 * budget || (moves.len() >= *ROUNDS.start() && spent > budget) {
                break;
            }
            let to = if moves.len() % 2 == 0 { pair.to } else { pair.from };
            let switches = os::switches();
            let asked = Instant::now();
            os::pin(to)?;
            let arrived = os::current_cpu() == Some(to);
            let ns = asked.elapsed().as_nanos() as f64;
            // A thread that is not where it was sent was not moved: no sample.
            moves.push((if arrived { ns } else { f64::NAN }, os::switches() - switches));
        }
        let least = moves.iter().map(|(_, switches)| *switches).min().unwrap_or(0);
        let sample =
            |&(value, switches): &(f64, i64)| Sample { value, disturbed: switches > least };
        Ok(Estimate::of(&moves.iter().map(sample).collect::<Vec<_>>()))
    };
    std::thread::scope(|scope| {
        let joined = scope.spawn(work).join();
        joined.unwrap_or_else(|_| Err(io::Error::other("the measuring thread panicked")))
    })
}
