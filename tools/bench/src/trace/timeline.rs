// SPDX-License-Identifier: GPL-2.0-only
//! Every task and CPU followed through a trace: who ran where, and who waited since when.
//!
//! A trace begins in the middle of things. What a task did before its first event is told by that
//! event: one that leaves a CPU had run since the beginning, one that gets a CPU without having been
//! woken had waited since the beginning, one that is woken had slept. A CPU had run whoever first
//! leaves it.
//!
//! Where two events contradict each other (clocks of two CPUs that differ a little, or lost events)
//! the later one is believed, and [`Timeline::repairs`] counts it.

use std::collections::HashMap;

use super::event::{Comm, Event, Left, Pid, What};
use super::record::Trace;

/// A wakeup may carry an earlier time than the going to sleep that it ended, by this much.
const CLOCK_SLACK_NS: u64 = 100_000;

/// A position in [`Timeline::tasks`].
pub type TaskId = usize;

/// A thread, from its birth to its death. Another with the same number is another task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The kernel's number.
    pub pid: Pid,
    /// The last name that it had.
    pub comm: Comm,
    /// It is one of the kernel's own.
    pub kernel: bool,
}

/// What a CPU did without a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The CPU.
    pub cpu: u32,
    /// Who ran; `None` if the CPU was idle.
    pub task: Option<TaskId>,
    /// From when.
    pub from_ns: u64,
    /// Until when.
    pub to_ns: u64,
    /// It began with a switch, not with the trace.
    pub switched: bool,
}

/// Why a task waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It was woken.
    Woken,
    /// It was born.
    Born,
    /// It ran, and had to leave its CPU.
    Preempted,
    /// It waited when the trace began; how long it had is not known.
    Before,
}

/// A time in which a task was runnable and did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Who.
    pub task: TaskId,
    /// Since when.
    pub from_ns: u64,
    /// Until it ran, or until the trace ended.
    pub to_ns: u64,
    /// Why.
    pub cause: Cause,
    /// It ended by running.
    pub ran: bool,
    /// The CPU that it was on when the wait began.
    pub cpu: u32,
}

/// A task that got another CPU while it did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// When.
    pub at_ns: u64,
    /// Who.
    pub task: TaskId,
    /// The CPU before.
    pub from: u32,
    /// The CPU from then on.
    pub to: u32,
    /// The wait, as a position in [`Timeline::waits`], during which it moved; `None` if it slept.
    pub wait: Option<usize>,
}

/// A task that became runnable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wakeup {
    /// When.
    pub at_ns: u64,
    /// Who.
    pub task: TaskId,
    /// It was born.
    pub new: bool,
}

/// A trace, understood.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// The time of the first event.
    pub start_ns: u64,
    /// The time of the last event.
    pub end_ns: u64,
    /// All tasks that an event names.
    pub tasks: Vec<Task>,
    /// What the CPUs did, in the order of its end. A CPU without any switch has no run.
    pub runs: Vec<Run>,
    /// Who waited, in the order of its end.
    pub waits: Vec<Wait>,
    /// Who was moved, in the order of time.
    pub moves: Vec<Move>,
    /// Who was woken, in the order of time.
    pub wakeups: Vec<Wakeup>,
    /// Marks, in the order of time.
    pub marks: Vec<(u64, String)>,
    /// Events that contradicted those before.
    pub repairs: u64,
    /// Events that the kernel could not keep.
    pub lost: u64,
}

/// Which tasks count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Those whose name begins with one of these; all if there is none.
    pub prefixes: Vec<String>,
    /// The kernel's threads too.
    pub kernel_threads: bool,
}

impl Choice {
    /// Tasks whose names begin with `prefix`.
    pub fn prefix(prefix: &str) -> Self {
        Self { prefixes: vec![prefix.to_string()], kernel_threads: false }
    }

    /// True if `task` counts.
    pub fn takes(&self, task: &Task) -> bool {
        let named = self.prefixes.is_empty()
            || self.prefixes.iter().any(|prefix| task.comm.starts_with(prefix));
        named && (self.kernel_threads || !task.kernel)
    }
}

impl Timeline {
    /// Follow all events of `trace`.
    pub fn of(trace: &Trace) -> Self {
        let (first, last) = (trace.events.first(), trace.events.last());
        let at = |event: Option<&Event>| event.map_or(0, |event| event.at_ns);
        let line =
            Self { start_ns: at(first), end_ns: at(last), lost: trace.lost(), ..Self::default() };
        let mut follower = Follower { line, ..Follower::default() };
        trace.events.iter().for_each(|event| follower.follow(event));
        let mut line = follower.finish();
        for task in &mut line.tasks {
            task.kernel = trace.kernel_threads.contains(&task.pid) || is_worker(task.comm);
        }
        line
    }

    /// For each task whether `choice` takes it.
    pub fn chosen(&self, choice: &Choice) -> Vec<bool> {
        self.tasks.iter().map(|task| choice.takes(task)).collect()
    }
}

/// The kernel's workers come and go, so the list of its threads misses some.
fn is_worker(comm: Comm) -> bool {
    comm.starts_with("kworker/")
}

/// What a task is doing.
#[derive(Clone, Debug)]
enum State {
    /// No event has told yet. Moves so far, by position.
    Unknown(Vec<usize>),
    Asleep {
        since_ns: u64,
        woken_early: bool,
    },
    Waiting(Open),
    Running(u32),
}

/// A wait that goes on. Moves so far, by position.
#[derive(Clone, Debug)]
struct Open {
    since_ns: u64,
    cause: Cause,
    cpu: u32,
    moves: Vec<usize>,
}

/// What is known of a task while the events go by.
#[derive(Clone, Debug)]
struct Known {
    state: State,
    /// When it was last woken while it ran.
    woken_running_ns: Option<u64>,
}

/// What a CPU is doing.
#[derive(Clone, Copy, Debug)]
struct Occupied {
    task: Option<TaskId>,
    since_ns: u64,
    switched: bool,
}

#[derive(Debug, Default)]
struct Follower {
    line: Timeline,
    known: Vec<Known>,
    /// The living task of each number; `None` once it has died.
    living: HashMap<Pid, Option<TaskId>>,
    cpus: HashMap<u32, Occupied>,
}

impl Follower {
    fn follow(&mut self, event: &Event) {
        let at_ns = event.at_ns;
        match &event.what {
            What::Switch { prev, prev_comm, left, next, next_comm } => {
                let prev = self.task(*prev, *prev_comm, at_ns);
                self.occupy(event.cpu, prev, at_ns);
                if let Some(prev) = prev {
                    self.leave(prev, event.cpu, *left, at_ns);
                }
                let next = self.task(*next, *next_comm, at_ns);
                let now = Occupied { task: next, since_ns: at_ns, switched: true };
                self.cpus.insert(event.cpu, now);
                if let Some(next) = next {
                    self.enter(next, event.cpu, at_ns);
                }
            }
            What::Wakeup { pid, comm, cpu, new } => {
                if *new {
                    self.living.remove(pid);
                }
                if let Some(task) = self.task(*pid, *comm, at_ns) {
                    self.wake(task, *cpu, *new, at_ns);
                }
            }
            What::Migrate { pid, comm, from, to } => {
                if let Some(task) = self.task(*pid, *comm, at_ns) {
                    self.migrate(task, *from, *to, at_ns);
                }
            }
            What::Mark(text) => self.line.marks.push((at_ns, text.clone())),
        }
    }

    /// The living task of number `pid`, with its newest name; `None` for an idle task.
    fn task(&mut self, pid: Pid, comm: Comm, at_ns: u64) -> Option<TaskId> {
        if pid == 0 {
            return None;
        }
        let id = match self.living.get(&pid) {
            Some(Some(id)) => *id,
            seen => {
                // The first of its number may have done anything before. One that follows a dead
                // one was born unseen; it counts as asleep until now.
                let state = match seen {
                    None => State::Unknown(Vec::new()),
                    Some(_) => State::Asleep { since_ns: at_ns, woken_early: false },
                };
                let id = self.known.len();
                self.known.push(Known { state, woken_running_ns: None });
                self.line.tasks.push(Task { pid, comm, kernel: false });
                self.living.insert(pid, Some(id));
                id
            }
        };
        self.line.tasks[id].comm = comm;
        Some(id)
    }

    /// End what `cpu` did until now, which was to run `prev`.
    fn occupy(&mut self, cpu: u32, prev: Option<TaskId>, at_ns: u64) {
        let since_start = Occupied { task: prev, since_ns: self.line.start_ns, switched: false };
        let was = self.cpus.get(&cpu).copied().unwrap_or(since_start);
        if was.task != prev {
            self.line.repairs += 1;
        }
        self.end_run(cpu, was, at_ns);
    }

    fn end_run(&mut self, cpu: u32, was: Occupied, at_ns: u64) {
        let Occupied { task, since_ns, switched } = was;
        self.line.runs.push(Run { cpu, task, from_ns: since_ns, to_ns: at_ns, switched });
    }

    fn leave(&mut self, task: TaskId, cpu: u32, left: Left, at_ns: u64) {
        let known = &mut self.known[task];
        match known.state {
            State::Running(running) if running != cpu => {
                // It has already entered another CPU, so this event is late.
                self.line.repairs += 1;
                return;
            }
            State::Asleep { .. } => self.line.repairs += 1,
            // Waiting: its first event was a wakeup, which came while it ran.
            State::Running(_) | State::Waiting(_) | State::Unknown(_) => {}
        }
        let early = |woken_ns: u64| at_ns.saturating_sub(woken_ns) <= CLOCK_SLACK_NS;
        known.state = match left {
            Left::Runnable => State::Waiting(Open {
                since_ns: at_ns,
                cause: Cause::Preempted,
                cpu,
                moves: Vec::new(),
            }),
            Left::Asleep | Left::Dead => State::Asleep {
                since_ns: at_ns,
                woken_early: known.woken_running_ns.is_some_and(early),
            },
        };
        known.woken_running_ns = None;
        if left == Left::Dead {
            self.living.insert(self.line.tasks[task].pid, None);
        }
    }

    fn enter(&mut self, task: TaskId, cpu: u32, at_ns: u64) {
        let open = |since_ns, cause, cpu, moves| Open { since_ns, cause, cpu, moves };
        match std::mem::replace(&mut self.known[task].state, State::Running(cpu)) {
            State::Waiting(wait) => self.end_wait(task, wait, at_ns, true),
            State::Unknown(moves) => {
                let first = moves.first().map_or(cpu, |&moved| self.line.moves[moved].from);
                let wait = open(self.line.start_ns, Cause::Before, first, moves);
                self.end_wait(task, wait, at_ns, true);
            }
            State::Asleep { since_ns, woken_early } => {
                self.line.repairs += 1;
                if woken_early {
                    let wait = open(since_ns, Cause::Woken, cpu, Vec::new());
                    self.end_wait(task, wait, at_ns, true);
                }
            }
            State::Running(_) => self.line.repairs += 1,
        }
    }

    fn wake(&mut self, task: TaskId, cpu: u32, new: bool, at_ns: u64) {
        self.line.wakeups.push(Wakeup { at_ns, task, new });
        let known = &mut self.known[task];
        match known.state {
            State::Unknown(_) | State::Asleep { .. } => {
                let cause = if new { Cause::Born } else { Cause::Woken };
                let open = Open { since_ns: at_ns, cause, cpu, moves: Vec::new() };
                known.state = State::Waiting(open);
            }
            State::Running(_) => known.woken_running_ns = Some(at_ns),
            State::Waiting(_) => {}
        }
    }

    fn migrate(&mut self, task: TaskId, from: u32, to: u32, at_ns: u64) {
        let position = self.line.moves.len();
        self.line.moves.push(Move { at_ns, task, from, to, wait: None });
        match &mut self.known[task].state {
            State::Unknown(moves) | State::Waiting(Open { moves, .. }) => moves.push(position),
            State::Asleep { .. } | State::Running(_) => {}
        }
    }

    fn end_wait(&mut self, task: TaskId, open: Open, at_ns: u64, ran: bool) {
        let position = self.line.waits.len();
        for moved in open.moves {
            self.line.moves[moved].wait = Some(position);
        }
        let Open { since_ns, cause, cpu, .. } = open;
        self.line.waits.push(Wait { task, from_ns: since_ns, to_ns: at_ns, cause, ran, cpu });
    }

    /// Whatever goes on when the trace ends, ends with it.
    fn finish(mut self) -> Timeline {
        let end_ns = self.line.end_ns;
        let mut cpus: Vec<_> = std::mem::take(&mut self.cpus).into_iter().collect();
        cpus.sort_unstable_by_key(|(cpu, _)| *cpu);
        for (cpu, was) in cpus {
            self.end_run(cpu, was, end_ns);
        }
        for (task, known) in std::mem::take(&mut self.known).into_iter().enumerate() {
            if let State::Waiting(open) = known.state {
                self.end_wait(task, open, end_ns, false);
            }
        }
        self.line
    }
}
