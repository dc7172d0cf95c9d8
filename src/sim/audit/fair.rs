// SPDX-License-Identifier: GPL-2.0-only
//! Who is in one LLC for half a second without ever sleeping gets as much CPU time as others of the same
//! weight there, but for a few turns.

use crate::sim::world::{State, TaskId, World};
use std::collections::BTreeMap;

/// Length of a window.
const WINDOW_NS: u64 = 500_000_000;
/// Turns by which two may differ at the end of a window: each may be a turn behind the clock or two
/// ahead of it, and be in the midst of one.
const TURNS: u64 = 4;

/// What is known of a task since the window began.
#[derive(Clone, Copy, Default)]
struct Seen {
    llc: Option<usize>,
    ran_ns: u64,
    /// It has slept, or been elsewhere.
    left: bool,
}

/// See the module.
pub struct Fairness {
    turn_ns: u64,
    began: u64,
    seen: Vec<Seen>,
}

impl Fairness {
    /// For turns of at most so many ns.
    pub fn new(turn_ns: u64) -> Fairness {
        Fairness { turn_ns, began: 0, seen: Vec::new() }
    }

    fn of(&mut self, task: TaskId) -> &mut Seen {
        let at = task as usize;
        if self.seen.len() <= at {
            self.seen.resize(at + 1, Seen { left: true, ..Seen::default() });
        }
        &mut self.seen[at]
    }

    /// It slept until now.
    pub fn woke(&mut self, task: TaskId) {
        self.of(task).left = true;
    }

    /// It runs in `llc`.
    pub fn runs(&mut self, task: TaskId, llc: usize) {
        let seen = self.of(task);
        seen.left |= seen.llc != Some(llc);
        seen.llc = Some(llc);
    }

    /// What is found if a window is over now.
    pub fn look(&mut self, world: &World) -> Option<Result<(), String>> {
        if world.now - self.began < WINDOW_NS {
            return None;
        }
        let first = self.began == 0;
        self.began = world.now;
        let mut groups: BTreeMap<(usize, u32), Vec<(u64, usize)>> = BTreeMap::new();
        for (id, task) in world.tasks.iter().enumerate() {
            let awake = matches!(task.state, State::Running | State::Waiting);
            // SAFETY: tasks live as long as the world.
            let (weight, cpu) = unsafe { ((*task.raw).scx.weight, (*task.raw).cpu as usize) };
            let since = world.cpus[cpu].since;
            // What runs is accounted for up to its CPU's last look.
            let unseen = if task.state == State::Running { world.now - since } else { 0 };
            let ran_ns = task.ran_ns + unseen;
            let seen = self.of(id as TaskId);
            let got = ran_ns - seen.ran_ns;
            if let (true, false, Some(llc)) = (awake, seen.left, seen.llc) {
                groups.entry((llc, weight)).or_default().push((got, id));
            }
            *seen = Seen { ran_ns, left: !awake, ..*seen };
        }
        let bound = TURNS * self.turn_ns;
        for ((llc, _), group) in groups {
            let (Some(least), Some(most)) = (group.iter().min(), group.iter().max()) else {
                continue;
            };
            if !first && most.0 - least.0 > bound {
                return Some(Err(format!(
                    "in LLC {llc} task {} got {:.1} ms and task {} {:.1} ms",
                    least.1,
                    least.0 as f64 / 1e6,
                    most.1,
                    most.0 as f64 / 1e6
                )));
            }
        }
        Some(Ok(()))
    }
}
