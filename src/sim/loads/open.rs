// SPDX-License-Identifier: GPL-2.0-only
//! `open`: requests arrive as a Poisson process; how long until each is done?

use super::hire;
use crate::sim::load::{Cx, Ends, Hire, Load, StaffView, Step};
use toll_bench::lab::Setting;
use toll_bench::lab::figures::Figure;
use toll_bench::lab::ideal::Job;
use toll_bench::lab::open::{STREAM_SETS, draw_jobs, figures_of, tasks};

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
        hire(&self.setting, STREAM_SETS, (0..self.at.len()).map(|nr| format!("open{nr}")))
    }

    fn ends(&self) -> Ends {
        Ends::when_done(self.setting.span_ns)
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
        figures_of(&self.response, &self.jobs, &[(0, self.cpus)])
    }
}
