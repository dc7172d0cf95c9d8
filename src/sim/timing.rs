// SPDX-License-Identifier: GPL-2.0-only
//! How long the kernel's own doings take.

use super::events::Events;

/// Times in ns. All are guesses, of the size that current servers have; what matters is their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Between two ticks of a CPU that is not idle: HZ is 250, as in Debian's kernels.
    pub tick_ns: u64,
    /// From asking for a kick to its being carried out on the same CPU.
    pub irq_work_ns: u64,
    /// An interrupt to another CPU.
    pub interrupt_ns: u64,
    /// Besides, if that one is idle: leaving the idle state.
    pub idle_exit_ns: u64,
    /// CPU time of a switch, at the beginning of the stretch that follows it.
    pub switch_ns: u64,
    /// How far the clocks of two CPUs may differ.
    pub skew_ns: u64,
}

impl Timing {
    /// A usual machine.
    pub const USUAL: Timing = Timing {
        tick_ns: 4_000_000,
        irq_work_ns: 300,
        interrupt_ns: 700,
        idle_exit_ns: 2_000,
        switch_ns: 2_000,
        skew_ns: 200,
    };

    /// A machine on which nothing takes time, for comparison with theory.
    pub const NONE: Timing = Timing {
        tick_ns: 1_000_000,
        irq_work_ns: 0,
        interrupt_ns: 0,
        idle_exit_ns: 0,
        switch_ns: 0,
        skew_ns: 0,
    };

    /// How far the clock of `cpu` is ahead.
    pub fn skew(&self, cpu: usize) -> u64 {
        match self.skew_ns {
            0 => 0,
            most => (cpu as u64).wrapping_mul(0x9e37_79b9) % (most + 1),
        }
    }

    /// Time until a kick is carried out.
    pub fn irq_work(&self, events: &mut Events) -> u64 {
        vary(self.irq_work_ns, events)
    }

    /// Time until another CPU, which is `idle` or not, calls the scheduler.
    pub fn interrupt(&self, idle: bool, events: &mut Events) -> u64 {
        vary(self.interrupt_ns + if idle { self.idle_exit_ns } else { 0 }, events)
    }
}

/// Between three and five quarters of `ns`, so that races go both ways.
fn vary(ns: u64, events: &mut Events) -> u64 {
    ns * 3 / 4 + events.rng.below(ns / 2 + 1)
}
