// SPDX-License-Identifier: GPL-2.0-only
//! Child processes that never outlive their parent.
//!
//! A child is killed when the thread that forked it dies (that is what PR_SET_PDEATHSIG watches),
//! and killed and reaped when its [`Child`] is dropped.

use std::io;

/// The status of a child whose code panicked.
const PANICKED: i32 = 101;

/// A child process that has not been reaped yet.
#[derive(Debug)]
pub struct Child {
    pid: libc::pid_t,
}

/// Fork a child that runs `body` and exits with the status it returns.
///
/// # Safety
/// If the process has more than one thread, `body` may only do what is async-signal-safe: no
/// allocation, no locks, no output through std. The calling thread must live as long as the child is
/// wanted; if the thread alone ends (not the process) before the child has got to run, the child is
/// not killed.
pub unsafe fn fork(body: impl FnOnce() -> i32) -> io::Result<Child> {
    // SAFETY: takes no arguments and touches no memory.
    let parent = unsafe { libc::getpid() };
    // SAFETY: the caller vouches for what the child does; the parent merely gets a pid.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let _never_unwind = ExitOnDrop;
            die_with(parent);
            let status = body();
            exit(status)
        }
        pid => Ok(Child { pid }),
    }
}

impl Child {
    /// The child's process id.
    pub fn pid(&self) -> libc::pid_t {
        self.pid
    }

    /// Wait until the child ends, and reap it. The exit status, or 128 + the signal that killed it.
    pub fn wait(self) -> io::Result<i32> {
        let status = reap(self.pid);
        std::mem::forget(self);
        status
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: the pid is that of a child not yet reaped, so it cannot have been given away.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
        // The child may only be missing if someone else reaped it; there is nothing left to do then.
        let _ = reap(self.pid);
    }
}

/// True if this process has children that were not reaped.
pub fn any_left() -> bool {
    // SAFETY: WNOWAIT leaves the children as they are, and a null info is allowed.
    let found = unsafe {
        libc::waitid(
            libc::P_ALL,
            0,
            std::ptr::null_mut(),
            libc::WEXITED | libc::WNOHANG | libc::WNOWAIT,
        )
    };
    found == 0
}

fn reap(pid: libc::pid_t) -> io::Result<i32> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is a valid integer to write to.
        if unsafe { libc::waitpid(pid, &mut status, 0) } == pid {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    if libc::WIFSIGNALED(status) {
        Ok(128 + libc::WTERMSIG(status))
    } else {
        Ok(libc::WEXITSTATUS(status))
    }
}

/// Ask to be killed when the forking thread dies, and go at once if it already has.
fn die_with(parent: libc::pid_t) {
    // SAFETY: sets a flag of this process and reads an id; neither touches memory.
    let orphaned = unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::getppid() != parent
    };
    if orphaned {
        exit(0);
    }
}

fn exit(status: i32) -> ! {
    // SAFETY: ends the process without running the parent's exit handlers a second time.
    unsafe { libc::_exit(status) }
}

/// Ends the child should its code panic: unwinding must not run into the parent's code.
struct ExitOnDrop;

impl Drop for ExitOnDrop {
    fn drop(&mut self) {
        exit(PANICKED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{NS_PER_S, now_ns, sleep_ns};
    use std::io::{Read, Write};

    #[test]
    fn the_status_comes_back() {
        // SAFETY: the child does nothing.
        let child = unsafe { fork(|| 7) }.expect("fork");
        assert_eq!(child.wait().expect("wait"), 7);
    }

    #[test]
    fn a_dropped_child_is_killed_and_reaped() {
        let start = now_ns();
        // SAFETY: the child only sleeps.
        let child = unsafe {
            fork(|| {
                sleep_ns(30 * NS_PER_S);
                0
            })
        };
        let pid = child.expect("fork").pid();
        // SAFETY: signal 0 only asks whether the process exists.
        assert_eq!(unsafe { libc::kill(pid, 0) }, -1);
        assert!(now_ns() - start < 20 * NS_PER_S);
    }

    #[test]
    fn a_child_dies_with_the_thread_that_forked_it() {
        let (mut ready, mut tell) = std::io::pipe().expect("pipe");
        let forked = std::thread::spawn(move || {
            // SAFETY: the child only writes to a pipe and sleeps.
            let child = unsafe {
                fork(|| {
                    let told = tell.write_all(&[1]);
                    sleep_ns(30 * NS_PER_S);
                    i32::from(told.is_err())
                })
            };
            // Not before the child has asked to be killed with this thread.
            ready.read_exact(&mut [0]).expect("ready");
            child
        });
        let child = forked.join().expect("join").expect("fork");
        assert_eq!(child.wait().expect("wait"), 128 + libc::SIGKILL);
    }
}
