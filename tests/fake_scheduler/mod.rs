// SPDX-License-Identifier: GPL-2.0-only
//! A scheduler to look at, without a kernel that can run one: a process that serves on both
//! sockets what a real run said. `tests/recorded/demo-2x4x2.jsonl` says how it was recorded.

use scx_toll::control::server::Server;
use scx_toll::control::wire::Answer;
use scx_toll::policy::view::PolicyView;
use scx_toll::stats::exported::TollStats;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Tells the process where to serve.
const DIR_VARIABLE: &str = "TOLL_FAKE_DIR";

/// What a run of scx_toll said.
pub struct Recorded {
    pub policy: PolicyView,
    pub stats: Vec<TollStats>,
}

pub fn recorded() -> Recorded {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/demo-2x4x2.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let mut policy = None;
    let mut stats = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        match value["what"].as_str() {
            Some("policy") => policy = Some(serde_json::from_value(value).unwrap()),
            Some("stats") => stats.push(serde_json::from_value(value).unwrap()),
            other => panic!("{other:?} in the recording"),
        }
    }
    Recorded { policy: policy.unwrap(), stats }
}

/// What the process does; a test that is ignored unless it is that process calls it.
pub fn be_the_scheduler() {
    let Some(dir) = std::env::var_os(DIR_VARIABLE).map(PathBuf::from) else { return };
    let Recorded { policy, stats } = recorded();
    let control = Server::start(&dir).unwrap();
    std::thread::spawn(move || serve_stats(&dir, stats));
    loop {
        if let Some(job) = control.next(Duration::from_secs(1)) {
            job.carry_out(|_| Answer::Policy(Box::new(policy.clone())));
        }
    }
}

fn serve_stats(dir: &Path, stats: Vec<TollStats>) {
    let path = dir.join("stats.sock");
    let _ = std::fs::remove_file(&path);
    let mut next = stats.iter().cycle();
    for stream in UnixListener::bind(&path).unwrap().incoming() {
        let mut stream = stream.unwrap();
        for line in BufReader::new(stream.try_clone().unwrap()).lines() {
            let Ok(line) = line else { break };
            assert!(line.contains("\"stats\""), "{line}");
            let stats = next.next().unwrap();
            let answer = serde_json::json!({"errno": 0, "args": {"resp": stats}});
            if stream.write_all(format!("{answer}\n").as_bytes()).is_err() {
                break;
            }
        }
    }
}

/// The process; killed without a word when dropped.
pub struct Fake(Child);

impl Fake {
    /// Start one that serves in `dir`, with the test named `the_scheduler` of this program.
    pub fn start(dir: &Path) -> Fake {
        // A dead one's socket would pass for a live one's.
        let _ = std::fs::remove_file(dir.join("stats.sock"));
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "the_scheduler", "--nocapture"])
            .env(DIR_VARIABLE, dir)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let fake = Fake(child);
        let until = Instant::now() + Duration::from_secs(20);
        while !(dir.join("stats.sock").exists() && dir.join("control.sock").exists()) {
            assert!(Instant::now() < until, "the scheduler does not serve");
            std::thread::sleep(Duration::from_millis(20));
        }
        fake
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        // SIGKILL: it has no chance to clean up.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
