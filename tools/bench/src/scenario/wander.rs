// SPDX-License-Identifier: GPL-2.0-only
//! Tasks that go round sets of CPUs and pay for each move: a load whose cost of a move is known and
//! shows in counters that every machine has. All go on at the same time and begin as far from each other
//! as can be, so with half as many tasks as sets none comes to where another has just been.
//!
//! A task makes one page fault for every 20 µs of CPU time that it works, and none while it pays, so
//! the time for each fault is what cycles for each instruction are elsewhere: it is steady, and right
//! after a move larger by what the move costs. Between pieces of 500 µs it sleeps for 20 µs.
//!
//! | key | meaning |
//! |---|---|
//! | `moves` | how often a task went on to the next set |
//! | `faults` | how many page faults the tasks made on purpose |

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::{Context, Result, bail};

use crate::cli::WanderArgs;
use crate::clock::{NS_PER_US, duration_ns, now_ns, sleep_ns, thread_cpu_ns};
use crate::cpus::CpuSet;
use crate::report::Report;
use crate::run::{Deadline, wait_for_end};
use crate::scenario::Outcome;
use crate::spin::until_next_look;
use crate::team::Team;

const FAULT_NS: u64 = 20 * NS_PER_US;
const PIECE_NS: u64 = 500 * NS_PER_US;
const PAUSE_NS: u64 = 20 * NS_PER_US;
/// Pages of one task that take turns in not being there.
const PAGES: usize = 256;
const PAGE_BYTES: usize = 4096;

/// What all threads of a run share.
struct Wander {
    sets: Vec<CpuSet>,
    cost_ns: u64,
    begun_ns: u64,
    every_ns: u64,
    deadline: Deadline,
    moves: AtomicU64,
    faults: AtomicU64,
}

/// Run the tasks.
pub fn run(args: &WanderArgs) -> Result<Outcome> {
    if args.over.len() < 2 {
        bail!("--over is there once, expected at least two sets of CPUs to go round");
    }
    let own = Pages::new((args.mib << 20) as usize / PAGE_BYTES).context("memory of its own")?;
    (0..own.count).for_each(|page| own.touch(page));
    let wander = Arc::new(Wander {
        sets: args.over.iter().map(|set| **set).collect(),
        cost_ns: args.cost_us * NS_PER_US,
        begun_ns: now_ns(),
        every_ns: duration_ns(args.every),
        deadline: Deadline::after(duration_ns(args.seconds)),
        moves: AtomicU64::new(0),
        faults: AtomicU64::new(0),
    });
    let mut team = Team::new();
    for index in 0..args.n {
        let wander = Arc::clone(&wander);
        let first = index as usize * args.over.len() / args.n as usize;
        team.spawn(format!("wander{index}"), move || go_round(&wander, first))?;
    }
    wait_for_end(&wander.deadline);
    team.join()?;
    let mut report = Report::new();
    report.add("moves", wander.moves.load(Relaxed)).add("faults", wander.faults.load(Relaxed));
    Ok(report.into())
}

fn go_round(wander: &Wander, first: usize) -> Result<()> {
    let mut work = Work::new()?;
    let mut at = None;
    while !wander.deadline.over() {
        let rounds = rounds(now_ns() - wander.begun_ns, wander.every_ns);
        if at != Some(rounds) {
            let set = &wander.sets[(first + rounds) % wander.sets.len()];
            set.confine(0).with_context(|| format!("cannot be confined to CPU {set}"))?;
            wander.moves.fetch_add(1, Relaxed);
            work.pay(wander.cost_ns);
            at = Some(rounds);
        }
        work.piece();
        sleep_ns(PAUSE_NS);
    }
    wander.faults.fetch_add(work.faults, Relaxed);
    Ok(())
}

/// How often the tasks have gone on `since_ns` after the begin.
fn rounds(since_ns: u64, every_ns: u64) -> usize {
    (since_ns / every_ns.max(1)) as usize
}

/// One task's work: all of its CPU time but what it pays, the kernel's part included.
struct Work {
    pages: Pages,
    paid_ns: u64,
    faults: u64,
}

impl Work {
    fn new() -> Result<Work> {
        let pages = Pages::new(PAGES).context("pages to fault on")?;
        Ok(Work { pages, paid_ns: thread_cpu_ns(), faults: 0 })
    }

    /// Use CPU time that is no work.
    fn pay(&mut self, cost_ns: u64) {
        let begun_ns = thread_cpu_ns();
        let mut used_ns = 0;
        while used_ns < cost_ns {
            until_next_look();
            used_ns = thread_cpu_ns() - begun_ns;
        }
        // What was used too much is work without faults, and they follow.
        self.paid_ns += cost_ns;
    }

    /// Work for a piece of time, and make the faults that are due.
    fn piece(&mut self) {
        let begun_ns = thread_cpu_ns();
        loop {
            let now_ns = thread_cpu_ns();
            while self.faults < faults_due(now_ns, self.paid_ns) {
                self.pages.fault(self.faults as usize);
                self.faults += 1;
            }
            if now_ns - begun_ns >= PIECE_NS {
                return;
            }
            until_next_look();
        }
    }
}

/// Faults that belong to `cpu_ns` of CPU time, of which `paid_ns` were no work.
fn faults_due(cpu_ns: u64, paid_ns: u64) -> u64 {
    cpu_ns.saturating_sub(paid_ns) / FAULT_NS
}

/// Pages of memory of one's own, until the end.
struct Pages {
    at: *mut u8,
    count: usize,
}

impl Pages {
    fn new(count: usize) -> io::Result<Pages> {
        // SAFETY: a new mapping, which nobody else uses.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                count * PAGE_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // A large page would be one fault for all.
        // SAFETY: the whole mapping; this changes nothing but what it is made of.
        unsafe { libc::madvise(at, count * PAGE_BYTES, libc::MADV_NOHUGEPAGE) };
        Ok(Pages { at: at.cast(), count })
    }

    /// Write to page `page` of them.
    fn touch(&self, page: usize) {
        // SAFETY: the mapping has that many pages and stays until the end; no reference points to it.
        unsafe { self.at.add(page % self.count * PAGE_BYTES).write_volatile(1) };
    }

    /// Make the `nth` fault, a cheap one: what is only read needs no page of its own. Before they
    /// begin anew, all pages are given back.
    fn fault(&self, nth: usize) {
        if nth.is_multiple_of(self.count) {
            // SAFETY: the whole mapping, of which nothing has to be kept.
            unsafe { libc::madvise(self.at.cast(), self.count * PAGE_BYTES, libc::MADV_DONTNEED) };
        }
        // SAFETY: as above.
        unsafe { self.at.add(nth % self.count * PAGE_BYTES).read_volatile() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults() -> i64 {
        // SAFETY: rusage consists of integers only, for which all-zero bytes are valid.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: `usage` is a valid rusage to write to.
        unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) };
        usage.ru_minflt
    }

    #[test]
    fn what_is_paid_makes_no_faults() {
        assert_eq!(faults_due(10 * FAULT_NS + 5, 0), 10);
        assert_eq!(faults_due(10 * FAULT_NS, 4 * FAULT_NS), 6);
        assert_eq!(faults_due(1, 2), 0);
    }

    #[test]
    fn each_touch_is_a_fault_the_kernel_counts() {
        let pages = Pages::new(PAGES).expect("a mapping");
        let before = faults();
        (0..10 * PAGES).for_each(|nth| pages.fault(nth));
        let made = faults() - before;
        assert!((10 * PAGES as i64..11 * PAGES as i64).contains(&made), "{made}");
    }
}
