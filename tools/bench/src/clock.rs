// SPDX-License-Identifier: GPL-2.0-only
//! The clocks that the loads read, all in nanoseconds.

use std::time::Duration;

/// Nanoseconds in a microsecond.
pub const NS_PER_US: u64 = 1_000;
/// Nanoseconds in a millisecond.
pub const NS_PER_MS: u64 = 1_000_000;
/// Nanoseconds in a second.
pub const NS_PER_S: u64 = 1_000_000_000;

/// The time since boot, without suspends. All processes of a machine read the same clock.
pub fn now_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// The CPU time that the calling thread has used.
pub fn thread_cpu_ns() -> u64 {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// The CPU time that this process and its children already reaped have used.
pub fn family_cpu_ns() -> u64 {
    [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN].into_iter().map(usage_ns).sum()
}

/// Sleep for `ns`; a signal handler would end it early, but this program has none.
pub fn sleep_ns(ns: u64) {
    let pause = timespec(ns);
    // SAFETY: `pause` is a valid timespec that outlives the call; no remainder is asked for.
    unsafe { libc::nanosleep(&pause, std::ptr::null_mut()) };
}

/// `ns` as the kernel wants it.
pub fn timespec(ns: u64) -> libc::timespec {
    libc::timespec {
        tv_sec: (ns / NS_PER_S) as libc::time_t,
        tv_nsec: (ns % NS_PER_S) as libc::c_long,
    }
}

/// `duration` in nanoseconds; 584 years and more are cut off.
pub fn duration_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = timespec(0);
    // SAFETY: `time` is a valid timespec to write to. The two clocks used here exist everywhere, so
    // the call cannot fail; if it did, it would read as 0.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * NS_PER_S + time.tv_nsec as u64
}

fn usage_ns(who: libc::c_int) -> u64 {
    // SAFETY: rusage consists of integers only, for which all-zero bytes are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a valid rusage to write to.
    unsafe { libc::getrusage(who, &mut usage) };
    let ns = |time: libc::timeval| time.tv_sec as u64 * NS_PER_S + time.tv_usec as u64 * NS_PER_US;
    ns(usage.ru_utime) + ns(usage.ru_stime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_advance_and_sleep_takes_its_time() {
        let (wall, cpu) = (now_ns(), thread_cpu_ns());
        sleep_ns(2 * NS_PER_MS);
        assert!(now_ns() - wall >= 2 * NS_PER_MS);
        assert!(thread_cpu_ns() >= cpu);
    }

    #[test]
    fn timespec_splits_at_the_second() {
        let time = timespec(3 * NS_PER_S + 7);
        assert_eq!((time.tv_sec, time.tv_nsec), (3, 7));
    }
}
