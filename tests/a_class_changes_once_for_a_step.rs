// SPDX-License-Identifier: GPL-2.0-only
//! Big and little cores: a demand that swings faster than the hold time changes no class, one that
//! changes for good changes it exactly once. Driven through the decision code of the kernel.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use scx_toll::ffi::Demand;

const MS: u64 = 1_000_000;
const HOLD: u64 = 100 * MS;
const BIG: u32 = 1024;

/// A task on a machine whose little cores are worth `little_q10`, and how often its class changed.
struct Task {
    demand: Demand,
    little_q10: u32,
    now: u64,
    changes: u32,
}

impl Task {
    fn new(little_q10: u32, little: bool, util_q10: u32) -> Task {
        let demand = Demand { little: little.into(), util_q10, ..Demand::default() };
        Task { demand, little_q10, now: MS, changes: 0 }
    }

    fn decide(&mut self) {
        let before = self.demand.little != 0;
        let after = self.demand.class(self.little_q10, self.now, HOLD);
        self.changes += u32::from(before != after);
    }

    /// Run for `ns` where it belongs, charged at ticks of 4 ms.
    fn run(&mut self, ns: u64) {
        let end = self.now + ns;
        while self.now < end {
            let step = (end - self.now).min(4 * MS);
            let core = if self.demand.little != 0 { self.little_q10 } else { BIG };
            self.now += step;
            self.demand.add(step, 0, core);
            self.decide();
        }
    }

    fn sleep(&mut self, ns: u64) {
        self.now += ns;
        self.demand.add(0, ns, 0);
        self.decide();
    }

    /// Swing between `on` ns of running and `off` ns of sleep for two seconds.
    fn wave(&mut self, on: u64, off: u64) {
        let end = self.now + 2000 * MS;
        while self.now < end {
            self.run(on);
            self.sleep(off);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_square_wave_faster_than_the_hold_time_changes_nothing(
        half in 2 * MS..HOLD,
        little_q10 in 256..800u32,
        little in any::<bool>(),
    ) {
        let util = little_q10 * 65 / 100;
        let mut task = Task::new(little_q10, little, util);
        task.wave(half, half);
        prop_assert_eq!(task.changes, 0, "{:?}", task.demand);
    }

    #[test]
    fn a_step_up_changes_it_once_and_a_step_down_once(
        period in 5 * MS..30 * MS,
        duty in 2..8u64,
        little_q10 in 300..800u32,
    ) {
        let mut task = Task::new(little_q10, true, 0);
        let on = period * duty / 100;
        task.wave(on, period - on);
        prop_assert_eq!(task.changes, 0, "light on a little core: {:?}", task.demand);
        task.run(2000 * MS);
        prop_assert_eq!(task.changes, 1, "{:?}", task.demand);
        task.wave(on, period - on);
        prop_assert_eq!((task.changes, task.demand.little), (2, 1), "{:?}", task.demand);
    }
}

#[test]
fn a_class_changes_only_after_the_hold_time() {
    let mut task = Task::new(512, true, 0);
    let began = task.now;
    while task.changes == 0 {
        task.run(4 * MS);
    }
    let took = task.now - began;
    assert!((HOLD..3 * HOLD).contains(&took), "{took}");
}

/// Turns shorter than what rounding can resolve are not lost: half of a core is half of it.
#[test]
fn short_turns_count_in_full() {
    let mut task = Task::new(512, false, 512);
    for _ in 0..20_000 {
        task.now += 50_000;
        task.demand.add(50_000, 0, BIG);
        task.now += 50_000;
        task.demand.add(0, 50_000, 0);
    }
    assert!((470..=550).contains(&task.demand.util_q10), "{:?}", task.demand);
}
