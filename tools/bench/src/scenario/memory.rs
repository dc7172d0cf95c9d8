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

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::child::{self, Child};
use crate::cli::{Kept, MemoryArgs, Midway};
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

/// The owner of a block and how far it is.
struct Owner<'a> {
    args: &'a MemoryArgs,
    block: Block,
    /// When the memory had first been written.
    began: u64,
    /// Passes that were begun.
    pass: u64,
    /// The page that comes next.
    nr: usize,
    wrong: u64,
    at: Option<CpuSet>,
}

impl<'a> Owner<'a> {
    fn new(args: &'a MemoryArgs) -> Result<Owner<'a>> {
        args.from.confine(0).context("cannot go to the first CPUs")?;
        let bytes = usize::try_from(args.mib << 20).context("too much memory")?;
        let mut block = Block::new(bytes, args.kept).context("no memory")?;
        for nr in 0..block.pages() {
            block.renew(nr, 0, false);
        }
        Ok(Owner { args, block, began: now_ns(), pass: 0, nr: 0, wrong: 0, at: None })
    }

    /// Go where the process is to be, and write and check until `deadline`.
    fn toil(&mut self, deadline: &Deadline) -> Result<()> {
        let mut both = *self.args.from;
        self.args.to.iter().for_each(|cpu| both.insert(cpu));
        while !deadline.over() {
            let began_at = now_ns();
            let goes = place(self.args, &both, began_at - self.began);
            if self.at != Some(goes) {
                goes.confine(0).context("cannot change CPUs")?;
                self.at = Some(goes);
            }
            for _ in 0..LOOK {
                self.page();
            }
            if self.args.busy < 100 {
                let busy = now_ns() - began_at;
                sleep_ns(busy * (100 - self.args.busy) / self.args.busy);
            }
        }
        Ok(())
    }

    fn page(&mut self) {
        let nr = self.nr;
        if nr == 0 {
            self.pass += 1;
        }
        // What a child shares is only read: writing would give it pages of its own.
        self.wrong += match self.args.kept {
            Kept::Forked => {
                u64::from(self.block.words[nr * PAGE_WORDS] != hash(nr * PAGE_WORDS, 0))
            }
            _ => self.block.renew(nr, self.pass, true),
        };
        self.nr = (nr + 1) % self.block.pages();
    }

    /// Check what was never written.
    fn check_zeroes(&mut self) {
        let zero = |(i, word): (usize, &u64)| !i.is_multiple_of(STEP) && *word != 0;
        self.wrong += self.block.words.iter().enumerate().filter(|&word| zero(word)).count() as u64;
    }

    fn fault(&self) -> Option<String> {
        (self.wrong > 0)
            .then(|| format!("{} words are not what was written there last", self.wrong))
    }

    /// A child that goes on as this process does; of a shared mapping it writes nothing.
    fn fork(&mut self, deadline: &Deadline) -> io::Result<Child> {
        let go_on = || {
            let toiled = match self.args.kept {
                Kept::Shared => Ok(_ = deadline.sleep_until(deadline.at_ns())),
                _ => self.toil(deadline),
            };
            self.check_zeroes();
            i32::from(toiled.is_err() || self.wrong > 0)
        };
        // SAFETY: this process has one thread, and it lives until the end.
        unsafe { child::fork(go_on) }
    }
}

/// The program anew, in the place of this process and without `--midway`. Returns only if the
/// kernel refuses.
fn execute_anew() -> io::Error {
    let mut args: Vec<OsString> = Vec::new();
    let mut words = std::env::args_os().skip(1);
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--midway") => _ = words.next(),
            Some(word) if word.starts_with("--midway=") => {}
            _ => args.push(word),
        }
    }
    Command::new("/proc/self/exe").args(args).exec()
}

/// Write the memory, go, and go on writing and checking.
pub fn run(args: &MemoryArgs) -> Result<Outcome> {
    let mut owner = Owner::new(args)?;
    let sleeper = match args.kept {
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
    let span = duration_ns(args.seconds);
    let deadline = Deadline::after(span);
    let mut heir = None;
    if let Some(midway) = args.midway {
        owner.toil(&Deadline::after(span / 2))?;
        match midway {
            Midway::Fork => heir = Some(owner.fork(&deadline).context("cannot fork")?),
            Midway::Exec if owner.wrong == 0 => return Err(execute_anew()).context("cannot exec"),
            // It is told at the end.
            Midway::Exec => {}
        }
    }
    owner.toil(&deadline)?;
    owner.check_zeroes();
    let [node0, node1] = owner.block.pages_by_node()?;
    let mut report = Report::new();
    report.add("passes", owner.pass).add("wrong", owner.wrong);
    report.add("node0", node0).add("node1", node1);
    let mut fault = owner.fault();
    if let Some(heir) = heir {
        let status = heir.wait().context("the child that was forked midway")?;
        report.add("heir", status);
        let failed = || format!("the child that was forked midway ended with status {status}");
        fault = fault.or_else(|| (status != 0).then(failed));
    }
    drop(sleeper);
    Ok(Outcome { report, fault })
}
