// SPDX-License-Identifier: GPL-2.0-only
//! What CPUs are worth together.
//!
//! A core of the machine's most capable kind counts 1024 (Q10), others what the kernel says. A
//! second thread of a core adds only [`THREAD_Q10`](super::decide::THREAD_Q10) of it: while its
//! sibling is busy a thread is not a CPU of its own, and an LLC of four cores with two threads
//! each works off its queue as 5.2 cores would, not as eight.

use super::decide::thread_capacity;
use crate::topology::split::SAME_CLASS_SHARE;
use crate::topology::{Llc, Topology};
use crate::units::Q10_ONE;
use std::collections::BTreeSet;

/// Capacity of all CPUs of `llc` together, in Q10.
pub fn of_llc(topo: &Topology, llc: &Llc) -> u32 {
    let mut cores = BTreeSet::new();
    let cpus = llc.cpus.iter().filter_map(|&id| topo.cpu(id));
    cpus.map(|cpu| match cores.insert(cpu.core) {
        true => cpu.capacity,
        false => thread_capacity(cpu.capacity),
    })
    .sum()
}

/// Capacity of the most capable core of `llc`, in Q10.
pub fn of_core(topo: &Topology, llc: &Llc) -> u32 {
    llc.cpus.iter().filter_map(|&id| topo.cpu(id)).map(|cpu| cpu.capacity).max().unwrap_or(Q10_ONE)
}

/// Capacity of a little core, in Q10: the most capable of those that are of another class than
/// the machine's best. `None` where all are of one class.
pub fn little(topo: &Topology) -> Option<u32> {
    let cores = topo.llcs.iter().map(|llc| of_core(topo, llc));
    let most = cores.clone().max()?;
    cores.filter(|&core| f64::from(core) < f64::from(most) * SAME_CLASS_SHARE).max()
}

/// Extra run time on a core of `little` (Q10) of what runs on one of full capacity, per mille.
pub fn slower_pm(little: u32) -> u32 {
    (Q10_ONE * 1000 / little.max(1)).saturating_sub(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_thread_adds_less_than_a_core() {
        let mut topo = Topology::synthetic(1, 1, 8).unwrap();
        assert_eq!(of_llc(&topo, &topo.llcs[0]), 8 * 1024);
        for cpu in &mut topo.cpus {
            cpu.core = cpu.id.0 / 2;
        }
        assert_eq!(of_llc(&topo, &topo.llcs[0]), 4 * 1024 + 4 * 307);
        for cpu in topo.cpus.iter_mut().skip(4) {
            cpu.capacity = 512;
        }
        assert_eq!(of_llc(&topo, &topo.llcs[0]), 2 * (1024 + 307) + 2 * (512 + 153));
    }

    #[test]
    fn little_is_what_is_of_another_class_than_the_best() {
        let mut topo = Topology::synthetic(1, 3, 2).unwrap();
        assert_eq!(little(&topo), None);
        for (cpu, capacity) in topo.cpus.iter_mut().zip([1024, 1000, 640, 640, 400, 400]) {
            cpu.capacity = capacity;
        }
        assert_eq!(little(&topo), Some(640));
        assert_eq!(slower_pm(640), 600);
        assert_eq!(slower_pm(512), 1000);
    }
}
