// SPDX-License-Identifier: GPL-2.0-only
//! `scx_toll analyze` as typed: what it prints, writes and refuses, and its page in a browser.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scx_toll::measure::chase::Rng;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Two seconds of four CPUs: hogs take turns, sleep, and are woken on CPU 0; CPUs without any fetch
/// one that waits elsewhere.
fn trace(seed: u64) -> String {
    let mut rng = Rng(seed);
    let mut text = String::new();
    let name = |pid: u32| if pid == 0 { "swapper".into() } else { format!("<hog & co>{pid}") };
    let mut running = [0u32; 4];
    let mut waiting: [Vec<u32>; 4] = Default::default();
    let mut asleep: Vec<u32> = (1..=9).collect();
    for at in 0..4000u64 {
        let stamp = format!("{}.{:06}", at / 2000, at % 2000 * 500);
        let cpu = rng.below(4) as usize;
        let prev = running[cpu];
        let mut event = |event: String| {
            let _ = writeln!(text, " {}-{prev} [{cpu:03}] d..2. {stamp}: {event}", name(prev));
        };
        if let Some(pid) = asleep.pop() {
            event(format!("sched_wakeup: comm={} pid={pid} prio=120 target_cpu=000", name(pid)));
            waiting[0].push(pid);
        }
        let busiest = (0..4).max_by_key(|&cpu| waiting[cpu].len()).unwrap();
        if waiting[cpu].is_empty() && !waiting[busiest].is_empty() {
            let pid = waiting[busiest].pop().unwrap();
            waiting[cpu].push(pid);
            let comm = name(pid);
            event(format!(
                "sched_migrate_task: comm={comm} pid={pid} prio=120 orig_cpu={busiest} dest_cpu={cpu}"
            ));
        }
        let next = if waiting[cpu].is_empty() { 0 } else { waiting[cpu].remove(0) };
        if prev == next {
            continue;
        }
        let sleeps = rng.below(4) == 0;
        let state = if sleeps && prev != 0 { 'S' } else { 'R' };
        event(format!(
            "sched_switch: prev_comm={} prev_pid={prev} prev_prio=120 prev_state={state} ==> next_comm={} \
             next_pid={next} next_prio=120",
            name(prev),
            name(next)
        ));
        if prev != 0 {
            if sleeps { asleep.push(prev) } else { waiting[cpu].push(prev) }
        }
        running[cpu] = next;
    }
    text
}

fn analyze(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scx_toll"));
    command.arg("analyze").args(["--machine", "1x2x2"]).args(arguments).output().unwrap()
}

fn traces(dir: &Path) -> [String; 2] {
    [1u64, 2].map(|seed| {
        let path = dir.join(format!("{seed}.txt"));
        std::fs::write(&path, trace(seed)).unwrap();
        path.to_str().unwrap().to_string()
    })
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn one_trace_as_text_and_as_json() {
    let dir = tempfile::tempdir().unwrap();
    let [trace, _] = traces(dir.path());
    let text = stdout(&analyze(&[&trace]));
    for word in ["ftrace", "pull-dominated", "waits:", "idle CPUs beside", "loads by cpu"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let json: Value = serde_json::from_str(&stdout(&analyze(&[&trace, "--json"]))).unwrap();
    assert_eq!(json["intake"]["broken"], 0);
    assert_eq!(json["moves"][0]["kind"], "pull");
    assert!(json["moves"][0]["count"].as_u64().unwrap() > 50);
    assert!(json["correlations"][0]["pairs"].as_u64().unwrap() == 6);
}

#[test]
fn two_traces_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = traces(dir.path());
    let text = stdout(&analyze(&[&a, &b]));
    assert!(text.contains("B ÷ A") && text.contains("pull moves"), "{text}");
    let json: Value = serde_json::from_str(&stdout(&analyze(&[&a, &a, "--json"]))).unwrap();
    for row in json["comparison"].as_array().unwrap() {
        assert_eq!(row["a"], row["b"], "a trace beside itself");
    }
}

#[test]
fn the_machine_and_the_prices_are_taken_as_given() {
    let dir = tempfile::tempdir().unwrap();
    let [trace, _] = traces(dir.path());
    let json = |arguments: &[&str]| -> Value {
        serde_json::from_str(&stdout(&analyze(&[arguments, &[&trace, "--json"]].concat()))).unwrap()
    };
    let moves =
        |json: &Value, distance: usize| json["moves"][0]["by_distance"][distance].as_u64().unwrap();
    let usual = json(&[]);
    assert!(moves(&usual, 0) > 0 && moves(&usual, 1) > 0 && moves(&usual, 2) == 0);
    let penalty = dir.path().join("dear.toml");
    std::fs::write(&penalty, "[class.llc]\nhop_us = 100000\n[class.node]\nhop_us = 100000\n")
        .unwrap();
    let dear = json(&["--penalty", penalty.to_str().unwrap()]);
    let cost = |json: &Value| json["prices"][1]["penalty_ns"].as_i64().unwrap();
    assert!(cost(&dear) > 10 * cost(&usual));
    let output = Command::new(env!("CARGO_BIN_EXE_scx_toll"))
        .args(["analyze", "--machine", "2x1x2", "--json", &trace])
        .output()
        .unwrap();
    let nodes: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert!(moves(&nodes, 1) == 0 && moves(&nodes, 2) > 0);
}

#[test]
fn mistakes_have_a_sentence_and_a_status() {
    let dir = tempfile::tempdir().unwrap();
    let [trace, _] = traces(dir.path());
    let text = dir.path().join("poem.txt");
    std::fs::write(&text, "no trace\n").unwrap();
    for (arguments, status, words) in [
        (&[text.to_str().unwrap()][..], 1, "neither text of perf script"),
        (&["/nowhere/t"], 1, "the trace cannot be opened"),
        (&["-", "-"], 2, "standard input can be read once only"),
        (
            &[trace.as_str(), "--html", "/nowhere/p.html"],
            1,
            "the page /nowhere/p.html cannot be written",
        ),
    ] {
        let output = analyze(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{stderr}");
        assert!(stderr.contains(words) && stderr.trim_end().lines().count() == 1, "{stderr}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_scx_toll"))
        .args(["analyze", "--machine", "2x0x2", &trace])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}

/// 300 MB of trace go through 150 MB of address space, program and libraries among them.
#[test]
fn memory_does_not_grow_with_the_trace() {
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -v 150000 && exec \"$0\" analyze --machine 1x2x2 --json -"])
        .arg(env!("CARGO_BIN_EXE_scx_toll"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || {
        let mut bytes = 0;
        for round in 0..2000u64 {
            let mut text = String::new();
            for step in 0..1000u64 {
                let (prev, next) = (step % 50 + 1, (step + 1) % 50 + 1);
                let _ = writeln!(
                    text,
                    "      task{prev}-{prev} [00{}] d..2. {}.{:06}: sched_switch: prev_comm=task{prev} \
                     prev_pid={prev} prev_prio=120 prev_state=S ==> next_comm=task{next} next_pid={next} next_prio=120",
                    step % 4,
                    round / 10,
                    round % 10 * 100_000 + step * 100
                );
            }
            bytes += text.len();
            stdin.write_all(text.as_bytes()).unwrap();
        }
        bytes
    });
    let output = child.wait_with_output().unwrap();
    let bytes = feeder.join().unwrap();
    assert!(bytes > 290 << 20, "{bytes}");
    let json: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(
        (&json["intake"]["events"], &json["intake"]["broken"]),
        (&2_000_000.into(), &0.into())
    );
}

// ---- the page -----------------------------------------------------------------------------------

const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// A browser. Without one the test is skipped, except in CI.
fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .flat_map(|dir| BROWSERS.map(|name| dir.join(name)))
        .find(|path| path.exists());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "no browser: install chromium");
        eprintln!("skipped: there is no browser among {BROWSERS:?}");
    }
    found
}

fn browse(browser: &Path, dir: &Path, arguments: &[&str], page: &Path) -> Output {
    let profile = format!("--user-data-dir={}", dir.join("profile").display());
    let usual = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        "--v=0",
        &profile,
    ];
    // Any request that leaves the page fails and is logged.
    let nowhere = ["--host-resolver-rules=MAP * ~NOTFOUND", "--disable-background-networking"];
    let url = format!("file://{}", page.display());
    Command::new("timeout")
        .arg("120")
        .arg(browser)
        .args(usual)
        .args(nowhere)
        .args(arguments)
        .arg(url)
        .output()
        .unwrap()
}

#[test]
fn the_page_shows_its_pictures_in_a_browser() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = traces(dir.path());
    let page = dir.path().join("page.html");
    stdout(&analyze(&[&a, &b, "--html", page.to_str().unwrap()]));
    let html = std::fs::read_to_string(&page).unwrap();
    for outside in ["http://", "https://", "src=", "@import", "url(", "<script"] {
        let found = html.replace("http://www.w3.org/2000/svg", "").contains(outside);
        assert!(!found, "{outside} in the page");
    }
    assert!(!html.contains("<hog"), "names are escaped");
    let Some(browser) = browser() else { return };
    let output = browse(&browser, dir.path(), &["--dump-dom"], &page);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{log}");
    assert!(!log.contains("CONSOLE") && !log.contains("ERR_"), "{log}");
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    for id in ["map", "correlogram", "heat"] {
        let drawn = dom.split(&format!("<svg id=\"{id}\"")).nth(1).expect(id);
        let drawn = &drawn[..drawn.find("</svg>").unwrap()];
        let shapes = drawn.matches("<rect").count() + drawn.matches("<line").count();
        assert!(shapes >= 4, "{id}: {shapes} shapes");
    }
    for id in ["offenders", "worst", "correlations", "comparison"] {
        assert!(dom.contains(&format!("<table id=\"{id}\"")), "{id}");
    }
    let picture = dir.path().join("page.png");
    let shot = format!("--screenshot={}", picture.display());
    let output = browse(&browser, dir.path(), &[&shot, "--window-size=1100,1500"], &page);
    assert!(output.status.success());
    let png = std::fs::read(&picture).unwrap();
    assert!(png.starts_with(b"\x89PNG") && png.len() > 20_000, "{} bytes", png.len());
}

/// The browser test would notice: a page that asks for something and fails is found.
#[test]
fn a_page_that_asks_for_something_is_noticed() {
    let Some(browser) = browser() else { return };
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("bad.html");
    std::fs::write(
        &page,
        "<script src=\"https://example.org/x.js\"></script><script>nothing()</script>",
    )
    .unwrap();
    let output = browse(&browser, dir.path(), &["--dump-dom"], &page);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(log.contains("CONSOLE"), "{log}");
}
