// SPDX-License-Identifier: GPL-2.0-only
//! A thread of its own that decides about each process that has settled, and has its memory moved.
//!
//!  1. Where did its threads run since the last look, by `/proc`? Nowhere in particular: leave it
//!  2. Where are its pages? A random sample says
//!  3. Which way costs less? [`follow::decide`]
//!  4. Memory: which of its mappings may move? Decide again with their pages, and start a mover
//!  5. Whatever came of it, leave the process alone for a while; twice as long after each failure

use super::away::Away;
use super::budget::Budgets;
use super::mover::{self, Done, Job};
use super::pages::{self, Dice};
use super::process::{self, Thread};
use crate::model::follow::{self, Choice, MoveCost, Settled, Verdict};
use crate::units::{NodeId, Ns, PerMille};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

/// How long a process is left alone after a decision.
const REST: Duration = Duration::from_secs(10);
/// ... and at most, after many failures.
const MAX_REST: Duration = Duration::from_secs(640);
/// How long after it was found that nothing pays.
const SHORT_REST: Duration = Duration::from_secs(2);
/// Share of a sample that has to be on a node for the memory to count as being there.
const VERIFIED: f64 = 0.8;

/// One node as the judge needs to know it.
#[derive(Debug, Clone)]
pub struct NodeScene {
    /// The kernel's number.
    pub kernel_id: u32,
    /// The kernel's numbers of its CPUs.
    pub cpus: Vec<u32>,
    /// Expected wait of a turn in its emptiest LLC.
    pub wait: Ns,
    /// What its CPUs had to spare since the look before, 1000 for each that idled.
    pub spare: PerMille,
}

/// The machine at one instant, and who has settled since the last.
#[derive(Debug, Clone)]
pub struct Scene {
    /// By our number.
    pub nodes: Vec<NodeScene>,
    /// Extra run time, `[memory node][CPU node]`.
    pub remote: Vec<Vec<PerMille>>,
    /// P of a move between nodes for a task with a full share of cache.
    pub way: Ns,
    /// Length of one turn.
    pub turn: Ns,
    /// Who has settled.
    pub away: Vec<Away>,
}

/// A decision, as it is printed.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// The process.
    pub pid: u32,
    /// `stay`, `bring`, `go_home`; or `none` where it did not come to a choice.
    pub choice: &'static str,
    /// Why nothing was done, or why it was not done to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<&'static str>,
    /// True if it is only said what would be done.
    pub advice: bool,
    /// The kernel's number of the node of its memory, as the scheduler knew it.
    pub from: u32,
    /// ... and of the node where it runs.
    pub to: u32,
    /// How long it had been there, in ns.
    pub stayed_ns: u64,
    /// Busy time per wall-clock time, in thousandths.
    pub busy_pm: u32,
    /// Pages by the kernel's number of their node, estimated from a sample.
    pub pages: BTreeMap<u32, u64>,
    /// What moving the memory would save and cost, in ns.
    pub bring_saves_ns: u64,
    /// See `bring_saves_ns`.
    pub bring_costs_ns: u64,
    /// What going home would save and cost, in ns; nothing where it may not.
    pub home_saves_ns: Option<u64>,
    /// See `home_saves_ns`.
    pub home_costs_ns: Option<u64>,
    /// Bytes that were moved.
    pub moved_bytes: u64,
    /// ... by the kernel's numbers of the nodes, `FROM:TO`.
    pub moved: BTreeMap<String, u64>,
    /// Time that this took, waiting for the budgets included, in ns.
    pub moving_ns: u64,
    /// Pages that did not move.
    pub failed_pages: u64,
    /// Share of a second sample on the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<f64>,
}

/// What the loop has to do.
pub enum Told {
    /// Write this down.
    Record(Box<Record>),
    /// The memory of these threads is on another node now.
    Moved(Vec<u32>, NodeId),
    /// These threads are to go where their memory is.
    Push(Vec<u32>),
}

/// What came back from a mover.
pub struct Finished {
    job: Job,
    record: Box<Record>,
    to: NodeId,
    done: Done,
}

/// What is to be moved to one node: one job at a time, since all share its budget.
#[derive(Default)]
struct Desk {
    at_work: bool,
    waiting: VecDeque<(Job, Box<Record>)>,
}

/// What the judge hears.
pub enum Heard {
    /// A new look.
    Scene(Scene),
    /// A mover has ended.
    Finished(Box<Finished>),
}

/// Why a process is left alone.
struct Rest {
    until: Instant,
    failures: u32,
}

/// Threads at the last look, and when that was.
type Seen = (Instant, HashMap<u32, Thread>);

/// The judge.
pub struct Judge {
    advise: bool,
    tell: Sender<Told>,
    myself: Sender<Heard>,
    budgets: Arc<Budgets>,
    /// By target.
    desks: Vec<Desk>,
    cost: MoveCost,
    seen: HashMap<u32, Seen>,
    rests: HashMap<u32, Rest>,
    dice: Dice,
}

impl Judge {
    /// One for a machine with so many nodes; `advise`: moves nothing. `myself` is where it hears.
    pub fn new(nodes: usize, advise: bool, tell: Sender<Told>, myself: Sender<Heard>) -> Judge {
        Judge {
            advise,
            tell,
            myself,
            budgets: Arc::new(Budgets::new(nodes, Instant::now())),
            desks: (0..nodes).map(|_| Desk::default()).collect(),
            cost: MoveCost::default(),
            seen: HashMap::new(),
            rests: HashMap::new(),
            dice: Dice::new(u64::from(std::process::id())),
        }
    }

    /// Judge until `stop` says so or nobody sends any more.
    pub fn run(mut self, hear: &Receiver<Heard>, stop: impl Fn() -> bool) {
        if let Err(err) = pages::keep_least_privilege() {
            log::warn!("the thread that moves memory keeps all its capabilities: {err}");
        }
        while let Ok(heard) = hear.recv() {
            if stop() {
                return;
            }
            match heard {
                Heard::Scene(scene) => self.look(&scene),
                Heard::Finished(finished) => self.finished(*finished),
            }
        }
    }

    fn look(&mut self, scene: &Scene) {
        let now = Instant::now();
        let mut processes: BTreeMap<u32, Vec<&Away>> = BTreeMap::new();
        for away in &scene.away {
            processes.entry(away.tgid).or_default().push(away);
        }
        // Whoever is not away any more is forgotten, and so are rests that are long over.
        self.seen.retain(|pid, _| processes.contains_key(pid));
        self.rests.retain(|_, rest| now.saturating_duration_since(rest.until) < MAX_REST);
        for (pid, away) in processes {
            if self.rests.get(&pid).is_some_and(|rest| now < rest.until) {
                continue;
            }
            if self.consider(scene, pid, &away, now).is_err() {
                // It has gone.
                self.seen.remove(&pid);
            }
        }
    }

    /// Rest after a decision that was carried out, or was not.
    fn rest(&mut self, pid: u32, failed: bool) {
        let failures = match failed {
            true => self.rests.get(&pid).map_or(0, |rest| rest.failures) + 1,
            false => 0,
        };
        let rest = (REST * 2u32.pow(failures.min(6))).min(MAX_REST);
        self.rests.insert(pid, Rest { until: Instant::now() + rest, failures });
    }

    fn consider(
        &mut self,
        scene: &Scene,
        pid: u32,
        away: &[&Away],
        now: Instant,
    ) -> std::io::Result<()> {
        let threads = process::threads(pid)?;
        let Some((then, before)) = self.seen.insert(pid, (now, threads.clone())) else {
            return Ok(());
        };
        let (busy, running) = busy_by_node(scene, &before, &threads);
        let span = now.saturating_duration_since(then).as_nanos() as u64;
        let Some(away) = away.iter().max_by_key(|away| away.stayed) else { return Ok(()) };
        let mut record = Box::new(self.blank(scene, pid, away));
        let total: u64 = busy.iter().sum();
        record.busy_pm = (total.saturating_mul(1000) / span.max(1)) as u32;
        if follow::majority(&busy) != Some(away.node.index()) {
            return self.refuse(record, "spread");
        }
        let limits = process::limits(pid)?;
        let regions = process::regions(pid)?;
        let sample = pages::sample(pid, &regions, &mut self.dice)?;
        let found: u64 = sample.values().sum();
        if found < pages::SAMPLE_LEAST {
            return self.refuse(record, "few_pages");
        }
        let private = process::private_pages(pid)?;
        let share =
            |pages: &u64| (u128::from(private) * u128::from(*pages) / u128::from(found)) as u64;
        record.pages = sample.iter().map(|(node, pages)| (*node, share(pages))).collect();
        let may_go = scene
            .nodes
            .get(away.home.index())
            .is_some_and(|node| node.cpus.iter().any(|cpu| limits.cpus.contains(cpu)));
        let mut settled = self.settled(scene, away, &record, running.max(1));
        settled.way_home = may_go.then_some(scene.way);
        let mut verdict = follow::decide(&settled);
        if verdict.choice == Choice::Bring {
            let target = record.to;
            if !limits.nodes.contains(&target) {
                return self.refuse(numbers(record, &verdict), "cpuset");
            }
            if private.saturating_mul(pages::PAGE) > process::MAX_BYTES {
                return self.refuse(numbers(record, &verdict), "too_big");
            }
            let locked = limits.locked_kib > 0;
            let (movable, kept) = process::movable(pid, &regions, target, locked)?;
            settled.movable = movable.iter().map(|(_, pages)| pages).sum();
            verdict = follow::decide(&settled);
            // Where most would stay, the rest stays with it, and the task keeps its home.
            let shared = limits.shared_kib * 1024 / pages::PAGE;
            let stays = kept.values().sum::<u64>() + shared;
            if verdict.choice == Choice::Bring && settled.movable > stays {
                let regions = movable.into_iter().map(|(region, _)| region).collect();
                return self.bring(scene, numbers(record, &verdict), away.node, regions);
            }
            let why = kept.into_iter().chain([("shared", shared)]).max_by_key(|(_, pages)| *pages);
            if let Some((why, 1..)) = why {
                return self.refuse(numbers(record, &verdict), why);
            }
        }
        record = numbers(record, &verdict);
        match verdict.choice {
            Choice::GoHome => {
                self.rest(pid, false);
                if !self.advise {
                    let _ = self.tell.send(Told::Push(threads.keys().copied().collect()));
                }
            }
            _ => {
                // It was first touched here, or came here by itself.
                if near(&record) >= VERIFIED && !self.advise {
                    let threads = threads.keys().copied().collect();
                    let _ = self.tell.send(Told::Moved(threads, away.node));
                }
                let until = Instant::now() + SHORT_REST;
                self.rests.insert(pid, Rest { until, failures: 0 });
            }
        }
        let _ = self.tell.send(Told::Record(record));
        Ok(())
    }

    fn blank(&self, scene: &Scene, pid: u32, away: &Away) -> Record {
        let kernel_id =
            |node: NodeId| scene.nodes.get(node.index()).map_or(node.0, |n| n.kernel_id);
        Record {
            pid,
            choice: "none",
            refused: None,
            advice: self.advise,
            from: kernel_id(away.home),
            to: kernel_id(away.node),
            stayed_ns: away.stayed.get(),
            busy_pm: 0,
            pages: BTreeMap::new(),
            bring_saves_ns: 0,
            bring_costs_ns: 0,
            home_saves_ns: None,
            home_costs_ns: None,
            moved_bytes: 0,
            moved: BTreeMap::new(),
            moving_ns: 0,
            failed_pages: 0,
            verified: None,
        }
    }

    fn settled(&self, scene: &Scene, away: &Away, record: &Record, cpus: u32) -> Settled {
        let rates = |to: NodeId| -> Vec<PerMille> {
            let rate = |row: &Vec<PerMille>| row.get(to.index()).copied().unwrap_or_default();
            scene.remote.iter().map(rate).collect()
        };
        let wait = |node: NodeId| scene.nodes.get(node.index()).map_or(Ns::ZERO, |n| n.wait);
        let pages = |node: &NodeScene| record.pages.get(&node.kernel_id).copied().unwrap_or(0);
        Settled {
            pages: scene.nodes.iter().map(pages).collect(),
            remote_here: rates(away.node),
            remote_home: rates(away.home),
            movable: u64::MAX,
            busy: PerMille::new(record.busy_pm),
            stayed: away.stayed,
            cpus,
            turn: scene.turn,
            wait_here: wait(away.node),
            wait_home: wait(away.home),
            spare_home: scene.nodes.get(away.home.index()).map_or(PerMille::ZERO, |n| n.spare),
            way_home: None,
            cost: self.cost,
        }
    }

    fn refuse(&mut self, mut record: Box<Record>, why: &'static str) -> std::io::Result<()> {
        record.refused = Some(why);
        self.rest(record.pid, true);
        let _ = self.tell.send(Told::Record(record));
        Ok(())
    }

    /// Have the memory moved, after what is moved to the same node already.
    fn bring(
        &mut self,
        scene: &Scene,
        record: Box<Record>,
        to: NodeId,
        regions: Vec<process::Region>,
    ) -> std::io::Result<()> {
        if self.advise {
            self.rest(record.pid, false);
            let _ = self.tell.send(Told::Record(record));
            return Ok(());
        }
        let pid = record.pid;
        let numbers = scene.nodes.iter().enumerate().map(|(i, node)| (node.kernel_id, i)).collect();
        let job = Job { pid, began: process::began(pid)?, regions, target: record.to, numbers };
        // Until it reports, however long it takes.
        self.rests.insert(pid, Rest { until: Instant::now() + MAX_REST, failures: 0 });
        if let Some(desk) = self.desks.get_mut(to.index()) {
            desk.waiting.push_back((job, record));
        }
        self.start(to);
        Ok(())
    }

    /// Start the next mover for `to`, unless one is at work.
    fn start(&mut self, to: NodeId) {
        let Some(desk) = self.desks.get_mut(to.index()).filter(|desk| !desk.at_work) else {
            return;
        };
        let Some((job, record)) = desk.waiting.pop_front() else { return };
        let pid = job.pid;
        let (budgets, back) = (Arc::clone(&self.budgets), self.myself.clone());
        let thread = std::thread::Builder::new().name(format!("toll-move-{}", to.0));
        let started = thread.spawn(move || {
            let done = mover::run(&job, &budgets);
            let finished = Finished { job, record, to, done };
            let _ = back.send(Heard::Finished(Box::new(finished)));
        });
        match started {
            Ok(_) => desk.at_work = true,
            Err(err) => {
                log::warn!("no thread to move the memory of {pid}: {err}");
                self.rest(pid, true);
            }
        }
    }

    fn finished(&mut self, finished: Finished) {
        let Finished { job, mut record, to, done } = finished;
        if let Some(desk) = self.desks.get_mut(to.index()) {
            desk.at_work = false;
        }
        self.start(to);
        if let Some(page) = done.cost_of_page(self.cost) {
            // Half the old figure and half the new one.
            self.cost.page = Ns::new((self.cost.page.get() + page.get()) / 2);
        }
        record.moved_bytes = done.bytes.values().sum();
        record.moved = done
            .bytes
            .iter()
            .map(|(from, bytes)| (format!("{from}:{}", job.target), *bytes))
            .collect();
        record.moving_ns = done.lasted_ns;
        record.failed_pages = done.failed;
        record.verified = done.verified;
        record.refused = done.stopped;
        let arrived = done.verified.is_some_and(|share| share >= VERIFIED);
        self.rest(job.pid, !arrived);
        if arrived && let Ok(threads) = process::threads(job.pid) {
            let _ = self.tell.send(Told::Moved(threads.into_keys().collect(), to));
        }
        let _ = self.tell.send(Told::Record(record));
    }
}

/// Share of the pages that are where the process runs.
fn near(record: &Record) -> f64 {
    let all: u64 = record.pages.values().sum();
    let near = record.pages.get(&record.to).copied().unwrap_or(0);
    near as f64 / all.max(1) as f64
}

/// The numbers of `verdict` in `record`.
fn numbers(mut record: Box<Record>, verdict: &Verdict) -> Box<Record> {
    record.choice = verdict.choice.name();
    record.bring_saves_ns = verdict.bring.saves.get();
    record.bring_costs_ns = verdict.bring.costs.get();
    record.home_saves_ns = verdict.go_home.map(|way| way.saves.get());
    record.home_costs_ns = verdict.go_home.map(|way| way.costs.get());
    record
}

/// Run time since the last look by node where each thread is now, and how many of them ran.
fn busy_by_node(
    scene: &Scene,
    before: &HashMap<u32, Thread>,
    now: &HashMap<u32, Thread>,
) -> (Vec<u64>, u32) {
    let mut busy = vec![0; scene.nodes.len()];
    let mut running = 0;
    for (tid, thread) in now {
        let ran = thread.ran_ns.saturating_sub(before.get(tid).map_or(0, |thread| thread.ran_ns));
        let node = scene.nodes.iter().position(|node| node.cpus.contains(&thread.cpu));
        let Some(node) = node.filter(|_| ran > 0) else { continue };
        busy[node] += ran;
        running += 1;
    }
    (busy, running)
}
