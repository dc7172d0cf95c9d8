// SPDX-License-Identifier: GPL-2.0-only
//! Memory that is written and checked again and again: whoever moves its pages must not change
//! what is in them.
//!
//! | key | meaning |
//! |---|---|
//! | `passes` | how often all of it was checked and written anew |
//! | `wrong` | words that were not what was written there last; a fault unless 0 |
//! | `node0`, `node1` | pages of the mapping on these nodes at the end, by `/proc/self/numa_maps` |
//!
//! Every word is a hash of its address and the number of the pass.

use std::fs;
use std::io;

use anyhow::{Context, Result};

use crate::child;
use crate::cli::{Kept, MemoryArgs};
use crate::clock::{NS_PER_MS, duration_ns, now_ns, sleep_ns};
use crate::cpus::CpuSet;
use crate::report::Report;
use crate::run::Deadline;
use crate::scenario::Outcome;

const PAGE_BYTES: usize = 4096;
const PAGE_WORDS: usize = PAGE_BYTES / size_of::<u64>();
/// Words of each page that are written and checked; the rest is zero and is checked at the end.
const STEP: usize = 64;
/// Pages between two looks at the clock.
const LOOK: usize = 64;
const MPOL_BIND: libc::c_int = 2;

/// The mapping.
struct Block {
    words: &'static mut [u64],
}

impl Block {
    fn new(bytes: usize, kept: Kept) -> io::Result<Block> {
        let sharing = if kept == Kept::Shared { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing else.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                sharing | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the mapping is that long, zeroed, aligned to a page, and stays until the end.
        let words = unsafe { std::slice::from_raw_parts_mut(at.cast(), bytes / size_of::<u64>()) };
        let block = Block { words };
        let done = match kept {
            // SAFETY: the range is that of the mapping.
            Kept::Mlock => unsafe { libc::mlock(at, bytes) },
            Kept::Mbind => block.bind(bytes),
            Kept::No | Kept::Shared | Kept::Forked => 0,
        };
        if done == 0 { Ok(block) } else { Err(io::Error::last_os_error()) }
    }

    /// To node 0.
    fn bind(&self, bytes: usize) -> libc::c_int {
        let nodes = 1u64;
        // SAFETY: the range is that of the mapping, and the mask has 64 bits.
        let done = unsafe {
            libc::syscall(
                libc::SYS_mbind,
                self.words.as_ptr(),
                bytes,
                MPOL_BIND,
                &raw const nodes,
                u64::BITS,
                0,
            )
        };
        done as libc::c_int
    }

    fn pages(&self) -> usize {
        self.words.len() / PAGE_WORDS
    }

    /// Write page `nr` for `pass`; how many words were not those of the pass before, if it had one.
    fn renew(&mut self, nr: usize, pass: u64, check: bool) -> u64 {
        let mut wrong = 0;
        for i in (nr * PAGE_WORDS..(nr + 1) * PAGE_WORDS).step_by(STEP) {
            wrong += u64::from(check && self.words[i] != hash(i, pass - 1));
            self.words[i] = hash(i, pass);
        }
        wrong
    }

    /// Pages of the mapping on nodes 0 and 1.
    fn pages_by_node(&self) -> Result<[u64; 2]> {
        let text = fs::read_to_string("/proc/self/numa_maps").context("no numa_maps")?;
        let (start, end) = (self.words.as_ptr() as u64, self.words.as_ptr_range().end as u64);
        let mut found = [0; 2];
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let at = words.next().and_then(|at| u64::from_str_radix(at, 16).ok());
            // The kernel may have merged it with a small neighbour below.
            if at.is_none_or(|at| at + (1 << 20) < start || at >= end) {
                continue;
            }
            for word in words {
                for (node, found) in found.iter_mut().enumerate() {
                    let pages = word.strip_prefix(&format!("N{node}="));
                    *found += pages.and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
                }
            }
        }
        Ok(found)
    }
}

fn hash(at: usize, pass: u64) -> u64 {
    let mixed = (at as u64 ^ pass.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

/// Where the process is to be at `ns` after the memory was first written.
fn place(args: &MemoryArgs, both: &CpuSet, ns: u64) -> CpuSet {
    if args.free_after.is_some_and(|after| ns >= duration_ns(after)) {
        return *both;
    }
    match args.swing {
        Some(every) if (ns / duration_ns(every)) % 2 == 1 => *args.from,
        _ => *args.to,
    }
}

/// Write the memory, go, and go on writing and checking.
pub fn run(args: &MemoryArgs) -> Result<Outcome> {
    args.from.confine(0).context("cannot go to the first CPUs")?;
    let bytes = usize::try_from(args.mib << 20).context("too much memory")?;
    let mut block = Block::new(bytes, args.kept).context("no memory")?;
    let pages = block.pages();
    for nr in 0..pages {
        block.renew(nr, 0, false);
    }
    let child = match args.kept {
        // SAFETY: this process has one thread, and it lives until the end.
        Kept::Forked => Some(unsafe {
            child::fork(|| {
                loop {
                    sleep_ns(1000 * NS_PER_MS)
                }
            })
        }?),
        _ => None,
    };
    let mut both = *args.from;
    args.to.iter().for_each(|cpu| both.insert(cpu));
    let began = now_ns();
    let deadline = Deadline::after(duration_ns(args.seconds));
    let (mut pass, mut wrong, mut nr) = (0u64, 0u64, 0);
    let mut at = None;
    while !deadline.over() {
        let began_at = now_ns();
        let goes = place(args, &both, began_at - began);
        if at != Some(goes) {
            goes.confine(0).context("cannot change CPUs")?;
            at = Some(goes);
        }
        for _ in 0..LOOK {
            if nr == 0 {
                pass += 1;
            }
            // What a child shares is only read: writing would give it pages of its own.
            wrong += match child {
                Some(_) => u64::from(block.words[nr * PAGE_WORDS] != hash(nr * PAGE_WORDS, 0)),
                None => block.renew(nr, pass, true),
            };
            nr = (nr + 1) % pages;
        }
        if args.busy < 100 {
            let busy = now_ns() - began_at;
            sleep_ns(busy * (100 - args.busy) / args.busy);
        }
    }
    let zero = |(i, word): (usize, &u64)| !i.is_multiple_of(STEP) && *word != 0;
    wrong += block.words.iter().enumerate().filter(|&word| zero(word)).count() as u64;
    let [node0, node1] = block.pages_by_node()?;
    let mut report = Report::new();
    report.add("passes", pass).add("wrong", wrong).add("node0", node0).add("node1", node1);
    let fault = (wrong > 0).then(|| format!("{wrong} words are not what was written there last"));
    drop(child);
    Ok(Outcome { report, fault })
}
