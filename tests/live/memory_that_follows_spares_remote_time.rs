// SPDX-License-Identifier: GPL-2.0-only
//! In the lab, where remote time follows the pages: programs load their memory on one node and are
//! then kept to one node each. With memory that follows, its tasks stop paying; without, they pay to the end.

use crate::vm::skipped;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

const SEEDS: usize = 2;

/// The mean of a figure over the seeds of one scheduler.
fn mean(cells: &[Value], name: &str) -> f64 {
    let figure = |cell: &Value| {
        let figures =
            cell["found"]["figures"].as_array().unwrap_or_else(|| panic!("failed: {cell}"));
        let figure = figures.iter().find(|figure| figure["name"] == name).expect("the figure");
        figure["value"].as_f64().expect("a number")
    };
    cells.iter().map(figure).sum::<f64>() / cells.len() as f64
}

#[test]
fn of_tasks_that_have_settled_on_the_node_where_nothing_of_it_lies() {
    if skipped() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let ran = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/lab"))
        .args(["run", "--json", "--machine", "2x1x1", "--scenario", "heavy", "--seconds", "6"])
        .args(["--sched", "toll,toll --memory-follow on", "--memory-mib", "8"])
        .args(["--kept", "--seed", "1,2"])
        .arg("--out")
        .arg(dir.path().join("result.json"))
        .output()
        .expect("tools/lab can be started");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let run: Value = serde_json::from_slice(&ran.stdout).expect("a result");
    let cells = run["cells"].as_array().expect("cells");
    let (on, off): (Vec<Value>, Vec<Value>) = cells.iter().cloned().partition(|cell| {
        cell["key"]["scheduler"].as_str().expect("a name").ends_with("--memory-follow on")
    });
    assert_eq!((on.len(), off.len()), (SEEDS, SEEDS));
    // One of two tasks works a fifth of its time for nothing: a tenth of the machine.
    let remote = mean(&off, "remote_time");
    assert!((9.0..10.5).contains(&remote), "{remote} % of remote time: {off:?}");
    // It pays until it has stayed for the hold time of a second and has been looked at: 2 to 4 s of
    // the 6.
    assert!(mean(&on, "remote_time") < 0.75 * remote, "{on:?}");
    assert!(mean(&on, "useful_work") > mean(&off, "useful_work") + 2.0, "{on:?}\n{off:?}");
}
