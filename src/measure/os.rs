// SPDX-License-Identifier: GPL-2.0-only
//! What measuring needs of the kernel and the instruction set: where a thread runs, whether it
//! was switched out, a line thrown out of the caches, memory on one node.

use crate::units::{CpuId, MAX_CPUS};
use std::io;
use std::ptr::NonNull;

/// Bind the calling thread to `cpu`; it runs there when this returns.
///
/// # Errors
/// The kernel's, for a CPU that is offline or forbidden to this process.
pub fn pin(cpu: CpuId) -> io::Result<()> {
    if cpu.index() >= MAX_CPUS {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: all zeros is a valid cpu_set_t, and CPU_SET writes below its 1024 bits.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu.index(), &mut set);
        set
    };
    // SAFETY: the kernel reads `size_of_val(&set)` bytes of a live value; 0 is this thread.
    match unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The CPUs that this process may use, ascending; empty when the kernel does not say.
pub fn allowed_cpus() -> Vec<CpuId> {
    // SAFETY: all zeros is a valid cpu_set_t; the kernel writes at most the size that it is told.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) != 0 {
            return Vec::new();
        }
        set
    };
    // SAFETY: the index is below the 1024 bits of the set.
    let allowed = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &set) };
    (0..MAX_CPUS).filter(allowed).map(|cpu| CpuId(cpu as u32)).collect()
}

/// The CPU that the calling thread is running on, if the kernel says.
pub fn current_cpu() -> Option<CpuId> {
    // SAFETY: no arguments, no memory.
    u32::try_from(unsafe { libc::sched_getcpu() }).ok().map(CpuId)
}

/// How often the calling thread was switched out so far, willingly or not.
pub fn switches() -> i64 {
    // SAFETY: all zeros is a valid rusage, which the kernel overwrites.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &mut usage);
        usage
    };
    usage.ru_nvcsw + usage.ru_nivcsw
}

/// True where [`flush`] works.
pub const CAN_FLUSH: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

/// Write the cache line that holds `value` back and throw it out of every cache.
pub fn flush<T>(value: &T) {
    let _address = std::ptr::from_ref(value).cast::<u8>();
    #[cfg(target_arch = "x86_64")]
    // SAFETY: clflush is part of x86-64's baseline (SSE2) and changes no content; the address is
    // that of a live value.
    unsafe {
        std::arch::x86_64::_mm_clflush(_address)
    };
    #[cfg(target_arch = "aarch64")]
    // SAFETY: Linux allows `dc civac` in user mode; it changes no content, and the address is
    // that of a live value.
    unsafe {
        std::arch::asm!("dc civac, {}", in(reg) _address, options(nostack, preserves_flags))
    };
}

/// Wait until all loads, stores and flushes before this point are done.
pub fn fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: mfence is part of x86-64's baseline.
    unsafe {
        std::arch::x86_64::_mm_mfence()
    };
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a barrier reads and writes no memory.
    unsafe {
        std::arch::asm!("dsb sy", options(nostack, preserves_flags))
    };
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

/// Anonymous zeroed memory, mapped on its own so that it can be bound to a node.
pub struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

/// `MPOL_BIND` of `linux/mempolicy.h`: these nodes and no other.
const MPOL_BIND: libc::c_ulong = 2;

impl Mapping {
    /// `bytes` of memory, at least 1, not yet touched.
    ///
    /// # Errors
    /// The kernel's, when it has no memory to give.
    pub fn new(bytes: usize) -> io::Result<Mapping> {
        let (prot, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new private mapping at an address of the kernel's choice.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, prot, flags, -1, 0) };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => {
                Ok(Mapping { start, bytes })
            }
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Bind the memory to the node that the kernel calls `kernel_node`, below 1024. It has to be
    /// untouched still.
    ///
    /// # Errors
    /// The kernel's: without NUMA, for a node without memory, or where the call is forbidden.
    pub fn bind(&mut self, kernel_node: u32) -> io::Result<()> {
        let mut mask = [0_u64; MAX_CPUS / 64];
        let word = mask
            .get_mut(kernel_node as usize / 64)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
        *word = 1 << (kernel_node % 64);
        // SAFETY: the range is this mapping; the kernel reads 1024 bits of a live mask (it takes
        // one bit less than the number that it is given).
        let status = unsafe {
            libc::syscall(
                libc::SYS_mbind,
                self.start.as_ptr(),
                self.bytes,
                MPOL_BIND,
                mask.as_ptr(),
                MAX_CPUS as libc::c_ulong + 1,
                0 as libc::c_ulong,
            )
        };
        if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// The memory as whole cache lines.
    pub fn lines(&mut self) -> &mut [super::chase::CacheLine] {
        let len = self.bytes / size_of::<super::chase::CacheLine>();
        // SAFETY: the mapping is page aligned, zeroed, long enough for `len` lines, and borrowed
        // mutably as a whole; all zeros is a valid line.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no borrow of it outlives us.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}
