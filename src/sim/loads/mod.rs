// SPDX-License-Identifier: GPL-2.0-only
//! The lab's scenarios, with the lab's own draws: the same seed gives the same load in both. And files in
//! the format of rt-app.

mod batch;
mod hog;
mod open;
mod pairs;
mod rt_app;

use super::load::{Hire, Load};
use toll_bench::lab::staff::NAME_PREFIX;
use toll_bench::lab::{Scenario, Setting};

pub use batch::Batch;
pub use hog::Hog;
pub use open::Open;
pub use pairs::Pairs;
pub use rt_app::RtApp;

/// Scenarios that can be simulated.
pub const SCENARIOS: [Scenario; 4] =
    [Scenario::Open, Scenario::Batch, Scenario::Hog, Scenario::Pairs];

/// Scenario `scenario` on `cpus` CPUs; none if it cannot be simulated.
pub fn of(scenario: Scenario, setting: &Setting, cpus: usize) -> Option<Box<dyn Load>> {
    Some(match scenario {
        Scenario::Open => Box::new(Open::new(setting, cpus)),
        Scenario::Batch => Box::new(Batch::new(setting, cpus)),
        Scenario::Hog => Box::new(Hog::new(setting, cpus)),
        Scenario::Pairs => Box::new(Pairs::new(setting, cpus)),
        _ => return None,
    })
}

/// The tasks of a scenario of the lab: `names` of them, with the working sets that the lab draws from
/// stream `stream`.
fn hire(setting: &Setting, stream: u64, names: impl Iterator<Item = String>) -> Vec<Hire> {
    let mut rng = setting.rng(stream);
    names
        .map(|name| {
            Hire::new(&format!("{NAME_PREFIX}{name}"), setting.draw_footprint(&mut rng).set_kib)
        })
        .collect()
}
