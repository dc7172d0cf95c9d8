// SPDX-License-Identifier: GPL-2.0-only
//! What the scheduler of a trace does as a rule, as far as that has been seen.
//!
//! A move by itself may look like either kind: a CPU that has run out of work takes a task of
//! another LLC, which it has fetched there, or which somebody had put into its queue. Two habits tell
//! these apart:
//!
//! - *Are CPUs given tasks of other LLCs while they have enough to do?* That cannot be a pull.
//! - *Do CPUs idle beside tasks that wait in another LLC?* Those that fetch would have fetched one.
//!
//! Where tasks are given more often than fetched, and CPUs idle more often than they fetch, what
//! looks like either was given. And where tasks are given, a CPU that takes one from afar while others
//! wait in its own LLC was given it: who fetches looks nearby first. So was one that had waited while
//! a CPU idled where it came from: it cannot have been in that queue.
//!
//! Bad at: the first moves of a trace, and habits that change.

use super::layout::Layout;
use super::watch::Load;

/// Moves that have to be seen before a habit counts.
const SEEN_MIN: u64 = 20;

/// Counts of what tells habits apart.
#[derive(Clone, Debug, Default)]
pub struct Habits {
    loads: Vec<u32>,
    /// CPUs of each LLC on which a task waits.
    crowded: Vec<u32>,
    all_crowded: u32,
    /// When a CPU of each LLC last went idle, in ns.
    idled_ns: Vec<u64>,
    /// CPUs that went idle while a task waited in another LLC.
    left_idle: u64,
    /// Moves between LLCs to CPUs that were about to idle.
    fetched: u64,
    /// Moves between LLCs to CPUs that were not.
    given: u64,
    /// Moves within an LLC to CPUs that were about to idle.
    near_idle: u64,
    /// Moves within an LLC to CPUs that were not.
    near_busy: u64,
}

impl Habits {
    /// A CPU has another load from `at_ns` on.
    pub fn load(&mut self, layout: &Layout, at_ns: u64, cpu: u32, load: Load) {
        let Some(llc) = layout.llc(cpu) else { return };
        let (at, llc) = (cpu as usize, llc.index());
        if at >= self.loads.len() {
            self.loads.resize(at + 1, 0);
        }
        if llc >= self.crowded.len() {
            self.crowded.resize(llc + 1, 0);
            self.idled_ns.resize(llc + 1, 0);
        }
        let now = load.unwrap_or(0);
        let before = std::mem::replace(&mut self.loads[at], now);
        match (before >= 2, now >= 2) {
            (false, true) => {
                self.crowded[llc] += 1;
                self.all_crowded += 1;
            }
            (true, false) => {
                self.crowded[llc] -= 1;
                self.all_crowded -= 1;
            }
            _ => {}
        }
        if load == Some(0) && before > 0 {
            self.idled_ns[llc] = at_ns;
            self.left_idle += u64::from(self.all_crowded > self.crowded[llc]);
        }
    }

    /// True if a CPU of `cpu`'s LLC has gone idle since `since_ns`, but not later than `until_ns`.
    pub fn idled(&self, layout: &Layout, cpu: u32, since_ns: u64, until_ns: u64) -> bool {
        let idled_ns = layout.llc(cpu).and_then(|llc| self.idled_ns.get(llc.index()));
        idled_ns.is_some_and(|idled_ns| (since_ns + 1..=until_ns).contains(idled_ns))
    }

    /// True if tasks wait on other CPUs of `cpu`'s LLC.
    pub fn waits_beside(&self, layout: &Layout, cpu: u32) -> bool {
        let crowded = layout.llc(cpu).and_then(|llc| self.crowded.get(llc.index()));
        let itself = self.loads.get(cpu as usize).is_some_and(|load| *load >= 2);
        crowded.is_some_and(|crowded| *crowded > u32::from(itself))
    }

    /// A task came from another LLC (`apart`) or from a CPU of its own; `busy`: to a CPU that had
    /// enough to do.
    pub fn came(&mut self, apart: bool, busy: bool) {
        let count = match (apart, busy) {
            (true, true) => &mut self.given,
            (true, false) => &mut self.fetched,
            (false, true) => &mut self.near_busy,
            (false, false) => &mut self.near_idle,
        };
        *count += 1;
    }

    /// True if a CPU that is about to idle does not fetch from other LLCs here.
    pub const fn never_fetches(&self) -> bool {
        self.gives() && self.left_idle > self.fetched
    }

    /// True if CPUs are given tasks of other LLCs more often than they may have fetched some.
    pub const fn gives(&self) -> bool {
        self.given + self.fetched >= SEEN_MIN && self.given > self.fetched
    }

    /// True if the CPUs of an LLC take their tasks from one queue: a third and more of the moves
    /// within an LLC go to CPUs that have enough to do.
    pub const fn one_queue_per_llc(&self) -> bool {
        self.near_busy + self.near_idle >= SEEN_MIN / 2 && self.near_busy * 2 > self.near_idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Topology;

    fn layout() -> Layout {
        Layout::new(Topology::synthetic(1, 2, 2).unwrap_or_else(|why| panic!("{why}")))
    }

    #[test]
    fn who_idles_beside_waiting_tasks_and_is_given_some_never_fetches() {
        let layout = layout();
        let mut habits = Habits::default();
        habits.load(&layout, 0, 3, Some(2));
        for _ in 0..20 {
            habits.came(true, true);
            habits.load(&layout, 5, 0, Some(1));
            habits.load(&layout, 7, 0, Some(0));
        }
        assert!(habits.never_fetches());
        (0..30).for_each(|_| habits.came(true, false));
        assert!(!habits.never_fetches(), "it fetches more often than it idles");
    }

    #[test]
    fn idling_where_nothing_waits_elsewhere_says_nothing() {
        let layout = layout();
        let mut habits = Habits::default();
        habits.load(&layout, 0, 1, Some(5));
        for _ in 0..30 {
            habits.came(true, true);
            habits.load(&layout, 5, 0, Some(1));
            habits.load(&layout, 7, 0, Some(0));
        }
        assert!(!habits.never_fetches(), "what waits is in its own LLC");
        habits.load(&layout, 9, 9, Some(5));
        assert!(habits.waits_beside(&layout, 0) && !habits.waits_beside(&layout, 1));
        assert!(habits.idled(&layout, 1, 6, 8) && !habits.idled(&layout, 1, 7, 8));
        assert!(!habits.idled(&layout, 1, 0, 6), "that was later");
    }

    #[test]
    fn one_queue_shows_in_moves_to_busy_cpus() {
        let mut habits = Habits::default();
        (0..9).for_each(|_| habits.came(false, true));
        assert!(!habits.one_queue_per_llc());
        habits.came(false, true);
        assert!(habits.one_queue_per_llc());
    }
}
