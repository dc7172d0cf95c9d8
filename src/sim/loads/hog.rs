// SPDX-License-Identifier: GPL-2.0-only
//! `hog`: one endless task more than there are CPUs. How much gets done, and how evenly?

use crate::sim::load::{Cx, Ends, Hire, Load, StaffView, Step};
use crate::sim::worker::served_ns;
use toll_bench::lab::Setting;
use toll_bench::lab::figures::Figure;

const STREAM_SETS: u64 = 2;

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
        let mut rng = self.setting.rng(STREAM_SETS);
        let sets = (0..=self.cpus).map(|_| self.setting.draw_footprint(&mut rng).set_kib);
        sets.enumerate().map(|(nr, set)| Hire::new(&format!("lw-hog{nr}"), set)).collect()
    }

    fn ends(&self) -> Ends {
        Ends::After(self.setting.span_ns)
    }

    fn next(&mut self, _: u32, _: &mut Cx) -> Step {
        Step::Work(u64::MAX)
    }

    fn figures(&self, staff: &StaffView, elapsed: u64) -> Vec<Figure> {
        let served: Vec<u64> = (0..staff.nr).map(|nr| served_ns(&staff.paid(nr))).collect();
        let least = served.iter().min().copied().unwrap_or(0) as f64;
        let most = served.iter().max().copied().unwrap_or(0).max(1) as f64;
        let capacity = (self.cpus as u64 * elapsed).max(1) as f64;
        let useful = 100.0 * staff.all_paid().work_ns as f64 / capacity;
        vec![
            Figure::higher("useful_work", useful, "pct").bounded(100.0),
            Figure::higher("least_per_most", least / most, "").bounded(1.0),
        ]
    }
}
