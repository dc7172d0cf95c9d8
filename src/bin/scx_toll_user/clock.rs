// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's scheduler clock, as near as it can be known here.

use std::time::Instant;

/// The clock of the BPF half against our own.
#[derive(Debug)]
pub struct Clock {
    began: Instant,
    /// The kernel's clock at `began`, as far as it is known: every reading of it is a little old, so
    /// the largest is the best.
    began_ns: u64,
}

impl Clock {
    /// It begins at 0.
    pub fn new() -> Clock {
        Clock { began: Instant::now(), began_ns: 0 }
    }

    fn elapsed_ns(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// The kernel's clock was `ns` a moment ago.
    pub fn was(&mut self, ns: u64) {
        self.began_ns = self.began_ns.max(ns.saturating_sub(self.elapsed_ns()));
    }

    /// The kernel's clock now, in ns.
    pub fn now_ns(&self) -> u64 {
        self.began_ns + self.elapsed_ns()
    }
}
