// SPDX-License-Identifier: GPL-2.0-only
//! `pairs`: producers and consumers that hand data to each other; how many exchanges?

use super::hire;
use crate::sim::load::{Cx, Ends, Hire, Load, StaffView, Step};
use toll_bench::lab::Setting;
use toll_bench::lab::figures::Figure;
use toll_bench::lab::pairs::{SHARED_KIB, STREAM_SETS, WORK_NS, figure_of};

/// One side of a pair: where the data was written that has come and is not taken yet.
#[derive(Clone, Copy, Default)]
struct Side {
    mail: Option<usize>,
    works: bool,
}

/// Task 2k produces and 2k + 1 consumes.
pub struct Pairs {
    setting: Setting,
    sides: Vec<Side>,
    exchanges: u64,
}

impl Pairs {
    /// For `setting` on `cpus` CPUs.
    pub fn new(setting: &Setting, cpus: usize) -> Pairs {
        let pairs = (cpus / 2).max(1);
        Pairs { setting: *setting, sides: vec![Side::default(); 2 * pairs], exchanges: 0 }
    }
}

impl Load for Pairs {
    fn staff(&mut self) -> Vec<Hire> {
        let name = |nr: usize| format!("{}{nr}", ["prod", "cons"][nr % 2]);
        hire(&self.setting, STREAM_SETS, (0..self.sides.len()).map(name))
    }

    fn ends(&self) -> Ends {
        Ends::After(self.setting.span_ns)
    }

    fn released(&mut self, cx: &mut Cx) {
        // Each producer begins as if its consumer had answered.
        self.sides.iter_mut().step_by(2).for_each(|side| side.mail = Some(cx.cpu));
    }

    fn next(&mut self, task: u32, cx: &mut Cx) -> Step {
        let other = task ^ 1;
        if std::mem::take(&mut self.sides[task as usize].works) {
            self.sides[other as usize].mail = Some(cx.cpu);
            // Whoever writes into a pipe is about to wait for the answer.
            cx.wake(other, true);
            self.exchanges += u64::from(task % 2 == 1);
        }
        let Some(from) = self.sides[task as usize].mail.take() else { return Step::Block };
        cx.receive(task, from, SHARED_KIB);
        self.sides[task as usize].works = true;
        Step::Work(WORK_NS)
    }

    fn figures(&self, _: &StaffView, elapsed: u64) -> Vec<Figure> {
        vec![figure_of(self.exchanges, self.sides.len() / 2, elapsed.max(1))]
    }
}
