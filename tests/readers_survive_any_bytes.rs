// SPDX-License-Identifier: GPL-2.0-only
//! Whatever bytes come in, the readers answer: a value within its bounds, or one sentence. Nothing
//! panics.
//!
//! Valid inputs are damaged at random, a second for each reader, and a minute each in the long run
//! (`TOLL_LONG`). The seed is printed; `TOLL_SEED` repeats it. Readers of traces have a test of their
//! own: `trace_readers_survive_any_bytes.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod measured_tables;

use measured_tables::{full_table, measured};
use scx_toll::control::SOCKET;
use scx_toll::control::change;
use scx_toll::control::server::{Server, Wish};
use scx_toll::control::wire::Answer;
use scx_toll::measure::chase::Rng;
use scx_toll::measure::learned::{HopRow, LearnedTable, RefillRow, VERSION};
use scx_toll::measure::table::{Cell, Origin, Table};
use scx_toll::model::{PenaltyMatrix, PenaltyTable, file, from_measured};
use scx_toll::policy::Policy;
use scx_toll::policy::view::PolicyView;
use scx_toll::topology::Topology;
use scx_toll::units::Ns;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Panics of any thread since the start.
static PANICS: AtomicUsize = AtomicUsize::new(0);
static COUNT_PANICS: Once = Once::new();

/// What damage likes to put in.
const TOKENS: [&str; 34] = [
    "nan",
    "inf",
    "-inf",
    "-0.0",
    "1e308",
    "-1",
    "0",
    "18446744073709551616",
    "9223372036854775807",
    "4294967296",
    "true",
    "\"\"",
    "[]",
    "{}",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ",",
    ".",
    "\"",
    "'",
    "\\u0000",
    "\\",
    "#",
    "\n",
    "\r\n",
    "\u{feff}",
    "\u{1f600}",
    "[machine]",
    "value = ",
    "assign",
    "default",
];

fn topo() -> Topology {
    Topology::synthetic(2, 2, 2).unwrap()
}

/// `input`, damaged in one to four places; `other` lends pieces.
fn damage(input: &[u8], other: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=rng.below(4) {
        let at = rng.below(bytes.len() as u32 + 1) as usize;
        let len = (rng.below(24) as usize).min(bytes.len() - at);
        match rng.below(8) {
            0 if len > 0 => bytes[at] = rng.below(256) as u8,
            1 => bytes.insert(at, rng.below(256) as u8),
            2 => drop(bytes.drain(at..at + len)),
            3 => {
                let again: Vec<u8> = bytes[at..at + len].to_vec();
                drop(bytes.splice(at..at, again));
            }
            4 => {
                let from = rng.below(other.len() as u32) as usize;
                let piece = &other[from..(from + len).min(other.len())];
                drop(bytes.splice(at..at + len, piece.iter().copied()));
            }
            5 => replace_number(&mut bytes, at, rng),
            6 => bytes.truncate(at),
            _ => {
                let token = TOKENS[rng.below(TOKENS.len() as u32) as usize];
                drop(bytes.splice(at..at, token.bytes()));
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

/// Put another number in place of the next one.
fn replace_number(bytes: &mut Vec<u8>, from: usize, rng: &mut Rng) {
    let is_number = |byte: &u8| byte.is_ascii_digit() || b".-eE".contains(byte);
    let Some(start) = bytes[from..].iter().position(u8::is_ascii_digit) else { return };
    let start = from + start;
    let len = bytes[start..].iter().take_while(|byte| is_number(byte)).count();
    let number = match rng.below(4) {
        0 => TOKENS[rng.below(11) as usize].to_string(),
        1 => rng.below(1000).to_string(),
        2 => (f64::from(rng.below(1 << 30)) / 1024.0).to_string(),
        _ => format!("1e{}", rng.below(400)),
    };
    drop(bytes.splice(start..start + len, number.bytes()));
}

/// Feed damaged forms of `corpus` to `read`, which returns true for a valid one.
fn fuzz(name: &str, corpus: &[String], mut read: impl FnMut(&[u8]) -> bool) {
    let corpus: Vec<&[u8]> = corpus.iter().map(String::as_bytes).collect();
    COUNT_PANICS.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            before(info);
        }));
    });
    let seed = std::env::var("TOLL_SEED").ok().map_or_else(
        || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
        |seed| seed.parse().expect("TOLL_SEED is a number"),
    );
    let long = std::env::var_os("TOLL_LONG").is_some();
    let given = std::env::var("TOLL_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let seconds = given.unwrap_or(if long { 60 } else { 1 });
    let until = Instant::now() + Duration::from_secs(seconds);
    eprintln!("{name}: TOLL_SEED={seed}");
    let mut rng = Rng(seed);
    let (mut all, mut valid) = (0u64, 0u64);
    for text in &corpus {
        assert!(read(text), "{name}: the corpus is valid: {}", text.escape_ascii());
    }
    while Instant::now() < until {
        let mut any = || corpus[rng.below(corpus.len() as u32) as usize];
        let (input, other) = (any(), any());
        let bytes = damage(input, other, &mut rng);
        all += 1;
        valid += u64::from(read(&bytes));
        assert_eq!(PANICS.load(Ordering::SeqCst), 0, "{name}: {}", bytes.escape_ascii());
    }
    eprintln!("{name}: {all} inputs, {valid} of them valid, no panic");
    assert!(0 < valid && valid < all, "{name}: {valid} of {all}");
}

fn one_sentence(error: &anyhow::Error) {
    let text = format!("{error:#}");
    assert!(!text.contains('\n') && text.len() < 1000, "{text:?}");
}

#[test]
fn the_measured_table() {
    let topo = topo();
    let table = full_table(&topo);
    let mut small = table.clone();
    small.pair.clear();
    small.refill.truncate(2);
    small.notes = vec!["a note".into()];
    let corpus = [table.to_toml().unwrap(), small.to_toml().unwrap()];
    fuzz("measured table", &corpus, |bytes| {
        match Table::parse(&String::from_utf8_lossy(bytes), "t.toml", &table.machine) {
            Ok(read) => {
                let matrix = PenaltyMatrix::new(&from_measured(&read, &topo), &topo);
                assert!(matrix.hop.iter().flatten().all(|hop| *hop <= Ns::from_ms(1)));
                true
            }
            Err(error) => {
                one_sentence(&error);
                false
            }
        }
    });
}

#[test]
fn what_was_learned() {
    let machine = full_table(&topo()).machine;
    let row = |level: &str| HopRow {
        level: level.into(),
        base_ns: 10_000,
        ns: Cell { from: Origin::Learned, ..measured(5_000.5) },
    };
    let factor = Cell { from: Origin::Learned, ..measured(0.75) };
    let refill = RefillRow { level: "llc".into(), base: 1.0, factor };
    let table =
        |hop, refill| LearnedTable { version: VERSION, machine: machine.clone(), hop, refill };
    let corpus = [table(vec![row("llc"), row("node")], vec![refill]), table(vec![], vec![])];
    let corpus = corpus.map(|table| table.to_toml().unwrap());
    fuzz("learned table", &corpus, |bytes| {
        match LearnedTable::parse(&String::from_utf8_lossy(bytes), "l.toml", &machine) {
            Ok(read) => {
                assert!(read.hop.iter().all(|row| row.ns.value.is_finite()));
                assert!(read.refill.iter().all(|row| row.base.is_finite()));
                true
            }
            Err(error) => {
                one_sentence(&error);
                false
            }
        }
    });
}

#[test]
fn the_penalty_file() {
    let topo = topo();
    let corpus = [
        "[class.core]\nhop_us = 3\nrefill = 0.5\n[class.llc]\nhop_us = 10.5\nrefill = 2\n\
         [class.node]\nhop_us = 60_000_000\nrefill = 1024.0\n[memory]\nremote_pct = 12.5\n"
            .to_string(),
        "[warmth]\nfill_pct = 50\nns_per_kib = 170\nwear_ms = 1.5\n[rule]\nothers_pay = 4\n\
         [[pair]]\nfrom = 0\nto = 1\nhop_us = 30\n[[pair]]\nfrom = 3\nto = 2\nhop_us = 50\n"
            .to_string(),
    ];
    fuzz("penalty file", &corpus, |bytes| {
        match file::parse(&String::from_utf8_lossy(bytes), "p.toml", &topo) {
            Ok(table) => {
                let matrix = PenaltyMatrix::new(&table, &topo);
                assert!((0..4).all(|llc| matrix.hop[llc][llc] == Ns::ZERO));
                true
            }
            Err(error) => {
                one_sentence(&error);
                false
            }
        }
    });
}

/// The protocol as it is spoken: over a socket, to the server that the scheduler runs.
#[test]
fn the_control_socket() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("run");
    let server = Server::start(&dir).unwrap();
    let corpus = [
        r#"{"what":"get"}"#,
        r#"{"what":"set","assign":["migrate=never","slice_us=5000"]}"#,
        r#"{"what":"set","assign":["hysteresis_us.node=2000,500,4000","learn=off"]}"#,
        r#"{"what":"set","assign":["penalty=default","migrate=fixed:12.5"]}"#,
    ];
    let corpus = corpus.map(String::from);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let stream = UnixStream::connect(dir.join(SOCKET)).unwrap();
            let mut answers = BufReader::new(stream.try_clone().unwrap());
            let mut stream = stream;
            fuzz("control socket", &corpus, |bytes| {
                let mut line: Vec<u8> = bytes.iter().copied().filter(|b| *b != b'\n').collect();
                line.push(b'\n');
                let (first, second) = line.split_at(line.len() / 2);
                stream.write_all(first).unwrap();
                stream.write_all(second).unwrap();
                let mut answer = String::new();
                answers.read_line(&mut answer).unwrap();
                match serde_json::from_str(&answer).expect("an answer") {
                    Answer::Policy(_) | Answer::Changed { .. } => true,
                    Answer::Refused { error } => {
                        assert!(!error.contains('\n') && error.len() < 1000, "{error:?}");
                        false
                    }
                    Answer::Failed { error } => panic!("{error}: {}", line.escape_ascii()),
                    Answer::Watching { .. } => panic!("nobody may listen here"),
                }
            });
        });
        let topo = topo();
        let mut policy = Policy::new(PenaltyTable::default(), "default".into(), &topo);
        while !client.is_finished() {
            let Some(job) = server.next(Duration::from_millis(5)) else { continue };
            job.carry_out(|wish| match wish {
                Wish::Get => Answer::Policy(Box::new(PolicyView::new(&policy, &topo, 1))),
                Wish::Set(changes) => match change::apply(&changes, &policy, &topo) {
                    Err(error) => Answer::Refused { error },
                    Ok((next, changes)) => {
                        policy = next;
                        Answer::Changed { version: 1, changes }
                    }
                },
                // No line that is tried asks for it: a subscription does not end.
                Wish::Watch(_) => panic!("a subscription"),
            });
        }
        client.join().unwrap();
    });
}
