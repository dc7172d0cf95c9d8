// SPDX-License-Identifier: GPL-2.0-only
//! A recording of real decisions has what `scx_toll explain` told meanwhile and what the kernel's
//! tracepoint saw run; cut anywhere it gives back what is before; Perfetto's own definitions
//! read from its export the same slices; and it replays without a difference, while a constant that
//! differs is found at the record where it first shows.

use crate::vm::{Ran, Vm, long};
use scx_toll::control::wire::Frame;
use scx_toll::events::{Decision, Slice};
use scx_toll::ffi;
use scx_toll::recording::{Entry, Missing, Recorder, Recording};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Version of the Python package that decodes traces.
const PERFETTO: &str = "perfetto==0.59.1";
/// What the scheduler is told of a switch, and what the tracepoint says of it, are so near to one
/// another at most; all CPUs of the machine take turns on one, so it is long.
const BESIDE_NS: u64 = 2_000_000;
/// Bytes at which the recording is cut.
const CUTS: usize = 400;

fn lines(ran: &Ran, section: &str) -> Vec<Frame> {
    let lines = ran.section(section).lines();
    lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn decisions(frames: &[Frame]) -> BTreeMap<u64, &Decision> {
    let all = frames.iter().filter_map(|frame| match frame {
        Frame::Decision(decision) => Some((decision.seq, &**decision)),
        _ => None,
    });
    all.collect()
}

fn unpack(ran: &Ran, section: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u32> = ran.section(section).bytes().filter_map(value).map(u32::from).collect();
    let quads = digits.chunks(4).flat_map(|quad| {
        let bits = quad.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - quad.len()));
        bits.to_be_bytes()[1..quad.len()].to_vec()
    });
    quads.collect()
}

fn replay(file: Vec<u8>) -> (Vec<Frame>, Missing) {
    let recording = Recording::new(file).expect("a recording");
    let mut frames = Vec::new();
    let missing = recording.replay(&mut |entry| {
        if let Entry::Frame(frame) = entry {
            frames.push(frame);
        }
        Ok(())
    });
    (frames, missing.expect("nothing fails here"))
}

/// What ran, its pieces joined, by CPU.
fn stretches(frames: &[Frame]) -> BTreeMap<u32, Vec<Slice>> {
    let mut cpus: BTreeMap<u32, Vec<Slice>> = BTreeMap::new();
    for frame in frames {
        let Frame::Slice(piece) = frame else { continue };
        let on = cpus.entry(piece.cpu).or_default();
        match on.last_mut() {
            Some(last) if last.more && last.to_ns == piece.from_ns && last.who == piece.who => {
                (last.to_ns, last.more) = (piece.to_ns, piece.more);
            }
            _ => on.push(piece.clone()),
        }
    }
    cpus
}

/// What the kernel's tracepoint saw between the marks, as (CPU, thread, time), and those marks.
fn switches(ran: &Ran) -> (Vec<(u32, u32, u64)>, std::ops::Range<u64>) {
    let ns = |text: &str| (text.parse::<f64>().expect("seconds") * 1e9) as u64;
    let (mut all, mut marks) = (Vec::new(), BTreeMap::new());
    for line in ran.section("switches").lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            [time, mark @ ("begin" | "end")] => {
                marks.insert(mark, ns(time));
            }
            [time, cpu, pid] => {
                let number = |text: &str| text.parse().expect("a number");
                all.push((number(cpu), number(pid), ns(time)));
            }
            _ => panic!("not a switch: {line}"),
        }
    }
    (all, marks["begin"]..marks["end"])
}

/// Where the kernel switched to a task a slice of it begins, and a slice begins where the kernel
/// switched to its task, unless it goes on after another slice of the same.
fn agrees_with_the_kernel(ran: &Ran, cpus: &BTreeMap<u32, Vec<Slice>>) {
    let (switches, within) = switches(ran);
    let mut counted = [0; 2];
    let mut alone = [0; 2];
    for (cpu, pid, time) in switches.iter().filter(|(_, _, time)| within.contains(time)) {
        let slices = cpus.get(cpu).into_iter().flatten();
        let mut begins = slices.filter(|s| s.who.pid == *pid).map(|s| s.from_ns);
        counted[0] += 1;
        alone[0] += usize::from(!begins.any(|from_ns| from_ns.abs_diff(*time) < BESIDE_NS));
    }
    for pair in cpus.values().flat_map(|slices| slices.windows(2)) {
        let (before, slice) = (&pair[0], &pair[1]);
        if before.who.pid == slice.who.pid || !within.contains(&slice.from_ns) {
            continue;
        }
        let mut times = switches.iter().filter(|s| (s.0, s.1) == (slice.cpu, slice.who.pid));
        counted[1] += 1;
        alone[1] += usize::from(!times.any(|s| s.2.abs_diff(slice.from_ns) < BESIDE_NS));
    }
    eprintln!("of {} switches {} have no slice", counted[0], alone[0]);
    eprintln!("of {} slices after another task's {} have no switch", counted[1], alone[1]);
    assert!(counted[0] > 300 && counted[1] > 300);
    // At the marks.
    assert!(alone[0] <= 2 + counted[0] / 200 && alone[1] <= 2 + counted[1] / 200);
}

/// `python` of an environment that has Perfetto's definitions; `None`, which is said, where it
/// cannot be had and `CI` is not set.
fn python() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/perfetto");
    let python = dir.join("bin/python");
    let has = |python: &Path| {
        let import = Command::new(python).args(["-c", "import perfetto.protos"]).output();
        import.is_ok_and(|output| output.status.success())
    };
    if !has(&python) {
        eprintln!("installing the Python package {PERFETTO} in {}", dir.display());
        let made = Command::new("python3").args(["-m", "venv"]).arg(&dir).status();
        let pip = Command::new(&python).args(["-m", "pip", "install", "-q", PERFETTO]).status();
        eprintln!("venv: {made:?}, pip: {pip:?}");
    }
    if has(&python) {
        return Some(python);
    }
    assert!(std::env::var_os("CI").is_none(), "the Python package perfetto cannot be had");
    eprintln!("skipped: the Python package perfetto cannot be had");
    None
}

/// Perfetto reads the slices of each CPU, all decisions, and the load.
fn agrees_with_perfetto(ran: &Ran, frames: &[Frame], cpus: &BTreeMap<u32, Vec<Slice>>) {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let trace = dir.path().join("trace.perfetto-trace");
    std::fs::write(&trace, unpack(ran, "perfetto")).expect("written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/perfetto/count.py");
    let output = Command::new(python).arg(script).arg(&trace).output().expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(read["problems"], serde_json::json!([]));
    let mut all = 0;
    for (cpu, ran_there) in cpus {
        let name = format!("cpu{cpu}");
        assert_eq!(read["slices"][&name], ran_there.len(), "slices of {name}");
        let ran_ns: u64 = ran_there.iter().map(|slice| slice.to_ns - slice.from_ns).sum();
        assert_eq!(read["run_ns"][&name], ran_ns, "run time of {name}");
        assert!(read["counters"][format!("{name} load")].as_u64() > Some(5), "load of {name}");
        all += ran_there.len();
    }
    let made = decisions(frames);
    let moves = made.values().filter(|decision| decision.verdict.is_applied()).count();
    let outcomes = frames.iter().filter(|frame| matches!(frame, Frame::Outcome(_))).count();
    assert_eq!(read["instants"]["decision"], made.len());
    assert_eq!(read["instants"]["outcome"].as_u64().unwrap_or(0), outcomes as u64);
    assert_eq!(read["flows"]["begin"], moves);
    assert_eq!(read["parents"]["cpu7 decisions"], "cpu7");
    assert_eq!(read["parents"]["cpu7"], "llc3 (node 1)");
    let highest = read["highest"].as_f64().expect("a share");
    assert!(highest > 90.0 && highest <= 100.5, "highest load {highest} %");
    eprintln!("Perfetto reads {all} slices, {} decisions, {outcomes} outcomes", made.len());
}

/// What is before a cut is there, and what is missing is said.
fn survives_cuts(file: &[u8], frames: &[Frame]) {
    let mut most = 0;
    for i in 1..CUTS {
        // Spread over the file, and over the positions within a block.
        let at = 1200 + (file.len() - 1200) * i / CUTS - i % 7;
        let (some, missing) = replay(file[..at].to_vec());
        assert!(missing.cut && some.len() < frames.len() && some.len() >= most, "cut at {at}");
        assert!(some.iter().eq(&frames[..some.len()]), "cut at {at}");
        let said = missing.sentences().join("; ");
        let expected = format!("the recording was cut: it ends after {} whole", missing.blocks);
        assert!(said.contains(&expected), "{said}");
        most = some.len();
    }
    assert!(most * 2 > frames.len(), "of {} at most {most} are before a cut", frames.len());
}

/// `scx_toll replay FLAG… --json` of these bytes: its exit status and what it printed.
fn replayed(file: &[u8], flags: &[&str]) -> (i32, serde_json::Value) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("recording");
    std::fs::write(&path, file).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_scx_toll"));
    let output = command.arg("replay").arg(&path).arg("--json").args(flags).output();
    let output = output.expect("scx_toll runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let report =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|err| panic!("{err}: {said}"));
    (output.status.code().unwrap_or(-1), report)
}

/// Every decision follows from its numbers; the policy that was in force changes none, and another one
/// some.
fn replays_without_a_difference(file: &[u8], frames: &[Frame]) {
    let (status, report) = replayed(file, &["--penalty", "default", "--migrate", "toll"]);
    assert_eq!((status, &report["differences"]), (0, &0.into()), "{}", report["first"]);
    assert_eq!(report["decisions"], decisions(frames).len());
    assert!(report["priced"].as_u64() > Some(100), "{} have a price", report["priced"]);
    let other = &report["other"];
    assert_eq!(other["decisions"], 0, "{}", other["changes"]);
    let (_, never) = replayed(file, &["--migrate", "never"]);
    let moves = |key: &str| never["other"][key].as_u64().expect("a count");
    assert!(moves("moves_recorded") > 50 && moves("moves_other") * 20 < moves("moves_recorded"));
    eprintln!(
        "{} decisions, {} with a price, and {} outcomes follow from their numbers; without moves \
         {} of {} remain",
        report["decisions"],
        report["priced"],
        report["outcomes"],
        moves("moves_other"),
        moves("moves_recorded")
    );
    let cut = &file[..file.len() * 3 / 5];
    let (status, part) = replayed(cut, &[]);
    assert_eq!(
        (status, &part["differences"], &part["missing"]["cut"]),
        (0, &0.into(), &true.into())
    );
    assert!(part["decisions"].as_u64() < report["decisions"].as_u64());
}

/// The same decisions by a scheduler that multiplies by a 1024th more than the price that it records:
/// found at the first record where that makes a difference.
fn another_constant_is_found(frames: &[Frame]) {
    let mut changed = frames.to_vec();
    let mut first = None;
    for frame in &mut changed {
        let Frame::Decision(decision) = frame else { continue };
        let Some(q) = decision.question.as_mut() else { continue };
        let penalty_ns = ffi::penalty(q.hop_ns, q.refill_ns, q.remote_ns, q.price_q10 + 1);
        if penalty_ns != q.penalty_ns && first.is_none() {
            first = Some((decision.seq, q.penalty_ns, penalty_ns));
        }
        q.penalty_ns = penalty_ns;
    }
    let (seq, computed, recorded) = first.expect("a price");
    let mut file = Vec::new();
    let mut recorder =
        Recorder::new(&mut file, &Default::default(), Box::new(|_| None)).expect("begun");
    changed.into_iter().for_each(|frame| recorder.add(frame).expect("recorded"));
    recorder.finish().expect("ended");
    let (status, report) = replayed(&file, &[]);
    let found = &report["first"][0];
    assert_eq!((status, &found["seq"]), (4, &seq.into()));
    assert_eq!(found["difference"]["what"], "penalty_ns");
    assert_eq!(found["difference"]["recorded"], recorded.to_string());
    assert_eq!(found["difference"]["computed"], computed.to_string());
}

#[test]
fn it_agrees_with_explain_the_kernel_and_perfetto_and_survives_cuts() {
    let seconds = if long() { "10" } else { "3" };
    let machine = Vm::counted().with(&["--with", "nice", "--with", "base64"]);
    let machine = machine.with(if long() { &["--seconds", "5400"] } else { &[] });
    let Some(ran) = machine.run("recording.sh", &[seconds]) else { return };
    let ran = ran.expect_ok();
    let file = unpack(&ran, "whole");
    assert_eq!(file.len() as f64, ran.number("sizes", "whole"));
    let (frames, missing) = replay(file.clone());
    assert!(!missing.cut && missing.bytes == 0 && missing.gaps == 0, "{missing:?}");
    eprintln!("{}; lost {}", ran.section("said").trim(), missing.lost);

    assert_eq!(frames, lines(&ran, "json"), "the export in JSON");
    let recorded = decisions(&frames);
    let live = lines(&ran, "live");
    let told = decisions(&live);
    assert!(told.len() > 200, "{} decisions were told", told.len());
    let differ = told.iter().filter(|(seq, decision)| recorded.get(seq) != Some(decision)).count();
    assert!(missing.lost > 0 || differ == 0, "{differ} of {} are not recorded", told.len());
    let replayed = lines(&ran, "replayed");
    assert_eq!(decisions(&replayed), recorded);
    let cgroup = ran.section("cgroup");
    assert!(cgroup.lines().count() > 10, "{cgroup}");

    let cpus = stretches(&frames);
    assert_eq!(cpus.len(), 8);
    agrees_with_the_kernel(&ran, &cpus);
    agrees_with_perfetto(&ran, &frames, &cpus);
    survives_cuts(&file, &frames);
    replays_without_a_difference(&file, &frames);
    another_constant_is_found(&frames);
    let parts = ran.json("parts", "replay");
    assert_eq!(ran.value("parts", "status"), "0", "{}", parts["first"]);
    assert!(parts["priced"].as_u64() > Some(10), "{} have a price", parts["priced"]);
    let killed = ran.section("killed");
    assert!(killed.contains("scx_toll: the recording was cut: it ends after "), "{killed}");
    assert_eq!(ran.value("refused", "status"), "1");
    assert!(ran.section("refused").contains("this is no recording of scx_toll"));
}
