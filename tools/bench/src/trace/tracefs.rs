// SPDX-License-Identifier: GPL-2.0-only
//! Recording, on the machine that is traced: set up the kernel's ring buffers, stop them, copy them
//! out.
//!
//! The buffers keep what came first and drop what no longer fits, so that a loss leaves the beginning
//! true. Names are recorded in the events themselves, so the kernel's own list of names is switched
//! off: it would cost time at every switch.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::container::Writer;
use super::event::NEEDED;
use super::ring::Pages;
use crate::cpus::CpuSet;

/// Where tracefs is mounted.
const MOUNT: &str = "/sys/kernel/tracing";
/// Written when every CPU has been visited.
pub const MARK_BEGUN: &str = "tollwork: trace begun";

/// More than any text file of tracefs that is read here.
const TEXT_BYTES: usize = 64 << 10;

/// The flag of a kernel thread among the flags in `/proc/PID/stat`, and where they stand behind the
/// name.
const PF_KTHREAD: u64 = 0x0020_0000;
const FLAGS_BEHIND_NAME: usize = 6;

/// The tracefs of this machine.
#[derive(Debug)]
pub struct Tracefs {
    root: PathBuf,
}

impl Tracefs {
    /// The tracefs where it is usually mounted.
    pub fn find() -> Result<Self> {
        let root = PathBuf::from(MOUNT);
        if !root.join("tracing_on").exists() {
            bail!("there is no tracefs at {MOUNT}; mount it, and be root");
        }
        Ok(Self { root })
    }

    /// Begin to record into `buffer_kib` KiB per CPU. What was recorded before is gone.
    pub fn start(&self, buffer_kib: u64) -> Result<()> {
        let size = buffer_kib.to_string();
        for (file, value) in [
            ("tracing_on", "0"),
            ("current_tracer", "nop"),
            ("set_event", ""),
            ("options/record-cmd", "0"),
            ("options/overwrite", "0"),
            ("trace_clock", "mono"),
            ("buffer_size_kb", size.as_str()),
            ("trace", ""),
        ] {
            self.write(file, value)?;
        }
        for event in NEEDED.iter().filter(|event| event.starts_with("sched/")) {
            self.write(&format!("events/{event}/enable"), "1")?;
        }
        self.write("tracing_on", "1")?;
        visit_every_cpu()?;
        self.mark(MARK_BEGUN)
    }

    /// Stop recording and leave what was recorded in the buffers.
    pub fn stop(&self) -> Result<()> {
        self.write("tracing_on", "0")?;
        self.write("set_event", "")
    }

    /// Write a line into the trace.
    pub fn mark(&self, text: &str) -> Result<()> {
        self.write("trace_marker", text)
    }

    /// Copy what was recorded to `out`; the buffers are empty afterwards.
    pub fn dump(&self, out: impl Write) -> Result<()> {
        if self.read("tracing_on")?.trim() != "0" {
            bail!("the kernel still records; `tollwork trace stop` comes before `dump`");
        }
        let header_page = self.read("events/header_page")?;
        let page_size = Pages::parse(&header_page)?.size();
        let cpus = self.cpus()?;
        let list = |cpus: &[usize]| cpus.iter().map(|cpu| format!("{cpu} ")).collect::<String>();

        let mut out = Writer::begin(out)?;
        out.section("clock", selected(&self.read("trace_clock")?).as_bytes())?;
        out.section("kernel_threads", kernel_threads()?.as_bytes())?;
        out.section("header_page", header_page.as_bytes())?;
        for event in NEEDED {
            let format = self.read(&format!("events/{event}/format"))?;
            out.section(&format!("format:{event}"), format.as_bytes())?;
        }
        out.section("cpus", list(&cpus).as_bytes())?;
        for cpu in cpus {
            self.dump_cpu(cpu, page_size, &mut out)?;
        }
        Ok(out.end()?)
    }

    fn dump_cpu(&self, cpu: usize, page_size: usize, out: &mut Writer<impl Write>) -> Result<()> {
        let stats = self.read(&format!("per_cpu/cpu{cpu}/stats"))?;
        out.section(&format!("cpu{cpu}:stats"), stats.as_bytes())?;
        let path = self.root.join(format!("per_cpu/cpu{cpu}/trace_pipe_raw"));
        let mut pipe = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&path)
            .with_context(|| path.display().to_string())?;
        let mut page = vec![0; page_size];
        while read_page(&mut pipe, &mut page).with_context(|| path.display().to_string())? {
            let used = page.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            out.section(&format!("cpu{cpu}:page"), &page[..used])?;
        }
        Ok(())
    }

    /// The CPUs that have a buffer.
    fn cpus(&self) -> Result<Vec<usize>> {
        let dir = self.root.join("per_cpu");
        let entries = fs::read_dir(&dir).with_context(|| dir.display().to_string())?;
        let mut cpus: Vec<usize> = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix("cpu")?.parse().ok())
            .collect();
        cpus.sort_unstable();
        Ok(cpus)
    }

    fn write(&self, file: &str, value: &str) -> Result<()> {
        let path = self.root.join(file);
        // These files are written, never created; opening for a plain write truncates them, which
        // is how `trace` and `set_event` are emptied.
        let open = OpenOptions::new().write(true).truncate(true).open(&path);
        open.and_then(|mut file| file.write_all(value.as_bytes()))
            .with_context(|| format!("writing '{value}' to {}", path.display()))
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = self.root.join(file);
        read_text(&path).with_context(|| path.display().to_string())
    }
}

/// A text file. Some files of tracefs hand out only what the first read has room for.
fn read_text(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let (mut text, mut chunk) = (Vec::new(), vec![0; TEXT_BYTES]);
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            read => text.extend_from_slice(&chunk[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Read the next page. False when there is none.
fn read_page(pipe: &mut File, page: &mut [u8]) -> std::io::Result<bool> {
    page.fill(0);
    loop {
        match pipe.read(page) {
            Ok(read) => return Ok(read > 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Run on each CPU for a moment. A CPU that slept through the whole recording would leave no event,
/// and nobody could tell whether it was idle or busy.
fn visit_every_cpu() -> Result<()> {
    let allowed = CpuSet::allowed().context("the CPUs of this process could not be read")?;
    for cpu in allowed.iter() {
        let one: CpuSet = [cpu].into_iter().collect();
        one.confine(0).with_context(|| format!("visiting CPU {cpu}"))?;
    }
    allowed.confine(0).context("going back to all CPUs")
}

/// The word in brackets: how tracefs shows which of several is in force.
fn selected(text: &str) -> &str {
    let inside = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    inside.map_or(text.trim(), |(word, _)| word)
}

/// The numbers of the kernel's threads.
fn kernel_threads() -> Result<String> {
    let mut threads = Vec::new();
    for entry in fs::read_dir(Path::new("/proc")).context("/proc")? {
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // A process that has just gone is none of the kernel's.
        if fs::read_to_string(entry.path().join("stat")).is_ok_and(|stat| is_kernel_thread(&stat)) {
            threads.push(pid);
        }
    }
    threads.sort_unstable();
    Ok(threads.iter().map(|pid| format!("{pid} ")).collect())
}

/// The name is in parentheses and may hold parentheses and spaces itself.
fn is_kernel_thread(stat: &str) -> bool {
    let behind = stat.rsplit_once(") ").map(|(_, behind)| behind);
    let flags = behind.and_then(|behind| behind.split(' ').nth(FLAGS_BEHIND_NAME)?.parse().ok());
    flags.is_some_and(|flags: u64| flags & PF_KTHREAD != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_threads_are_told_by_their_flag() {
        let kernel = "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0";
        let user = "9 (a) b (c) S 1 1 1 0 -1 4194304 2129984 0 0 0 0 0 0 0 20 0 1 0 5 0 0";
        assert!(is_kernel_thread(kernel));
        assert!(!is_kernel_thread(user));
        assert!(!is_kernel_thread("2 (cut"));
    }

    #[test]
    fn the_clock_in_force_is_the_one_in_brackets() {
        assert_eq!(selected("local [mono] boot\n"), "mono");
        assert_eq!(selected("mono\n"), "mono");
    }
}
