// SPDX-License-Identifier: GPL-2.0-only
//! How long tasks waited from runnable to running.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::timeline::{Cause, TaskId, Timeline};

/// The distribution of some times, all in ns; zeros if there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// How many.
    pub count: u64,
    /// Their mean, rounded down.
    pub mean_ns: u64,
    /// Half of them are at most this.
    pub p50_ns: u64,
    /// 99 of 100 are at most this.
    pub p99_ns: u64,
    /// 999 of 1000 are at most this.
    pub p999_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

/// The waits of the tasks whose names begin alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// How the names begin; empty for all tasks that count.
    pub prefix: String,
    /// All waits that ended in the window by running, from their beginning, even before the window.
    /// Those that were under way when the trace began are left out.
    pub all: Distribution,
    /// Those among them that began with a wakeup or a birth.
    pub woken: Distribution,
    /// Tasks that waited when the window ended.
    pub unfinished: u64,
    /// The longest that one of these had waited until then.
    pub unfinished_max_ns: u64,
}

impl Distribution {
    /// Of `times` in ns.
    pub fn of(mut times: Vec<u64>) -> Self {
        times.sort_unstable();
        let count = times.len() as u64;
        let Some(&max_ns) = times.last() else { return Self::default() };
        // The smallest that at least `permille` of all are not above.
        let rank = |permille: u64| {
            let above = (count * permille).div_ceil(1000).max(1) - 1;
            times[above as usize]
        };
        let sum: u128 = times.iter().map(|&time| u128::from(time)).sum();
        Self {
            count,
            mean_ns: (sum / u128::from(count)) as u64,
            p50_ns: rank(500),
            p99_ns: rank(990),
            p999_ns: rank(999),
            max_ns,
        }
    }
}

/// The waits in `window` by how names begin, in the order of `prefixes`. A task belongs to the longest
/// prefix that fits its name. Only tasks that `takes` says count.
pub fn by_prefix(
    line: &Timeline,
    prefixes: &[String],
    window: &Range<u64>,
    takes: impl Fn(TaskId) -> bool,
) -> Vec<Waits> {
    let mut groups: Vec<_> = prefixes.iter().map(|prefix| Group::new(prefix)).collect();
    let group_of: Vec<Option<usize>> = line
        .tasks
        .iter()
        .enumerate()
        .map(|(id, task)| {
            let fits = |at: &usize| task.comm.starts_with(&prefixes[*at]);
            let fitting = (0..prefixes.len()).filter(fits);
            fitting.max_by_key(|&at| prefixes[at].len()).filter(|_| takes(id))
        })
        .collect();
    for wait in &line.waits {
        let Some(group) = group_of[wait.task].and_then(|at| groups.get_mut(at)) else { continue };
        if wait.ran && wait.cause != Cause::Before && window.contains(&wait.to_ns) {
            group.all.push(wait.to_ns - wait.from_ns);
            if matches!(wait.cause, Cause::Woken | Cause::Born) {
                group.woken.push(wait.to_ns - wait.from_ns);
            }
        }
        let ends_later = wait.to_ns >= window.end;
        if wait.from_ns < window.end && ends_later {
            group.unfinished += 1;
            group.unfinished_max_ns = group.unfinished_max_ns.max(window.end - wait.from_ns);
        }
    }
    groups.into_iter().map(Group::finish).collect()
}

#[derive(Debug, Default)]
struct Group {
    prefix: String,
    all: Vec<u64>,
    woken: Vec<u64>,
    unfinished: u64,
    unfinished_max_ns: u64,
}

impl Group {
    fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_string(), ..Self::default() }
    }

    fn finish(self) -> Waits {
        Waits {
            prefix: self.prefix,
            all: Distribution::of(self.all),
            woken: Distribution::of(self.woken),
            unfinished: self.unfinished,
            unfinished_max_ns: self.unfinished_max_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let all = Distribution::of((1..=1000).rev().collect());
        let expected = Distribution {
            count: 1000,
            mean_ns: 500,
            p50_ns: 500,
            p99_ns: 990,
            p999_ns: 999,
            max_ns: 1000,
        };
        assert_eq!(all, expected);
        assert_eq!(Distribution::of(vec![7]).p999_ns, 7);
        assert_eq!(Distribution::of(Vec::new()), Distribution::default());
    }
}
