// SPDX-License-Identifier: GPL-2.0-only
//! The lab is an instrument: the same cell gives the same bytes whatever runs
//! beside it, a task pays exactly what the table says, and what fails in a
//! machine is a result.

use crate::vm::skipped;
use std::path::Path;
use std::process::{Command, Output};

const FAST: [&str; 4] = ["--machine", "2x2x1", "--seconds", "0.3"];

fn lab(args: &[&str]) -> Output {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/lab"))
        .args(args)
        .output()
        .expect("tools/lab can be started")
}

fn result(args: &[&str]) -> serde_json::Value {
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join("result.json");
    let out = out.to_str().expect("a name");
    let ran = lab(&[&["run", "--json", "--out", out], &FAST[..], args].concat());
    let err = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{err}");
    serde_json::from_slice(&ran.stdout).expect("a result")
}

/// The cell's figure `name`: its value and its bound.
fn figure(cell: &serde_json::Value, name: &str) -> (f64, f64) {
    let figures = cell["found"]["figures"].as_array().expect("figures");
    let figure = figures.iter().find(|figure| figure["name"] == name).expect("the figure");
    (figure["value"].as_f64().expect("a value"), figure["bound"].as_f64().expect("a bound"))
}

#[test]
fn two_runs_are_identical_bit_by_bit() {
    if skipped() {
        return;
    }
    let run = |jobs| {
        let cells = ["--scenario", "hog", "--sched", "toll --migrate never", "--jobs", jobs];
        let mut run = result(&cells);
        // What depends on the host stands here and nowhere else.
        run.as_object_mut().expect("an object").remove("host").expect("host facts");
        run
    };
    let (first, second) = (run("1"), run("2"));
    assert_eq!(first, second);
    // Five hogs on four LLCs of one CPU: somebody would have to move.
    let moves = &first["cells"][0]["moves"];
    assert_eq!((&moves["llc"], &moves["node"]), (&0.into(), &0.into()), "{first}");
}

#[test]
fn a_task_pays_what_the_table_says_and_a_scheduler_that_does_not_come_is_a_result() {
    if skipped() {
        return;
    }
    let run = result(&["--scenario", "pin", "--sched", "eevdf,toll --slice-us 1"]);
    let paid = &run["cells"][0];
    let (refill, table) = figure(paid, "refill");
    assert_eq!(refill, table, "refills: {paid}");
    // Work goes on for up to one look at the clock after the last move.
    let (remote, table) = figure(paid, "remote");
    assert!((remote - table).abs() < 20.0, "{remote} µs of remote time, {table} by the table");
    assert_eq!((&paid["moves"]["llc"], &paid["moves"]["node"]), (&1.into(), &1.into()));

    let absent = &run["cells"][1];
    assert_eq!(absent["status"], "attach_failed");
    assert!(absent["words"].to_string().contains("a turn lasts from 100"), "{absent}");
    assert!(absent["found"].is_null(), "{absent}");
}
