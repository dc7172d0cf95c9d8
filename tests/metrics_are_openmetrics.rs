// SPDX-License-Identifier: GPL-2.0-only
//! What `--metrics` serves: text that every OpenMetrics reader takes, with the figures of the
//! snapshot, over an HTTP that holds up nobody.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod openmetrics_reader;

use openmetrics_reader::{buckets, read, value};
use scx_toll::stats::feed::{self, Feed};
use scx_toll::stats::openmetrics::{Format, encode};
use scx_toll::stats::overhead::Overhead;
use scx_toll::stats::pairs::Pair;
use scx_toll::stats::{About, Counters, LlcSnapshot, Snapshot, scrape};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn snapshot() -> Snapshot {
    let mut counters = Counters { wakes: 7, waits: 6, wait_ns: 3_500_000, ..Counters::default() };
    counters.wait_hist[0] = 1;
    counters.wait_hist[3] = 3;
    counters.wait_hist[31] = 2;
    counters.gain_hist[4] = 2;
    counters.gain_ns = 25_000;
    counters.verdicts[1][2][3] = 5;
    counters.landed[2][1] = 4;
    let llc = LlcSnapshot {
        node: 1,
        cpus: 2,
        wait_ns: 1_500_000,
        busy_ns: 2_500_000_000,
        ..LlcSnapshot::default()
    };
    let pair = Pair { from: 0, to: 1, moves: 4, judged: 3, gain_ns: 25_000, penalty_ns: -8_000 };
    let now = Instant::now();
    Snapshot {
        at: now,
        about: About { loaded_at: now, policy_version: 3 },
        counters,
        llcs: vec![LlcSnapshot { cpus: 2, ..LlcSnapshot::default() }, llc],
        pairs: vec![Pair::default(), pair],
        overhead: Overhead { bpf_ns: 1_500, bpf_runs: 3, switches: 11 },
    }
}

#[test]
fn every_figure_of_a_snapshot_is_on_the_page() {
    let page = read(&encode(snapshot(), Format::OpenMetrics).unwrap());
    let one = |name: &str, suffix| value(&page[name], suffix);
    assert_eq!(one("scx_toll_wakeups", "_total"), 7.0);
    assert_eq!(one("scx_toll_context_switches", "_total"), 11.0);
    assert_eq!(one("scx_toll_bpf_seconds", "_total"), 1.5e-6);
    assert_eq!(one("scx_toll_policy_version", ""), 3.0);
    let wait = &page["scx_toll_wait_seconds"];
    assert_eq!((value(wait, "_sum"), value(wait, "_count")), (0.0035, 6.0));
    let at = |bound: f64| buckets(wait).iter().find(|(le, _)| *le == bound).unwrap().1;
    assert_eq!([1.024e-6, 4.096e-6, 8.192e-6, f64::INFINITY].map(at), [1.0, 1.0, 4.0, 6.0]);
    assert_eq!(value(&page["scx_toll_move_gain_seconds"], "_sum"), 25e-6);
    assert_eq!(value(&page["scx_toll_move_cost_seconds"], "_count"), 0.0);

    let find = |name: &str, labels: &[(&str, &str)]| {
        let wanted: Vec<_> = labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let samples = &page[name].samples;
        let found = samples.iter().find(|s| s.labels == wanted.iter().cloned().collect());
        found.unwrap_or_else(|| panic!("{labels:?} is not in {samples:?}")).value
    };
    let refused = [("kind", "push"), ("level", "node"), ("verdict", "hysteresis")];
    assert_eq!(find("scx_toll_decisions", &refused), 5.0);
    assert_eq!(find("scx_toll_moves", &[("kind", "pull"), ("level", "llc")]), 4.0);
    let llc = [("llc", "1"), ("node", "1")];
    assert_eq!(find("scx_toll_llc_expected_wait_seconds", &llc), 0.0015);
    assert_eq!(find("scx_toll_llc_busy_seconds", &llc), 2.5);
    let pair = [("from", "0"), ("to", "1")];
    assert_eq!(find("scx_toll_pair_moves", &pair), 4.0);
    assert_eq!(find("scx_toll_pair_cost_seconds", &pair), -8e-6);
    assert_eq!(page["scx_toll_pair_moves"].samples.len(), 1, "idle pairs are left out");
}

/// Give `text` to a program that judges it, if it is installed.
fn judged(program: &str, args: &[&str], text: &str) -> Option<std::process::Output> {
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.ok()?;
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    Some(child.wait_with_output().unwrap())
}

/// The parser of Prometheus' own client library: Debian's python3-prometheus-client.
#[test]
fn a_client_library_of_prometheus_reads_the_page() {
    const READ: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read
families = list(read(sys.stdin.read()))
print(sum(len(family.samples) for family in families))
";
    let text = encode(snapshot(), Format::OpenMetrics).unwrap();
    let has = |python: &&str| {
        let probe = ["-c", "import prometheus_client.openmetrics.parser"];
        judged(python, &probe, "").is_some_and(|output| output.status.success())
    };
    let Some(python) = ["/usr/bin/python3", "python3"].into_iter().find(has) else {
        assert!(std::env::var_os("CI").is_none(), "python3-prometheus-client is not installed");
        eprintln!("skipped: python3-prometheus-client is not installed");
        return;
    };
    let output = judged(python, &["-c", READ], &text).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let samples: usize = read(&text).values().map(|family| family.samples.len()).sum();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), samples.to_string());
    let wrong = text.replace("# TYPE scx_toll_wait_seconds histogram", "# TYPE x nonsense");
    let output = judged(python, &["-c", READ], &wrong).unwrap();
    assert!(!output.status.success(), "it takes anything");
}

#[test]
fn promtool_has_nothing_to_say_about_it() {
    let text = encode(snapshot(), Format::Prometheus).unwrap();
    let Some(output) = judged("promtool", &["check", "metrics"], &text) else {
        eprintln!("skipped: promtool is not installed");
        return;
    };
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/grafana/scx_toll.json");
    let text = std::fs::read_to_string(path).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let page = read(&encode(snapshot(), Format::OpenMetrics).unwrap());
    let samples: Vec<_> = page.values().flat_map(|family| &family.samples).collect();
    let mut asked = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let words = target["expr"].as_str().unwrap();
            let words = words.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            for name in words.filter(|word| word.starts_with("scx_toll_")) {
                let found = samples.iter().any(|sample| sample.name == name);
                assert!(found, "{}: there is no {name}", panel["title"]);
                asked += 1;
            }
        }
    }
    assert!(asked >= 8, "{asked} metrics");
}

/// Send `request` as it is and return what comes until the end.
fn talk(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// A stand-in for the scheduler's loop.
fn serve_while(feed: &Feed, clients: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let clients = scope.spawn(clients);
        while !clients.is_finished() {
            feed.serve(|| Ok(snapshot())).unwrap();
            std::thread::sleep(Duration::from_millis(5));
        }
        clients.join().unwrap();
    });
}

#[test]
fn the_page_is_served_in_both_formats_and_nothing_else_is() {
    let (feed, tap) = feed::new();
    let address = scrape::start("127.0.0.1:0".parse().unwrap(), tap).unwrap();
    serve_while(&feed, || {
        let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
        let request = format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{accept}\r\n\r\n");
        let answer = talk(address, request.as_bytes());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("application/openmetrics-text; version=1.0.0"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
        assert!(read(body).contains_key("scx_toll_wait_seconds"));
        // As curl asks for it.
        let answer = talk(address, b"GET /metrics HTTP/1.1\r\nAccept: */*\r\n\r\n");
        assert!(answer.contains("Content-Type: text/plain; version=0.0.4"), "{answer}");
        assert!(answer.contains("\n# TYPE scx_toll_wakeups_total counter\n"), "{answer}");
        for (request, status) in [
            ("GET / HTTP/1.1\r\n\r\n", "404"),
            ("GET /metrics?name=x HTTP/1.0\r\n\r\n", "200"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
            ("\r\n\r\n", "405"),
        ] {
            let answer = talk(address, request.as_bytes());
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        }
        // One that never finishes its request, and one that sends too much, get nothing; the
        // next one is served.
        let _hanging = TcpStream::connect(address).unwrap();
        assert_eq!(talk(address, &[b'x'; 20_000]), "");
        assert!(talk(address, b"GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200"));
    });
    drop(feed);
    let answer = talk(address, b"GET /metrics HTTP/1.1\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("is ending"), "{answer}");
}

#[test]
fn an_address_that_cannot_be_had_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let holder = TcpListener::bind(taken).unwrap();
    for address in [taken, "192.0.2.1:9464".parse().unwrap()] {
        let (_feed, tap) = feed::new();
        let error = format!("{:#}", scrape::start(address, tap).unwrap_err());
        assert!(error.starts_with(&format!("--metrics {address}: ")), "{error}");
    }
    drop(holder);
}
