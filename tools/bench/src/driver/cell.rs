// SPDX-License-Identifier: GPL-2.0-only
//! One cell: a virtual machine of its own, in counted time.
//!
//! Every cell boots its machine anew, so that it depends on nothing but its key and the settings:
//! not on what ran before, not on what runs beside it, not on the host.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::driver::machine::Machine;
use crate::driver::result::{Cell, Key, Settings, Status};
use crate::driver::scheduler::{COSTS_IN_GUEST, EEVDF, Scheduler};
use crate::driver::sections::{Moves, Sections};

/// Host seconds after which a machine is given up: per CPU and second of load, and a floor.
const LIMIT_S_PER_CPU_SECOND: f64 = 15.0;
const LIMIT_S: u64 = 300;
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
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    Ok(judge(job, output.status.success(), &Sections::parse(&out), &err))
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
    vm.args(["--", "guest-lab.sh", &job.scheduler.command, job.key.scenario.name()]);
    vm.args(["--costs", COSTS_IN_GUEST, "--seed", &job.key.seed.to_string()]);
    vm.args(["--seconds", &settings.seconds.to_string()]);
    vm.args(["--set-kib", &settings.set_kib.to_string()]);
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
    };
    let found = sections.text("found").and_then(|text| serde_json::from_str(text.trim()).ok());
    let verdict = |key| sections.value("verdict", key).unwrap_or_default();
    let scheduler = sections.text("scheduler").unwrap_or_default();
    let (status, words) = if !ended_well || sections.text("verdict").is_none() {
        (Status::MachineFailed, err)
    } else if verdict("attach") != "ok" {
        (Status::AttachFailed, scheduler)
    } else if job.scheduler.command != EEVDF && verdict("after") != "enabled" {
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
    cell
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
