// SPDX-License-Identifier: GPL-2.0-only
//! What `analyze` makes of a move, against what the kernel was doing: ftrace records the call path
//! behind each migration, which says which part of the scheduler made it. `analyze` does not see it.
//!
//! | call path | label |
//! |---|---|
//! | `active_load_balance_cpu_stop` | push: "pushes running tasks off the busiest CPU" |
//! | `sched_balance_rq`, or what takes a task from a queue of sched_ext | pull |
//! | `try_to_wake_up` | wakeup |
//! | `wake_up_new_task` | fork |
//! | `migration_cpu_stop`, `__set_cpus_allowed_ptr` | affinity |

use crate::vm::Vm;
use scx_toll::analysis::event::{Comm, Event, Left, Sample, What};
use scx_toll::analysis::follow::Follower;
use scx_toll::analysis::infer::{Kind, from_loads, judge};
use scx_toll::analysis::read::text::{Parsed, parse};
use scx_toll::analysis::read::{Sink, read};
use scx_toll::analysis::watch::{Load, Move, Watch};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::process::{Command, Stdio};

/// The labels of a trace, by time and task.
type Labels = HashMap<(u64, u32), Kind>;
/// How often a label got a verdict.
type Confusion = BTreeMap<(Kind, Kind), u64>;

fn label(path: &[&str]) -> Option<Kind> {
    let has = |names: &[&str]| path.iter().any(|step| names.contains(step));
    Some(match () {
        () if has(&["active_load_balance_cpu_stop"]) => Kind::Push,
        () if has(&["sched_balance_rq", "load_balance"]) => Kind::Pull,
        () if has(&["migration_cpu_stop", "__set_cpus_allowed_ptr"]) => Kind::Affinity,
        () if has(&["try_to_wake_up"]) => Kind::Wakeup,
        () if has(&["wake_up_new_task"]) => Kind::Fork,
        // A sched_ext scheduler that is asked what to run next.
        () if path.iter().any(|step| step.ends_with("sched_ext_ops_dispatch")) => Kind::Pull,
        () => return None,
    })
}

/// The call path stands behind each event that it belongs to.
fn labels(trace: &str) -> Labels {
    let mut labels = Labels::new();
    let mut path = Vec::new();
    let mut moved = None;
    for line in trace.lines().chain(["end"]) {
        if let Some(step) = line.strip_prefix(" => ") {
            path.push(step.trim_end());
        } else if !line.contains("<stack trace>") {
            if let Some((key, kind)) = moved.take().zip(label(&path)) {
                labels.insert(key, kind);
            }
            path.clear();
            if let Parsed::Event(Event { at_ns, what: What::Migrate { pid, .. }, .. }, _) =
                parse(line.as_bytes())
            {
                moved = Some((at_ns, pid));
            }
        }
    }
    labels
}

struct Judge {
    labels: Labels,
    by_context: Confusion,
    by_loads: Confusion,
    mistakes: Vec<String>,
}

impl Watch for Judge {
    fn moved(&mut self, moved: &Move) {
        let label = self.labels.get(&(moved.at_ns, moved.pid)).filter(|_| !moved.implied);
        let Some(&label) = label else { return };
        let judged = judge(moved);
        *self.by_context.entry((label, judged.kind)).or_default() += 1;
        if label != judged.kind {
            self.mistakes.push(format!("{label:?} taken for {judged:?}: {moved:?}"));
        }
        if matches!(label, Kind::Pull | Kind::Push) {
            let judged = from_loads(moved.source, moved.target);
            *self.by_loads.entry((label, judged.kind)).or_default() += 1;
        }
    }
    fn load(&mut self, _: u64, _: u32, _: Load) {}
    fn gauge(&mut self, _: u64, _: u32, _: u32) {}
    fn ran(&mut self, _: u64, _: usize, _: u32, _: u64, _: Left) {}
    fn waited(&mut self, _: u64, _: Comm, _: u64) {}
    fn anew(&mut self, _: usize) {}
    fn gap(&mut self, _: u64) {}
}

struct Follow(Follower, Judge);

impl Sink for Follow {
    fn event(&mut self, event: &Event) {
        self.0.follow(event, &mut self.1);
    }
    fn sample(&mut self, _: &Sample) {}
}

/// Mean over the labels that occur at least ten times of the F1 score of each.
fn macro_f1(confusion: &Confusion) -> f64 {
    let sum = |fits: &dyn Fn(&(Kind, Kind)) -> bool| -> f64 {
        confusion.iter().filter(|(key, _)| fits(key)).map(|(_, count)| *count as f64).sum()
    };
    let scores: Vec<f64> = Kind::ALL
        .iter()
        .filter(|kind| sum(&|(label, _)| label == *kind) >= 10.0)
        .map(|kind| {
            let hits = sum(&|key| *key == (*kind, *kind));
            2.0 * hits / (sum(&|(label, _)| label == kind) + sum(&|(_, verdict)| verdict == kind))
        })
        .collect();
    scores.iter().sum::<f64>() / scores.len().max(1) as f64
}

fn unpack(packed: &str) -> String {
    let mut shell = Command::new("sh")
        .args(["-c", "base64 -d | gzip -d"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh");
    let mut stdin = shell.stdin.take().expect("its input");
    let packed = packed.to_string();
    let feeder = std::thread::spawn(move || stdin.write_all(packed.as_bytes()));
    let output = shell.wait_with_output().expect("its output");
    feeder.join().expect("no panic").expect("all of it");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The confusion of one machine, scheduler and load; `None` where no machine is booted.
fn run(options: &[&str], args: &[&str]) -> Option<Judge> {
    let ran = Vm::counted().with(options).run("verdicts.sh", args)?.expect_ok();
    let trace = unpack(ran.section("packed"));
    let (by_context, by_loads) = Default::default();
    let judge = Judge { labels: labels(&trace), by_context, by_loads, mistakes: Vec::new() };
    let mut follow = Follow(Follower::default(), judge);
    let intake = read(trace.as_bytes(), &mut follow, &mut |_| {}).expect("a trace");
    assert_eq!((intake.broken, intake.lost), (0, 0), "{intake:?}");
    follow.0.finish(&mut follow.1);
    let Follow(_, judge) = follow;
    let n: u64 = judge.by_context.values().sum();
    eprintln!("{options:?} {args:?}: n {n}, macro-F1 {:.3}", macro_f1(&judge.by_context));
    eprintln!("  label and verdict: {:?}", judge.by_context);
    eprintln!("  from loads alone: {:?}", judge.by_loads);
    judge.mistakes.iter().take(5).for_each(|mistake| eprintln!("  {mistake}"));
    Some(judge)
}

fn check(runs: &[(&[&str], &[&str])]) {
    let mut all = Confusion::new();
    for (options, args) in runs {
        let Some(judge) = run(options, args) else { return };
        for (key, count) in judge.by_context {
            *all.entry(key).or_default() += count;
        }
    }
    let score = macro_f1(&all);
    eprintln!("all: n {}, macro-F1 {score:.3}: {all:?}", all.values().sum::<u64>());
    assert!(all.values().sum::<u64>() >= 100, "too few moves: {all:?}");
    assert!(score >= 0.95, "{score:.3}: {all:?}");
}

#[test]
fn macro_f1_of_pull_wakeup_and_push_is_95_per_cent() {
    let fair: (&[&str], &[&str]) = (&["--topology", "2x4x2"], &["0.4", "eevdf", "mixed"]);
    let toll: (&[&str], &[&str]) = (&[], &["0.3", "always", "mixed"]);
    let older: (&[&str], &[&str]) =
        (&["--kernel", "6.18", "--topology", "1x4x2"], &["0.4", "eevdf", "mixed"]);
    let hogs: (&[&str], &[&str]) = (&["--kernel", "6.18"], &["0.4", "eevdf", "hogs", "--n", "20"]);
    let usual: (&[&str], &[&str]) = (&["--topology", "2x4x2"], &["0.4", "toll", "mixed"]);
    if crate::vm::long() {
        check(&[fair, toll, older, hogs, usual]);
    } else {
        check(&[fair]);
    }
}
