// SPDX-License-Identifier: GPL-2.0-only
//! Bounds: what the same load would do on the same number of CPUs if moves were free and
//! scheduling took no time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// A request: when it arrives, and the CPU time that it takes. In ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Since the release.
    pub at_ns: u64,
    /// As at home.
    pub demand_ns: u64,
}

/// How many CPUs there are from an instant on.
pub type Capacity = (u64, usize);

/// Response times of `jobs`, in order of arrival, under one first-come-first-served queue before
/// the CPUs of `capacity` (by time, the first from 0 on). When a CPU goes, the request that came
/// last of those in service waits again, before all others.
pub fn fcfs(jobs: &[Job], capacity: &[Capacity]) -> Vec<u64> {
    let mut sim = Fcfs { jobs, response: vec![0; jobs.len()], ..Fcfs::default() };
    let mut changes = capacity.iter().copied().peekable();
    let mut arrivals = jobs.iter().enumerate().peekable();
    loop {
        let next = [
            changes.peek().map(|change| change.0),
            arrivals.peek().map(|(_, job)| job.at_ns),
            sim.busy.peek().map(|Reverse((end, _))| *end),
        ];
        let Some(now) = next.into_iter().flatten().min() else { return sim.response };
        sim.finish(now);
        while let Some((_, cpus)) = changes.next_if(|change| change.0 <= now) {
            sim.resize(now, cpus);
        }
        while let Some((index, job)) = arrivals.next_if(|(_, job)| job.at_ns <= now) {
            sim.waiting.push_back((index, job.demand_ns));
        }
        sim.start(now);
    }
}

#[derive(Default)]
struct Fcfs<'a> {
    jobs: &'a [Job],
    response: Vec<u64>,
    cpus: usize,
    /// (index, demand left), first come first.
    waiting: VecDeque<(usize, u64)>,
    /// (end, index) of what is served.
    busy: BinaryHeap<Reverse<(u64, usize)>>,
}

impl Fcfs<'_> {
    fn finish(&mut self, now: u64) {
        while let Some(&Reverse((end, index))) = self.busy.peek() {
            if end > now {
                return;
            }
            self.busy.pop();
            self.response[index] = end - self.jobs[index].at_ns;
        }
    }

    fn start(&mut self, now: u64) {
        while self.busy.len() < self.cpus {
            let Some((index, left)) = self.waiting.pop_front() else { return };
            self.busy.push(Reverse((now + left, index)));
        }
    }

    fn resize(&mut self, now: u64, cpus: usize) {
        self.cpus = cpus;
        while self.busy.len() > cpus {
            let mut served = std::mem::take(&mut self.busy).into_vec();
            served.sort_by_key(|Reverse((_, index))| *index);
            if let Some(Reverse((end, index))) = served.pop() {
                self.waiting.push_front((index, end - now));
            }
            self.busy = served.into();
        }
    }
}

/// Shortest time in which `cpus` CPUs can do jobs of these demands that all start at once.
pub fn makespan(demands: &[u64], cpus: usize) -> u64 {
    let sum: u64 = demands.iter().sum();
    let longest = demands.iter().copied().max().unwrap_or(0);
    longest.max(sum.div_ceil(cpus.max(1) as u64))
}

/// CPUs that each group gets of `cpus`, by weight, when a group of `tasks` tasks cannot use more
/// than that many: what one cannot use is shared among the others.
pub fn shares(groups: &[(u64, usize)], cpus: usize) -> Vec<f64> {
    let mut share = vec![None; groups.len()];
    loop {
        let open = || groups.iter().zip(&share).filter(|(_, share)| share.is_none());
        let weights: u64 = open().map(|((weight, _), _)| weight).sum();
        let left = cpus as f64 - share.iter().flatten().sum::<f64>();
        let fair = |weight: u64| left * weight as f64 / weights.max(1) as f64;
        let full: Vec<usize> = (0..groups.len())
            .filter(|&i| share[i].is_none() && fair(groups[i].0) > groups[i].1 as f64)
            .collect();
        if full.is_empty() {
            let fair: Vec<f64> = groups.iter().map(|(weight, _)| fair(*weight)).collect();
            return share
                .into_iter()
                .zip(fair)
                .map(|(share, fair)| share.unwrap_or(fair))
                .collect();
        }
        for i in full {
            share[i] = Some(groups[i].1 as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn jobs(list: &[(u64, u64)]) -> Vec<Job> {
        list.iter().map(|&(at_ns, demand_ns)| Job { at_ns, demand_ns }).collect()
    }

    #[test]
    fn a_free_cpu_serves_at_once_and_a_busy_one_makes_wait() {
        let jobs = jobs(&[(0, 10), (1, 10), (2, 10)]);
        assert_eq!(fcfs(&jobs, &[(0, 2)]), [10, 10, 18]);
        assert_eq!(fcfs(&jobs, &[(0, 1)]), [10, 19, 28]);
        assert_eq!(fcfs(&jobs, &[(0, 3)]), [10, 10, 10]);
    }

    #[test]
    fn one_cpu_agrees_with_lindley() {
        let mut rng = Rng::stream(5, 0);
        let mut at_ns = 0;
        let jobs: Vec<Job> = (0..2000)
            .map(|_| {
                at_ns += rng.exponential_ns(1000);
                Job { at_ns, demand_ns: rng.exponential_ns(700) }
            })
            .collect();
        let (mut free, mut expected) = (0, Vec::new());
        for job in &jobs {
            free = job.at_ns.max(free) + job.demand_ns;
            expected.push(free - job.at_ns);
        }
        assert_eq!(fcfs(&jobs, &[(0, 1)]), expected);
    }

    #[test]
    fn a_cpu_that_goes_sends_its_last_request_back_to_the_head() {
        let jobs = jobs(&[(0, 10), (0, 10), (0, 1)]);
        // The second one is put off from 4 to 8 and still comes before the third.
        assert_eq!(fcfs(&jobs, &[(0, 2), (4, 1), (8, 2)]), [10, 14, 11]);
    }

    #[test]
    fn a_batch_is_bound_by_its_sum_or_by_its_longest() {
        assert_eq!(makespan(&[4, 4, 4], 2), 6);
        assert_eq!(makespan(&[10, 1, 1], 2), 10);
        assert_eq!(makespan(&[], 2), 0);
    }

    #[test]
    fn shares_go_by_weight_as_far_as_they_can_be_used() {
        assert_eq!(shares(&[(1, 16), (2, 16)], 6), [2.0, 4.0]);
        assert_eq!(shares(&[(1, 16), (8, 1)], 8), [7.0, 1.0]);
        assert_eq!(shares(&[(1, 1), (1, 1), (2, 9)], 8), [1.0, 1.0, 6.0]);
    }
}
