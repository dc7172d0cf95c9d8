// SPDX-License-Identifier: GPL-2.0-only
//! Burning CPU time: a demand is used up by the clock of the thread, not by a count of instructions.

use std::hint::{black_box, spin_loop};

use crate::clock::thread_cpu_ns;

/// Iterations between two looks at the clock. Under counted time with 8 busy CPUs a look then comes
/// every 10 to 16 µs; a guess that proved good there, and harmless elsewhere.
pub const ITERATIONS_PER_LOOK: u32 = 120;

/// Pass the time between two looks at the clock.
///
/// The `pause` ends the turn of an emulated CPU; without it a turn lasts milliseconds. One per look
/// is enough: one per iteration brings the looks no closer, but costs the host seven times the time.
pub fn until_next_look() {
    for iteration in 0..ITERATIONS_PER_LOOK {
        black_box(iteration);
    }
    spin_loop();
}

/// Uses up demands of CPU time; what one demand took too much is taken off the next.
#[derive(Clone, Debug, Default)]
pub struct Burner {
    ahead_ns: u64,
}

impl Burner {
    /// A burner that owes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Burn `demand_ns` of CPU time of the calling thread.
    pub fn burn(&mut self, demand_ns: u64) {
        self.burn_while(demand_ns, || true);
    }

    /// Burn `demand_ns`, but stop at the first look at which `wanted` is false.
    pub fn burn_while(&mut self, demand_ns: u64, wanted: impl Fn() -> bool) {
        let Some(target_ns) = self.still_to_burn(demand_ns) else {
            return;
        };
        let start_ns = thread_cpu_ns();
        loop {
            until_next_look();
            let used_ns = thread_cpu_ns() - start_ns;
            if used_ns >= target_ns {
                self.ahead_ns = used_ns - target_ns;
                return;
            }
            if !wanted() {
                return;
            }
        }
    }

    /// Settle `demand_ns` against what was burned ahead; `None` if that covers it.
    fn still_to_burn(&mut self, demand_ns: u64) -> Option<u64> {
        let covered_ns = demand_ns.min(self.ahead_ns);
        self.ahead_ns -= covered_ns;
        (demand_ns > covered_ns).then_some(demand_ns - covered_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{NS_PER_MS, NS_PER_US};

    #[test]
    fn overshoot_is_taken_off_the_next_demands() {
        let mut burner = Burner { ahead_ns: 25 };
        assert_eq!(burner.still_to_burn(10), None);
        assert_eq!(burner.still_to_burn(10), None);
        assert_eq!(burner.still_to_burn(10), Some(5));
        assert_eq!(burner.still_to_burn(10), Some(10));
    }

    #[test]
    fn many_small_demands_take_what_they_sum_to() {
        let mut burner = Burner::new();
        let start_ns = thread_cpu_ns();
        for _ in 0..1000 {
            burner.burn(10 * NS_PER_US);
        }
        let used_ns = thread_cpu_ns() - start_ns;
        assert!((10 * NS_PER_MS..15 * NS_PER_MS).contains(&used_ns), "{used_ns}");
    }

    #[test]
    fn burning_stops_when_no_longer_wanted() {
        let start_ns = thread_cpu_ns();
        Burner::new().burn_while(10_000 * NS_PER_MS, || false);
        assert!(thread_cpu_ns() - start_ns < 1000 * NS_PER_MS);
    }
}
