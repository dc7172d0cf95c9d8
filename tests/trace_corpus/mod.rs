// SPDX-License-Identifier: GPL-2.0-only
//! What a machine did (`tests/verdicts/traces`), written in every form that `analyze` reads.

// Each test uses a part of it.
#![allow(dead_code)]

use super::mutations::{bytes, number};
use scx_toll::analysis::event::{Comm, Event, Left, Sample, What};
use scx_toll::analysis::follow::Follower;
use scx_toll::analysis::read::{Sink, read};
use scx_toll::analysis::watch::{Load, Move, Watch};
use scx_toll::control::wire::Frame;
use scx_toll::events::{Decision, Kind, Outcome, Question, Slice, Verdict, Who};
use scx_toll::model::decide::Migrate;
use scx_toll::recording::{Head, Recorder};
use scx_toll::topology::Level;
use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

#[derive(Default)]
struct Kept(Vec<Event>);

impl Sink for Kept {
    fn event(&mut self, event: &Event) {
        self.0.push(*event);
    }
    fn sample(&mut self, _: &Sample) {}
}

/// Pieces of recorded traces, two short ones and a longer one, as a few CPUs saw them.
pub fn recorded() -> [Vec<Event>; 3] {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verdicts/traces");
    let piece = |name: &str, from: usize, len: usize, nr_cpus: u32| {
        let unpacked = Command::new("gzip").arg("-dc").arg(dir.join(name)).output().unwrap();
        let mut kept = Kept::default();
        read(&unpacked.stdout[..], &mut kept, &mut |_| {}).unwrap();
        let seen = kept.0.into_iter().filter(|event| event.cpu < nr_cpus);
        seen.skip(from).take(len).collect()
    };
    [
        piece("6.18_1x3x2_eevdf_lab_groups.gz", 100, 12, 6),
        piece("7.3_2x3x2_push_lab_groups.gz", 100, 300, 3),
        piece("6.18_3x1x4_pull_lab_mixed.gz", 200, 60, 5),
    ]
}

const fn state(left: Left) -> &'static str {
    match left {
        Left::Runnable => "R+",
        Left::Dead => "X",
        Left::Asleep | Left::Untold => "S",
    }
}

/// The event's name and what follows it, as the kernel writes it.
fn body(event: &Event) -> String {
    match &event.what {
        What::Switch { prev, prev_comm, left, next, next_comm } => format!(
            "sched_switch: prev_comm={} prev_pid={prev} prev_prio=120 prev_state={} ==> next_comm={} next_pid={next} \
             next_prio=120",
            prev_comm.text(),
            state(*left),
            next_comm.text()
        ),
        What::Wakeup { pid, comm, cpu, new } => format!(
            "sched_wakeup{}: comm={} pid={pid} prio=120 target_cpu={cpu:03}",
            if *new { "_new" } else { "" },
            comm.text()
        ),
        What::Migrate { pid, comm, from, to } => format!(
            "sched_migrate_task: comm={} pid={pid} prio=120 orig_cpu={from} dest_cpu={to}",
            comm.text()
        ),
        What::Fork { child, comm } => {
            format!("sched_process_fork: comm=p pid=1 child_comm={} child_pid={child}", comm.text())
        }
        What::Exec { pid } => format!("sched_process_exec: filename=/x pid={pid} old_pid={pid}"),
        What::Exit { pid } => format!("sched_process_exit: comm=x pid={pid} prio=120"),
        What::Numa { pid, other } => format!("sched_swap_numa: src_pid={pid} dst_pid={other}"),
        What::Told { .. } | What::Lost(_) => "sched_stat_wait: comm=x pid=1 delay=1 [ns]".into(),
    }
}

fn at(event: &Event) -> String {
    format!("{}.{:09}", event.at_ns / 1_000_000_000, event.at_ns % 1_000_000_000)
}

/// As `perf script` writes it.
pub fn perf(events: &[Event]) -> Vec<u8> {
    let mut text = String::new();
    for event in events {
        let Event { cpu, current, current_comm, .. } = event;
        let (at, body) = (at(event), body(event));
        let _ = writeln!(text, "{} {current} [{cpu:03}] {at}: sched:{body}", current_comm.text());
    }
    text.into_bytes()
}

/// As ftrace writes it.
pub fn ftrace(events: &[Event]) -> Vec<u8> {
    let mut text = String::from("# tracer: nop\n#\n");
    for event in events {
        let Event { cpu, current, current_comm, .. } = event;
        let (at, body) = (at(event), body(event));
        let _ = writeln!(text, " {}-{current} [{cpu:03}] d..2. {at}: {body}", current_comm.text());
    }
    text.into_bytes()
}

/// As `trace-cmd report` writes it.
pub fn trace_cmd(events: &[Event]) -> Vec<u8> {
    let mut text = String::from("cpus=12\n");
    for event in events {
        let body = match &event.what {
            What::Switch { prev, prev_comm, left, next, next_comm } => format!(
                "sched_switch:         {}:{prev} [120] {} ==> {}:{next} [120]",
                prev_comm.text(),
                state(*left),
                next_comm.text()
            ),
            What::Wakeup { pid, comm, cpu, .. } => {
                format!("sched_wakeup:         {}:{pid} [120] CPU:{cpu:03}", comm.text())
            }
            _ => body(event),
        };
        let Event { cpu, current, current_comm, .. } = event;
        let at = at(event);
        let _ = writeln!(text, " {}-{current} [{cpu:03}] {at}: {body}", current_comm.text());
    }
    text.into_bytes()
}

/// One message of Perfetto for each event.
pub fn perfetto_event(event: &Event) -> Vec<u8> {
    let comm = |out: &mut Vec<u8>, field: u32, comm: &Comm| bytes(out, field, comm.bytes());
    let mut inner = Vec::new();
    let kind = match &event.what {
        What::Switch { prev, prev_comm, left, next, next_comm } => {
            comm(&mut inner, 1, prev_comm);
            number(&mut inner, 2, u64::from(*prev));
            number(&mut inner, 4, if *left == Left::Runnable { 0x100 } else { 1 });
            comm(&mut inner, 5, next_comm);
            number(&mut inner, 6, u64::from(*next));
            4
        }
        What::Wakeup { pid, comm: name, cpu, new } => {
            comm(&mut inner, 1, name);
            number(&mut inner, 2, u64::from(*pid));
            number(&mut inner, 5, u64::from(*cpu));
            if *new { 114 } else { 17 }
        }
        What::Migrate { pid, comm: name, from, to } => {
            comm(&mut inner, 1, name);
            number(&mut inner, 2, u64::from(*pid));
            number(&mut inner, 4, u64::from(*from));
            number(&mut inner, 5, u64::from(*to));
            491
        }
        What::Fork { child, comm: name } => {
            comm(&mut inner, 3, name);
            number(&mut inner, 4, u64::from(*child));
            239
        }
        _ => 300,
    };
    let mut out = Vec::new();
    number(&mut out, 1, event.at_ns);
    number(&mut out, 2, u64::from(event.current));
    bytes(&mut out, kind, &inner);
    out
}

/// A packet with a bundle of `cpu` that holds `fields`.
pub fn packet(cpu: u32, fields: &[u8]) -> Vec<u8> {
    let mut bundle = Vec::new();
    number(&mut bundle, 1, u64::from(cpu));
    bundle.extend(fields);
    let (mut packet, mut out) = (Vec::new(), Vec::new());
    bytes(&mut packet, 1, &bundle);
    bytes(&mut out, 1, &packet);
    out
}

/// As Perfetto writes it, a bundle for every 20 events of a CPU.
pub fn perfetto(events: &[Event]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in events.chunks(100) {
        for cpu in 0..12 {
            let mut fields = Vec::new();
            for event in part.iter().filter(|event| event.cpu == cpu) {
                bytes(&mut fields, 2, &perfetto_event(event));
            }
            out.extend(packet(cpu, &fields));
        }
    }
    out
}

/// The same with switches and wakings as columns.
pub fn perfetto_columns(events: &[Event]) -> Vec<u8> {
    let mut out = Vec::new();
    for cpu in 0..12 {
        let mut columns: [Vec<u8>; 12] = Default::default();
        let (mut table, mut last) = (Vec::new(), [0u64; 2]);
        let mut names = 0;
        for event in events.iter().filter(|event| event.cpu == cpu) {
            let (first, values, comm) = match &event.what {
                What::Switch { left, next, next_comm, .. } => {
                    let left = if *left == Left::Runnable { 0x100 } else { 1 };
                    (1, [left, u64::from(*next), 120], next_comm)
                }
                What::Wakeup { pid, comm, cpu, .. } => {
                    (7, [u64::from(*pid), u64::from(*cpu), 120], comm)
                }
                _ => continue,
            };
            let last = &mut last[usize::from(first == 7)];
            let step = event.at_ns - std::mem::replace(last, event.at_ns);
            bytes(&mut table, 5, comm.bytes());
            // States, numbers and priorities stand behind times; names behind those.
            let fields = if first == 1 { [1, 2, 3, 4, 6] } else { [7, 8, 9, 10, 11] };
            let all = [step, values[0], values[1], values[2], names];
            fields.iter().zip(all).for_each(|(field, value)| {
                super::mutations::varint(&mut columns[*field], value);
            });
            names += 1;
        }
        for (field, column) in (0..).zip(&columns).filter(|(_, column)| !column.is_empty()) {
            bytes(&mut table, field, column);
        }
        let mut fields = Vec::new();
        bytes(&mut fields, 4, &table);
        out.extend(packet(cpu, &fields));
    }
    out
}

#[derive(Default)]
struct Loads(Vec<(u64, u32, u32)>);

impl Watch for Loads {
    fn load(&mut self, at_ns: u64, cpu: u32, load: Load) {
        self.0.push((at_ns, cpu, load.unwrap_or(0)));
    }
    fn gauge(&mut self, _: u64, _: u32, _: u32) {}
    fn ran(&mut self, _: u64, _: usize, _: u32, _: u64, _: Left) {}
    fn waited(&mut self, _: u64, _: Comm, _: u64) {}
    fn moved(&mut self, _: &Move) {}
    fn anew(&mut self, _: usize) {}
    fn gap(&mut self, _: u64) {}
}

/// The loads of CPUs as CSV and as JSON.
pub fn series(events: &[Event]) -> [Vec<u8>; 2] {
    let (mut loads, mut follower) = (Loads::default(), Follower::default());
    events.iter().for_each(|event| follower.follow(event, &mut loads));
    let (mut csv, mut json) = (String::from("time_ns,cpu,runnable\n"), String::new());
    for (at_ns, cpu, load) in loads.0 {
        let _ = writeln!(csv, "{at_ns},{cpu},{load}");
        let _ = writeln!(json, "{{\"time_ns\":{at_ns},\"cpu\":{cpu},\"runnable\":{load}}}");
    }
    [csv.into_bytes(), json.into_bytes()]
}

fn who(pid: u32, comm: &Comm) -> Who {
    Who { pid, tgid: pid, cgroup: u64::from(pid % 7), comm: comm.text() }
}

/// A recording with these frames.
pub fn recording(frames: impl Iterator<Item = Frame>) -> Vec<u8> {
    let head = Head { program: "0".into(), began_unix: 1, ..Head::default() };
    let names = Box::new(|id: u64| (id > 2).then(|| format!("/group/{id}")));
    let mut recorder = Recorder::new(Vec::new(), &head, names).unwrap();
    frames.for_each(|frame| recorder.add(frame).unwrap());
    recorder.finish().unwrap().0
}

/// A decision to move `who`, with a price.
pub fn decision(seq: u64, at_ns: u64, who: Who) -> Frame {
    let question = Question { asked_ns: at_ns, gain_ns: 9, penalty_ns: 5, ..Question::default() };
    Frame::Decision(Box::new(Decision {
        seq,
        at_ns,
        count: 1,
        policy_version: 1,
        who: Some(who),
        kind: Kind::ALL[seq as usize % Kind::ALL.len()],
        level: Level::Llc,
        verdict: Verdict::Applied,
        cpu: 0,
        from_llc: Some(0),
        to_llc: Some(1),
        from_cpu: Some(0),
        to_cpu: None,
        waited_ns: 0,
        age_ns: 1,
        migrate: Migrate::Toll,
        fixed_ns: 0,
        for_class: false,
        question: Some(question),
    }))
}

/// As `scx_toll record` writes it: what ran, and of each move that it was decided and what came of it.
pub fn scx_toll(events: &[Event]) -> Vec<u8> {
    let mut since = HashMap::new();
    let frames = (0..).zip(events).filter_map(|(seq, event)| {
        let Event { at_ns, cpu, .. } = *event;
        match &event.what {
            What::Switch { prev, prev_comm, left, .. } => {
                let from_ns = since.insert(cpu, at_ns).filter(|_| *prev != 0)?;
                let (who, more) = (who(*prev, prev_comm), *left == Left::Runnable);
                Some(Frame::Slice(Slice { cpu, from_ns, to_ns: at_ns, who, more }))
            }
            What::Migrate { pid, comm, .. } => Some(decision(seq, at_ns, who(*pid, comm))),
            What::Wakeup { pid, comm, cpu, .. } => Some(Frame::Outcome(Outcome {
                seq,
                at_ns,
                waited_ns: 1000,
                wait_from_ns: 0,
                wait_to_ns: 0,
                penalty_ns: 5,
                turns: 1,
                paid: Some(true),
                who: who(*pid, comm),
                cpu: *cpu,
            })),
            What::Exit { .. } => Some(Frame::Lost { ring: 1, queue: 2 }),
            _ => None,
        }
    });
    recording(frames)
}
