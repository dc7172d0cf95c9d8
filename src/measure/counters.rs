// SPDX-License-Identifier: GPL-2.0-only
//! A CPU's counters of cycles and instructions, as file descriptors for the BPF half.
//!
//! The CPU's own counters are opened as one group, so that both count at the same times when more
//! events are open than the CPU has counters. Software events always count, and where the clock
//! leads a group its other members do not (found on 6.18 and 7.3).

use crate::units::CpuId;
use libbpf_rs::libbpf_sys;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Which events to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Events {
    /// Cycles and instructions.
    Hardware,
    /// The clock in place of cycles and page faults in place of instructions, where a test has to
    /// do without the CPU's counters: its load makes one fault for so much work.
    Software,
}

impl Events {
    /// Type and number of the event that counts cycles, and of the one that counts instructions.
    const fn numbers(self) -> [(u32, u32); 2] {
        match self {
            Events::Hardware => [
                (libbpf_sys::PERF_TYPE_HARDWARE, libbpf_sys::PERF_COUNT_HW_CPU_CYCLES),
                (libbpf_sys::PERF_TYPE_HARDWARE, libbpf_sys::PERF_COUNT_HW_INSTRUCTIONS),
            ],
            Events::Software => [
                (libbpf_sys::PERF_TYPE_SOFTWARE, libbpf_sys::PERF_COUNT_SW_CPU_CLOCK),
                (libbpf_sys::PERF_TYPE_SOFTWARE, libbpf_sys::PERF_COUNT_SW_PAGE_FAULTS),
            ],
        }
    }
}

/// The two events of one CPU, counting as long as somebody holds them.
#[derive(Debug)]
pub struct Counters {
    /// Cycles.
    pub cycles: OwnedFd,
    /// Instructions.
    pub insns: OwnedFd,
}

impl Counters {
    /// Count `events` on `cpu`, whoever runs there.
    ///
    /// # Errors
    /// What the kernel says: `ENOENT` or `EOPNOTSUPP` where the CPU has no such counters, `EACCES`
    /// or `EPERM` without CAP_PERFMON, `ENODEV` for a CPU that is offline.
    pub fn open(events: Events, cpu: CpuId) -> io::Result<Counters> {
        const NO_GROUP: RawFd = -1;
        let [cycles, insns] = events.numbers();
        let cycles = open(cycles, cpu, NO_GROUP)?;
        let group = if events == Events::Hardware { cycles.as_raw_fd() } else { NO_GROUP };
        let insns = open(insns, cpu, group)?;
        Ok(Counters { cycles, insns })
    }
}

/// Open one event on `cpu` for all tasks, in the group that `group` leads.
fn open((kind, number): (u32, u32), cpu: CpuId, group: RawFd) -> io::Result<OwnedFd> {
    const ALL_TASKS: libc::pid_t = -1;
    let mut attr = libbpf_sys::perf_event_attr {
        type_: kind,
        size: size_of::<libbpf_sys::perf_event_attr>() as u32,
        config: number.into(),
        ..Default::default()
    };
    let cpu = i32::try_from(cpu.0).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: `attr` is a whole perf_event_attr that names its own size; the kernel may write its
    // own size there, nothing else, and keeps no pointer to it.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw mut attr,
            ALL_TASKS,
            cpu,
            group,
            libc::c_ulong::from(libbpf_sys::PERF_FLAG_FD_CLOEXEC),
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}
