// SPDX-License-Identifier: GPL-2.0-only
//! Cgroups as schedulers see them.

use super::abi::{Cgroup, CgroupInitArgs, Css, CssSet};
use std::ptr::null_mut;

/// The root, and what it is reached by.
pub struct Cgroups {
    root: Box<Cgroup>,
    _id: Box<u64>,
    set: Box<CssSet>,
}

impl Cgroups {
    /// The root alone.
    pub fn root_only() -> Cgroups {
        let mut id = Box::new(1);
        let mut root = Box::new(Cgroup {
            css: Css { cgroup: null_mut(), parent: null_mut() },
            kn: &raw mut *id,
            level: 0,
            pad: 0,
            ancestors: [null_mut(); 16],
        });
        root.css.cgroup = &raw mut *root;
        root.ancestors[0] = &raw mut *root;
        let set = Box::new(CssSet { cgroup: &raw mut *root });
        Cgroups { root, _id: id, set }
    }

    /// The root.
    pub fn root(&mut self) -> *mut Cgroup {
        &raw mut *self.root
    }

    /// What a task of the root is in.
    pub fn css_set(&mut self) -> *mut CssSet {
        &raw mut *self.set
    }

    /// All of them, parents first, as a scheduler is told of them.
    pub fn all(&mut self) -> Vec<(*mut Cgroup, CgroupInitArgs)> {
        let args = CgroupInitArgs {
            weight: 100,
            bw_period_us: 100_000,
            bw_quota_us: u64::MAX,
            bw_burst_us: 0,
        };
        vec![(self.root(), args)]
    }
}
