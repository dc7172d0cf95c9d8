// SPDX-License-Identifier: GPL-2.0-only
//! Invariants.
use super::object::Object;
use super::timing::Timing;
use super::world::{TaskId, World};
use crate::policy::Policy;
use crate::topology::Topology;
use serde::Serialize;

/// What did not hold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The invariant.
    pub invariant: String,
    /// When, ns.
    pub at_ns: u64,
    /// What was found.
    pub what: String,
    /// How often.
    pub count: u64,
}

/// What looks on.
#[derive(Default)]
pub struct Audit {}

impl Audit {
    /// For the machine.
    pub fn new(_topo: &Topology, _policy: Option<Policy>, _timing: Timing) -> Audit {
        Audit {}
    }
    /// What did not hold.
    pub fn findings(&self) -> Vec<Finding> {
        Vec::new()
    }
    /// How often was looked.
    pub fn looks(&self) -> Vec<(String, u64)> {
        Vec::new()
    }
    /// Idle time beside paying work.
    pub fn paying_ns(&self) -> u64 {
        0
    }
    /// The load begins.
    pub fn released(&mut self, _now: u64) {}
    /// A task ran.
    pub fn ran(&mut self, _task: TaskId, _llc: usize, _used: u64) {}
    /// A task begins to run.
    pub fn runs(&mut self, _t: TaskId, _from: Option<usize>, _cpu: usize, _now: u64, _waited: u64) {
    }
    /// Look at all.
    pub fn look(&mut self, _world: &World, _object: &Object) {}
    /// Records.
    pub fn records(&mut self, _records: &[Vec<u8>]) {}
}
