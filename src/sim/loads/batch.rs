// SPDX-License-Identifier: GPL-2.0-only
//! `batch`: half again as many jobs as CPUs, of unequal length, all at once, in rounds; when is the
//! last done?

use super::hire;
use crate::sim::load::{Cx, Ends, Hire, Load, StaffView, Step};
use toll_bench::lab::Setting;
use toll_bench::lab::batch::{STREAM_SETS, draw_rounds, figure};
use toll_bench::lab::figures::Figure;

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
        let rounds = draw_rounds(setting, cpus);
        Batch {
            setting: *setting,
            cpus,
            at: vec![(0, false); rounds[0].len()],
            rounds,
            round: 0,
            done: 0,
            began: 0,
            taken_ns: 0,
        }
    }
}

impl Load for Batch {
    fn staff(&mut self) -> Vec<Hire> {
        hire(&self.setting, STREAM_SETS, (0..self.at.len()).map(|nr| format!("batch{nr}")))
    }

    fn ends(&self) -> Ends {
        Ends::when_done(self.setting.span_ns)
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
        if *round >= self.rounds.len() {
            return Step::End;
        }
        if *round > self.round {
            return Step::Block;
        }
        *works = true;
        Step::Work(self.rounds[*round][task as usize])
    }

    fn figures(&self, _: &StaffView, _: u64) -> Vec<Figure> {
        vec![figure(self.taken_ns, &self.rounds, self.cpus)]
    }
}
