// SPDX-License-Identifier: GPL-2.0-only
//! `hog`: one endless task more than there are CPUs. How much gets done, and how evenly?

use super::hire;
use crate::sim::load::{Cx, Ends, Hire, Load, StaffView, Step};
use crate::sim::worker::served_ns;
use toll_bench::lab::Setting;
use toll_bench::lab::figures::Figure;
use toll_bench::lab::hog::{STREAM_SETS, evenness_of, useful_of};

/// See the module.
pub struct Hog {
    setting: Setting,
    cpus: usize,
}

impl Hog {
    /// For `setting` on `cpus` CPUs.
    pub fn new(setting: &Setting, cpus: usize) -> Hog {
        Hog { setting: *setting, cpus }
    }
}

impl Load for Hog {
    fn staff(&mut self) -> Vec<Hire> {
        hire(&self.setting, STREAM_SETS, (0..=self.cpus).map(|nr| format!("hog{nr}")))
    }

    fn ends(&self) -> Ends {
        Ends::After(self.setting.span_ns)
    }

    fn next(&mut self, _: u32, _: &mut Cx) -> Step {
        Step::Work(u64::MAX)
    }

    fn figures(&self, staff: &StaffView, elapsed: u64) -> Vec<Figure> {
        let served: Vec<u64> = (0..staff.nr).map(|nr| served_ns(&staff.paid(nr))).collect();
        vec![useful_of(staff.all_paid().work_ns, self.cpus, elapsed), evenness_of(&served)]
    }
}
