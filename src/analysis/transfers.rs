// SPDX-License-Identifier: GPL-2.0-only
//! Moves seen in nothing but loads: what one CPU loses and another gains between two samples.
//!
//! Samples of the same instant make a frame. From one frame to the next every fall by at least one
//! task is matched with a rise: falls and rises of the same size first, then the largest with the
//! largest. A fall that no rise matches is a task that slept, a rise one that woke up.
//!
//! Bad at: a task that sleeps here while another wakes up there; it looks like a move. The more falls
//! and rises a frame has, the less sure each is.

use super::event::Sample;
use super::infer::{Judged, from_loads};

/// Something like a move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transfer {
    /// The later frame, in ns.
    pub at_ns: u64,
    /// The CPU that lost.
    pub from: u32,
    /// The CPU that gained.
    pub to: u32,
    /// How many tasks.
    pub tasks: u32,
    /// What it was, by the loads of the earlier frame.
    pub judged: Judged,
}

/// Collects samples into frames.
#[derive(Debug, Default)]
pub struct Frames {
    at_ns: u64,
    /// Last load of each CPU.
    loads: Vec<Option<f64>>,
    /// What changed in the frame under way: CPU, load before, load now.
    changed: Vec<(u32, f64, f64)>,
}

impl Frames {
    /// Take in a sample; `found` is told what the frame before it shows.
    pub fn sample(&mut self, sample: &Sample, found: &mut dyn FnMut(Transfer)) {
        if sample.at_ns > self.at_ns {
            self.finish(found);
            self.at_ns = sample.at_ns;
        }
        let cpu = sample.cpu as usize;
        if cpu >= self.loads.len() {
            self.loads.resize(cpu + 1, None);
        }
        if let Some(before) = self.loads[cpu].replace(sample.runnable)
            && (before - sample.runnable).abs() >= 1.0
        {
            self.changed.push((sample.cpu, before, sample.runnable));
        }
    }

    /// There is nothing more in this frame.
    pub fn finish(&mut self, found: &mut dyn FnMut(Transfer)) {
        let step =
            |(cpu, before, now): &(u32, f64, f64)| (*cpu, *before, (now - before).trunc() as i64);
        let mut falls: Vec<_> =
            self.changed.iter().map(step).filter(|(_, _, by)| *by < 0).collect();
        let mut rises: Vec<_> =
            self.changed.iter().map(step).filter(|(_, _, by)| *by > 0).collect();
        self.changed.clear();
        let ways = falls.len().max(rises.len()).max(1) as f32;
        for exact in [true, false] {
            falls.sort_by_key(|(cpu, _, by)| (*by, *cpu));
            rises.sort_by_key(|(cpu, _, by)| (-by, *cpu));
            for fall in &mut falls {
                let fits = |rise: &&mut (u32, f64, i64)| match exact {
                    true => rise.2 == -fall.2,
                    false => rise.2 > 0,
                };
                if fall.2 == 0 {
                    continue;
                }
                let Some(rise) = rises.iter_mut().find(fits) else { continue };
                let tasks = rise.2.min(-fall.2);
                let mut judged = from_loads(whole(fall.1), whole(rise.1));
                judged.confidence /= ways.sqrt();
                found(Transfer {
                    at_ns: self.at_ns,
                    from: fall.0,
                    to: rise.0,
                    tasks: tasks as u32,
                    judged,
                });
                fall.2 += tasks;
                rise.2 -= tasks;
            }
        }
    }
}

/// A load as a number of tasks; less than half a task is none.
fn whole(load: f64) -> Option<u32> {
    Some(load.round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::infer::Kind;

    fn transfers(frames: &[&[f64]]) -> Vec<(u32, u32, u32, Kind)> {
        let mut found = Vec::new();
        let mut all = Frames::default();
        let mut keep = |t: Transfer| found.push((t.from, t.to, t.tasks, t.judged.kind));
        for (at, loads) in frames.iter().enumerate() {
            for (cpu, &runnable) in loads.iter().enumerate() {
                let sample = Sample { at_ns: at as u64 * 1000, cpu: cpu as u32, runnable };
                all.sample(&sample, &mut keep);
            }
        }
        all.finish(&mut keep);
        found
    }

    #[test]
    fn what_one_loses_and_another_gains_is_a_move() {
        assert_eq!(transfers(&[&[5.0, 0.0], &[4.0, 1.0]]), [(0, 1, 1, Kind::Pull)]);
        assert_eq!(transfers(&[&[5.0, 2.0], &[4.0, 3.0]]), [(0, 1, 1, Kind::Push)]);
        assert_eq!(transfers(&[&[2.0, 5.0], &[1.0, 6.0]]), [(0, 1, 1, Kind::Undetermined)]);
        assert_eq!(transfers(&[&[5.0, 2.0], &[4.0, 2.0]]), [], "it slept");
        assert_eq!(transfers(&[&[5.0, 2.0], &[5.0, 2.5]]), [], "half a task is none");
    }

    #[test]
    fn equal_sizes_belong_together() {
        let found = transfers(&[&[9.0, 6.0, 0.0, 0.0], &[6.0, 5.0, 1.0, 3.0]]);
        assert_eq!(found, [(0, 3, 3, Kind::Pull), (1, 2, 1, Kind::Pull)]);
    }
}
