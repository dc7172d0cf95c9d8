// SPDX-License-Identifier: GPL-2.0-only
//! `move_pages(2)`: where pages are, and moving them.

use super::process::Region;
use std::collections::BTreeMap;
use std::io;

/// Size of a page in bytes.
pub const PAGE: u64 = 4096;
/// Pages that a sample asks for at once.
pub const SAMPLE: usize = 512;
/// How often a sample is repeated where few of the addresses have a page.
const ROUNDS: usize = 4;
/// Least pages that a sample must find.
pub const SAMPLE_LEAST: u64 = 32;

/// Move pages that this process alone maps (`linux/mempolicy.h`).
const MPOL_MF_MOVE: libc::c_int = 1 << 1;
const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_NICE: u32 = 23;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// Where the pages at `addresses` of process `pid` are: a node's number of the kernel, or `None`
/// where there is no page, or none that this could tell of.
///
/// # Errors
/// The kernel's: `ESRCH` when the process has gone, `EPERM` without the right to look.
pub fn locate(pid: u32, addresses: &[u64]) -> io::Result<Vec<Option<u32>>> {
    let mut status = vec![-libc::ENOENT; addresses.len()];
    call(pid, addresses, None, &mut status)?;
    Ok(status.iter().map(|status| u32::try_from(*status).ok()).collect())
}

/// Move the pages at `addresses` to `node` where nobody else maps them. What came of it has to be
/// looked up with [`locate`]: of a huge page only one address says so.
///
/// # Errors
/// The kernel's; `EACCES` when the process's cpuset does not have the node.
pub fn send(pid: u32, addresses: &[u64], node: u32) -> io::Result<()> {
    let nodes = vec![node as i32; addresses.len()];
    let mut status = vec![0; addresses.len()];
    call(pid, addresses, Some(&nodes), &mut status)
}

fn call(pid: u32, addresses: &[u64], nodes: Option<&[i32]>, status: &mut [i32]) -> io::Result<()> {
    let nodes = nodes.map_or(std::ptr::null(), <[i32]>::as_ptr);
    // SAFETY: the kernel reads `len` addresses and, unless it is null, as many nodes, and writes
    // as many statuses; all three slices are of that length. The addresses are those of another
    // process and are only looked up there.
    let done = unsafe {
        libc::syscall(
            libc::SYS_move_pages,
            pid,
            addresses.len(),
            addresses.as_ptr(),
            nodes,
            status.as_mut_ptr(),
            MPOL_MF_MOVE,
        )
    };
    // A positive number says how many did not move.
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Random numbers that spread well; not for secrets.
pub struct Dice(u64);

impl Dice {
    /// A sequence that `seed` determines.
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ (z >> 31)) * u128::from(end)) >> 64) as u64
    }

    /// An address in one of `regions`, each page as likely as any other.
    fn address(&mut self, regions: &[Region], pages: u64) -> Option<u64> {
        let mut at = self.below(pages);
        for region in regions {
            if at < region.pages() {
                return Some(region.start + at * PAGE);
            }
            at -= region.pages();
        }
        None
    }
}

/// Pages of a random sample of `regions` by the kernel's number of their node.
///
/// # Errors
/// As [`locate`].
pub fn sample(pid: u32, regions: &[Region], dice: &mut Dice) -> io::Result<BTreeMap<u32, u64>> {
    let pages: u64 = regions.iter().map(Region::pages).sum();
    let mut found = BTreeMap::new();
    for _ in 0..ROUNDS {
        let addresses: Vec<u64> =
            (0..SAMPLE).filter_map(|_| dice.address(regions, pages)).collect();
        if addresses.is_empty() {
            break;
        }
        for node in locate(pid, &addresses)?.into_iter().flatten() {
            *found.entry(node).or_insert(0) += 1;
        }
        if found.values().sum::<u64>() >= SAMPLE_LEAST {
            break;
        }
    }
    Ok(found)
}

/// Keep of this thread's capabilities only what moving pages of other processes needs:
/// `CAP_SYS_NICE` to move, `CAP_SYS_PTRACE` to look. Threads that it starts have no more.
///
/// # Errors
/// The kernel's, where it did not have these; nothing is given up then.
pub fn keep_least_privilege() -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    let header = Header { version: CAPABILITY_VERSION_3, pid: 0 };
    let keep = 1u32 << CAP_SYS_NICE | 1 << CAP_SYS_PTRACE;
    // Effective, permitted, inheritable, for the lower and the upper 32 capabilities.
    let data = [keep, keep, 0, 0, 0, 0];
    // SAFETY: both structs are those of version 3 and are only read; 0 is the calling thread.
    let done = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
    if done != 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_as_likely_and_none_lies_outside() {
        let region = |start, end| Region { start, end };
        let regions = [region(0x1000, 0x2000), region(0x10_0000, 0x10_3000)];
        let mut dice = Dice::new(7);
        let mut hits = BTreeMap::new();
        for _ in 0..4000 {
            *hits.entry(dice.address(&regions, 4).expect("a page")).or_insert(0) += 1;
        }
        let expected = [0x1000, 0x10_0000, 0x10_1000, 0x10_2000];
        assert_eq!(hits.keys().copied().collect::<Vec<_>>(), expected);
        assert!(hits.values().all(|hits| (900..1100).contains(hits)), "{hits:?}");
    }

    #[test]
    fn own_pages_are_found_and_others_are_not() {
        let memory = vec![1u8; 8 * PAGE as usize];
        let first = (memory.as_ptr() as u64).next_multiple_of(PAGE);
        match locate(std::process::id(), &[first, first + PAGE, 0]) {
            Ok(found) => {
                assert!(
                    found[0].is_some() && found[1].is_some() && found[2].is_none(),
                    "{found:?}"
                );
            }
            // A sandbox may not have the system call.
            Err(err) => {
                assert!(matches!(err.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)), "{err}")
            }
        }
    }
}
