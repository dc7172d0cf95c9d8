// SPDX-License-Identifier: GPL-2.0-only
//! The lab's driver, on the host: cells → virtual machines → one result.
//!
//! 1. [`cli`]: what was asked for. [`plan`]: the cells of it, each with its [`machine`] and
//!    [`scheduler`].
//! 2. [`run`] runs them, several side by side, each in a machine of its own ([`cell`]), and writes
//!    the [`result`] after every one: a run that is cut short keeps what it finished.
//! 3. [`table`] and [`compare`] show results.
//!
//! A scheduler that does not attach or is thrown out is a result, not an error.

pub mod cell;
pub mod cli;
pub mod compare;
pub mod machine;
pub mod result;
pub mod scheduler;
pub mod sections;
pub mod table;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::lab::Scenario;
use crate::lab::costs::Costs;
use cell::{Job, Site};
use cli::RunArgs;
use machine::Machine;
use result::{Cell, FORMAT, Host, Key, Run, Settings, Status};
use scheduler::Scheduler;

/// Longest load of a cell, seconds.
const MAX_SECONDS: f64 = 600.0;

/// Set when the run is to end: no further cell is begun.
pub static STOP: AtomicBool = AtomicBool::new(false);

/// The cells that were asked for: machines, then scenarios, schedulers and seeds.
///
/// # Errors
/// When a machine or a scheduler is not known.
pub fn plan(args: &RunArgs, folders: &[PathBuf]) -> Result<Vec<Job>> {
    let machines: Vec<Machine> =
        args.machine.iter().map(|name| Machine::named(name)).collect::<Result<_>>()?;
    let schedulers: Vec<Scheduler> =
        args.sched.iter().map(|name| Scheduler::named(name, folders)).collect::<Result<_>>()?;
    let scenarios: &[Scenario] =
        if args.scenario.is_empty() { &Scenario::COMPARED } else { &args.scenario };
    let mut jobs = Vec::new();
    for machine in &machines {
        for &scenario in scenarios {
            for scheduler in &schedulers {
                for &seed in &args.seed {
                    let key = Key {
                        machine: machine.name(),
                        scenario,
                        scheduler: scheduler.name.clone(),
                        seed,
                    };
                    let (machine, scheduler) = (machine.clone(), scheduler.clone());
                    jobs.push(Job { key, machine, scheduler });
                }
            }
        }
    }
    Ok(jobs)
}

/// Run what was asked for, and return the result and where it lies.
///
/// # Errors
/// When the settings make no sense, or the result cannot be written.
pub fn run(args: &RunArgs, root: &Path, target: &Path) -> Result<(Run, PathBuf)> {
    let path: Vec<PathBuf> =
        std::env::var_os("PATH").iter().flat_map(std::env::split_paths).collect();
    let folders = [vec![target.join("peers/bin")], path].concat();
    let jobs = plan(args, &folders)?;
    let costs = args.costs.clone().unwrap_or_else(|| root.join("tools/bench/costs/default.toml"));
    let settings = settings(args, &costs)?;
    let parallel =
        args.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let host = Host {
        date: date()?,
        jobs: parallel,
        command: std::env::args().skip(1).collect(),
        ..Host::default()
    };
    let out = match &args.out {
        Some(out) => out.clone(),
        None => new_file(target, &host.date)?,
    };
    let pictures = args.trace.then(|| out.with_extension("pictures"));
    let site = Site { root: root.to_path_buf(), costs, pictures };
    let mut start = Run { format: FORMAT, settings, cells: Vec::new(), host };
    if args.resume && out.exists() {
        start.cells = kept(&out, &start.settings)?;
    } else if out.exists() {
        bail!("{} exists already; name another file, or go on with --resume", out.display());
    }
    let run = Runner::new(&jobs, start, &out).run_all(&site, parallel)?;
    Ok((run, out))
}

fn settings(args: &RunArgs, costs: &Path) -> Result<Settings> {
    let name = costs.display().to_string();
    let text = std::fs::read_to_string(costs).with_context(|| format!("{name} cannot be read"))?;
    Costs::parse(&text, &name)?;
    if !(0.1..=MAX_SECONDS).contains(&args.seconds) {
        bail!("--seconds {}: expected 0.1 to {MAX_SECONDS}", args.seconds);
    }
    Ok(Settings {
        seconds: args.seconds,
        set_kib: args.set_kib,
        memory_mib: args.memory_mib,
        kept: args.kept,
        load_pct: args.load,
        costs: text,
        kernel: args.kernel.clone(),
        trace: args.trace,
        qemu: first_line(Command::new("qemu-system-x86_64").arg("--version"))?,
    })
}

/// The cells of an earlier result of the same settings that came to their end.
fn kept(out: &Path, settings: &Settings) -> Result<Vec<Cell>> {
    let earlier = Run::read(out)?;
    if earlier.settings != *settings {
        bail!("{} was run with other settings; name another file", out.display());
    }
    Ok(earlier.cells.into_iter().filter(|cell| cell.status != Status::MachineFailed).collect())
}

fn first_line(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("{program} cannot be run"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().next().unwrap_or_default().trim().to_string())
}

fn date() -> Result<String> {
    first_line(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]))
}

/// A file that is not there yet, named by the date.
fn new_file(target: &Path, date: &str) -> Result<PathBuf> {
    let folder = target.join("lab");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("{} cannot be made", folder.display()))?;
    let name: String = date.chars().filter(char::is_ascii_alphanumeric).collect();
    (0..)
        .map(|n| {
            folder.join(if n == 0 { format!("{name}.json") } else { format!("{name}-{n}.json") })
        })
        .find(|path| !path.exists())
        .context("no name is left for the result")
}

/// A run under way.
struct Runner<'a> {
    jobs: &'a [Job],
    start: Run,
    out: &'a Path,
    began: Instant,
    next: AtomicUsize,
    done: Mutex<BTreeMap<usize, Cell>>,
}

impl<'a> Runner<'a> {
    fn new(jobs: &'a [Job], start: Run, out: &'a Path) -> Runner<'a> {
        let mut done = BTreeMap::new();
        for (index, job) in jobs.iter().enumerate() {
            if let Some(cell) = start.cell(&job.key) {
                done.insert(index, cell.clone());
            }
        }
        let (began, next) = (Instant::now(), AtomicUsize::new(0));
        Runner { jobs, start, out, began, next, done: Mutex::new(done) }
    }

    fn run_all(self, site: &Site, parallel: usize) -> Result<Run> {
        let settings = self.start.settings.clone();
        let worker = || -> Result<()> {
            while let Some((index, job)) = self.take() {
                let cell = cell::run(job, &settings, site);
                // Ctrl-C ends the machines too; what they did not finish is no result.
                if STOP.load(SeqCst) {
                    return Ok(());
                }
                self.finished(index, cell?)?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..parallel.max(1)).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().try_for_each(|worker| match worker.join() {
                Ok(ended) => ended,
                Err(_) => bail!("a worker panicked"),
            })
        })?;
        self.result()
    }

    /// The next cell that is not done yet.
    fn take(&self) -> Option<(usize, &Job)> {
        while !STOP.load(SeqCst) {
            let index = self.next.fetch_add(1, SeqCst);
            let job = self.jobs.get(index)?;
            if !self.lock().contains_key(&index) {
                return Some((index, job));
            }
        }
        None
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, Cell>> {
        // A panic elsewhere leaves whole cells only.
        self.done.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn finished(&self, index: usize, cell: Cell) -> Result<()> {
        let key = cell.key.clone();
        let (status, words) = (cell.status, cell.words.last().cloned());
        let count = {
            let mut done = self.lock();
            done.insert(index, cell);
            self.as_result(&done).write(self.out)?;
            done.len()
        };
        let words = words.filter(|_| status != Status::Ok).map(|w| format!(": {w}"));
        self.tell(&format!(
            "[{count}/{}] {} {} {} seed {}: {}{}",
            self.jobs.len(),
            key.machine,
            key.scenario.name(),
            key.scheduler,
            key.seed,
            status.words(),
            words.unwrap_or_default()
        ));
        Ok(())
    }

    /// Progress: a line that replaces the last on a terminal, as long as all is well; a line of its
    /// own elsewhere.
    fn tell(&self, line: &str) {
        let mut err = std::io::stderr().lock();
        // Progress that cannot be shown is no reason to stop.
        let _ = match err.is_terminal() && line.ends_with(": ok") {
            true => write!(err, "\r\x1b[K{line}"),
            false => writeln!(err, "{line}"),
        };
    }

    fn as_result(&self, done: &BTreeMap<usize, Cell>) -> Run {
        let mut run = self.start.clone();
        run.cells = done.values().cloned().collect();
        run.host.wall_s = self.began.elapsed().as_secs();
        run
    }

    fn result(&self) -> Result<Run> {
        if std::io::stderr().is_terminal() {
            let _ = writeln!(std::io::stderr());
        }
        let run = self.as_result(&self.lock());
        run.write(self.out)?;
        Ok(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::cli::{Cli, Command};
    use clap::Parser;

    #[test]
    fn cells_come_in_the_order_of_the_table() {
        let line = "lab run --machine 1x1x2,2x1x1 --scenario hog --sched eevdf,toll --seed 3,4";
        let Command::Run(args) = Cli::try_parse_from(line.split(' ')).expect("parse").command
        else {
            panic!("not run")
        };
        let jobs = plan(&args, &[]).expect("a plan");
        let keys: Vec<_> = jobs
            .iter()
            .map(|job| format!("{} {} {}", job.key.machine, job.key.scheduler, job.key.seed))
            .collect();
        assert_eq!(keys[..3], ["1x1x2 eevdf 3", "1x1x2 eevdf 4", "1x1x2 toll 3"]);
        assert_eq!((keys.len(), keys[4].as_str()), (8, "2x1x1 eevdf 3"));
    }
}
