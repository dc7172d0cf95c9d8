// SPDX-License-Identifier: GPL-2.0-only
//! Moves whose kind is known, against what `analyze` makes of them: from events, and from the loads
//! of CPUs alone.
//!
//! What a move was tells the kernel's call path, which ftrace records and `analyze` does not see:
//!
//! | call path | label |
//! |---|---|
//! | `active_load_balance_cpu_stop`, `push_rt_task` | push: "pushes running tasks off the busiest CPU" |
//! | `sched_balance_rq`, `pull_rt_task`, `pull_task` of scx_toll | pull |
//! | `try_to_wake_up` | wakeup |
//! | `wake_up_new_task` | fork |
//! | `migration_cpu_stop`, `__set_cpus_allowed_ptr` | affinity |
//! | `run_deferred`: a CPU carries out that it sends a task to another | push |
//! | `sched_ext_ops_dispatch`, from the queue of its own LLC | pull |
//! | the same, of a task that ran in another LLC | as scx_toll recorded the decision that put it there |

use scx_toll::analysis::event::{Comm, Event, Left, Sample, What};
use scx_toll::analysis::follow::Follower;
use scx_toll::analysis::habits::Habits;
use scx_toll::analysis::infer::{Kind, judge};
use scx_toll::analysis::layout::Layout;
use scx_toll::analysis::read::text::{Parsed, parse};
use scx_toll::analysis::read::{Sink, read};
use scx_toll::analysis::transfers::{Frames, Transfer};
use scx_toll::analysis::watch::{Load, Move, Watch};
use scx_toll::control::wire::Frame;
use scx_toll::events::{self, Decision};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// What a record and the tracepoint say of the time of one move is so near to one another.
const BESIDE_NS: u64 = 50_000;
/// Step of a call path that is a label already, in recorded traces.
pub const LABEL: &str = "label:";

/// The labels of a trace, by time and task.
pub type Labels = HashMap<(u64, u32), Kind>;
/// Decisions that moved a task, by task, in their order.
type Decisions = HashMap<u32, Vec<Decision>>;

/// Kinds that are told apart here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Pull,
    Push,
    Placed,
    Other,
}

impl From<Kind> for Class {
    fn from(kind: Kind) -> Class {
        match kind {
            Kind::Pull => Class::Pull,
            Kind::Push => Class::Push,
            Kind::Wakeup | Kind::Fork => Class::Placed,
            Kind::Affinity | Kind::Numa | Kind::Undetermined => Class::Other,
        }
    }
}

/// How often a label got a verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confusion(pub BTreeMap<(Class, Class), u64>);

impl Confusion {
    pub fn add(&mut self, label: Kind, verdict: Kind, count: u64) {
        *self.0.entry((label.into(), verdict.into())).or_default() += count;
    }

    pub fn merge(&mut self, other: &Confusion) {
        other.0.iter().for_each(|(key, count)| *self.0.entry(*key).or_default() += count);
    }

    pub fn n(&self) -> u64 {
        self.0.values().sum()
    }

    /// The F1 score of each of pull, push and placed that occurs at least ten times.
    pub fn scores(&self) -> Vec<(Class, f64)> {
        let sum = |fits: &dyn Fn(&(Class, Class)) -> bool| -> f64 {
            self.0.iter().filter(|(key, _)| fits(key)).map(|(_, count)| *count as f64).sum()
        };
        let classes = [Class::Pull, Class::Push, Class::Placed].into_iter();
        let score = |class: Class| {
            let (labels, verdicts) = (sum(&|key| key.0 == class), sum(&|key| key.1 == class));
            (class, 2.0 * sum(&|key| *key == (class, class)) / (labels + verdicts))
        };
        classes.filter(|class| sum(&|key| key.0 == *class) >= 10.0).map(score).collect()
    }

    /// Their mean.
    pub fn macro_f1(&self) -> f64 {
        let scores = self.scores();
        scores.iter().map(|(_, score)| score).sum::<f64>() / scores.len().max(1) as f64
    }

    /// A table: a row for each label, a column for each verdict.
    pub fn table(&self) -> String {
        let classes = [Class::Pull, Class::Push, Class::Placed, Class::Other];
        let mut text =
            String::from("| label | pull | push | placed | other |\n|---|---|---|---|---|\n");
        for label in classes {
            let row = classes.map(|verdict| self.0.get(&(label, verdict)).copied().unwrap_or(0));
            let [pull, push, placed, other] = row;
            let name = format!("{label:?}").to_lowercase();
            let _ = writeln!(text, "| {name} | {pull} | {push} | {placed} | {other} |");
        }
        text
    }
}

fn from_path(path: &[&str]) -> Option<Kind> {
    let has = |names: &[&str]| path.iter().any(|step| names.iter().any(|name| step.contains(name)));
    let given = path.iter().find_map(|step| step.strip_prefix(LABEL));
    if let Some(name) = given {
        return Kind::ALL.into_iter().find(|kind| kind.name() == name);
    }
    Some(match () {
        () if has(&["active_load_balance_cpu_stop", "push_rt_task", "push_dl_task"]) => Kind::Push,
        () if has(&["sched_balance_rq", "load_balance", "pull_rt_task"]) => Kind::Pull,
        () if has(&["migration_cpu_stop", "__set_cpus_allowed_ptr"]) => Kind::Affinity,
        () if has(&["try_to_wake_up"]) => Kind::Wakeup,
        () if has(&["wake_up_new_task"]) => Kind::Fork,
        () if has(&["run_deferred", "process_ddsp_deferred"]) => Kind::Push,
        () if has(&["_pull_task"]) => Kind::Pull,
        () => return None,
    })
}

/// What it was that a CPU took from its queue, by what scx_toll recorded.
fn from_record(at_ns: u64, pid: u32, to_llc: u32, decisions: &Decisions) -> Option<Kind> {
    let of_task = decisions.get(&pid)?;
    let last = of_task.iter().rfind(|decision| decision.at_ns <= at_ns + BESIDE_NS)?;
    // Anything else has come between, which was not recorded.
    (last.to_llc == Some(to_llc)).then_some(match last.kind {
        events::Kind::Push => Kind::Push,
        events::Kind::Pull => Kind::Pull,
        events::Kind::Place => Kind::Wakeup,
    })
}

/// The decisions in JSON lines of `scx_toll explain`.
fn decisions(lines: &str) -> Decisions {
    let mut all = Decisions::new();
    for line in lines.lines() {
        let Ok(Frame::Decision(decision)) = serde_json::from_str(line) else { continue };
        let pid = decision.who.as_ref().map(|who| who.pid);
        if let Some(pid) = pid.filter(|_| decision.verdict.is_applied()) {
            all.entry(pid).or_default().push(*decision);
        }
    }
    all
}

/// The labels in a trace, whose call paths stand behind the events that they belong to.
pub fn labels(trace: &str, records: &str, layout: &Layout) -> Labels {
    let decisions = decisions(records);
    let mut labels = Labels::new();
    let mut path = Vec::new();
    let mut moved = None;
    for line in trace.lines().chain(["end"]) {
        if let Some(step) = line.strip_prefix(" => ") {
            path.push(step.trim_end());
        } else if !line.contains("<stack trace>") {
            if let Some((at_ns, pid, from, to)) = moved.take() {
                let taken = path.iter().any(|step: &&str| step.ends_with("sched_ext_ops_dispatch"));
                let kind = from_path(&path).or_else(|| match (taken, layout.apart(from, to)) {
                    (false, _) => None,
                    (true, false) => Some(Kind::Pull),
                    (true, true) => from_record(at_ns, pid, layout.llc(to)?.0, &decisions),
                });
                kind.and_then(|kind| labels.insert((at_ns, pid), kind));
            }
            path.clear();
            if let Parsed::Event(
                Event { at_ns, what: What::Migrate { pid, from, to, .. }, .. },
                _,
            ) = parse(line.as_bytes())
            {
                moved = Some((at_ns, pid, from, to));
            }
        }
    }
    labels
}

/// A trace without call paths: behind each labelled move stands its label instead.
pub fn short(trace: &str, labels: &Labels) -> String {
    let mut text = String::new();
    for line in
        trace.lines().filter(|line| !line.starts_with(" => ") && !line.contains("<stack trace>"))
    {
        text += line;
        text.push('\n');
        if let Parsed::Event(Event { at_ns, what: What::Migrate { pid, .. }, .. }, _) =
            parse(line.as_bytes())
            && let Some(kind) = labels.get(&(at_ns, pid))
        {
            let _ = writeln!(text, " => {LABEL}{}", kind.name());
        }
    }
    text
}

/// What came of a trace.
pub struct Judged {
    pub by_events: Confusion,
    pub by_loads: Confusion,
    pub mistakes: Vec<String>,
}

struct Judge<'a> {
    labels: &'a Labels,
    layout: &'a Layout,
    habits: Habits,
    judged: Judged,
    /// Loads so far, and as a series of changes.
    loads: Vec<Load>,
    series: String,
    /// Where a labelled move shows in loads: time, CPU that loses if one does, CPU that gains.
    shows: HashMap<(u64, Option<u32>, u32), Kind>,
}

impl Watch for Judge<'_> {
    fn load(&mut self, at_ns: u64, cpu: u32, load: Load) {
        self.habits.load(self.layout, at_ns, cpu, load);
        if self.loads.len() <= cpu as usize {
            self.loads.resize(cpu as usize + 1, None);
        }
        if let Some(load) = load.filter(|_| self.loads[cpu as usize] != load) {
            let _ = writeln!(self.series, "{at_ns},{cpu},{load}");
        }
        self.loads[cpu as usize] = load;
    }

    fn moved(&mut self, moved: &Move) {
        let verdict = judge(moved, self.layout, &mut self.habits);
        let label = self.labels.get(&(moved.at_ns, moved.pid)).filter(|_| !moved.implied);
        let Some(&label) = label else { return };
        self.judged.by_events.add(label, verdict.kind, 1);
        if Class::from(label) != Class::from(verdict.kind) {
            self.judged.mistakes.push(format!("{label:?} taken for {verdict:?}: {moved:?}"));
        }
        let placed = moved.woken_after_ns.map(|after| (moved.at_ns + after, None, moved.to));
        self.shows.insert(placed.unwrap_or((moved.at_ns, Some(moved.from), moved.to)), label);
    }

    fn gauge(&mut self, _: u64, _: u32, _: u32) {}
    fn ran(&mut self, _: u64, _: usize, _: u32, _: u64, _: Left) {}
    fn waited(&mut self, _: u64, _: Comm, _: u64) {}
    fn anew(&mut self, _: usize) {}
    fn gap(&mut self, _: u64) {}
}

struct Follow<'a>(Follower, Judge<'a>);

impl Sink for Follow<'_> {
    fn event(&mut self, event: &Event) {
        self.0.follow(event, &mut self.1);
    }
    fn sample(&mut self, _: &Sample) {}
}

/// Judges a load series.
struct Series<'a>(Frames, &'a Layout, Vec<Transfer>);

impl Sink for Series<'_> {
    fn event(&mut self, _: &Event) {}
    fn sample(&mut self, sample: &Sample) {
        self.0.sample(sample, self.1, &mut |found| self.2.push(found));
    }
}

/// Judge all labelled moves of a trace, twice.
pub fn judge_trace(trace: &str, labels: &Labels, layout: &Layout) -> Judged {
    let judged = Judged {
        by_events: Confusion::default(),
        by_loads: Confusion::default(),
        mistakes: Vec::new(),
    };
    let judge = Judge {
        labels,
        layout,
        habits: Habits::default(),
        judged,
        loads: Vec::new(),
        series: String::from("time_ns,cpu,runnable\n"),
        shows: HashMap::new(),
    };
    let mut follow = Follow(Follower::default(), judge);
    let intake = read(trace.as_bytes(), &mut follow, &mut |_| {}).expect("a trace");
    assert_eq!((intake.broken, intake.lost), (0, 0), "{intake:?}");
    follow.0.finish(&mut follow.1);
    let Judge { mut judged, series, mut shows, .. } = follow.1;
    let mut loads = Series(Frames::default(), layout, Vec::new());
    read(series.as_bytes(), &mut loads, &mut |_| {}).expect("a series");
    loads.0.finish(layout, &mut |found| loads.2.push(found));
    for found in loads.2 {
        if let Some(label) = shows.remove(&(found.at_ns, found.from, found.to)) {
            judged.by_loads.add(label, found.judged.kind, 1);
        }
    }
    // What does not show is missed.
    shows.into_values().for_each(|label| judged.by_loads.add(label, Kind::Undetermined, 1));
    judged
}

/// The output of `gzip -d`, before that of `base64 -d` if `text`.
pub fn unpack(packed: &[u8], text: bool) -> String {
    let script = if text { "base64 -d | gzip -d" } else { "gzip -d" };
    let mut shell = Command::new("sh")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh");
    let mut stdin = shell.stdin.take().expect("its input");
    let packed = packed.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&packed));
    let output = shell.wait_with_output().expect("its output");
    feeder.join().expect("no panic").expect("all of it");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
