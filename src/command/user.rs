// SPDX-License-Identifier: GPL-2.0-only
//! `--policy user`: starts the program that decides in user space, and ends with it.
//!
//! It is a program of its own because it allocates from locked memory alone, and forbids itself to map
//! any more: page faults of whoever schedules the machine could wait for tasks that wait for it.

use crate::config::{Config, PenaltySource};
use crate::fault::Fault;
use crate::measure::store;
use crate::topology::Topology;
use crate::{command, preflight};
use anyhow::{Context, Result};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What it ends with when it wants to be started anew: the CPUs have changed.
pub const EXIT_AGAIN: u8 = 75;
/// Its name; it stands beside this program.
const PROGRAM: &str = "scx_toll_user";
/// How often its end and a signal are looked for.
const POLL: Duration = Duration::from_millis(50);

/// Schedule with it until `stop` is set or it ends.
///
/// # Errors
/// [`Fault::Kernel`] and others of [`preflight::check`]; when it is not there. If it fails it has said
/// why, and this process ends with its exit code.
pub fn run(config: &Config, stop: &AtomicBool) -> Result<()> {
    preflight::check(config.libbpf.kconfig.is_some())?;
    if config.penalty == PenaltySource::Measure {
        // What is measured now is stored, and found there. It has no memory to measure with.
        let machine = Topology::from_sysfs(None)?;
        let topo = machine.split(config.split)?;
        command::measured_penalty_in(store::state_dir(), &machine, &topo);
    }
    loop {
        let mut child = start()?;
        let code = watch(&mut child, stop)?;
        match code {
            0 => return Ok(()),
            code if code == i32::from(EXIT_AGAIN) && !stop.load(Ordering::Relaxed) => {}
            code if code == i32::from(EXIT_AGAIN) => return Ok(()),
            code => std::process::exit(code),
        }
    }
}

fn start() -> Result<Child> {
    let path = std::env::current_exe().context("this program's own path")?.with_file_name(PROGRAM);
    if !path.exists() {
        return Err(Fault::Usage(format!(
            "--policy user: {} is not there (it is built with the feature `user`)",
            path.display()
        ))
        .into());
    }
    let mut command = Command::new(&path);
    command.args(std::env::args_os().skip(1));
    // SAFETY: prctl() is async-signal-safe, and nothing else happens between fork and exec.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    command.spawn().with_context(|| path.display().to_string())
}

/// Wait for its end and hand a signal on to it; its exit code, as a shell would tell it.
fn watch(child: &mut Child, stop: &AtomicBool) -> Result<i32> {
    let mut told = false;
    loop {
        if let Some(status) = child.try_wait().context(PROGRAM)? {
            let signal = status.signal().map(|signal| 128 + signal);
            return Ok(status.code().or(signal).unwrap_or(1));
        }
        if stop.load(Ordering::Relaxed) && !told {
            // SAFETY: kill() of a child that has not been waited for can hit no other process.
            unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
            told = true;
        }
        std::thread::sleep(POLL);
    }
}
