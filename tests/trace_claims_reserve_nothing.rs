// SPDX-License-Identifier: GPL-2.0-only
//! What a trace claims reserves nothing: not a length, not the number of a task or CPU, not a time, not
//! how much happens at once. Traces made to take as much as they can stay within [`BOUND`], however
//! long they are; they are made while they are read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod counted_memory;
mod mutations;
mod trace_corpus;

use counted_memory::peak_of;
use mutations::{block, bytes, number, varint};
use scx_toll::analysis::assemble::analyse;
use scx_toll::analysis::event::{Comm, Context, Event, Left, What};
use scx_toll::analysis::follow::TASKS_MAX;
use scx_toll::analysis::layout::Layout;
use scx_toll::analysis::report::Report;
use scx_toll::command::recorded;
use scx_toll::events::Who;
use scx_toll::model::PenaltyTable;
use scx_toll::recording::Recording;
use scx_toll::topology::Topology;
use scx_toll::ui::analysis::{page, summary};
use std::fmt::Write;
use std::io::Read;

/// What reading and analysing may take beyond the input, in bytes.
const BOUND: usize = 64 << 20;
const MIB: f64 = (1 << 20) as f64;
const CPUS: u64 = 8192;

/// Pieces that are made when they are read.
struct Made<I>(I, Vec<u8>, usize);

impl<I: Iterator<Item = Vec<u8>>> Read for Made<I> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.1.len() == self.2 {
            let Some(next) = self.0.next() else { return Ok(0) };
            (self.1, self.2) = (next, 0);
        }
        let len = (&self.1[self.2..]).read(buffer)?;
        self.2 += len;
        Ok(len)
    }
}

fn layout() -> Layout {
    Layout::new(Topology::synthetic(2, 8, 64).unwrap())
}

fn shown(report: Report) -> Report {
    assert!(summary(&report).len() < 1 << 20);
    assert!(serde_json::to_string(&report).unwrap().ends_with('}'));
    assert!(page::page(std::slice::from_ref(&report)).ends_with("</html>\n"));
    report
}

/// The report of a trace of these pieces, made within the bound.
fn bounded(name: &str, pieces: impl Iterator<Item = Vec<u8>>) -> Report {
    let mut read = 0;
    let pieces = pieces.inspect(|piece| read += piece.len());
    let source = Made(pieces, Vec::new(), 0);
    let table = PenaltyTable::default();
    let work = || shown(analyse(source, "t", layout(), "2x8x64", &table, &mut |_| {}).unwrap());
    let (report, peak) = peak_of(work);
    eprintln!("{name}: {:.1} MiB of {:.1} MiB", peak as f64 / MIB, read as f64 / MIB);
    assert!(peak <= BOUND, "{name}: {peak} bytes");
    report
}

fn event(at_ns: u64, cpu: u64, what: What) -> Event {
    let (cpu, current_comm) = (cpu as u32, Comm::new(b"swapper"));
    Event { at_ns, cpu, current: 0, current_comm, context: Context::Unknown, what }
}

/// Many CPUs on which one task after the other begins to wait, has a name of its own and is moved to
/// another CPU, and does not come back: whatever there is to remember.
fn storm(nr: u64) -> impl Iterator<Item = [Event; 2]> {
    (0..nr).map(|at| {
        let comm = |pid: u32| Comm::new(format!("t{pid}").as_bytes());
        let (prev, next) = (1 + (at * 7919 % 2_000_000) as u32, 2_000_001 + at as u32);
        let (cpu, to, at_ns) = (at % CPUS, (at * 31 % CPUS) as u32, 1_000_000_000 + at * 20_000);
        let (prev_comm, next_comm, left) = (comm(prev), comm(next), Left::Runnable);
        let moved = What::Migrate { pid: prev, comm: prev_comm, from: cpu as u32, to };
        let what = What::Switch { prev, prev_comm, left, next, next_comm };
        [event(at_ns, cpu, what), event(at_ns + 1, cpu, moved)]
    })
}

fn is_storm(report: &Report) {
    assert_eq!(report.cpus, CPUS as usize);
    assert!((TASKS_MAX - 1..=TASKS_MAX).contains(&report.tasks_max), "{}", report.tasks_max);
    assert_eq!((report.intake.broken, report.intake.gaps), (0, 0), "{:?}", report.intake);
    assert!(report.notes.iter().any(|note| note.contains("tasks at a time")), "{:?}", report.notes);
    let moves: u64 = report.moves.iter().map(|row| row.count).sum();
    assert!(moves >= STORM, "each is told: {moves}");
}

/// More than enough for every limit.
const STORM: u64 = 150_000;

#[test]
fn cpus_tasks_names_and_moves_in_text() {
    let perf = storm(STORM).map(|events| trace_corpus::perf(&events));
    is_storm(&bounded("storm, perf script", perf));
    let ftrace = storm(STORM).map(|events| trace_corpus::ftrace(&events));
    is_storm(&bounded("storm, ftrace", ftrace));
}

/// A packet as long as is read, of `fill` over and over.
fn longest(cpu: u32, fill: &[u8]) -> Vec<u8> {
    trace_corpus::packet(cpu, &fill.repeat(((8 << 20) - 100) / fill.len()))
}

/// Events of all CPUs at nearly the same time, then packets that are made of the shortest events, of
/// columns, and of names.
#[test]
fn cpus_tasks_and_long_packets_of_perfetto() {
    let packets = storm(STORM).map(|events| {
        events.map(|event| {
            let mut fields = Vec::new();
            bytes(&mut fields, 2, &trace_corpus::perfetto_event(&event));
            trace_corpus::packet(event.cpu, &fields)
        })
    });
    let shortest = |kind: u32| {
        let (mut inner, mut fields) = (Vec::new(), Vec::new());
        bytes(&mut inner, kind, b"");
        bytes(&mut fields, 2, &inner);
        fields
    };
    let long = [4, 20, 491].map(|kind| longest(7, &shortest(kind)));
    let packets = packets.map(|two| two.concat()).chain(long).chain([columns(), names()]);
    let report = bounded("storm, Perfetto", packets);
    assert_eq!(report.cpus, CPUS as usize);
    assert!(report.intake.events > STORM * 2 + 5_000_000, "{:?}", report.intake);
}

/// Two million switches in columns, a byte each.
fn columns() -> Vec<u8> {
    let (mut table, column) = (Vec::new(), vec![1; 2_000_000]);
    [1, 2, 3, 6].iter().for_each(|field| bytes(&mut table, *field, &column));
    let mut fields = Vec::new();
    bytes(&mut fields, 4, &table);
    trace_corpus::packet(1, &fields)
}

/// Four million names in a table.
fn names() -> Vec<u8> {
    let mut name = Vec::new();
    bytes(&mut name, 5, b"");
    let mut fields = Vec::new();
    bytes(&mut fields, 4, &name.repeat(4_000_000));
    trace_corpus::packet(1, &fields)
}

#[test]
fn a_packet_that_says_it_is_long_and_is_not_reserves_nothing() {
    for (len, words) in [
        ((8 << 20) - 1, "the trace ends within the packet"),
        (100 << 20, "a packet of 104857600 bytes, expected 8388608 at most"),
        (u64::MAX, "a packet of 18446744073709551615 bytes, expected 8388608 at most"),
    ] {
        let mut trace = trace_corpus::packet(0, &[]);
        let whole = trace.len();
        trace.push(0x0a);
        varint(&mut trace, len);
        trace.extend([7; 100]);
        trace.extend(trace_corpus::packet(0, &[]));
        let table = PenaltyTable::default();
        let mut fields = Vec::new();
        let woken = What::Wakeup { pid: 1, comm: Comm::default(), cpu: 0, new: false };
        bytes(&mut fields, 2, &trace_corpus::perfetto_event(&event(9, 0, woken)));
        let begin = trace_corpus::packet(0, &fields);
        let at = begin.len() + whole;
        let trace = [begin, trace].concat();
        let work = || analyse(&trace[..], "t", layout(), "2x8x64", &table, &mut |_| {}).unwrap();
        let (report, peak) = peak_of(work);
        assert!(peak < 5 << 20, "{len}: {peak} bytes");
        let (_, said) = &report.intake.broken_lines[0];
        assert!(said.contains(words) && said.contains(&format!("at byte {at}: ")), "{said}");
    }
}

#[test]
fn a_number_that_no_cpu_and_no_task_has_is_named() {
    let text = |cpu: u64, pid: u64| {
        format!(
            " t 1 [000] 1.0: sched:sched_wakeup: comm=t pid=1 prio=120 target_cpu=000\n t 1 [000] 1.1: \
             sched:sched_wakeup: comm=t pid={pid} prio=120 target_cpu={cpu}\n"
        )
    };
    for (cpu, pid) in [(8192, 1), (4_294_967_295, 1), (0, 4_194_305), (0, 4_294_967_296)] {
        let lines = [text(cpu, pid).into_bytes()];
        let report = bounded("large numbers, perf script", lines.into_iter());
        let (line, said) = &report.intake.broken_lines[0];
        assert!(*line == 2 && said.contains("sched_wakeup"), "{said}");
        let mut inner = Vec::new();
        [(2, pid), (5, cpu)].iter().for_each(|(field, value)| number(&mut inner, *field, *value));
        let (mut outer, mut fields) = (Vec::new(), Vec::new());
        bytes(&mut outer, 17, &inner);
        bytes(&mut fields, 2, &outer);
        let woken = What::Wakeup { pid: 1, comm: Comm::default(), cpu: 0, new: false };
        let mut good = Vec::new();
        bytes(&mut good, 2, &trace_corpus::perfetto_event(&event(9, 0, woken)));
        let packets = [trace_corpus::packet(0, &good), trace_corpus::packet(0, &fields)];
        let report = bounded("large numbers, Perfetto", packets.into_iter());
        let (_, said) = &report.intake.broken_lines[0];
        let (value, most) = if cpu > 0 { (cpu, 8191) } else { (pid, 4_194_304) };
        assert!(said.contains(&format!("{value}, expected {most} at most")), "{said}");
    }
}

/// Loads of all CPUs, over a long time and all at once.
#[test]
fn load_series_of_many_cpus_and_of_one_instant() {
    let rows = |rows: u64, instant: bool, json: bool| {
        let parts = (0..rows / 1000).map(move |part| {
            let mut text = String::new();
            for at in part * 1000..(part + 1) * 1000 {
                let (time, cpu, load) =
                    (if instant { 5 } else { at * 50_000 }, at % CPUS, at * 7 % 5);
                let _ = match json {
                    true => {
                        writeln!(text, "{{\"time_ns\":{time},\"cpu\":{cpu},\"runnable\":{load}}}")
                    }
                    false => writeln!(text, "{time},{cpu},{load}"),
                };
            }
            text.into_bytes()
        });
        let heading = (!json).then(|| b"time_ns,cpu,runnable\n".to_vec());
        heading.into_iter().chain(parts)
    };
    for (instant, json) in [(false, false), (true, false), (false, true), (true, true)] {
        let name = format!("load series, JSON: {json}, at once: {instant}");
        let report = bounded(&name, rows(500_000, instant, json));
        assert_eq!((report.cpus, report.intake.events), (CPUS as usize, 500_000));
    }
}

// ---- recordings ---------------------------------------------------------------------------------

/// A recording without an entry, up to where blocks with entries begin.
fn begun() -> Vec<u8> {
    let mut file = trace_corpus::recording(std::iter::empty());
    let head = u32::from_le_bytes([file[16], file[17], file[18], file[19]]) as usize;
    file.truncate(8 + 16 + head);
    file
}

fn bounded_recording(name: &str, file: Vec<u8>) -> anyhow::Result<Report> {
    let (bytes, table) = (file.len() as u64, PenaltyTable::default());
    let (report, peak) = peak_of(|| {
        let recording = Recording::new(file)?;
        let report = recorded::report(&recording, bytes, "t", layout(), "2x8x64", &table)?;
        Ok(shown(report))
    });
    eprintln!("{name}: {:.1} MiB of {:.1} MiB", peak as f64 / MIB, bytes as f64 / MIB);
    assert!(peak <= BOUND, "{name}: {peak} bytes");
    report
}

/// What ran on a CPU, of a task that is named here or was before.
fn slice(out: &mut Vec<u8>, cpu: u64, pid: u64, comm: &[u8]) {
    out.push(3);
    varint(out, cpu);
    // Times are differences, folded: both a little later than before.
    out.extend([1, 2, 1, 2, 0]);
    [pid, pid, pid].iter().for_each(|number| varint(out, *number));
    varint(out, comm.len() as u64);
    out.extend(comm);
    out.push(0);
}

/// Slices of many CPUs and tasks and paths of many cgroups, all in a moment, and decisions on tasks that
/// never run.
#[test]
fn cpus_tasks_and_cgroups_of_recordings() {
    let mut file = begun();
    for part in 0..300u64 {
        let mut payload = Vec::new();
        for at in part * 1000..(part + 1) * 1000 {
            slice(&mut payload, at % CPUS, 1 + at % 4_000_000, format!("t{at}").as_bytes());
            payload.push(7);
            varint(&mut payload, at);
            varint(&mut payload, 3);
            payload.extend(b"/xy");
        }
        file.extend(block(1 + part as u32, &payload));
    }
    let report = bounded_recording("recording of slices", file).unwrap();
    assert!(report.cpus == CPUS as usize && report.intake.events >= 300_000, "{:?}", report.intake);
    let who = |pid: u64| Who { pid: pid as u32, tgid: 1, cgroup: 1, comm: "t".into() };
    let frames = (0..200_000).map(|at| trace_corpus::decision(at, 1000 + at, who(at * 21_000)));
    let error = bounded_recording("recording of decisions", trace_corpus::recording(frames));
    assert!(error.unwrap_err().to_string().starts_with("no event"));
}

#[test]
fn a_block_of_a_recording_grows_to_no_multiple_of_itself() {
    let whole = |payload: &[u8]| [begun(), block(1, payload)].concat();
    // A million ends, a byte each.
    let _ = bounded_recording("recording of ends", whole(&vec![8; 1 << 20]));
    // A name that is copied by everyone who refers to it: such a one is not taken.
    let mut payload = Vec::new();
    slice(&mut payload, 1, 1, &vec![b'x'; 400_000]);
    (0..60_000).for_each(|_| payload.extend([3, 1, 1, 2, 1, 2, 1, 0]));
    let error = bounded_recording("recording of a long name", whole(&payload)).unwrap_err();
    assert!(error.to_string().starts_with("no event"), "{error:#}");
    // With one of usual length they are all read.
    payload.clear();
    slice(&mut payload, 1, 1, b"fifteen letters");
    (0..60_000).for_each(|_| payload.extend([3, 1, 1, 2, 1, 2, 1, 0]));
    let report = bounded_recording("recording of a short name", whole(&payload)).unwrap();
    assert_eq!(report.intake.lines, 60_001);
    // Loads of many CPUs.
    let mut payload = vec![6, 1, 2, 1];
    varint(&mut payload, 1_000_000);
    payload.resize(payload.len() + 1_000_000, 1);
    let _ = bounded_recording("recording of loads", whole(&payload));
}

/// A recording that is a file is read a block at a time.
#[test]
fn a_recording_is_not_taken_into_memory() {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, &begun()).unwrap();
    let mut payload = Vec::new();
    slice(&mut payload, 1, 1, b"t");
    (0..100_000).for_each(|_| payload.extend([3, 1, 1, 2, 1, 2, 1, 0]));
    for number in 1..=100 {
        std::io::Write::write_all(&mut file, &block(number, &payload)).unwrap();
    }
    let table = PenaltyTable::default();
    let (report, peak) = peak_of(|| {
        let recording = Recording::from_file(file).unwrap();
        recorded::report(&recording, 1, "t", layout(), "2x8x64", &table).unwrap()
    });
    assert_eq!(report.intake.lines, 100 * 100_001);
    assert!(peak < 40 << 20, "{peak} bytes of {}", payload.len() * 100);
    eprintln!(
        "recording as a file: {:.1} MiB of {:.1} MiB",
        peak as f64 / MIB,
        payload.len() as f64 * 100.0 / MIB
    );
}
