// SPDX-License-Identifier: GPL-2.0-only
//! When was a crowd of tasks spread over its domains? A pure calculation on what the tasks saw.
//!
//! Problem: tasks report each CPU on which they find themselves and did not before. A task that waits
//! for a CPU reports nothing, so it counts where it last ran. Asked is the first moment at which the
//! number of tasks in every domain (an LLC or a CPU) lay within bounds.
//!
//! Approach: replay the sightings in order, keep the number of tasks per domain, and how many domains
//! are out of bounds; the answer is the first moment, not before the start, at which none is.

/// A task found itself on a CPU on which it was not before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// When.
    pub at_ns: u64,
    /// Which task, from 0.
    pub task: usize,
    /// On which CPU.
    pub cpu: usize,
}

/// How many tasks every domain has to hold for the tasks to count as spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    least: usize,
    most: usize,
}

impl Bounds {
    /// No LLC holds more than its share, rounded up. LLCs are taken to be of equal size.
    pub fn over_llcs(nr_tasks: usize, nr_llcs: usize) -> Self {
        Self { least: 0, most: nr_tasks.div_ceil(nr_llcs.max(1)) }
    }

    /// No CPU is left without a task, or, if there are fewer tasks, none holds two.
    pub fn over_cpus(nr_tasks: usize, nr_cpus: usize) -> Self {
        if nr_tasks >= nr_cpus {
            Self { least: 1, most: nr_tasks }
        } else {
            Self { least: 0, most: 1 }
        }
    }

    fn hold(&self, nr: usize) -> bool {
        (self.least..=self.most).contains(&nr)
    }
}

/// The tasks and domains of one calculation.
#[derive(Clone, Copy, Debug)]
pub struct Ground {
    /// Number of tasks.
    pub nr_tasks: usize,
    /// Number of domains.
    pub nr_domains: usize,
    /// What every domain has to hold.
    pub bounds: Bounds,
}

/// The first moment, as ns after `from_ns`, at which every domain was within bounds; `None` if that
/// was never so. `sightings` are in order of time; `domain` maps a CPU to a number below
/// `nr_domains`, or to `None` if it belongs to none, and then the task counts as nowhere.
pub fn first_spread(
    sightings: &[Sighting],
    from_ns: u64,
    ground: Ground,
    domain: impl Fn(usize) -> Option<usize>,
) -> Option<u64> {
    let before = sightings.partition_point(|s| s.at_ns <= from_ns);
    let (before, after) = sightings.split_at(before);
    let mut census = Census::new(ground);
    for sighting in before {
        census.put(sighting.task, domain(sighting.cpu));
    }
    if census.within_bounds() {
        return Some(0);
    }
    let spread = after.iter().find(|sighting| {
        census.put(sighting.task, domain(sighting.cpu));
        census.within_bounds()
    });
    spread.map(|sighting| sighting.at_ns - from_ns)
}

/// Where the tasks are at one moment.
struct Census {
    ground: Ground,
    /// Domain of each task.
    of: Vec<Option<usize>>,
    /// Tasks in each domain.
    held: Vec<usize>,
    /// Domains out of bounds.
    nr_outside: usize,
    /// Tasks in no domain.
    nr_nowhere: usize,
}

impl Census {
    fn new(ground: Ground) -> Self {
        Self {
            ground,
            of: vec![None; ground.nr_tasks],
            held: vec![0; ground.nr_domains],
            nr_outside: match ground.bounds.hold(0) {
                true => 0,
                false => ground.nr_domains,
            },
            nr_nowhere: ground.nr_tasks,
        }
    }

    fn put(&mut self, task: usize, domain: Option<usize>) {
        let Some(of) = self.of.get_mut(task) else {
            return;
        };
        let domain = domain.filter(|&d| d < self.held.len());
        let left = std::mem::replace(of, domain);
        match left {
            Some(left) => self.change(left, |nr| nr - 1),
            None => self.nr_nowhere -= 1,
        }
        match domain {
            Some(domain) => self.change(domain, |nr| nr + 1),
            None => self.nr_nowhere += 1,
        }
    }

    fn change(&mut self, domain: usize, change: impl Fn(usize) -> usize) {
        let bounds = self.ground.bounds;
        self.nr_outside -= usize::from(!bounds.hold(self.held[domain]));
        self.held[domain] = change(self.held[domain]);
        self.nr_outside += usize::from(!bounds.hold(self.held[domain]));
    }

    /// Tasks that are nowhere could be anywhere: they only do not matter where any number may be.
    fn within_bounds(&self) -> bool {
        let any_number = self.ground.bounds.most >= self.ground.nr_tasks;
        self.nr_outside == 0 && (self.nr_nowhere == 0 || any_number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two CPUs per LLC, eight CPUs.
    fn llc(cpu: usize) -> Option<usize> {
        (cpu < 8).then_some(cpu / 2)
    }

    fn own(cpu: usize) -> Option<usize> {
        (cpu < 8).then_some(cpu)
    }

    fn seen(list: &[(u64, usize, usize)]) -> Vec<Sighting> {
        let sighting = |&(at_ns, task, cpu)| Sighting { at_ns, task, cpu };
        list.iter().map(sighting).collect()
    }

    fn llcs(nr_tasks: usize) -> Ground {
        Ground { nr_tasks, nr_domains: 4, bounds: Bounds::over_llcs(nr_tasks, 4) }
    }

    fn cpus(nr_tasks: usize) -> Ground {
        Ground { nr_tasks, nr_domains: 8, bounds: Bounds::over_cpus(nr_tasks, 8) }
    }

    #[test]
    fn the_share_of_an_llc_is_rounded_up() {
        assert_eq!(Bounds::over_llcs(9, 4), Bounds { least: 0, most: 3 });
        assert_eq!(Bounds::over_llcs(8, 4), Bounds { least: 0, most: 2 });
        assert_eq!(Bounds::over_llcs(1, 4), Bounds { least: 0, most: 1 });
    }

    #[test]
    fn spread_comes_with_the_move_that_completes_it() {
        let all = [(10, 0, 0), (10, 1, 0), (10, 2, 1), (120, 1, 2), (150, 2, 4)];
        let after = |nr| first_spread(&seen(&all[..nr]), 100, llcs(3), llc);
        assert_eq!(after(4), None);
        assert_eq!(after(5), Some(50));
    }

    #[test]
    fn being_spread_at_the_start_is_zero_even_if_it_does_not_last() {
        let all = seen(&[(10, 0, 0), (20, 1, 7), (120, 1, 1)]);
        assert_eq!(first_spread(&all, 100, llcs(2), llc), Some(0));
    }

    #[test]
    fn being_spread_before_the_start_does_not_count() {
        let all = seen(&[(10, 0, 0), (20, 1, 7), (90, 1, 1), (130, 1, 6)]);
        assert_eq!(first_spread(&all, 100, llcs(2), llc), Some(30));
    }

    #[test]
    fn a_task_that_was_not_seen_yet_could_be_anywhere() {
        let all = seen(&[(110, 0, 0), (120, 1, 2)]);
        assert_eq!(first_spread(&all, 100, cpus(3), own), None);
        let all = seen(&[(110, 0, 0), (120, 1, 2), (140, 2, 5)]);
        assert_eq!(first_spread(&all, 100, cpus(3), own), Some(40));
    }

    #[test]
    fn with_fewer_tasks_than_cpus_no_cpu_may_hold_two() {
        let all = seen(&[(10, 0, 0), (10, 1, 0), (130, 1, 1)]);
        assert_eq!(first_spread(&all, 100, cpus(2), own), Some(30));
    }

    #[test]
    fn with_as_many_tasks_every_cpu_must_hold_one() {
        let mut all: Vec<_> = (0..9).map(|task| (10, task, task % 2)).collect();
        all.extend((2..8).map(|task| (100 + task as u64, task, task)));
        assert_eq!(first_spread(&seen(&all), 100, cpus(9), own), Some(7));
        all.pop();
        assert_eq!(first_spread(&seen(&all), 100, cpus(9), own), None);
    }

    #[test]
    fn a_cpu_outside_all_domains_is_nowhere() {
        let all = seen(&[(10, 0, 0), (10, 1, 99)]);
        assert_eq!(first_spread(&all, 100, cpus(2), own), None);
        let all = seen(&[(10, 0, 0), (10, 1, 3), (110, 7, 3)]);
        assert_eq!(first_spread(&all, 100, cpus(2), own), Some(0));
    }
}
