// SPDX-License-Identifier: GPL-2.0-only
//! What CPUs are worth together.
//!
//! A core of the machine's most capable kind counts 1024 (Q10), others what the kernel says. A
//! second thread of a core adds only [`THREAD_Q10`](super::decide::THREAD_Q10) of it: while its
//! sibling is busy a thread is not a CPU of its own, and an LLC of four cores with two threads
//! each works off its queue as 5.2 cores would, not as eight.

use super::decide::thread_capacity;
use crate::topology::{Llc, Topology};
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
}
