// SPDX-License-Identifier: GPL-2.0-only
//! Loads that bring out what a scheduler does wrong.

use scx_toll::sim::abi::CpuMask;
use scx_toll::sim::load::{Cx, Ends, Hire, Load, StaffView, Step};
use toll_bench::lab::figures::Figure;
use toll_bench::rng::Rng;

/// Endless tasks that are born in the first LLC and may then go anywhere, if somebody moves them.
pub struct Crowd {
    pub tasks: usize,
    pub set_kib: u64,
    pub born_on: std::ops::Range<usize>,
    pub span_ns: u64,
}

impl Load for Crowd {
    fn staff(&mut self) -> Vec<Hire> {
        let born_on = Some(CpuMask::of(self.born_on.clone()));
        let hire =
            |nr| Hire { born_on: born_on.clone(), ..Hire::new(&format!("c{nr}"), self.set_kib) };
        (0..self.tasks).map(hire).collect()
    }

    fn ends(&self) -> Ends {
        Ends::After(self.span_ns)
    }

    fn next(&mut self, _: u32, _: &mut Cx) -> Step {
        Step::Work(u64::MAX)
    }

    fn figures(&self, _: &StaffView, _: u64) -> Vec<Figure> {
        Vec::new()
    }
}

/// Tasks that work and sleep by turns, for random times; each may use the CPUs of one LLC only.
pub struct Bound {
    pub tasks: usize,
    pub llcs: Vec<std::ops::Range<usize>>,
    pub work_ns: u64,
    pub sleep_ns: u64,
    pub span_ns: u64,
    pub rng: Rng,
    pub works: Vec<bool>,
}

impl Bound {
    pub fn new(tasks: usize, llcs: Vec<std::ops::Range<usize>>, load: f64, seed: u64) -> Bound {
        let cpus: usize = llcs.iter().map(|llc| llc.len()).sum();
        let work_ns = 3_000_000;
        let sleep_ns = (work_ns as f64 * (tasks as f64 / cpus as f64 / load - 1.0)).max(1.0) as u64;
        let (rng, works) = (Rng::stream(seed, 9), vec![false; tasks]);
        Bound { tasks, llcs, work_ns, sleep_ns, span_ns: 1_000_000_000, rng, works }
    }
}

impl Load for Bound {
    fn staff(&mut self) -> Vec<Hire> {
        let cpus = |nr: usize| Some(CpuMask::of(self.llcs[nr % self.llcs.len()].clone()));
        (0..self.tasks)
            .map(|nr| Hire { cpus: cpus(nr), ..Hire::new(&format!("b{nr}"), 400) })
            .collect()
    }

    fn ends(&self) -> Ends {
        Ends::After(self.span_ns)
    }

    fn next(&mut self, task: u32, cx: &mut Cx) -> Step {
        let works = &mut self.works[task as usize];
        *works = !*works;
        match *works {
            true => Step::Work(self.rng.exponential_ns(self.work_ns) + 1),
            false => Step::Until(cx.now + self.rng.exponential_ns(self.sleep_ns)),
        }
    }

    fn figures(&self, _: &StaffView, _: u64) -> Vec<Figure> {
        Vec::new()
    }
}
