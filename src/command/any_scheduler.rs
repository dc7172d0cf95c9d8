// SPDX-License-Identifier: GPL-2.0-only
//! `scx_toll record --any-scheduler`: the kernel's scheduler events as text, whichever scheduler runs.
//!
//! The events are recorded in an instance of the kernel's tracer of its own, so nobody else's trace is
//! disturbed, and drained through the instance's pipe, which merges the CPUs by time and says where
//! events were lost. The instance is gone when the recorder ends, and a killed one's is removed by the
//! next.

use super::explain::until;
use crate::cli::RecordArgs;
use anyhow::{Context, Result, bail};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const TRACEFS: &str = "/sys/kernel/tracing";
const NAME: &str = "scx_toll";
/// Buffer of each CPU: a second of some 100,000 events.
const BUFFER_KIB: &str = "8192";
const EVENTS: [&str; 7] = [
    "sched_switch",
    "sched_wakeup",
    "sched_wakeup_new",
    "sched_migrate_task",
    "sched_process_fork",
    "sched_process_exec",
    "sched_process_exit",
];
/// Time between two looks at an empty pipe.
const POLL: Duration = Duration::from_millis(20);

/// An instance of the tracer, removed when this is dropped.
struct Instance(PathBuf);

impl Instance {
    fn new() -> Result<Instance> {
        // SAFETY: geteuid() takes nothing and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            bail!("record --any-scheduler needs root: the kernel's tracer is root's");
        }
        let root = Path::new(TRACEFS);
        if !root.join("events/sched").is_dir() {
            bail!("{TRACEFS} has no scheduler events: mount -t tracefs tracefs {TRACEFS}");
        }
        let path = root.join("instances").join(NAME);
        // One that was left behind is removed; if somebody uses it that fails.
        if path.is_dir() {
            std::fs::remove_dir(&path)
                .with_context(|| format!("another recorder uses {}", path.display()))?;
        }
        std::fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Instance(path))
    }

    fn set(&self, file: &str, value: &str) -> Result<()> {
        let path = self.0.join(file);
        std::fs::write(&path, value).with_context(|| format!("{}: {value}", path.display()))
    }

    fn begin(&self) -> Result<()> {
        self.set("tracing_on", "0")?;
        self.set("buffer_size_kb", BUFFER_KIB)?;
        for event in EVENTS {
            self.set(&format!("events/sched/{event}/enable"), "1")?;
        }
        self.set("tracing_on", "1")
    }

    /// Events that the kernel had no room for, on all CPUs.
    fn lost(&self) -> u64 {
        let Ok(cpus) = std::fs::read_dir(self.0.join("per_cpu")) else { return 0 };
        let lost_on = |cpu: std::fs::DirEntry| -> Option<u64> {
            let stats = std::fs::read_to_string(cpu.path().join("stats")).ok()?;
            let count = |name: &str| -> Option<u64> {
                stats.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
            };
            Some(count("overrun:")? + count("dropped events:").unwrap_or(0))
        };
        cpus.filter_map(|cpu| lost_on(cpu.ok()?)).sum()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Nobody is left to be told; the next recorder removes what stays.
        let _ = self.set("tracing_on", "0");
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Copy what is in the pipe; bytes and lines, of which the last may be cut.
fn drain(pipe: &mut File, out: &mut impl Write, buffer: &mut [u8]) -> Result<u64> {
    let mut lines = 0;
    loop {
        match pipe.read(buffer) {
            Ok(0) => return Ok(lines),
            Ok(len) => {
                out.write_all(&buffer[..len])?;
                lines += memchr::memchr_iter(b'\n', &buffer[..len]).count() as u64;
            }
            Err(err) if err.kind() == ErrorKind::WouldBlock => return Ok(lines),
            Err(err) if err.kind() == ErrorKind::Interrupted => {}
            Err(err) => return Err(err).context("the kernel's trace cannot be read"),
        }
    }
}

/// Record until the time is over or a signal comes.
///
/// # Errors
/// Without root, without a tracer, and when the file cannot be written.
pub(super) fn record(args: &RecordArgs) -> Result<()> {
    let stop = until(args.seconds)?;
    let instance = Instance::new()?;
    let name = || args.file.display().to_string();
    let mut out = BufWriter::new(File::create(&args.file).with_context(name)?);
    let path = instance.0.join("trace_pipe");
    let mut pipe = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(&path)
        .with_context(|| path.display().to_string())?;
    let mut buffer = vec![0; 1 << 20];
    let began = Instant::now();
    instance.begin()?;
    let mut lines = 0;
    while !stop.is_over() {
        lines += drain(&mut pipe, &mut out, &mut buffer).with_context(name)?;
        std::thread::sleep(POLL);
    }
    instance.set("tracing_on", "0")?;
    lines += drain(&mut pipe, &mut out, &mut buffer).with_context(name)?;
    out.flush().with_context(name)?;
    let seconds = began.elapsed().as_secs_f64();
    let mut said = format!("recorded {lines} events in {seconds:.1} s");
    match instance.lost() {
        0 => {}
        lost => said += &format!("; {lost} events were lost, which the trace says too"),
    }
    eprintln!("scx_toll: {said}; see it with: scx_toll analyze {}", name());
    Ok(())
}
