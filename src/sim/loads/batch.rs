// SPDX-License-Identifier: GPL-2.0-only
//! `batch`: half again as many jobs as CPUs, of unequal length, all at once, in rounds; when is the
//! last done?

use crate::sim::load::{Cx, Ends, Hire, Load, StaffView, Step};
use toll_bench::lab::Setting;
use toll_bench::lab::figures::Figure;
use toll_bench::lab::ideal::makespan;

const ROUNDS: usize = 4;
const LENGTH_PCT: std::ops::Range<u64> = 50..150;
const STREAM_LENGTHS: u64 = 1;
const STREAM_SETS: u64 = 2;
const PATIENCE: u64 = 20;

/// See the module.
pub struct Batch {
    setting: Setting,
    cpus: usize,
    rounds: Vec<Vec<u64>>,
    /// The round that each job is in, and whether it works.
    at: Vec<(usize, bool)>,
    round: usize,
    done: usize,
    began: u64,
    taken_ns: u64,
}

impl Batch {
    /// Jobs for `setting` on `cpus` CPUs, with the lengths that the lab draws.
    pub fn new(setting: &Setting, cpus: usize) -> Batch {
        let jobs = cpus + cpus.div_ceil(2);
        let mean_ns = setting.span_ns * cpus as u64 / (ROUNDS * jobs) as u64;
        let mut rng = setting.rng(STREAM_LENGTHS);
        let spread = LENGTH_PCT.end - LENGTH_PCT.start;
        let mut length = || mean_ns * (LENGTH_PCT.start + rng.below(spread)) / 100;
        let rounds = (0..ROUNDS).map(|_| (0..jobs).map(|_| length()).collect()).collect();
        Batch {
            setting: *setting,
            cpus,
            rounds,
            at: vec![(0, false); jobs],
            round: 0,
            done: 0,
            began: 0,
            taken_ns: 0,
        }
    }
}

impl Load for Batch {
    fn staff(&mut self) -> Vec<Hire> {
        let mut rng = self.setting.rng(STREAM_SETS);
        let sets = self.at.iter().map(|_| self.setting.draw_footprint(&mut rng).set_kib);
        sets.enumerate().map(|(nr, set)| Hire::new(&format!("lw-batch{nr}"), set)).collect()
    }

    fn ends(&self) -> Ends {
        Ends::Done(PATIENCE * self.setting.span_ns.max(1_000_000_000))
    }

    fn released(&mut self, cx: &mut Cx) {
        self.began = cx.now;
    }

    fn next(&mut self, task: u32, cx: &mut Cx) -> Step {
        let jobs = self.at.len();
        let (round, works) = &mut self.at[task as usize];
        if *works {
            *works = false;
            *round += 1;
            self.done += 1;
            if self.done == jobs {
                // The last of this round: the next one begins.
                self.done = 0;
                self.round += 1;
                self.taken_ns += cx.now - self.began;
                self.began = cx.now;
                (0..jobs as u32).filter(|&other| other != task).for_each(|o| cx.wake(o, false));
            }
        }
        if *round >= ROUNDS {
            return Step::End;
        }
        if *round > self.round {
            return Step::Block;
        }
        *works = true;
        Step::Work(self.rounds[*round][task as usize])
    }

    fn figures(&self, _: &StaffView, _: u64) -> Vec<Figure> {
        let bound: u64 = self.rounds.iter().map(|lengths| makespan(lengths, self.cpus)).sum();
        let ms = |ns: u64| ns as f64 / 1e6;
        vec![Figure::lower("makespan", ms(self.taken_ns), "ms").bounded(ms(bound))]
    }
}
