// SPDX-License-Identifier: GPL-2.0-only
//! `open`: requests arrive as a Poisson process; how long until each is done?

use crate::sim::load::{Cx, Ends, Hire, Load, StaffView, Step};
use toll_bench::lab::Setting;
use toll_bench::lab::figures::{Figure, mean, quantile};
use toll_bench::lab::ideal::{Job, fcfs};
use toll_bench::lab::open::{draw_jobs, tasks};

/// Stream of working sets, as in the lab.
const STREAM_SETS: u64 = 2;
/// A run whose requests are not done after so many times its span has failed.
const PATIENCE: u64 = 20;
const NS_PER_MS: f64 = 1e6;

/// Request k belongs to task k modulo the number of tasks.
pub struct Open {
    setting: Setting,
    cpus: usize,
    jobs: Vec<Job>,
    response: Vec<u64>,
    /// The request that each task is at, and whether it works on it.
    at: Vec<(usize, bool)>,
}

impl Open {
    /// Requests for `setting` on `cpus` CPUs.
    pub fn new(setting: &Setting, cpus: usize) -> Open {
        Open::with_tasks(setting, cpus, tasks(cpus))
    }

    /// The same with another number of tasks than the lab's.
    pub fn with_tasks(setting: &Setting, cpus: usize, tasks: usize) -> Open {
        let jobs = draw_jobs(setting, setting.load_pct, cpus);
        let response = vec![0; jobs.len()];
        Open {
            setting: *setting,
            cpus,
            jobs,
            response,
            at: (0..tasks).map(|first| (first, false)).collect(),
        }
    }
}

impl Load for Open {
    fn staff(&mut self) -> Vec<Hire> {
        let mut rng = self.setting.rng(STREAM_SETS);
        let sets = self.at.iter().map(|_| self.setting.draw_footprint(&mut rng).set_kib);
        sets.enumerate().map(|(nr, set)| Hire::new(&format!("lw-open{nr}"), set)).collect()
    }

    fn ends(&self) -> Ends {
        Ends::Done(PATIENCE * self.setting.span_ns.max(1_000_000_000))
    }

    fn next(&mut self, task: u32, cx: &mut Cx) -> Step {
        let step = self.at.len();
        let (job, works) = &mut self.at[task as usize];
        if *works {
            self.response[*job] = cx.now - (cx.released + self.jobs[*job].at_ns);
            *works = false;
            *job += step;
        }
        let Some(next) = self.jobs.get(*job) else { return Step::End };
        let due = cx.released + next.at_ns;
        if due > cx.now {
            return Step::Until(due);
        }
        *works = true;
        Step::Work(next.demand_ns)
    }

    fn figures(&self, _: &StaffView, _: u64) -> Vec<Figure> {
        let ideal = fcfs(&self.jobs, &[(0, self.cpus)]);
        let p99 = |samples: &[u64]| quantile(samples, 990) as f64 / NS_PER_MS;
        let mean = |samples: &[u64]| mean(samples) / NS_PER_MS;
        vec![
            Figure::lower("response_mean", mean(&self.response), "ms").bounded(mean(&ideal)),
            Figure::lower("response_p99", p99(&self.response), "ms").bounded(p99(&ideal)),
        ]
    }
}
