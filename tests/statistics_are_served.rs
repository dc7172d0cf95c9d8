// SPDX-License-Identifier: GPL-2.0-only
//! Statistics over the socket of the sched_ext family: every client has its own interval, every
//! number is described, and `--monitor` prints what `--stats` would.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fake_scheduler;

use fake_scheduler::{Fake, Recorded, recorded};
use scx_stats::prelude::*;
use scx_toll::model::decide::{HIST_SLOTS, hist_bound};
use scx_toll::stats::exported::TollStats;
use scx_toll::stats::feed;
use scx_toll::stats::overhead::Overhead;
use scx_toll::stats::server::{Server, describe};
use scx_toll::stats::{About, Counters, LlcSnapshot, Snapshot};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

#[test]
#[ignore = "it is the scheduler that the other tests look at"]
fn the_scheduler() {
    fake_scheduler::be_the_scheduler();
}

/// A scheduler that has run `wakes` seconds and woken a task in each.
fn snapshot(begun: Instant, wakes: u64) -> Snapshot {
    let busy_ns = wakes * 1_000_000_000;
    Snapshot {
        at: begun + Duration::from_secs(wakes),
        about: About { loaded_at: begun, policy_version: 1 },
        counters: Counters { wakes, ..Counters::default() },
        llcs: vec![LlcSnapshot { cpus: 2, busy_ns, ..LlcSnapshot::default() }],
        pairs: Vec::new(),
        overhead: Overhead::default(),
    }
}

#[test]
fn every_client_is_told_of_the_time_since_it_last_asked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stats");
    let (feed, tap) = feed::new();
    let server = Server::start(&path, tap).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let clients = scope.spawn(|| {
            let mut clients =
                [(); 2].map(|()| StatsClient::new().set_path(&path).connect(Some(5_000)).unwrap());
            // Asked in turn: the clock of the snapshots goes on by one each time.
            let turns = [0, 1, 0, 0, 1];
            turns.map(|client| {
                let stats: TollStats = clients[client].request("stats", vec![]).unwrap();
                assert!((stats.load_pct - 50.0).abs() < 1e-6, "one of two CPUs is busy");
                (stats.wakes, stats.seconds)
            })
        });
        let mut wakes = 0;
        while !clients.is_finished() {
            let taken = feed.serve(|| {
                wakes += 1;
                Ok(snapshot(begun, wakes))
            });
            taken.unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
        // First everything since the scheduler was loaded, then what is new to each.
        let expected = [(1, 1.0), (2, 2.0), (2, 2.0), (1, 1.0), (3, 3.0)];
        assert_eq!(clients.join().unwrap(), expected);
    });
    drop(server);
    assert!(!path.exists(), "nothing is left behind");
}

#[test]
fn every_number_is_described() {
    let mut text = Vec::new();
    describe(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    for line in text.lines().filter(|line| line.starts_with("  ")) {
        assert!(line.contains(") : ") || line.contains(" : "), "not described: {line}");
    }
    let value = serde_json::to_value(&recorded().stats[0]).unwrap();
    let mut names = Vec::new();
    for (name, value) in value.as_object().unwrap() {
        names.push(name.clone());
        let inner = value.as_object().and_then(|map| map.values().next()?.as_object());
        names.extend(inner.into_iter().flat_map(|inner| inner.keys().cloned()));
    }
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        assert!(text.contains(&format!("\n  {name} ")), "{name} is not in:\n{text}");
    }
    let output = scx_toll(Path::new("/nowhere"), &["--help-stats"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
}

#[test]
fn what_a_real_run_said_agrees_with_itself() {
    let Recorded { stats, policy } = recorded();
    assert!(stats.len() >= 8, "{} intervals", stats.len());
    assert_eq!(policy.llc_node.len(), stats[0].llcs.len());
    for stats in &stats {
        for (name, ended) in &stats.decisions {
            let answered: u64 = ended.verdicts().iter().sum();
            // One decision per CPU may be under way while the CPUs are read.
            assert!(ended.asked.abs_diff(answered) <= 16, "{name}: {ended:?}");
        }
        let turns: u64 = stats.wait_hist.iter().sum();
        assert!(turns.abs_diff(stats.turns) <= 16, "{turns} of {}", stats.turns);
        let moved: u64 = stats.pairs.values().map(|pair| pair.moves).sum();
        let slack = 2 + stats.moves_between_llcs() / 10;
        assert!(moved.abs_diff(stats.moves_between_llcs()) <= slack, "{stats:?}");
        // The mean lies between what the slots' bounds allow.
        let bounds = (0..HIST_SLOTS).zip(&stats.wait_hist);
        let most: u64 = bounds.map(|(slot, count)| count * hist_bound(slot).unwrap_or(0)).sum();
        assert!(stats.wait_ns <= most + most / 10, "{} and {most}", stats.wait_ns);
        assert!(stats.wait_ns >= most / 4, "{} and {most}", stats.wait_ns);
    }
}

fn scx_toll(run_dir: &Path, args: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_scx_toll");
    Command::new(program).args(args).env("SCX_TOLL_RUN_DIR", run_dir).output().unwrap()
}

#[test]
fn monitor_prints_blocks_or_json_and_once_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let output = scx_toll(dir.path(), &["--monitor", "0.05"]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("no scx_toll is running (nobody listens at"), "{error}");
    for (args, words) in [
        (&["--once"][..], "--monitor"),
        (&["--monitor", "1", "--stats", "1"], "cannot be used with"),
        (&["--monitor", "0"], "--monitor 0: expected a number of seconds"),
    ] {
        let output = scx_toll(dir.path(), args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), error.contains(words)), (Some(2), true), "{error}");
    }

    let _scheduler = Fake::start(dir.path());
    let output = scx_toll(dir.path(), &["--monitor", "0.05", "--once"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(text.matches("scx_toll  16 CPUs 8 LLCs").count(), 1, "{text}");
    assert!(text.contains("moves   within llc") && text.contains("; refused:"), "{text}");

    let output = scx_toll(dir.path(), &["--monitor", "0.05", "--once", "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["what"], "stats");
    let stats: TollStats = serde_json::from_value(value).unwrap();
    assert!(recorded().stats.contains(&stats), "one of the recorded intervals");
}

#[test]
fn monitor_waits_for_a_scheduler_that_has_gone() {
    let dir = tempfile::tempdir().unwrap();
    let scheduler = Fake::start(dir.path());
    let mut monitor = Command::new(env!("CARGO_BIN_EXE_scx_toll"))
        .args(["--monitor", "0.05", "--json"])
        .env("SCX_TOLL_RUN_DIR", dir.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines =
        std::io::BufRead::lines(std::io::BufReader::new(monitor.stdout.take().unwrap()));
    let mut line = || lines.next().unwrap().unwrap();
    assert!(line().starts_with("{\"what\":\"stats\""));
    drop(scheduler);
    let mut errors = std::io::BufReader::new(monitor.stderr.take().unwrap());
    let mut error = String::new();
    std::io::BufRead::read_line(&mut errors, &mut error).unwrap();
    assert!(error.contains("has ended") && error.contains("waiting for it"), "{error}");
    let _scheduler = Fake::start(dir.path());
    // Whatever the dead one had said is in the pipe already; the rest is the new one's.
    for _ in 0..60 {
        line();
    }
    monitor.kill().unwrap();
    monitor.wait().unwrap();
}
