// SPDX-License-Identifier: GPL-2.0-only
//! A recording of scx_toll as a trace for `analyze`.
//!
//! - A slice is a switch to its task and one away from it; slices of a CPU that follow each other are
//!   one switch. Whether the task that left could have gone on is not recorded.
//! - A task that runs on another CPU than before was moved: when its outcome says, and as the decision
//!   before it says. What was not decided about (within an LLC) stays undetermined.
//!
//! Slices are recorded when they end, so events are held back and sorted for [`WINDOW_NS`].

use crate::analysis::assemble::analyse_from;
use crate::analysis::collect::Collector;
use crate::analysis::event::{Comm, Context as Code, Event, Left, PID_MAX, Told, What};
use crate::analysis::follow::TASKS_MAX;
use crate::analysis::infer;
use crate::analysis::layout::Layout;
use crate::analysis::read::{Format, Intake, Sink};
use crate::analysis::report::Report;
use crate::control::wire::Frame;
use crate::events::{Decision, Kind, Outcome, Slice, Who};
use crate::model::PenaltyTable;
use crate::recording::{Cgroup, Entry, Recording};
use anyhow::Result;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A slice is recorded in pieces of 0.1 s, and what is recorded arrives within the second.
const WINDOW_NS: u64 = 2_000_000_000;
/// A CPU that runs the next task so soon has not idled.
const NO_GAP_NS: u64 = 50_000;
/// Later times than this are damage.
const TIME_MAX_NS: u64 = 1 << 62;
/// CPUs above this are damage.
const CPU_MAX: u32 = 8191;
/// Most events that are held back, some 25 MB; beyond that the first are told.
const HELD_MAX: usize = 100_000;
/// Bytes of the paths of cgroups that are kept.
const PATHS_MAX: usize = 4 << 20;

/// True if the file begins like a recording.
pub(super) fn is_recording(path: &Path) -> bool {
    let mut begin = Vec::new();
    let read = File::open(path).and_then(|file| file.take(16).read_to_end(&mut begin));
    read.is_ok() && Recording::begins(&begin)
}

/// The report of a recording of `bytes` bytes, called `name`.
///
/// # Errors
/// When it cannot be read, or has nothing that ran and no decision.
pub fn report(
    recording: &Recording,
    bytes: u64,
    name: &str,
    layout: Layout,
    machine: &str,
    table: &PenaltyTable,
) -> Result<Report> {
    let mut names = HashMap::new();
    let collector = Collector::new(layout, table);
    let mut report = analyse_from(collector, name, machine, |collector| {
        feed(recording, bytes, collector, &mut names)
    })?;
    for row in &mut report.cgroups {
        let id = row.name.rsplit(' ').next().and_then(|id| id.parse::<u64>().ok());
        if let Some(path) = id.and_then(|id| names.remove(&id)) {
            row.name = path;
        }
    }
    Ok(report)
}

/// Give all of a recording to `collector`, and the names of cgroups to `names`.
fn feed(
    recording: &Recording,
    bytes: u64,
    collector: &mut Collector,
    names: &mut HashMap<u64, String>,
) -> Result<Intake> {
    let format = Some(Format::Recording);
    let mut intake = Intake { format, bytes, ..Intake::default() };
    let mut events = Events::default();
    let mut path_bytes = 0;
    let missing = recording.replay(&mut |entry| {
        intake.lines += 1;
        match entry {
            Entry::Frame(Frame::Slice(slice)) => events.slice(&slice),
            Entry::Frame(Frame::Decision(decision)) => events.decision(&decision),
            Entry::Frame(Frame::Outcome(outcome)) => events.outcome(&outcome),
            Entry::Frame(Frame::Lost { ring, queue }) => {
                intake.gaps += 1;
                let lost = ring.saturating_add(queue);
                events.add(events.latest_ns, 0, What::Lost(Some(lost)));
            }
            Entry::Cgroup(cgroup) => {
                // The paths of many are left out, not of a few with long ones.
                path_bytes += cgroup.path.len() + size_of::<Cgroup>();
                if path_bytes <= PATHS_MAX {
                    names.insert(cgroup.id, cgroup.path);
                }
            }
            Entry::Frame(Frame::Ended {}) | Entry::Load(_) | Entry::End => {}
        }
        events.settle(events.latest_ns.saturating_sub(WINDOW_NS), collector);
        Ok(())
    })?;
    events.settle(u64::MAX, collector);
    intake.events = events.told;
    intake.lost = missing.lost;
    intake.broken = u64::from(missing.gaps) + u64::from(missing.cut);
    intake.broken_lines =
        missing.sentences().into_iter().map(|text| (intake.lines, text)).collect();
    Ok(intake)
}

/// What is told of a move that was decided.
#[derive(Clone, Copy)]
struct Decided {
    kind: infer::Kind,
    /// ΔL and P in ns.
    price: Option<(i64, i64)>,
}

/// Room for another one in `map`. It holds what is soon asked for; so many at a time do not occur
/// but in damage, and all are forgotten then.
fn room<V>(map: &mut HashMap<u32, V>) -> &mut HashMap<u32, V> {
    if map.len() >= TASKS_MAX {
        map.clear();
    }
    map
}

/// Events that are held back, in the order of time.
#[derive(Default)]
struct Events {
    held: BinaryHeap<Reverse<(u64, u64)>>,
    whats: HashMap<u64, (u32, What)>,
    order: u64,
    latest_ns: u64,
    last_ns: u64,
    told: u64,
    /// Who ran last on each CPU, until when, and whether it runs on.
    ran: BTreeMap<u32, (Who, u64, bool)>,
    /// Where each task ran last.
    cpus: HashMap<u32, u32>,
    /// What was decided about a task and has not shown yet.
    decided: HashMap<u32, Decided>,
}

impl Events {
    fn add(&mut self, at_ns: u64, cpu: u32, what: What) {
        self.order += 1;
        self.held.push(Reverse((at_ns.min(TIME_MAX_NS), self.order)));
        self.whats.insert(self.order, (cpu, what));
    }

    /// Tell what happened until `until_ns`.
    fn settle(&mut self, until_ns: u64, collector: &mut Collector) {
        // Now and then: it looks at every CPU.
        if until_ns == u64::MAX || self.order.is_multiple_of(256) {
            let old = |to_ns: u64| to_ns.saturating_add(WINDOW_NS / 2) < until_ns;
            let over = self.ran.iter().filter(|(_, (_, to_ns, _))| old(*to_ns));
            let over: Vec<u32> = over.map(|(cpu, _)| *cpu).collect();
            over.into_iter().for_each(|cpu| self.end(cpu));
        }
        while let Some(&Reverse((at_ns, order))) = self.held.peek()
            && (at_ns <= until_ns || self.held.len() > HELD_MAX)
        {
            self.held.pop();
            let Some((cpu, what)) = self.whats.remove(&order) else { continue };
            self.last_ns = self.last_ns.max(at_ns);
            self.told += 1;
            collector.event(&Event {
                at_ns: self.last_ns,
                cpu,
                current: 0,
                current_comm: Comm::default(),
                context: Code::Unknown,
                what,
            });
        }
    }

    /// What ran last on `cpu` left it, and nobody followed.
    fn end(&mut self, cpu: u32) {
        if let Some((who, to_ns, _)) = self.ran.remove(&cpu) {
            self.add(to_ns, cpu, switch(Some(&who), None));
        }
    }

    fn slice(&mut self, slice: &Slice) {
        let Slice { cpu, from_ns, to_ns, ref who, more } = *slice;
        if cpu > CPU_MAX || who.pid > PID_MAX || to_ns < from_ns {
            return;
        }
        self.latest_ns = self.latest_ns.max(to_ns);
        let before = self.ran.get(&cpu).cloned();
        let goes_on = before
            .as_ref()
            .is_some_and(|(last, until, more)| *more && *last == *who && *until == from_ns);
        if !goes_on {
            let follows = before
                .filter(|(_, until, _)| from_ns.saturating_sub(*until) <= NO_GAP_NS)
                .map(|(last, ..)| last);
            if follows.is_none() {
                self.end(cpu);
            }
            self.arrive(who, cpu, from_ns);
            self.add(from_ns, cpu, switch(follows.as_ref(), Some(who)));
        }
        self.ran.insert(cpu, (who.clone(), to_ns, more));
    }

    /// A task is on `cpu` from `at_ns` on.
    fn arrive(&mut self, who: &Who, cpu: u32, at_ns: u64) {
        let from = room(&mut self.cpus).insert(who.pid, cpu);
        let decided = self.decided.remove(&who.pid);
        let Some(from) = from.filter(|from| *from != cpu) else { return };
        let unknown = Decided { kind: infer::Kind::Undetermined, price: None };
        let Decided { kind, price } = decided.unwrap_or(unknown);
        let told = Told { kind, cgroup: who.cgroup, price };
        let (pid, comm) = (who.pid, Comm::new(who.comm.as_bytes()));
        self.add(at_ns, cpu, What::Told { pid, comm, from, to: cpu, told });
    }

    fn decision(&mut self, decision: &Decision) {
        self.latest_ns = self.latest_ns.max(decision.at_ns);
        let pid = decision.who.as_ref().map(|who| who.pid);
        let Some(pid) = pid.filter(|_| decision.verdict.is_applied()) else { return };
        let kind = match decision.kind {
            Kind::Place => infer::Kind::Wakeup,
            Kind::Push => infer::Kind::Push,
            Kind::Pull => infer::Kind::Pull,
        };
        let price = decision.question.as_ref().map(|q| (q.gain_ns, q.penalty_ns));
        room(&mut self.decided).insert(pid, Decided { kind, price });
    }

    /// A moved task runs: it has waited on its new CPU.
    fn outcome(&mut self, outcome: &Outcome) {
        let Outcome { at_ns, waited_ns, cpu, ref who, .. } = *outcome;
        if cpu > CPU_MAX || who.pid > PID_MAX {
            return;
        }
        self.latest_ns = self.latest_ns.max(at_ns);
        let since_ns = at_ns.saturating_sub(waited_ns);
        self.arrive(who, cpu, since_ns);
        let (pid, comm) = (who.pid, Comm::new(who.comm.as_bytes()));
        self.add(since_ns, cpu, What::Wakeup { pid, comm, cpu, new: false });
    }
}

fn switch(prev: Option<&Who>, next: Option<&Who>) -> What {
    let pid = |who: Option<&Who>| who.map_or(0, |who| who.pid);
    let comm =
        |who: Option<&Who>| who.map_or_else(Comm::default, |who| Comm::new(who.comm.as_bytes()));
    What::Switch {
        prev: pid(prev),
        prev_comm: comm(prev),
        left: Left::Untold,
        next: pid(next),
        next_comm: comm(next),
    }
}
