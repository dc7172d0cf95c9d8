// SPDX-License-Identifier: GPL-2.0-only
//! What scheduling itself takes: the kernel's own figures of our BPF programs, and its count of
//! context switches to set them against.
//!
//! The kernel times programs only while `kernel.bpf_stats_enabled` is 1, which costs it some
//! 20 ns a run; nothing here switches it on. What a BPF timer runs is never timed.

use anyhow::{Context, Result};
use libbpf_rs::libbpf_sys;
use serde::Serialize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// What scheduling took since some instant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Overhead {
    /// Time in our BPF programs on all CPUs, in ns; 0 while the kernel does not time them.
    pub bpf_ns: u64,
    /// Timed runs of our BPF programs.
    pub bpf_runs: u64,
    /// Context switches of the whole machine, those of other scheduling classes included.
    pub switches: u64,
}

impl Overhead {
    pub(super) fn since(&self, before: &Overhead) -> Overhead {
        Overhead {
            bpf_ns: self.bpf_ns.saturating_sub(before.bpf_ns),
            bpf_runs: self.bpf_runs.saturating_sub(before.bpf_runs),
            switches: self.switches.saturating_sub(before.switches),
        }
    }
}

/// Where the counts of the machine stood when ours began.
#[derive(Debug)]
pub struct Meter {
    switches: u64,
}

impl Meter {
    /// Begin to count.
    ///
    /// # Errors
    /// When `/proc/stat` cannot be read.
    pub fn new() -> Result<Meter> {
        Ok(Meter { switches: switches()? })
    }

    /// Read what the kernel says of `programs`, loaded since, and `/proc/stat`.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn read(&self, programs: impl Iterator<Item = impl AsFd>) -> Result<Overhead> {
        let since = switches()?.saturating_sub(self.switches);
        let mut overhead = Overhead { switches: since, ..Overhead::default() };
        for program in programs {
            let (ns, runs) = run_time(program.as_fd())?;
            overhead.bpf_ns += ns;
            overhead.bpf_runs += runs;
        }
        Ok(overhead)
    }
}

/// Time and number of the timed runs of one program.
fn run_time(program: BorrowedFd) -> Result<(u64, u64)> {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut size = size_of_val(&info) as u32;
    // SAFETY: `info` and `size` are ours, the size is that of `info`, and all its pointers are
    // null with lengths of 0, so the kernel writes to `info` alone.
    let done = unsafe {
        libbpf_sys::bpf_prog_get_info_by_fd(program.as_raw_fd(), &raw mut info, &raw mut size)
    };
    // A program that this kernel has no use for is not loaded, and has no descriptor.
    if done == -libc::EBADFD {
        return Ok((0, 0));
    }
    if done != 0 {
        let err = std::io::Error::from_raw_os_error(-done);
        return Err(err).context("the kernel does not tell about our BPF programs");
    }
    Ok((info.run_time_ns, info.run_cnt))
}

fn switches() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/stat").context("/proc/stat")?;
    parse_switches(&text).context("/proc/stat has no line \"ctxt NUMBER\"")
}

fn parse_switches(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("ctxt ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_counts_switches() {
        assert_eq!(parse_switches("cpu 1 2\nintr 5 6\nctxt 1234\nbtime 1\n"), Some(1234));
        assert_eq!(parse_switches("cpu 1 2\n"), None);
        assert!(switches().expect("this machine switches") > 0);
    }
}
