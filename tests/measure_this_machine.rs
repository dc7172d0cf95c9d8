// SPDX-License-Identifier: GPL-2.0-only
//! `scx_toll measure` on the machine of the test: plausible figures that come back, and what each
//! flag changes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scx_toll::command::measured_penalty_in;
use scx_toll::measure::plan::Distance;
use scx_toll::measure::table::{Cell, Origin, Table};
use scx_toll::model::Provenance;
use scx_toll::topology::{Level, Topology};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Runs within which a figure has to come back.
const FACTOR: f64 = 2.0;
/// Most runs until three agree: a hypervisor may put its CPUs elsewhere in between, and other
/// tests may be at work.
const RUNS_MAX: usize = 9;

/// Two measurements at once would measure each other.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn toll(state: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_scx_toll"))
        .args(args)
        .env("SCX_TOLL_STATE_DIR", state)
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn measure_json(state: &Path, args: &[&str]) -> Table {
    let output = toll(state, &[&["measure", "--json"], args].concat());
    assert!(output.status.success(), "{}", err(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The figures that have to come back: those that a neighbour on the machine can hardly change.
/// Working sets beyond the private caches depend on who else uses the shared one.
fn steady(table: &Table) -> Vec<(String, f64)> {
    let is_steady = |name: &str| {
        [
            "handoff core",
            "fixed core",
            "latency memory",
            "refill core 64 KiB",
            "refill core 256 KiB",
        ]
        .iter()
        .any(|start| name.starts_with(start))
    };
    let cells = table.cells().into_iter().filter(|(name, _)| is_steady(name));
    cells.filter_map(|(name, cell)| Some((name, cell.known()?))).collect()
}

/// The largest factor between two runs; infinite when they do not have the same figures.
fn apart(a: &Table, b: &Table) -> f64 {
    let (a, b) = (steady(a), steady(b));
    if a.len() != b.len() || a.is_empty() {
        return f64::INFINITY;
    }
    let factor = |((name, a), (other, b)): (&(String, f64), &(String, f64))| match name == other {
        true => (a / b).max(b / a),
        false => f64::INFINITY,
    };
    a.iter().zip(&b).map(factor).fold(1.0, f64::max)
}

/// Three of the runs that agree pairwise.
fn three_that_agree(runs: &[Table]) -> Option<[&Table; 3]> {
    let agree = |a: &Table, b: &Table| apart(a, b) <= FACTOR;
    for (i, a) in runs.iter().enumerate() {
        for (j, b) in runs.iter().enumerate().skip(i + 1).filter(|(_, b)| agree(a, b)) {
            let mut rest = runs.iter().skip(j + 1);
            if let Some(c) = rest.find(|c| agree(a, c) && agree(b, c)) {
                return Some([a, b, c]);
            }
        }
    }
    None
}

/// True where nothing can be measured: one CPU, or an emulated one.
fn is_no_machine(table: &Table) -> bool {
    table.meaningless.is_some() || table.pair.is_empty()
}

#[test]
fn three_runs_agree_and_the_figures_are_plausible() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut runs: Vec<Table> = Vec::new();
    while runs.len() < RUNS_MAX {
        let start = Instant::now();
        let table = measure_json(dir.path(), &["-"]);
        assert!(start.elapsed() < Duration::from_secs(6), "it took {:?}", start.elapsed());
        if is_no_machine(&table) {
            eprintln!("skipped: {:?}", table.meaningless);
            return;
        }
        println!("{:?} in {} ms", steady(&table), table.wall_ms);
        runs.push(table);
        if three_that_agree(&runs).is_some() {
            break;
        }
    }
    let three = three_that_agree(&runs)
        .unwrap_or_else(|| panic!("no three of {RUNS_MAX} runs agree within {FACTOR}"));
    for table in three {
        plausible(table);
    }
}

fn plausible(table: &Table) {
    let core = table.handoff(Distance::Core).and_then(|row| row.handoff.known());
    if let Some(ns) = core {
        assert!((5.0..500.0).contains(&ns), "a hand-off of {ns} ns");
    }
    let total = |kib: u32| {
        let row = table.refill.iter().find(|row| (row.distance, row.kib) == (Distance::Core, kib));
        row.and_then(|row| row.ns_per_line.known()).map(|ns| ns * f64::from(kib) * 16.0)
    };
    // Up to what fits into a private cache, a larger set costs more to follow.
    if let Some((small, large)) = total(16).zip(total(256)) {
        assert!(large > small, "256 KiB cost {large} ns, 16 KiB cost {small} ns");
    }
    if let Some(row) = table.memory.first().filter(|row| row.latency_ns.known().is_some()) {
        assert!((20.0..2000.0).contains(&row.latency_ns.value), "{row:?}");
    }
    let topo = Topology::from_sysfs(None).unwrap();
    let level_is_there = |level: Level| {
        topo.llcs.iter().any(|a| topo.llcs.iter().any(|b| topo.level(a.id, b.id) == level))
    };
    for (distance, level) in [(Distance::Llc, Level::Llc), (Distance::Node, Level::Node)] {
        let is_default = |cell: &Cell| cell.from == Origin::Default && cell.date.is_empty();
        if !level_is_there(level) {
            assert!(table.fixed(distance).is_some_and(is_default), "{distance}");
            let row = table.handoff(distance).unwrap();
            assert!(is_default(&row.handoff) && is_default(&row.modified), "{row:?}");
            let refills = table.refill.iter().filter(|row| row.distance == distance);
            assert!(refills.clone().count() > 3);
            assert!(refills.into_iter().all(|row| is_default(&row.ns_per_line)));
        }
    }
}

#[test]
fn the_table_is_stored_unless_told_otherwise_and_used_afterwards() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let files = || std::fs::read_dir(dir.path()).unwrap().count();
    let dry = toll(dir.path(), &["measure", "-"]);
    assert!(dry.status.success() && out(&dry).contains("measured in"), "{}", err(&dry));
    assert_eq!(files(), 0, "- stores nothing");

    let aside = tempfile::tempdir().unwrap();
    let file = aside.path().join("t.toml");
    assert!(toll(dir.path(), &["measure", file.to_str().unwrap()]).status.success());
    assert_eq!(files(), 0, "--out stores elsewhere");
    let topo = Topology::from_sysfs(None).unwrap();
    let here = scx_toll::measure::machine::Machine::here(&topo);
    let text = std::fs::read_to_string(&file).unwrap();
    let table = Table::parse(&text, "t.toml", &here).unwrap();
    if is_no_machine(&table) {
        return;
    }
    assert!(toll(dir.path(), &["measure"]).status.success());
    assert_eq!(files(), 1);

    let (costs, words) = measured_penalty_in(Ok(dir.path().into()), &topo, &topo);
    assert!(words.starts_with("as measured on 2"), "{words}");
    assert!(costs.describe().iter().any(|line| line.contains("measured")), "{costs:?}");
}

#[test]
fn a_stored_table_that_is_damaged_is_not_used_and_says_so() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let topo = Topology::from_sysfs(None).unwrap();
    let here = scx_toll::measure::machine::Machine::here(&topo);
    std::fs::write(scx_toll::measure::store::path(dir.path(), &here), "version = 1").unwrap();
    let (costs, words) = measured_penalty_in(Ok(dir.path().into()), &topo, &topo);
    assert!(words.contains("missing field"), "{words}");
    let class = costs.class(Level::Node);
    assert!(topo.nodes.len() > 1 || class.hop.from == Provenance::Default);
}

/// The result is printed even when it cannot be stored.
#[test]
fn an_unwritable_state_directory_costs_the_exit_code_and_not_the_result() {
    let _alone = alone();
    let output = toll(Path::new("/proc/scx_toll"), &["measure"]);
    assert!(out(&output).contains("one cache line, ns"), "{}", out(&output));
    if out(&output).contains("not measured, all figures") {
        return;
    }
    assert_eq!(output.status.code(), Some(1));
    let sentence = err(&output);
    assert!(sentence.contains("cannot store the table in /proc/scx_toll"), "{sentence}");
    assert_eq!(sentence.lines().count(), 1, "{sentence}");
}

#[test]
fn thorough_takes_all_pairs_and_more_samples() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let allowed = scx_toll::measure::os::allowed_cpus().len();
    if allowed > 8 {
        eprintln!("skipped: all pairs of {allowed} CPUs take too long for a test");
        return;
    }
    let quick = measure_json(dir.path(), &["-"]);
    let thorough = measure_json(dir.path(), &["-", "--thorough"]);
    assert!(thorough.thorough && !quick.thorough);
    if is_no_machine(&quick) {
        return;
    }
    assert_eq!(thorough.pair.len(), allowed * (allowed - 1) / 2);
    let samples = |table: &Table| table.cells().iter().map(|(_, c)| c.samples).sum::<u32>();
    assert!(samples(&thorough) > samples(&quick));
}

#[test]
fn a_pipe_gets_neither_colours_nor_progress() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let output = toll(dir.path(), &["measure", "-"]);
    assert!(!out(&output).contains('\x1b') && err(&output).is_empty(), "{}", err(&output));
    assert!(out(&output).lines().all(|line| line.starts_with("note:") || line.len() <= 90));
}

#[test]
fn flags_of_scheduling_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for args in [
        &["measure", "--slice-us", "5000"][..],
        &["--slice-us", "5000", "measure"],
        &["--migrate", "never", "measure"],
        &["measure", "--penalty", "default"],
        &["--json", "measure"],
        &["measure", "a.toml", "b.toml"],
    ] {
        let output = toll(dir.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", out(&output));
    }
}

/// A machine that is made up has no costs to measure.
#[test]
fn a_made_up_machine_keeps_its_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let made_up = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = made_up.path().join("sys/devices/system").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("cpu/online", "0-1\n");
    for cpu in 0..2 {
        for (file, text) in [("core_id", cpu), ("physical_package_id", 0), ("cluster_id", -1)] {
            write(&format!("cpu/cpu{cpu}/topology/{file}"), &format!("{text}\n"));
        }
        write(&format!("node/node0/cpu{cpu}/link"), "");
    }
    write("node/node0/distance", "10\n");
    let output = Command::new(env!("CARGO_BIN_EXE_scx_toll"))
        .args(["measure", "--json"])
        .env("SCX_TOLL_STATE_DIR", dir.path())
        .env("SCX_SYSFS_PREFIX", made_up.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", err(&output));
    let table: Table = serde_json::from_slice(&output.stdout).unwrap();
    assert!(table.meaningless.is_some_and(|why| why.contains("made up")));
    assert!(table.pair.is_empty());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is stored");
}
