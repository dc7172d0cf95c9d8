// SPDX-License-Identifier: GPL-2.0-only
//! Readers of traces: the same events whoever wrote them, and nothing in a trace is fatal.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scx_toll::analysis::assemble::analyse;
use scx_toll::analysis::event::{Comm, Context, Event, Left, Sample, What};
use scx_toll::analysis::infer::Kind;
use scx_toll::analysis::layout::Layout;
use scx_toll::analysis::read::{Format, Intake, Sink, read};
use scx_toll::analysis::report::Report;
use scx_toll::model::PenaltyTable;
use scx_toll::topology::Topology;

#[derive(Default)]
struct Kept {
    events: Vec<Event>,
    samples: Vec<Sample>,
}

impl Sink for Kept {
    fn event(&mut self, event: &Event) {
        self.events.push(*event);
    }
    fn sample(&mut self, sample: &Sample) {
        self.samples.push(*sample);
    }
}

fn kept(bytes: &[u8]) -> (Kept, Intake) {
    let mut kept = Kept::default();
    let intake = read(bytes, &mut kept, &mut |_| {}).unwrap();
    (kept, intake)
}

fn report(bytes: &[u8]) -> Report {
    let layout = Layout::new(Topology::synthetic(2, 2, 2).unwrap());
    analyse(bytes, "t", layout, "2 x 2 x 2", &PenaltyTable::default(), &mut |_| {}).unwrap()
}

const PERF: &str = "\
            make  1234 [001] 12.000001:       sched:sched_switch: prev_comm=make prev_pid=1234 prev_prio=120 prev_state=S ==> next_comm=a b=[2] c next_pid=77 next_prio=120
       swapper     0 [000] 12.000002500: sched:sched_wakeup: comm=make pid=1234 prio=120 target_cpu=003
  a b=[2] c    77/77 [001] 12.000003: sched:sched_wakeup_new: comm=kid pid=78 prio=120 success=1 target_cpu=001
:-) x            9 [003] 12.000004: sched:sched_migrate_task: comm=kid pid=78 prio=120 orig_cpu=1 dest_cpu=3
            make  1234 [001] 12.000005: sched:sched_stat_runtime: comm=make pid=1234 runtime=1 [ns]
";
const FTRACE: &str = "\
# tracer: nop
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
            make-1234    [001] d..2. 12.000001: sched_switch: prev_comm=make prev_pid=1234 prev_prio=120 prev_state=S ==> next_comm=a b=[2] c next_pid=77 next_prio=120
          <idle>-0       [000] dNh2. 12.000002500: sched_wakeup: comm=make pid=1234 prio=120 target_cpu=003
       a b=[2] c-77      (     77) [001] d..1. 12.000003: sched_wakeup_new: comm=kid pid=78 prio=120 target_cpu=001
           :-) x-9       [003] d.s2. 12.000004: sched_migrate_task: comm=kid pid=78 prio=120 orig_cpu=1 dest_cpu=3
            make-1234    [001] d..2. 12.000005: sched_stat_runtime: comm=make pid=1234 runtime=1 [ns]
";
const TRACE_CMD: &str = "\
cpus=4
            make-1234    [001]    12.000001: sched_switch:         make:1234 [120] S ==> a b=[2] c:77 [120]
          <idle>-0       [000]    12.000002500: sched_wakeup:         make:1234 [120] success=1 CPU:003
       a b=[2] c-77      [001]    12.000003: sched_wakeup_new:     kid:78 [120] CPU:001
           :-) x-9       [003]    12.000004: sched_migrate_task:   comm=kid pid=78 prio=120 orig_cpu=1 dest_cpu=3
            make-1234    [001]    12.000005: sched_stat_runtime:   comm=make pid=1234 runtime=1 [ns]
";

#[test]
fn three_writers_tell_the_same() {
    let make = Comm::new(b"make");
    let odd = Comm::new(b"a b=[2] c");
    let kid = Comm::new(b"kid");
    let expected = [
        What::Switch { prev: 1234, prev_comm: make, left: Left::Asleep, next: 77, next_comm: odd },
        What::Wakeup { pid: 1234, comm: make, cpu: 3, new: false },
        What::Wakeup { pid: 78, comm: kid, cpu: 1, new: true },
        What::Migrate { pid: 78, comm: kid, from: 1, to: 3 },
    ];
    for (text, format) in
        [(PERF, Format::PerfScript), (FTRACE, Format::Ftrace), (TRACE_CMD, Format::Ftrace)]
    {
        let (kept, intake) = kept(text.as_bytes());
        let whats: Vec<What> = kept.events.iter().map(|event| event.what).collect();
        assert_eq!(whats, expected, "{text}");
        let at: Vec<u64> = kept.events.iter().map(|event| event.at_ns - 12_000_000_000).collect();
        assert_eq!(at, [1000, 2500, 3000, 4000]);
        let by: Vec<_> = kept.events.iter().map(|event| (event.cpu, event.current)).collect();
        assert_eq!(by, [(1, 1234), (0, 0), (1, 77), (3, 9)]);
        assert_eq!(kept.events[2].current_comm, odd);
        assert_eq!(
            (intake.format, intake.broken, intake.other),
            (Some(format), 0, 1),
            "{intake:?}"
        );
    }
    let contexts: Vec<Context> =
        kept(FTRACE.as_bytes()).0.events.iter().map(|event| event.context).collect();
    assert_eq!(contexts, [Context::Task, Context::HardIrq, Context::Task, Context::SoftIrq]);
}

#[test]
fn fork_exec_exit_and_numa_are_read() {
    let text = "\
 sh-5 [000] ..... 1.0: sched_process_fork: comm=sh pid=5 child_comm=sh child_pid=6
 sh-6 [000] ..... 1.1: sched_process_exec: filename=/bin/pid=9 pid=6 old_pid=6
 sh-6 [000] ..... 1.2: sched_process_exit: comm=sh pid=6 prio=120 group_dead=true
 sh-7 [000] ..... 1.3: sched_swap_numa: src_pid=7 src_tgid=7 src_cpu=0 dst_pid=8 dst_tgid=8 dst_cpu=1
";
    let whats: Vec<What> = kept(text.as_bytes()).0.events.iter().map(|event| event.what).collect();
    let comm = Comm::new(b"sh");
    assert_eq!(
        whats,
        [
            What::Fork { child: 6, comm },
            What::Exec { pid: 6 },
            What::Exit { pid: 6 },
            What::Numa { pid: 7, other: 8 },
        ]
    );
}

#[test]
fn load_series_are_told_from_their_content() {
    let csv = "time,cpu,runnable\n0.001,0,5\n0.001,1,0\nnot a line\n0.002,0,4\n0.002,1,1\n";
    let lines = "{\"time\":0.001,\"cpu\":0,\"runnable\":5}\n{\"time\":0.001,\"cpu\":1,\"runnable\":0}\n{}\n\
                 {\"time\":0.002,\"cpu\":0,\"runnable\":4}{\"time\":0.002,\"cpu\":1,\"runnable\":1}";
    let array = format!("[{}]", lines.replace("}\n{", "},\n {").replace("}{", "},{"));
    for (text, format) in [(csv, Format::Csv), (lines, Format::Json), (&array, Format::Json)] {
        let (kept, intake) = kept(text.as_bytes());
        assert_eq!(intake.format, Some(format));
        assert_eq!((intake.events, intake.broken), (4, 1), "{text}: {intake:?}");
        let last = kept.samples.last().unwrap();
        assert_eq!((last.at_ns, last.cpu, last.runnable), (2_000_000, 1, 1.0));
        let report = report(text.as_bytes());
        assert_eq!((report.moves[0].kind, report.moves[0].count), (Kind::Pull, 1), "5, 0 to 4, 1");
    }
}

#[test]
fn what_is_no_trace_is_refused_in_one_sentence() {
    for bytes in [&b""[..], b"hello\nworld\n", b"\x7fELF\0\0\0", b"{}", b"[]", b"time,load\n1,2\n"]
    {
        let mut kept = Kept::default();
        let error = read(bytes, &mut kept, &mut |_| {}).unwrap_err().to_string();
        assert!(error.starts_with("neither text of perf script"), "{error}");
    }
}

#[test]
fn broken_lines_are_counted_and_shown() {
    let text = FTRACE.replace("12.000003", "12.x").replace("prev_pid=1234", "prev_pid=-7");
    let (kept, intake) = kept(text.as_bytes());
    assert_eq!((kept.events.len(), intake.broken), (2, 2));
    assert_eq!(intake.broken_lines[0].0, 3);
    assert!(intake.broken_lines[1].1.contains("12.x"), "{intake:?}");
}

/// Two writers at once: wherever a line stands within another, both may be lost, and no other.
#[test]
fn interleaved_lines_cost_no_more_than_themselves() {
    for text in [PERF, FTRACE, TRACE_CMD] {
        let lines: Vec<&str> = text.lines().collect();
        let first = lines.iter().position(|line| line.contains("sched_switch")).unwrap();
        let (whole, _) = kept(text.as_bytes());
        // The second event stands within the third one.
        let (inner, outer) = (lines[first + 1], lines[first + 2]);
        for at in 0..=outer.len() {
            let mixed = format!("{}{inner}{}", &outer[..at], &outer[at..]);
            let mut all = lines.clone();
            all.splice(first + 1..first + 3, [mixed.as_str()]);
            let (kept, intake) = kept(all.join("\n").as_bytes());
            let events = &kept.events;
            assert_eq!(events.first(), whole.events.first(), "{mixed}");
            assert_eq!(events.last(), whole.events.last(), "{mixed}");
            let all = events.len() as u64 + intake.broken + intake.other;
            assert!(all == 4 && events.len() >= 2 && intake.broken <= 1, "{mixed}: {intake:?}");
        }
    }
}

/// A trace that says that events are missing: no wait, no run and no load spans the gap.
#[test]
fn lost_events_are_named_and_left_out() {
    let switch = |at: &str, prev: u32, state: char, next: u32| {
        format!(
            " t-{prev} [000] d..2. {at}: sched_switch: prev_comm=t prev_pid={prev} prev_prio=120 prev_state={state} \
             ==> next_comm=t next_pid={next} next_prio=120\n"
        )
    };
    for (lost, count) in [
        ("CPU:0 [LOST 12 EVENTS]\n", 12),
        ("CPU:0 [12 EVENTS DROPPED]\n", 12),
        ("CPU:0 [LOST EVENTS]\n", 0),
        ("  x 1 PERF_RECORD_LOST lost 12\n", 12),
        ("", 0),
    ] {
        // Task 2 waits from 1.0 s; it runs at 9.0 s, but a gap may lie between.
        let text = switch("1.0", 2, 'R', 3) + lost + &switch("9.0", 3, 'S', 2);
        let report = report(text.as_bytes());
        let (gaps, waits) = if lost.is_empty() { (0, 1) } else { (1, 0) };
        assert_eq!((report.intake.gaps, report.intake.lost), (gaps, count), "{lost}");
        assert_eq!(report.waits.count, waits, "{lost}");
        assert_eq!(report.notes.iter().any(|note| note.contains("missing in 1 place")), gaps == 1);
    }
}

#[test]
fn a_small_step_back_is_the_same_instant_and_a_large_one_a_gap() {
    let at = |time: &str| FTRACE.replace("12.000002500", time);
    let (small, intake) = kept(at("11.9").as_bytes());
    assert_eq!((intake.steps_back, intake.gaps), (1, 0));
    assert_eq!(intake.step_back_max_ns, 100_001_000);
    assert_eq!(small.events[1].at_ns, small.events[0].at_ns);
    let (large, intake) = kept(at("3.0").as_bytes());
    assert!(intake.gaps >= 1, "{intake:?}");
    assert!(large.events.iter().any(|event| event.what == What::Lost(None)));
    for events in [small.events, large.events] {
        assert!(events.is_sorted_by_key(|event| event.at_ns), "{events:?}");
    }
}

/// The same number before and after a death are two tasks: the wait of the second begins anew.
#[test]
fn a_number_given_again_is_another_task() {
    let text = "\
 t-2 [000] d..2. 1.0: sched_switch: prev_comm=old prev_pid=2 prev_prio=120 prev_state=X ==> next_comm=p next_pid=9 next_prio=120
 p-9 [000] d..2. 2.0: sched_process_fork: comm=p pid=9 child_comm=new child_pid=2
 p-9 [000] d..2. 2.0: sched_wakeup_new: comm=new pid=2 prio=120 target_cpu=001
 i-0 [001] d..2. 2.5: sched_switch: prev_comm=swapper/1 prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=new next_pid=2 next_prio=120
";
    let died = report(text.as_bytes());
    assert_eq!((died.reused, died.waits.count, died.waits.max_ns), (0, 1, 500_000_000));
    assert_eq!(died.waits.max_task, "new");
    assert_eq!(
        (died.moves[0].kind, died.moves[0].count),
        (Kind::Fork, 1),
        "born on CPU 0, run on 1"
    );
    // Without the death in the trace it is noticed all the same.
    let unseen = report(text.replace("prev_state=X", "prev_state=S").as_bytes());
    assert_eq!((unseen.reused, unseen.waits.count), (1, 1));
}

#[test]
fn names_need_not_be_text() {
    for text in [PERF, FTRACE, TRACE_CMD] {
        let mut text = text.replace("make", "m\u{1}ke").into_bytes();
        text.iter_mut().filter(|byte| **byte == 1).for_each(|byte| *byte = 0xff);
        let (kept, intake) = kept(&text);
        assert_eq!((kept.events.len(), intake.broken), (4, 0));
        assert_eq!(kept.events[0].current_comm.bytes(), b"m\xffke");
        let What::Switch { prev_comm, .. } = kept.events[0].what else { panic!("a switch") };
        assert_eq!(prev_comm.bytes(), b"m\xffke");
        let report = report(&text);
        assert!(report.tasks.iter().any(|row| row.name == "kid"), "{:?}", report.tasks);
    }
    let csv = b"time,cpu,runnable\n0.001,0,5\n0.00\xff,0,5\n0.002,0,4\n";
    let (kept, intake) = kept(csv);
    assert_eq!((kept.samples.len(), intake.broken), (2, 1));
    assert_eq!(intake.broken_lines, [(3, "0.00\u{fffd},0,5".to_string())]);
}

/// A cut costs the line in which it is, and no other.
#[test]
fn a_trace_may_end_anywhere() {
    for text in [PERF, FTRACE, TRACE_CMD] {
        let (whole, _) = kept(text.as_bytes());
        for end in 0..text.len() {
            let whole_lines = &text[..text[..end].rfind('\n').map_or(0, |at| at + 1)];
            let events = whole_lines
                .lines()
                .filter(|line| line.contains(" sched_") || line.contains(":sched_"));
            let before = events.filter(|line| !line.contains("stat_runtime")).count();
            let mut kept = Kept::default();
            match read(&text.as_bytes()[..end], &mut kept, &mut |_| {}) {
                Ok(intake) => {
                    assert!(intake.broken <= 1, "{end}: {intake:?}");
                    let nr = kept.events.len();
                    assert!(nr == before || nr == before + 1, "{end}: {nr} of {before}");
                    assert_eq!(kept.events[..before], whole.events[..before], "{end}");
                }
                Err(error) => assert!(before == 0, "{end}: {error:#}"),
            }
        }
    }
}

#[test]
fn a_load_series_may_end_anywhere() {
    let csv: String = (0..20).map(|at| format!("0.{at:03},{},{}\n", at % 4, at % 3)).collect();
    let json: String = (0..20)
        .map(|at| format!("{{\"time\":0.{at:03},\"cpu\":{},\"runnable\":{}}}\n", at % 4, at % 3))
        .collect();
    for text in [format!("time,cpu,runnable\n{csv}"), json] {
        let (whole, _) = kept(text.as_bytes());
        assert_eq!(whole.samples.len(), 20);
        let heading = usize::from(text.starts_with("time"));
        for end in 0..text.len() {
            let before = text[..end].matches('\n').count().saturating_sub(heading);
            let mut kept = Kept::default();
            match read(&text.as_bytes()[..end], &mut kept, &mut |_| {}) {
                Ok(intake) => {
                    assert!(intake.broken <= 1 && kept.samples.len() <= before + 1, "{end}");
                    assert_eq!(kept.samples[..before], whole.samples[..before], "{end}");
                }
                Err(error) => assert!(before == 0, "{end}: {error:#}"),
            }
        }
    }
}

/// A series that begins anew is a gap: what differs across it is no move.
#[test]
fn a_load_series_whose_clock_goes_back_is_two() {
    let rows = |from: u32, loads: [u32; 2]| -> String {
        let row = |at: u32, cpu: usize| format!("{}.{at:03},{cpu},{}\n", from, loads[cpu]);
        (0..50).map(|at| row(at, 0) + &row(at, 1)).collect()
    };
    let text = format!("time,cpu,runnable\n{}{}", rows(100, [5, 0]), rows(7, [4, 1]));
    let (kept, intake) = kept(text.as_bytes());
    assert_eq!((intake.gaps, intake.steps_back, intake.events), (1, 1, 200));
    assert!(kept.samples.is_sorted_by_key(|sample| sample.at_ns));
    let report = report(text.as_bytes());
    assert!(report.moves.is_empty(), "{:?}", report.moves);
    assert!(
        report.notes.iter().any(|note| note.contains("missing in 1 place")),
        "{:?}",
        report.notes
    );
    // Without the step back it is a move.
    let text = format!("time,cpu,runnable\n{}{}", rows(100, [5, 0]), rows(101, [4, 1]));
    let report = self::report(text.as_bytes());
    assert_eq!((report.moves[0].kind, report.moves[0].count), (Kind::Pull, 1));
}

#[test]
fn a_machine_of_1024_cpus_is_followed() {
    let mut text = String::new();
    for cpu in 0..1024u32 {
        let (pid, at) = (cpu + 10, 1000 + cpu);
        text += &format!(
            " swapper 0 [{cpu:03}] 1.{at:06}: sched:sched_switch: prev_comm=swapper prev_pid=0 prev_prio=120 \
             prev_state=R ==> next_comm=t next_pid={pid} next_prio=120\n"
        );
    }
    for cpu in 0..1024u32 {
        let (pid, to, at) = (cpu + 10, (cpu + 512) % 1024, 10_000 + cpu);
        text += &format!(
            " t {pid} [{cpu:03}] 1.{at:06}: sched:sched_switch: prev_comm=t prev_pid={pid} prev_prio=120 prev_state=R \
             ==> next_comm=swapper next_pid=0 next_prio=120\n \
             swapper 0 [{to:03}] 1.{at:06}: sched:sched_migrate_task: comm=t pid={pid} prio=120 orig_cpu={cpu} dest_cpu={to}\n"
        );
    }
    let layout = Layout::new(Topology::synthetic(2, 8, 64).unwrap());
    let table = PenaltyTable::default();
    let report = analyse(text.as_bytes(), "t", layout, "2x8x64", &table, &mut |_| {}).unwrap();
    assert_eq!((report.cpus, report.intake.broken), (1024, 0));
    assert_eq!(report.moves[0].kind, Kind::Pull);
    assert_eq!(report.moves[0].by_distance, [0, 0, 1024, 0], "each to the other node");
}

/// Clocks that jump to the end of time and back, over and over.
#[test]
fn the_end_of_time_is_no_end_of_the_program() {
    let mut text = String::new();
    for round in 0..50u32 {
        let (pid, next) = (round % 3 + 1, (round + 1) % 3 + 1);
        for (at, cpu) in [("4611686018.3", 0), ("1.5", 8000), ("4611686010.0", 0)] {
            text += &format!(
                " t {pid} [{cpu:03}] {at}: sched:sched_switch: prev_comm=t prev_pid={pid} prev_prio=120 prev_state=R \
                 ==> next_comm=t next_pid={next} next_prio=120\n"
            );
        }
        text += &format!(
            " t {pid} [000] 4611686018.3: sched:sched_migrate_task: comm=t pid={pid} prio=120 orig_cpu=0 dest_cpu=1\n"
        );
    }
    let report = report(text.as_bytes());
    assert!(report.intake.gaps >= 1 && report.intake.broken == 0, "{:?}", report.intake);
    assert!(report.span_ns < 1 << 62);
}
