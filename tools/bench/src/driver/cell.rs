// SPDX-License-Identifier: GPL-2.0-only
//! One cell: a virtual machine of its own, in counted time.
//!
//! Every cell boots its machine anew, so that it depends on nothing but its key and the settings:
//! not on what ran before, not on what runs beside it, not on the host.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::callbacks::callbacks;
use crate::clock::{NS_PER_MS, NS_PER_US};
use crate::driver::machine::Machine;
use crate::driver::result::{Cell, Key, Settings, Status};
use crate::driver::scheduler::{COSTS_IN_GUEST, Scheduler};
use crate::driver::sections::{Moves, Sections};
use crate::lab::costs::Costs;
use crate::lab::figures::Found;
use crate::lab::staff::NAME_PREFIX;
use crate::picture::map::{MapOptions, map};
use crate::trace::timeline::Choice;
use crate::trace::waste::Settle;
use crate::trace::{self, Options, Summary, Timeline, Trace, split};

/// Host seconds after which a machine is given up: per CPU and second of load, and a floor.
const LIMIT_S_PER_CPU_SECOND: f64 = 15.0;
const LIMIT_S: u64 = 300;
/// A load counts as spread when no CPU idles beside a waiting task for so long …
const QUIET_NS: u64 = 20 * NS_PER_MS;
/// … but for moments shorter than this.
const IGNORE_NS: u64 = 500 * NS_PER_US;
/// How much of a run a picture shows.
const PICTURE_NS: u64 = 1000 * NS_PER_MS;
/// Lines of explanation that are kept of a failure.
const WORDS: usize = 6;

/// What it takes to run a cell.
#[derive(Clone, Debug)]
pub struct Job {
    /// Which cell.
    pub key: Key,
    /// Its machine.
    pub machine: Machine,
    /// Its scheduler.
    pub scheduler: Scheduler,
}

/// Where the project and the costs lie.
#[derive(Clone, Debug)]
pub struct Site {
    /// The project's top folder.
    pub root: PathBuf,
    /// The cost table.
    pub costs: PathBuf,
    /// Where pictures of recorded cells go, if they are wanted.
    pub pictures: Option<PathBuf>,
}

/// Run the cell of `job`.
///
/// # Errors
/// When the machine cannot be started at all; whatever happens in it is a result.
pub fn run(job: &Job, settings: &Settings, site: &Site) -> Result<Cell> {
    let output = command(job, settings, site)
        .stdin(Stdio::null())
        .output()
        .context("tools/vm cannot be run")?;
    if output.status.code().is_none() {
        bail!("the machine was ended by a signal");
    }
    let err = String::from_utf8_lossy(&output.stderr);
    // A machine that died may have cut its recording short; its words count all the same.
    let (text, traces) = match split(&output.stdout) {
        Ok(parts) => parts,
        Err(_) => (String::from_utf8_lossy(&output.stdout).into_owned(), Vec::new()),
    };
    let mut cell = judge(job, output.status.success(), &Sections::parse(&text), &err);
    if let Some((trace, found)) = traces.first().zip(cell.found.clone()) {
        cell.trace = Some(recorded(job, trace, &found, settings, site)?);
    }
    Ok(cell)
}

/// What the recording of a cell shows, and its picture into the folder for pictures.
fn recorded(
    job: &Job,
    trace: &Trace,
    found: &Found,
    settings: &Settings,
    site: &Site,
) -> Result<Summary> {
    let machine = &job.machine;
    let costs = Costs::parse(&settings.costs, "the cost table")?;
    let price = |from: u32, to: u32| {
        costs.full_move_ns(machine.level(from as usize, to as usize), settings.set_kib)
    };
    let (line, shape) = (
        Timeline::of(trace),
        trace::Machine::regular(machine.nodes as u32, machine.llcs as u32, machine.cpus as u32),
    );
    let choice = Choice::prefix(NAME_PREFIX);
    let window = found.from_ns..found.until_ns;
    let summary = line.summary(
        &shape,
        &Options {
            window: window.clone(),
            choice: choice.clone(),
            wait_prefixes: vec![NAME_PREFIX.into()],
            price_ns: &price,
            settle: Some(Settle {
                from_ns: found.from_ns,
                quiet_ns: QUIET_NS,
                ignore_ns: IGNORE_NS,
            }),
        },
    )?;
    if let Some(folder) = &site.pictures {
        let key = &job.key;
        let title =
            format!("{} {} {} seed {}", key.machine, key.scenario.name(), key.scheduler, key.seed);
        let name: String =
            title.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let window = window.start..window.end.min(window.start + PICTURE_NS);
        let drawing = map(&line, &shape, &MapOptions { title, window, choice });
        let path = folder.join(name + ".svg");
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, drawing))
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(summary)
}

fn command(job: &Job, settings: &Settings, site: &Site) -> Command {
    let machine = &job.machine;
    let limit = settings.seconds * machine.nr_cpus() as f64 * LIMIT_S_PER_CPU_SECOND;
    let mut vm = Command::new(site.root.join("tools/vm"));
    vm.arg("--counted").arg(job.key.seed.to_string());
    vm.args(["--kernel", &settings.kernel, "--topology", &machine.name()]);
    vm.args(["--distance", &machine.distance.to_string()]);
    vm.args(["--memory", &machine.memory_mb().to_string()]);
    vm.args(["--seconds", &(LIMIT_S + limit as u64).to_string()]);
    vm.args(["--with", "bpftool"]);
    vm.arg("--add").arg(site.root.join("tools/guest-lab.sh"));
    vm.arg("--add").arg(added(&site.costs, COSTS_IN_GUEST));
    if let Some(program) = &job.scheduler.program {
        vm.arg("--add").arg(program);
    }
    vm.args(["--", "guest-lab.sh", &job.scheduler.command]);
    vm.args([if settings.trace { "trace" } else { "-" }, job.key.scenario.name()]);
    vm.args(["--costs", COSTS_IN_GUEST, "--seed", &job.key.seed.to_string()]);
    vm.args(["--seconds", &settings.seconds.to_string()]);
    vm.args(["--set-kib", &settings.set_kib.to_string()]);
    if let Some(mib) = settings.memory_mib {
        vm.args(["--memory-mib", &mib.to_string()]);
    }
    if settings.kept {
        vm.arg("--kept");
    }
    vm.args(["--load", &settings.load_pct.to_string()]);
    vm
}

/// `FILE:PATH` of `--add`.
fn added(file: &Path, path: &str) -> std::ffi::OsString {
    let mut text = file.as_os_str().to_owned();
    text.push(":");
    text.push(path);
    text
}

/// What became of the cell.
fn judge(job: &Job, ended_well: bool, sections: &Sections, err: &str) -> Cell {
    let moves = sections.text("moves").unwrap_or_default();
    let mut cell = Cell {
        key: job.key.clone(),
        status: Status::Ok,
        words: Vec::new(),
        versions: lines(sections.text("versions").unwrap_or_default()),
        found: None,
        moves: Moves::from_hist(moves, &job.machine),
        switches: switches(sections),
        callbacks: Vec::new(),
        trace: None,
    };
    let found = sections.text("found").and_then(|text| serde_json::from_str(text.trim()).ok());
    let verdict = |key| sections.value("verdict", key).unwrap_or_default();
    let scheduler = sections.text("scheduler").unwrap_or_default();
    let (status, words) = if !ended_well || sections.text("verdict").is_none() {
        (Status::MachineFailed, err)
    } else if verdict("attach") != "ok" {
        (Status::AttachFailed, scheduler)
    } else if !job.scheduler.is_the_kernels() && verdict("after") != "enabled" {
        (Status::ThrownOut, scheduler)
    } else if verdict("status") != "0" || found.is_none() {
        (Status::ScenarioFailed, sections.text("errors").unwrap_or_default())
    } else {
        (Status::Ok, "")
    };
    let words = lines(words);
    cell.status = status;
    cell.words = words[words.len().saturating_sub(WORDS)..].to_vec();
    // A figure of a scheduler that was not there would be the kernel's.
    cell.found = found.filter(|_| status == Status::Ok);
    if cell.found.is_some() {
        let shown = |when| sections.text(when).unwrap_or_default();
        cell.callbacks =
            callbacks(shown("callbacks before"), shown("callbacks after")).unwrap_or_default();
    }
    cell
}

/// Context switches between the two looks; 0 if a look is missing.
fn switches(sections: &Sections) -> u64 {
    let count = |when: &str| -> Option<u64> {
        sections.text(when)?.trim().strip_prefix("ctxt ")?.parse().ok()
    };
    let counts = count("switches after").zip(count("switches before"));
    counts.map_or(0, |(after, before)| after.saturating_sub(before))
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Scenario;

    const FOUND: &str = r#"{"scenario":"hog","figures":[],"paid":{"work_ns":1,"refill_ns":0,"remote_ns":0,"llc_moves":0,"node_moves":0},"from_ns":0,"until_ns":9}"#;

    fn judged(scheduler: &str, verdict: &str) -> Cell {
        let key = Key {
            machine: "1x2x1".into(),
            scenario: Scenario::Hog,
            scheduler: scheduler.into(),
            seed: 1,
        };
        let job = Job {
            key,
            machine: Machine::named("1x2x1").expect("a machine"),
            scheduler: Scheduler::named(scheduler, &[]).expect("a scheduler"),
        };
        let text = format!(
            "== found\n{FOUND}\n== scheduler\nit said so\n== errors\ntollwork: no\n== verdict\n{verdict}"
        );
        judge(&job, true, &Sections::parse(&text), "")
    }

    #[test]
    fn a_scheduler_that_was_thrown_out_has_no_figures() {
        let cell = judged("toll", "attach=ok\nstatus=0\nafter=disabled");
        assert_eq!((cell.status, cell.words), (Status::ThrownOut, vec!["it said so".to_string()]));
        assert!(cell.found.is_none());
        let cell = judged("toll", "attach=ok\nstatus=0\nafter=enabled");
        assert_eq!(cell.status, Status::Ok);
        assert!(cell.found.is_some());
    }

    #[test]
    fn failures_are_told_apart() {
        assert_eq!(judged("toll", "attach=failed").status, Status::AttachFailed);
        let cell = judged("eevdf", "attach=ok\nstatus=1\nafter=disabled");
        assert_eq!(
            (cell.status, cell.words),
            (Status::ScenarioFailed, vec!["tollwork: no".into()])
        );
        assert_eq!(judged("eevdf", "attach=ok\nstatus=0\nafter=disabled").status, Status::Ok);
    }
}
