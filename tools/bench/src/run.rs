// SPDX-License-Identifier: GPL-2.0-only
//! When a run is over: at its deadline, or earlier on SIGINT or SIGTERM.
//!
//! The two signals are blocked in every thread and child and *waited for* by the main thread alone,
//! so no handler runs, no system call is interrupted, and an early end is the same as a deadline
//! moved to now. Only the main thread calls [`wait_until`].

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::{Context, Result};

use crate::clock::{NS_PER_MS, now_ns, sleep_ns, timespec};

/// Threads that sleep for long look up this often to see whether the run was cut short.
const LOOK_UP_NS: u64 = 50 * NS_PER_MS;

/// The moment at which a run ends. Lives in memory of all zeroes too; it has then passed.
///
/// One writer, the main thread; everyone reads. Relaxed order suffices, as no other memory depends
/// on it: the worst of a late read is one more look.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Deadline {
    at_ns: AtomicU64,
}

impl Deadline {
    /// A deadline `span_ns` from now.
    pub fn after(span_ns: u64) -> Self {
        let deadline = Self::default();
        deadline.set(now_ns().saturating_add(span_ns));
        deadline
    }

    /// Move the deadline to `at_ns`.
    pub fn set(&self, at_ns: u64) {
        self.at_ns.store(at_ns, Relaxed);
    }

    /// Let the run end now, unless it is over already.
    pub fn cut(&self) {
        self.at_ns.fetch_min(now_ns(), Relaxed);
    }

    /// When the run ends.
    pub fn at_ns(&self) -> u64 {
        self.at_ns.load(Relaxed)
    }

    /// True if the run is over.
    pub fn over(&self) -> bool {
        now_ns() >= self.at_ns()
    }

    /// Sleep until `until_ns`, or until shortly after the run is over. True if it goes on.
    pub fn sleep_until(&self, until_ns: u64) -> bool {
        loop {
            let now = now_ns();
            if now >= self.at_ns() {
                return false;
            }
            if now >= until_ns {
                return true;
            }
            sleep_ns((until_ns.min(self.at_ns()) - now).min(LOOK_UP_NS));
        }
    }
}

/// Block SIGINT and SIGTERM here and in all threads and children started later.
pub fn block_end_signals() -> Result<()> {
    let signals = end_signals();
    // SAFETY: `signals` is an initialised set; the old set is not asked for.
    let errno = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &signals, std::ptr::null_mut()) };
    match errno {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno))
            .context("SIGINT and SIGTERM could not be blocked"),
    }
}

/// Sleep until `until_ns` or the deadline. SIGINT or SIGTERM cuts the deadline to now.
/// True if the run goes on.
pub fn wait_until(until_ns: u64, deadline: &Deadline) -> bool {
    let signals = end_signals();
    loop {
        let now = now_ns();
        if now >= deadline.at_ns() {
            return false;
        }
        if now >= until_ns {
            return true;
        }
        let pause = timespec(until_ns.min(deadline.at_ns()) - now);
        // SAFETY: `signals` and `pause` are initialised and outlive the call; no details are asked for.
        let signal = unsafe { libc::sigtimedwait(&signals, std::ptr::null_mut(), &pause) };
        if signal > 0 {
            deadline.cut();
        }
    }
}

/// Sleep until the deadline, or until SIGINT or SIGTERM cuts it to now.
pub fn wait_for_end(deadline: &Deadline) {
    wait_until(u64::MAX, deadline);
}

fn end_signals() -> libc::sigset_t {
    // SAFETY: sigset_t consists of integers only, for which all-zero bytes are valid.
    let mut signals: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `signals` is a valid set to write to, and both numbers name signals.
    unsafe {
        libc::sigemptyset(&mut signals);
        libc::sigaddset(&mut signals, libc::SIGINT);
        libc::sigaddset(&mut signals, libc::SIGTERM);
    }
    signals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_deadline_has_passed_and_a_cut_one_too() {
        assert!(Deadline::default().over());
        let deadline = Deadline::after(1000 * NS_PER_MS);
        assert!(!deadline.over());
        deadline.cut();
        assert!(deadline.over());
    }

    #[test]
    fn cutting_never_prolongs() {
        let deadline = Deadline::default();
        deadline.cut();
        assert_eq!(deadline.at_ns(), 0);
    }

    #[test]
    fn sleeping_ends_at_the_nearer_of_both() {
        let deadline = Deadline::after(1000 * NS_PER_MS);
        let start = now_ns();
        assert!(deadline.sleep_until(start + 3 * NS_PER_MS));
        assert!(wait_until(start + 6 * NS_PER_MS, &deadline));
        assert!(now_ns() >= start + 6 * NS_PER_MS);
        deadline.set(start + 8 * NS_PER_MS);
        assert!(!deadline.sleep_until(u64::MAX));
    }
}
