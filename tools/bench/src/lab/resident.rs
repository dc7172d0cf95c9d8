// SPDX-License-Identifier: GPL-2.0-only
//! Real memory of a task, whose pages the kernel or a scheduler may move from node to node.
//!
//! 1. [`Resident::new`] touches every page, which puts them where the task is then.
//! 2. [`Resident::look`] touches all of them again, as a task does that uses its memory (the
//!    kernel's NUMA balancing learns from it), and asks the kernel where [`SAMPLE`] of them are.
//! 3. [`Resident::away_pm`] says from that how much of the memory is not on a node.

use std::io;

use anyhow::{Context, Result};

use crate::topology::{NodeId, Topology};

const PAGE: usize = 4096;
/// Pages that are asked for, evenly spread over the memory. A share is right to 1/64 then, and a
/// look takes some 50 µs.
const SAMPLE: usize = 64;

/// How much memory a task has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Working set in the caches, KiB.
    pub set_kib: u64,
    /// Memory whose place makes it remote, KiB; 0: the task's home is where it begins, for good.
    pub memory_kib: u64,
}

/// Memory that is in use.
pub struct Resident {
    bytes: Vec<u8>,
    /// Sampled pages by position of their node, as of the last look.
    by_node: Vec<u64>,
    /// ... in sum: pages of nodes without CPUs, too.
    total: u64,
}

impl Resident {
    /// Memory of `kib`, every page of it touched.
    ///
    /// # Errors
    /// When there is not so much.
    pub fn new(kib: u64) -> Result<Resident> {
        let bytes = usize::try_from(kib).context("a memory beyond all memory")? * 1024;
        let mut bytes = vec![0u8; bytes];
        for byte in bytes.iter_mut().step_by(PAGE) {
            // SAFETY: a reference to a byte that is written.
            unsafe { std::ptr::write_volatile(byte, 1) };
        }
        Ok(Resident { bytes, by_node: Vec::new(), total: 0 })
    }

    /// Use all of it, and see where it is.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn look(&mut self, topology: &Topology) -> io::Result<()> {
        for byte in self.bytes.iter().step_by(PAGE) {
            // SAFETY: a reference to a byte that is read.
            unsafe { std::ptr::read_volatile(byte) };
        }
        let step = (self.bytes.len() / SAMPLE).max(PAGE);
        let addresses: Vec<*const u8> =
            self.bytes.iter().step_by(step).map(std::ptr::from_ref).collect();
        let mut status = vec![-libc::ENOENT; addresses.len()];
        // SAFETY: without nodes nothing is moved: the kernel reads `len` addresses of this process
        // and writes as many statuses.
        let failed = unsafe {
            libc::syscall(
                libc::SYS_move_pages,
                0,
                addresses.len(),
                addresses.as_ptr(),
                std::ptr::null::<libc::c_int>(),
                status.as_mut_ptr(),
                0,
            )
        };
        if failed != 0 {
            return Err(io::Error::last_os_error());
        }
        self.count(&status, topology);
        Ok(())
    }

    /// `status`: a node's number of the kernel, or below 0 of a page that is on its way.
    fn count(&mut self, status: &[libc::c_int], topology: &Topology) {
        let on = |number: usize| -> u64 {
            status.iter().map(|&at| u64::from(usize::try_from(at) == Ok(number))).sum()
        };
        self.by_node = topology.nodes().iter().map(|node| on(node.number)).collect();
        self.total = status.iter().map(|&at| u64::from(at >= 0)).sum();
    }

    /// Thousandths of the memory that were not on `node` at the last look; none before the first.
    pub fn away_pm(&self, node: NodeId) -> u64 {
        let here = self.by_node.get(node.0).copied().unwrap_or(0);
        ((self.total - here) * 1000).checked_div(self.total).unwrap_or(0)
    }

    /// As if a look had found so many pages on each node.
    #[cfg(test)]
    pub fn found(by_node: Vec<u64>) -> Resident {
        let total = by_node.iter().sum();
        Resident { bytes: Vec::new(), by_node, total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_here_is_away_and_what_is_on_its_way_does_not_count() {
        let topology = Topology::probe().expect("a machine");
        let here = topology.nodes()[0].number as libc::c_int;
        let mut memory = Resident::new(16).expect("memory");
        assert_eq!(memory.away_pm(NodeId(0)), 0, "nothing is known");
        memory.count(&[here, here, here, here + 100, -libc::ENOENT], &topology);
        assert_eq!(memory.away_pm(NodeId(0)), 250);
        assert_eq!(memory.away_pm(NodeId(99)), 1000);
    }

    #[test]
    fn all_memory_of_a_machine_with_one_node_is_here() {
        let topology = Topology::probe().expect("a machine");
        let mut memory = Resident::new(1000).expect("memory");
        match memory.look(&topology) {
            Ok(()) if topology.nodes().len() == 1 => assert_eq!(memory.away_pm(NodeId(0)), 0),
            Ok(()) => assert!(memory.total > 0),
            // A sandbox may not have the system call.
            Err(error) => {
                let known = [Some(libc::ENOSYS), Some(libc::EPERM)];
                assert!(known.contains(&error.raw_os_error()), "{error}");
            }
        }
    }
}
