// SPDX-License-Identifier: GPL-2.0-only
//! How many bytes may leave or reach each node in a second, whoever moves them.
//!
//! A batch takes from both of its nodes at once, so a pair of nodes moves no more than either of
//! them has left.

use super::ordered::Ordered;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Bytes per second that leave or reach a node. A guess: two per cent of what a memory channel
/// or two carry.
pub const BYTES_PER_S: u64 = 100 << 20;
/// What may be saved up while nothing moves: as long as this.
const BURST: Duration = Duration::from_millis(50);

/// What a node has left.
struct Bucket {
    bytes: u64,
    at: Instant,
}

impl Bucket {
    /// Fill up to what the time since the last look allows.
    fn fill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.at).min(BURST);
        let most = due(BURST);
        self.bytes = (self.bytes + due(since)).min(most);
        self.at = now;
    }
}

/// Bytes that are due in `time`.
fn due(time: Duration) -> u64 {
    (u128::from(BYTES_PER_S) * time.as_nanos() / 1_000_000_000) as u64
}

/// The budgets of all nodes.
pub struct Budgets {
    nodes: Ordered<Mutex<Bucket>>,
}

impl Budgets {
    /// Empty ones for `nodes` nodes.
    pub fn new(nodes: usize, now: Instant) -> Budgets {
        Budgets { nodes: Ordered::new((0..nodes).map(|_| Bucket { bytes: 0, at: now })) }
    }

    /// Take `bytes` from the budgets of both nodes, or nothing: then how long to wait before it
    /// is asked again. More than [`Budgets::most`] is never there.
    ///
    /// # Errors
    /// The time until there may be enough.
    pub fn take(&self, from: usize, to: usize, bytes: u64, now: Instant) -> Result<(), Duration> {
        let taken = self.nodes.with_both(from, to, |from: &mut Bucket, to: &mut Bucket| {
            from.fill(now);
            to.fill(now);
            let least = from.bytes.min(to.bytes);
            if least >= bytes {
                from.bytes -= bytes;
                to.bytes -= bytes;
                return Ok(());
            }
            let missing = (bytes - least) as f64 / BYTES_PER_S as f64;
            Err(Duration::from_secs_f64(missing.max(1e-3)))
        });
        taken.unwrap_or(Err(BURST))
    }

    /// The most that can be taken at once.
    pub fn most() -> u64 {
        due(BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_gives_a_seconds_bytes_however_it_is_asked() {
        let start = Instant::now();
        let budgets = Budgets::new(3, start);
        for batch in [4096, 2 << 20, Budgets::most()] {
            let begin = start + Duration::from_secs(batch);
            let mut moved = 0;
            for ms in 0..10_000 {
                let now = begin + Duration::from_millis(ms);
                while budgets.take(0, 2, batch, now).is_ok() {
                    moved += batch;
                }
            }
            let most = 10 * BYTES_PER_S + Budgets::most();
            assert!(moved <= most && moved > most * 95 / 100, "{batch}: {moved} of {most}");
        }
    }

    #[test]
    fn a_pair_has_no_more_than_either_of_its_nodes() {
        let start = Instant::now();
        let budgets = Budgets::new(3, start);
        let now = start + Duration::from_secs(1);
        assert_eq!(budgets.take(0, 1, Budgets::most(), now), Ok(()));
        assert!(budgets.take(1, 2, 4096, now).is_err(), "node 1 has nothing left");
        assert!(budgets.take(2, 0, 4096, now).is_err(), "nor has node 0");
        assert!(budgets.take(2, 2, 1, now).is_err(), "there is no way from a node to itself");
    }
}
