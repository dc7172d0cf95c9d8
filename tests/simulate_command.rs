// SPDX-License-Identifier: GPL-2.0-only
//! `scx_toll simulate` as a person calls it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod simulated;
mod sysfs_tree;

use serde_json::Value;
use simulated::{compile_source, sources};
use std::process::{Command, Output};

fn simulate(args: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_scx_toll");
    Command::new(program).arg("simulate").args(args).output().unwrap()
}

fn json(args: &[&str]) -> Value {
    let output = simulate(&[args, &["--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn json_has_the_figures_of_the_lab() {
    let result = json(&["--topology", "1x2x2", "--seconds", "0.2", "--scenario", "hog"]);
    assert_eq!(result["what"], "simulation");
    assert_eq!(result["scenario"], "hog");
    assert_eq!(result["figures"][0]["name"], "useful_work");
    assert!(result["figures"][0]["value"].as_f64().unwrap() > 90.0, "{result}");
    assert_eq!(result["findings"], serde_json::json!([]));
    assert!(result["failure"].is_null());
    assert_eq!(result["hash"].as_str().unwrap().len(), 16);
}

#[test]
fn each_flag_changes_the_run() {
    let base = ["--topology", "2x2x2", "--seconds", "0.3"];
    let hash = |more: &[&str]| json(&[&base, more].concat())["hash"].clone();
    let plain = hash(&[]);
    assert_eq!(plain, hash(&["--penalty", "costs", "--migrate", "toll"]));
    for more in [
        ["--seed", "2"],
        ["--load", "90"],
        ["--costs", "free"],
        ["--penalty", "default"],
        ["--migrate", "never"],
        ["--slice-us", "1000"],
        ["--hysteresis", "node=0"],
        ["--scenario", "open:8"],
        ["--scenario", "pairs"],
    ] {
        assert_ne!(plain, hash(&more), "{more:?}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_in_one_sentence() {
    for (args, sentence) in [
        (
            ["--topology", "2x2"],
            "--topology 2x2: expected three numbers such as 2x4x8, or a directory",
        ),
        (["--topology", "1x1x5000"], "--topology 1x1x5000: the machine has 5000 CPUs, at most"),
        (["--scenario", "sleep"], "--scenario sleep: expected open, batch, hog, pairs, open:N"),
        (["--seconds", "0"], "--seconds 0: expected 0.001 to 3600"),
        (["--load", "0"], "--load 0: expected 1 to 1000 per cent"),
        (["--migrate", "maybe"], "--migrate maybe: expected toll, always, never or fixed:US"),
        (["--costs", "/nowhere"], "/nowhere"),
    ] {
        let output = simulate(&args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(sentence), "{args:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn another_scheduler_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let object = dir.path().join("example.so");
    compile_source("gcc", &sources().0, "example.bpf.c", &object).unwrap();
    let path = object.to_str().unwrap();
    let result = json(&["--scheduler", path, "--seconds", "0.3", "--topology", "2x2x2"]);
    assert_eq!(result["scheduler"], path);
    assert!(result["decisions"].is_null());
    assert!(result["figures"][0]["value"].as_f64().unwrap() > 0.0);
    let output = simulate(&["--scheduler", env!("CARGO_BIN_EXE_scx_toll")]);
    assert_eq!(output.status.code(), Some(1));
    let output = simulate(&["--scheduler", "/nowhere.so"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere.so"));
}

#[test]
fn four_thousand_cpus_are_for_other_schedulers() {
    let dir = tempfile::tempdir().unwrap();
    let object = dir.path().join("example.so");
    compile_source("gcc", &sources().0, "example.bpf.c", &object).unwrap();
    let many = ["--topology", "16x16x16", "--scheduler", object.to_str().unwrap()];
    let result = json(&[&many[..], &["--scenario", "open:1", "--seconds", "0.01"]].concat());
    assert!(result["wakeups"].as_u64().unwrap() > 4096, "{result}");
}

#[test]
fn a_load_of_rt_app_does_what_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("load.json");
    let load = r#"{"global": {"duration": 1}, "tasks": {
        "periodic": {"instance": 3, "run": 2000, "timer": {"ref": "t", "period": 10000}},
        "answers": {"suspend": "x", "run": 1000},
        "asks": {"run": 500, "resume": "answers", "sleep": 19500}}}"#;
    std::fs::write(&file, load).unwrap();
    let result = json(&["--scenario", file.to_str().unwrap(), "--costs", "free"]);
    let figure = |nr: usize| result["figures"][nr]["value"].as_f64().unwrap();
    // Three times a hundred a second, and fifty questions with as many answers.
    assert!((figure(2) - 400.0).abs() < 8.0, "{result}");
    let busy = 3.0 * 0.2 + 50.0 * 0.0015;
    assert!((figure(3) - busy).abs() < 0.02, "{result}");
    // Eight CPUs for five tasks: nobody waits.
    assert!(figure(0) < 1.8, "{result}");
}

#[test]
fn a_saved_sysfs_is_a_machine() {
    let dir = tempfile::tempdir().unwrap();
    sysfs_tree::Tree::at(dir.path()).plant_2x2x2();
    let topology = ["--topology", dir.path().to_str().unwrap(), "--seconds", "0.2"];
    let saved = json(&topology);
    assert_eq!(saved["decisions"]["asked"].as_array().unwrap().len(), 3);
    assert!(saved["decisions"]["node_moves"].as_array().unwrap().iter().any(|n| n != 0), "{saved}");
}
