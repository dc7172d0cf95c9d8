// SPDX-License-Identifier: GPL-2.0-only
//! Waiting for the readers of a policy: an RCU grace period, asked for from
//! user space.
//!
//! There are two ways to ask. `membarrier(MEMBARRIER_CMD_GLOBAL)` is one grace
//! period, but is refused (EINVAL) on a kernel that was booted with `nohz_full`.
//! An update of a map of maps is the other: the kernel waits for one before the
//! call returns, so that user space knows that no program uses the old map. The
//! second leaves a map behind for the while, so it is tried second.

use anyhow::{Context, Result, bail};
use libbpf_rs::libbpf_sys::bpf_map_create_opts;
use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType};
use std::os::fd::{AsFd, AsRawFd};

/// Wait until every BPF program that runs now, outside of sleepable ones, has
/// returned.
///
/// # Errors
/// When the kernel offers neither way.
pub(super) fn wait_for_readers() -> Result<()> {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: the call takes three integers and touches no memory of ours.
    let done = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if done == 0 {
        return Ok(());
    }
    let why = std::io::Error::last_os_error();
    match why.raw_os_error() {
        Some(libc::EINVAL | libc::ENOSYS) => {
            wait_by_map_of_maps().with_context(|| format!("membarrier: {why}"))
        }
        _ => bail!("membarrier: {why}"),
    }
}

/// The same by an update of a map of maps.
fn wait_by_map_of_maps() -> Result<()> {
    let mut opts = bpf_map_create_opts {
        sz: size_of::<bpf_map_create_opts>() as libbpf_rs::libbpf_sys::size_t,
        ..Default::default()
    };
    let inner = MapHandle::create(MapType::Array, Some("toll_grace_in"), 4, 4, 1, &opts)
        .context("a map to wait with")?;
    opts.inner_map_fd = inner.as_fd().as_raw_fd() as u32;
    let outer = MapHandle::create(MapType::ArrayOfMaps, Some("toll_grace"), 4, 4, 1, &opts)
        .context("a map of maps to wait with")?;
    let value = inner.as_fd().as_raw_fd() as u32;
    outer
        .update(&0u32.to_ne_bytes(), &value.to_ne_bytes(), MapFlags::ANY)
        .context("updating a map of maps")
}
