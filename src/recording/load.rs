// SPDX-License-Identifier: GPL-2.0-only
//! What ran → how busy each CPU was, interval by interval.

use super::Load;
use crate::events::Slice;
use std::collections::BTreeMap;

/// Length of an interval, in ns.
pub const SPAN_NS: u64 = 100_000_000;
/// An interval is complete when so many later ones have been heard of: the last piece of what ran
/// in it comes when it stops, or 100 ms and a tick after it began.
const LATE: u64 = 4;

/// Adds up slices.
#[derive(Debug, Default)]
pub struct Meter {
    nr_cpus: usize,
    /// Busy time by CPU, by number of the interval.
    open: BTreeMap<u64, Vec<u64>>,
    /// All intervals before this one are told.
    told: u64,
}

impl Meter {
    pub fn new(nr_cpus: usize) -> Meter {
        Meter { nr_cpus, ..Meter::default() }
    }

    /// Add `slice`, and return the intervals that are complete now.
    pub fn add(&mut self, slice: &Slice) -> Vec<Load> {
        let mut from = slice.from_ns;
        while from < slice.to_ns {
            let span = from / SPAN_NS;
            let to = slice.to_ns.min((span + 1).saturating_mul(SPAN_NS));
            if span >= self.told && (slice.cpu as usize) < self.nr_cpus {
                let busy = self.open.entry(span).or_insert_with(|| vec![0; self.nr_cpus]);
                busy[slice.cpu as usize] += to - from;
            }
            from = to;
        }
        let latest = self.open.last_key_value().map_or(0, |(span, _)| *span);
        self.tell(latest.saturating_sub(LATE))
    }

    /// The end: all that is left.
    pub fn rest(&mut self) -> Vec<Load> {
        self.tell(u64::MAX)
    }

    fn tell(&mut self, before: u64) -> Vec<Load> {
        let later = self.open.split_off(&before);
        self.told = self.told.max(before);
        let complete = std::mem::replace(&mut self.open, later);
        let load = |(span, busy_ns)| Load { from_ns: span * SPAN_NS, span_ns: SPAN_NS, busy_ns };
        complete.into_iter().map(load).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Who;

    #[test]
    fn run_time_is_divided_among_the_intervals_that_it_is_in() {
        let who = Who { pid: 1, tgid: 1, cgroup: 1, comm: "a".into() };
        let slice = |cpu, from_ms: u64, to_ms: u64| Slice {
            cpu,
            from_ns: from_ms * 1_000_000,
            to_ns: to_ms * 1_000_000,
            who: who.clone(),
            more: false,
        };
        let mut meter = Meter::new(2);
        assert_eq!(meter.add(&slice(1, 150, 320)), []);
        assert_eq!(meter.add(&slice(0, 310, 320)), []);
        assert_eq!(meter.add(&slice(9, 310, 320)), [], "a CPU that is not there");
        let told = meter.add(&slice(0, 650, 651));
        let busy: Vec<_> = told.iter().map(|load| (load.from_ns, load.busy_ns.clone())).collect();
        assert_eq!(busy, [(100_000_000, vec![0, 50_000_000])]);
        let rest = meter.rest();
        assert_eq!(rest.len(), 3);
        let sum: u64 = rest.iter().flat_map(|load| &load.busy_ns).sum();
        assert_eq!(sum, 131_000_000);
    }
}
