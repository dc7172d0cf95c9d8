// SPDX-License-Identifier: GPL-2.0-only
//! Moves seen in nothing but loads: what one CPU loses and another gains at the same time.
//!
//! Samples of the same instant make a frame. From one frame to the next every fall by at least one
//! task is matched with a rise: falls and rises of the same size first, then the largest with the
//! largest. A fall that no rise matches is a task that slept, a rise one that woke up or was born: it
//! was *placed*, from where loads do not tell.
//!
//! There are two kinds of series. One is *sampled* now and then, with all CPUs in each frame: only the
//! loads before a move are known. The other tells every *change*, when it happens, and only what
//! changed. There the moment after a move says more: a CPU that fetches a task because it is about to
//! idle loses the one that leaves it right afterwards, and one with enough to do that gets a task all
//! the same has been given it.
//!
//! Bad at: a task that sleeps here while another wakes up there; in a sampled series it looks like a
//! move. The more falls and rises a frame has, the less sure each is.

use super::event::Sample;
use super::habits::Habits;
use super::infer::{Judged, Kind, from_loads, loads};
use super::layout::Layout;
use std::collections::VecDeque;

/// Whoever leaves a CPU that has fetched a task is gone so soon.
const SOON_NS: u64 = 100_000;
/// Moves that wait to be judged; beyond that the oldest is judged by what is known.
const PENDING_MAX: usize = 256;
/// Changes of one frame, of which a machine has one for each CPU; beyond that a new frame begins.
const CHANGED_MAX: usize = 8192;
/// Samples that are seen before a series counts as one of changes.
const SAMPLES_MIN: u64 = 40;

/// Something like a move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transfer {
    /// The later frame, in ns.
    pub at_ns: u64,
    /// The CPU that lost; `None`: none did, the task slept or was not yet born.
    pub from: Option<u32>,
    /// The CPU that gained.
    pub to: u32,
    /// How many tasks.
    pub tasks: u32,
    /// What it was.
    pub judged: Judged,
}

/// A move of which it is not yet known what came after it.
#[derive(Clone, Copy, Debug)]
struct Pending {
    transfer: Transfer,
    source: u32,
    target: u32,
    apart: bool,
    /// Tasks waited beside its target.
    beside: bool,
    /// What its target did next: lose a task (`true`), or gain one.
    falls: Option<bool>,
}

/// Collects samples into frames.
#[derive(Debug, Default)]
pub struct Frames {
    at_ns: u64,
    /// Last load of each CPU.
    loads: Vec<Option<f64>>,
    /// What changed in the frame under way: CPU, load before, load now.
    changed: Vec<(u32, f64, f64)>,
    pending: VecDeque<Pending>,
    habits: Habits,
    samples: u64,
    unchanged: u64,
}

impl Frames {
    /// Take in a sample; `found` is told what the frames before it show.
    pub fn sample(&mut self, sample: &Sample, layout: &Layout, found: &mut dyn FnMut(Transfer)) {
        if sample.at_ns > self.at_ns || self.changed.len() >= CHANGED_MAX {
            self.frame(layout);
            self.at_ns = sample.at_ns;
            self.settle(found);
        }
        let cpu = sample.cpu as usize;
        if cpu >= self.loads.len() {
            self.loads.resize(cpu + 1, None);
        }
        self.samples += 1;
        let Some(before) = self.loads[cpu].replace(sample.runnable) else { return };
        self.unchanged += u64::from(before == sample.runnable);
        if (before - sample.runnable).abs() >= 1.0 {
            self.changed.push((sample.cpu, before, sample.runnable));
            self.habits.load(layout, sample.at_ns, sample.cpu, Some(whole(sample.runnable)));
        }
    }

    /// What comes has nothing to do with what was: a load that differs there is no move.
    pub fn gap(&mut self, layout: &Layout, found: &mut dyn FnMut(Transfer)) {
        self.finish(layout, found);
        self.loads.clear();
    }

    /// There is nothing more.
    pub fn finish(&mut self, layout: &Layout, found: &mut dyn FnMut(Transfer)) {
        self.frame(layout);
        while let Some(first) = self.pending.pop_front() {
            found(self.judge(first));
        }
    }

    /// True if samples stand for changes.
    const fn tells_changes(&self) -> bool {
        self.samples >= SAMPLES_MIN && self.unchanged * 10 < self.samples
    }

    /// Tell what is old enough, or more than is kept.
    fn settle(&mut self, found: &mut dyn FnMut(Transfer)) {
        while let Some(first) = self.pending.front().copied() {
            let due = first.falls.is_some()
                || self.at_ns > first.transfer.at_ns + SOON_NS
                || self.pending.len() > PENDING_MAX;
            if !due {
                return;
            }
            self.pending.pop_front();
            found(self.judge(first));
        }
    }

    /// What a frame shows, now that it is whole.
    fn frame(&mut self, layout: &Layout) {
        let step =
            |(cpu, before, now): &(u32, f64, f64)| (*cpu, *before, (now - before).trunc() as i64);
        let mut falls: Vec<_> =
            self.changed.iter().map(step).filter(|(_, _, by)| *by < 0).collect();
        let mut rises: Vec<_> =
            self.changed.iter().map(step).filter(|(_, _, by)| *by > 0).collect();
        for (cpu, before, now) in self.changed.drain(..) {
            let at = self.pending.iter_mut().rfind(|pending| pending.transfer.to == cpu);
            if let Some(pending) = at.filter(|pending| {
                pending.falls.is_none() && self.at_ns <= pending.transfer.at_ns + SOON_NS
            }) {
                pending.falls = Some(now < before);
            }
        }
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
                self.push(layout, (Some(fall.0), fall.1), (rise.0, rise.1), tasks, ways);
                fall.2 += tasks;
                rise.2 -= tasks;
            }
        }
        for rise in rises.into_iter().filter(|rise| rise.2 > 0) {
            self.push(layout, (None, 0.0), (rise.0, rise.1), rise.2, ways);
        }
    }

    fn push(
        &mut self,
        layout: &Layout,
        (from, source): (Option<u32>, f64),
        (to, target): (u32, f64),
        tasks: i64,
        ways: f32,
    ) {
        let judged = loads(Kind::Wakeup, ways.sqrt().recip());
        self.pending.push_back(Pending {
            transfer: Transfer { at_ns: self.at_ns, from, to, tasks: tasks as u32, judged },
            source: whole(source),
            target: whole(target),
            apart: from.is_some_and(|from| layout.apart(from, to)),
            beside: self.habits.waits_beside(layout, to),
            // What was placed is known at once.
            falls: from.is_none().then_some(false),
        });
    }

    /// The verdict on a move, with what came after it.
    fn judge(&mut self, pending: Pending) -> Transfer {
        let Pending { mut transfer, source, target, apart, beside, falls } = pending;
        let certain = transfer.judged.confidence;
        let judged = match transfer.from {
            None => Judged { confidence: 0.7, ..transfer.judged },
            Some(_) if self.tells_changes() => {
                let about = target == 0 || target == 1 && falls == Some(true);
                self.habits.came(apart, !about);
                let given = self.habits.never_fetches() || beside && self.habits.gives();
                match about && target > 0 && apart && given {
                    true => loads(Kind::Push, 0.6),
                    false => self.by_change(source, target, apart, about),
                }
            }
            Some(_) => from_loads(Some(source), Some(target)),
        };
        transfer.judged = Judged { confidence: judged.confidence * certain, ..judged };
        transfer
    }

    /// Of a series of changes: `about`: its target was idle, or about to be.
    fn by_change(&self, source: u32, target: u32, apart: bool, about: bool) -> Judged {
        match () {
            () if about => loads(Kind::Pull, 0.75),
            // The queue of the LLC is nobody's: who runs its tasks takes them.
            () if !apart && self.habits.one_queue_per_llc() => loads(Kind::Pull, 0.6),
            () if apart => loads(Kind::Push, 0.65),
            () => from_loads(Some(source), Some(target)),
        }
    }
}

/// A load as a number of tasks; less than half a task is none.
fn whole(load: f64) -> u32 {
    load.round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Topology;

    fn layout() -> Layout {
        Layout::new(Topology::synthetic(1, 2, 2).unwrap_or_else(|why| panic!("{why}")))
    }

    /// What is found in samples of time, CPU and load.
    fn found(samples: &[(u64, u32, f64)]) -> Vec<Transfer> {
        let mut found = Vec::new();
        let mut frames = Frames::default();
        for &(at_ns, cpu, runnable) in samples {
            let sample = Sample { at_ns, cpu, runnable };
            frames.sample(&sample, &layout(), &mut |transfer| found.push(transfer));
        }
        frames.finish(&layout(), &mut |transfer| found.push(transfer));
        found
    }

    fn moves(frames: &[&[f64]]) -> Vec<(u32, u32, u32, Kind)> {
        let frames = frames.iter().enumerate();
        let samples = frames.flat_map(|(at, loads)| {
            let loads = loads.iter().enumerate();
            loads.map(move |(cpu, &load)| (at as u64 * 1_000_000, cpu as u32, load))
        });
        let all = found(&samples.collect::<Vec<_>>());
        all.iter().filter_map(|t| Some((t.from?, t.to, t.tasks, t.judged.kind))).collect()
    }

    #[test]
    fn what_one_loses_and_another_gains_is_a_move() {
        assert_eq!(moves(&[&[5.0, 0.0], &[4.0, 1.0]]), [(0, 1, 1, Kind::Pull)]);
        assert_eq!(moves(&[&[5.0, 2.0], &[4.0, 3.0]]), [(0, 1, 1, Kind::Push)]);
        assert_eq!(moves(&[&[2.0, 5.0], &[1.0, 6.0]]), [(0, 1, 1, Kind::Undetermined)]);
        assert_eq!(moves(&[&[5.0, 2.0], &[4.0, 2.0]]), [], "it slept");
        assert_eq!(moves(&[&[5.0, 2.0], &[5.0, 2.5]]), [], "half a task is none");
    }

    #[test]
    fn equal_sizes_belong_together() {
        let found = moves(&[&[9.0, 6.0, 0.0, 0.0], &[6.0, 5.0, 1.0, 3.0]]);
        assert_eq!(found, [(0, 3, 3, Kind::Pull), (1, 2, 1, Kind::Pull)]);
    }

    #[test]
    fn a_rise_that_no_fall_matches_was_placed() {
        let found = found(&[(0, 0, 1.0), (0, 1, 0.0), (5, 1, 1.0)]);
        assert_eq!((found.len(), found[0].from, found[0].judged.kind), (1, None, Kind::Wakeup));
    }

    /// Enough changes of a lone CPU that the series counts as one of changes, then `more`.
    fn after_changes(more: &[(u64, u32, f64)]) -> Kind {
        let warm = (0..SAMPLES_MIN).map(|at| (at * 1000, 3, (at % 2) as f64));
        let starts = [(0, 0, 3.0), (0, 2, 1.0)];
        let more = more.iter().map(|&(at_ns, cpu, load)| (1_000_000 + at_ns, cpu, load));
        let all = starts.into_iter().chain(warm).chain(more).collect::<Vec<_>>();
        let last = found(&all).into_iter().rfind(|transfer| transfer.from.is_some());
        last.map_or(Kind::Undetermined, |transfer| transfer.judged.kind)
    }

    #[test]
    fn a_cpu_that_loses_one_right_after_it_gained_one_was_about_to_idle() {
        let came = [(0, 0, 2.0), (0, 2, 2.0)];
        assert_eq!(after_changes(&[came[0], came[1], (16_000, 2, 1.0)]), Kind::Pull);
        assert_eq!(after_changes(&[came[0], came[1], (900_000, 2, 1.0)]), Kind::Push);
        assert_eq!(after_changes(&[came[0], came[1], (16_000, 2, 3.0)]), Kind::Push);
    }
}
