// SPDX-License-Identifier: GPL-2.0-only
//! A place where any number of threads or processes wait and are all woken at once.

use std::sync::atomic::{AtomicU32, Ordering::Acquire, Ordering::Release};

/// Counts how often it was opened; waiters wait for the count to change.
///
/// Works between processes when it lies in shared memory, and is ready for use as all zeroes.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Gate {
    /// Release in [`Gate::open`] pairs with Acquire in [`Gate::openings`]: whoever got through sees
    /// what the opener wrote before.
    openings: AtomicU32,
}

impl Gate {
    /// How often the gate was opened so far.
    pub fn openings(&self) -> u32 {
        self.openings.load(Acquire)
    }

    /// Wait until the gate was opened more often than the `seen` times that the caller knows of.
    /// Returns the new number.
    pub fn wait_past(&self, seen: u32) -> u32 {
        loop {
            let openings = self.openings();
            if openings != seen {
                return openings;
            }
            // SAFETY: the address is that of a live, aligned 32-bit word; a null timeout means none.
            // Any return (woken, changed meanwhile, interrupted) leads to another look at the word.
            unsafe {
                libc::syscall(
                    libc::SYS_futex,
                    self.openings.as_ptr(),
                    libc::FUTEX_WAIT,
                    seen,
                    std::ptr::null::<libc::timespec>(),
                )
            };
        }
    }

    /// Let all waiters through.
    pub fn open(&self) {
        self.openings.fetch_add(1, Release);
        // SAFETY: the address is that of a live, aligned 32-bit word, and waking reads nothing else.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.openings.as_ptr(),
                libc::FUTEX_WAKE,
                libc::c_int::MAX,
            )
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_waiters_get_through() {
        let gate = Gate::default();
        std::thread::scope(|scope| {
            let waiters: Vec<_> = (0..4).map(|_| scope.spawn(|| gate.wait_past(0))).collect();
            gate.open();
            for waiter in waiters {
                assert_eq!(waiter.join().expect("join"), 1);
            }
        });
        assert_eq!(gate.wait_past(0), 1);
    }
}
