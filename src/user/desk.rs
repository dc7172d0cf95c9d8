// SPDX-License-Identifier: GPL-2.0-only
//! Queues, free CPUs, and the decisions between them.

use super::task::{Known, Move};
use super::{Allowed, Arrival, Order};
use crate::events::{Kind, Verdict};
use crate::model::capacity;
use crate::model::decide::{self, Gate, Migrate};
use crate::model::rule::{self, Answer, Ruling, Terms};
use crate::policy::{LEAST_SLICE, Policy};
use crate::stats::{Counters, LlcSnapshot};
use crate::topology::{Level, Topology};
use crate::units::{LlcId, Q10_ONE};
use std::collections::{BTreeSet, HashMap};

/// Tasks of a queue that a free CPU of another LLC looks at, as `TOLL_PULL_LOOK`.
const LOOK: usize = 4;
/// Tasks that are remembered before those are forgotten that were long not heard of.
const KNOWN_MAX: usize = 16_384;
/// How long a task is remembered then, in ns.
const FORGET_NS: u64 = 1_000_000_000;
/// A CPU that is called idle so soon after it was given a task has not begun with it yet.
const BEGIN_NS: u64 = 500_000;

/// A task that waits.
#[derive(Debug)]
struct Waiting {
    arrival: Arrival,
    llc: u32,
    deadline_ns: u64,
    /// Expected run time of its next turn.
    expect_ns: u64,
    since_ns: u64,
}

/// What a CPU was given last.
#[derive(Debug, Clone, Copy)]
struct Given {
    pid: i32,
    at_ns: u64,
    /// When it is expected to end, and when it will have ended.
    end_ns: u64,
    until_ns: u64,
}

#[derive(Debug)]
struct Cpu {
    llc: u32,
    given: Option<Given>,
}

#[derive(Debug, Default)]
struct Queue {
    /// By deadline.
    tasks: BTreeSet<(u64, i32)>,
    queued_ns: u64,
    busy_ns: u64,
    vtime_ns: u64,
    capacity_q10: u32,
    cap_ns: u64,
}

/// What a task in some LLC has to say before any target is asked for.
struct Asker {
    from: u32,
    wait_from_ns: u64,
    turns: u32,
    span_ns: u64,
    warm_from_ns: u64,
    home: Option<u32>,
}

/// Everything that is decided from.
#[derive(Debug)]
pub struct Desk {
    topo: Topology,
    policy: Policy,
    cpus: Vec<Option<Cpu>>,
    queues: Vec<Queue>,
    outward: Vec<Vec<LlcId>>,
    gates: HashMap<(u32, u32), Gate>,
    known: HashMap<i32, Known>,
    waiting: HashMap<i32, Waiting>,
    counters: Counters,
}

impl Desk {
    /// Nobody waits, every CPU is free.
    pub fn new(topo: Topology, policy: Policy) -> Desk {
        let mut cpus: Vec<Option<Cpu>> = (0..topo.nr_cpu_ids()).map(|_| None).collect();
        for cpu in &topo.cpus {
            cpus[cpu.id.index()] = Some(Cpu { llc: cpu.llc.0, given: None });
        }
        let queue = |llc: &crate::topology::Llc| {
            let share_kib = llc.cache_kib / llc.cpus.len().max(1) as u32;
            let cap_ns = u64::from(share_kib) * u64::from(policy.warm_ns_per_kib);
            let capacity_q10 = capacity::of_llc(&topo, llc);
            Queue { capacity_q10, cap_ns, ..Queue::default() }
        };
        Desk {
            cpus,
            queues: topo.llcs.iter().map(queue).collect(),
            outward: topo.llcs.iter().map(|llc| topo.outward(llc.id)).collect(),
            gates: HashMap::new(),
            known: HashMap::new(),
            waiting: HashMap::new(),
            counters: Counters::default(),
            topo,
            policy,
        }
    }

    /// Tasks that wait.
    pub fn nr_waiting(&self) -> usize {
        self.waiting.len()
    }

    /// What was counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The state of each LLC at `now_ns`.
    pub fn llcs(&self, now_ns: u64) -> Vec<LlcSnapshot> {
        let of = |llc: &crate::topology::Llc| {
            let queue = &self.queues[llc.id.index()];
            let free = llc.cpus.iter().filter(|cpu| self.is_free(cpu.0, now_ns)).count();
            LlcSnapshot {
                node: llc.node.0,
                cpus: llc.cpus.len() as u32,
                queued_ns: queue.queued_ns,
                queued: queue.tasks.len() as u64,
                running: (llc.cpus.len() - free) as u64,
                idle: free as u64,
                wait_ns: self.wait(llc.id.0, 0, &Allowed::All, now_ns),
                busy_ns: queue.busy_ns,
            }
        };
        self.topo.llcs.iter().map(of).collect()
    }

    /// The kernel calls `cpu` idle.
    pub fn idle(&mut self, cpu: u32, now_ns: u64) {
        let Some(cpu) = self.cpus.get_mut(cpu as usize).and_then(Option::as_mut) else { return };
        match &mut cpu.given {
            Some(given) if now_ns.saturating_sub(given.at_ns) < BEGIN_NS => {
                given.until_ns = given.until_ns.min(given.at_ns + BEGIN_NS);
            }
            given => *given = None,
        }
    }

    /// `a` wants to run. It waits from now on; if it did already, that is replaced.
    pub fn arrive(&mut self, a: Arrival, now_ns: u64) {
        self.leave(a.pid);
        let Some(from) = self.llc_of(a.cpu) else { return self.arrive_nowhere(a, now_ns) };
        if let Some(cpu) = self.cpus[a.cpu as usize].as_mut()
            && cpu.given.is_some_and(|given| given.pid == a.pid)
        {
            cpu.given = None;
        }
        self.counters.wakes += u64::from(a.run_ns == 0);
        let expect_ns = self.account(&a, from, now_ns);
        let to = self.choose(&a, from, expect_ns, now_ns);
        self.queue(a, to, expect_ns, now_ns);
    }

    /// A task from a CPU that this machine did not have at the start: any LLC will do.
    fn arrive_nowhere(&mut self, a: Arrival, now_ns: u64) {
        self.counters.wakes += u64::from(a.run_ns == 0);
        let slice_ns = self.policy.slice.get();
        self.queue(a, 0, slice_ns, now_ns);
    }

    fn llc_of(&self, cpu: u32) -> Option<u32> {
        self.cpus.get(cpu as usize)?.as_ref().map(|cpu| cpu.llc)
    }

    /// Account for what it ran, and return what it is expected to run in its next turn, in ns.
    fn account(&mut self, a: &Arrival, llc: u32, now_ns: u64) -> u64 {
        if self.known.len() >= KNOWN_MAX {
            let waiting = &self.waiting;
            self.known.retain(|pid, known| {
                now_ns.saturating_sub(known.seen_ns) < FORGET_NS || waiting.contains_key(pid)
            });
        }
        let node = self.topo.llcs[llc as usize].node.0;
        let before = self.known.get(&a.pid).and_then(|known| known.ran_cpu);
        let queue = &mut self.queues[llc as usize];
        let known = self.known.entry(a.pid).or_default();
        known.seen_ns = now_ns;
        let ran_ns = known.account(a, llc, node, queue.busy_ns, queue.cap_ns, &self.policy);
        queue.busy_ns += ran_ns;
        // No long sleep buys the CPU for long.
        let slice_ns = self.policy.slice.get();
        known.vtime_ns = known.vtime_ns.max(queue.vtime_ns.saturating_sub(slice_ns));
        let expect_ns = decide::expect_turn(known.avg_run_ns, known.run_ns, slice_ns);
        if ran_ns > 0 {
            self.landed(a, before, llc);
        }
        expect_ns
    }

    /// It has run since it was last seen: where, how long it had waited, and whether that paid.
    fn landed(&mut self, a: &Arrival, before: Option<u32>, llc: u32) {
        let moved = self.known.get_mut(&a.pid).and_then(|known| known.moved.take());
        if let Some(before) = before.filter(|before| *before != a.cpu) {
            let kind = moved.map_or(3, |moved| moved.kind as usize);
            let from = self.llc_of(before).unwrap_or(llc);
            let level = self.topo.level(LlcId(from), LlcId(llc));
            self.counters.landed[kind][level.index()] += 1;
        }
        let Some(moved) = moved else { return };
        let waited_ns = a.start_ns.saturating_sub(moved.at_ns);
        if moved.for_gain {
            let saved_ns = decide::gain(moved.wait_from_ns, waited_ns, moved.turns);
            let (gain_ns, cost_ns) = (moved.gain_ns.max(0) as u64, moved.penalty_ns.max(0) as u64);
            let counters = &mut self.counters;
            counters.judged += 1;
            counters.paid += u64::from(saved_ns > moved.penalty_ns);
            counters.gain_ns += gain_ns;
            counters.cost_ns += cost_ns;
            counters.gain_hist[decide::hist_slot(gain_ns) as usize] += 1;
            counters.cost_hist[decide::hist_slot(cost_ns) as usize] += 1;
        }
    }

    // ---- waiting ------------------------------------------------------------------------------

    fn queue(&mut self, arrival: Arrival, llc: u32, expect_ns: u64, now_ns: u64) {
        let queue = &mut self.queues[llc as usize];
        let vtime_ns = self.known.get(&arrival.pid).map_or(queue.vtime_ns, |known| known.vtime_ns);
        let weight_q10 = arrival.weight.max(1).saturating_mul(u64::from(Q10_ONE));
        let deadline_ns = vtime_ns.saturating_add(decide::vtime(expect_ns, weight_q10));
        queue.tasks.insert((deadline_ns, arrival.pid));
        queue.queued_ns += expect_ns;
        let pid = arrival.pid;
        let waiting = Waiting { arrival, llc, deadline_ns, expect_ns, since_ns: now_ns };
        self.waiting.insert(pid, waiting);
    }

    /// `pid` does not wait any longer.
    fn leave(&mut self, pid: i32) -> Option<Waiting> {
        let waiting = self.waiting.remove(&pid)?;
        let queue = &mut self.queues[waiting.llc as usize];
        queue.tasks.remove(&(waiting.deadline_ns, pid));
        queue.queued_ns = queue.queued_ns.saturating_sub(waiting.expect_ns);
        Some(waiting)
    }

    fn is_free(&self, cpu: u32, now_ns: u64) -> bool {
        let cpu = self.cpus.get(cpu as usize).and_then(Option::as_ref);
        cpu.is_some_and(|cpu| cpu.given.is_none_or(|given| given.until_ns <= now_ns))
    }

    fn free_cpu(&self, llc: u32, allowed: &Allowed, prefer: u32, now_ns: u64) -> Option<u32> {
        let cpus = || self.topo.llcs[llc as usize].cpus.iter().map(|cpu| cpu.0);
        let usable = |cpu: &u32| allowed.has(*cpu) && self.is_free(*cpu, now_ns);
        // One whose turn should be over may run the same task on; one that is empty does not.
        let empty = |cpu: &u32| {
            let cpu = self.cpus.get(*cpu as usize).and_then(Option::as_ref);
            cpu.is_some_and(|cpu| cpu.given.is_none())
        };
        let prefer = Some(prefer).filter(|cpu| self.llc_of(*cpu) == Some(llc) && usable(cpu));
        let prefer = prefer.filter(empty);
        prefer
            .or_else(|| cpus().find(|cpu| usable(cpu) && empty(cpu)))
            .or_else(|| cpus().find(usable))
    }

    fn may_use(&self, llc: u32, allowed: &Allowed) -> bool {
        self.topo.llcs[llc as usize].cpus.iter().any(|cpu| allowed.has(cpu.0))
    }

    /// W of `llc` with `extra_ns` more in its queue, for a task that may use these CPUs: 0 while one
    /// of them is free.
    fn wait(&self, llc: u32, extra_ns: u64, allowed: &Allowed, now_ns: u64) -> u64 {
        let queue = &self.queues[llc as usize];
        if queue.tasks.is_empty() && self.free_cpu(llc, allowed, u32::MAX, now_ns).is_some() {
            return 0;
        }
        let cpus = self.topo.llcs[llc as usize].cpus.iter();
        let cpus = cpus.filter_map(|cpu| self.cpus.get(cpu.index())?.as_ref());
        let need_ns = cpus.filter_map(|cpu| cpu.given).fold(0u64, |sum, given| {
            sum + given.end_ns.saturating_sub(now_ns).min(self.policy.slice.get())
        });
        decide::wait(queue.queued_ns + extra_ns, need_ns, queue.capacity_q10)
    }

    // ---- the question -------------------------------------------------------------------------

    fn asker(&self, pid: i32, from: u32, wait_from_ns: u64) -> Asker {
        let unknown = Known::default();
        let known = self.known.get(&pid).unwrap_or(&unknown);
        let slice_ns = self.policy.slice.get();
        let stay_ns = decide::expect_stay(known.avg_run_ns, known.run_ns);
        let turns = decide::turns(stay_ns, slice_ns, self.policy.max_turns);
        Asker {
            from,
            wait_from_ns,
            turns,
            span_ns: stay_ns.min(u64::from(turns) * slice_ns),
            warm_from_ns: known.warm_in(from, self.queues[from as usize].busy_ns, &self.policy),
            home: known.home,
        }
    }

    /// Does the task of `q`, `pid`, save more wait in LLC `to` than the move costs it?
    fn ask(&mut self, q: &Asker, pid: i32, to: u32, wait_to_ns: u64, now_ns: u64) -> Answer {
        let level = self.topo.price_level(LlcId(q.from), LlcId(to));
        let matrix = &self.policy.matrix;
        let rate = |llc: u32| {
            let home = matrix.remote.get(q.home? as usize)?;
            let node = self.topo.llcs[llc as usize].node;
            Some(home.get(node.index())?.get()).filter(|_| level == Level::Node)
        };
        let known = self.known.get(&pid);
        let busy_ns = self.queues[to as usize].busy_ns;
        let terms = Terms {
            migrate: self.policy.migrate,
            fixed_ns: self.policy.fixed.get(),
            now_ns,
            wait_from_ns: q.wait_from_ns,
            wait_to_ns,
            turns: q.turns,
            hop_ns: matrix.hop(LlcId(q.from), LlcId(to)).get(),
            warm_from_ns: q.warm_from_ns,
            warm_to_ns: known.map_or(0, |known| known.warm_in(to, busy_ns, &self.policy)),
            refill_q10: matrix.refill[level.index()].raw(),
            span_ns: q.span_ns,
            there_pm: rate(to).unwrap_or(0),
            here_pm: rate(q.from).unwrap_or(0),
            against_class: false,
            slower_pm: 0,
            price_q10: matrix.price.raw(),
            beside: false,
            thresholds: self.policy.hysteresis[level.index()],
        };
        rule::answer(&terms, self.gates.entry((q.from, to)).or_default())
    }

    fn count(&mut self, kind: Kind, level: Level, verdict: Verdict) {
        let (kind, level) = (kind as usize, level.index());
        self.counters.asked[kind][level] += 1;
        self.counters.verdicts[kind][level][verdict as usize] += 1;
    }

    fn note(&mut self, pid: i32, kind: Kind, q: &Asker, answer: Option<&Answer>, now_ns: u64) {
        let Some(known) = self.known.get_mut(&pid) else { return };
        known.moved = Some(Move {
            kind,
            at_ns: now_ns,
            wait_from_ns: q.wait_from_ns,
            gain_ns: answer.map_or(0, |answer| answer.gain_ns),
            penalty_ns: answer.map_or(0, |answer| answer.penalty_ns),
            turns: q.turns,
            for_gain: answer.is_some(),
        });
    }

    /// The LLC in whose queue `a`, which comes from LLC `from`, is to wait: outward, at each level the
    /// one where it waits least.
    fn choose(&mut self, a: &Arrival, from: u32, expect_ns: u64, now_ns: u64) -> u32 {
        let usable = self.may_use(from, &a.allowed);
        let wait_ns = self.wait(from, expect_ns, &a.allowed, now_ns);
        if usable && wait_ns == 0 || self.queues.len() < 2 {
            return from;
        }
        let q = self.asker(a.pid, from, wait_ns);
        for level in [Level::Llc, Level::Node] {
            if let Some(to) = self.push(a, &q, level, usable, expect_ns, now_ns) {
                return to;
            }
        }
        from
    }

    fn push(
        &mut self,
        a: &Arrival,
        q: &Asker,
        level: Level,
        usable: bool,
        expect_ns: u64,
        now_ns: u64,
    ) -> Option<u32> {
        let (mut best, mut asked) = (None::<(u64, u32)>, false);
        for to in self.outward[q.from as usize].iter().map(|to| to.0) {
            if self.topo.level(LlcId(q.from), LlcId(to)) != level {
                continue;
            }
            asked = true;
            if !self.may_use(to, &a.allowed) {
                continue;
            }
            let wait_ns = self.wait(to, expect_ns, &a.allowed, now_ns);
            if best.is_none_or(|(least, _)| wait_ns < least) {
                best = Some((wait_ns, to));
            }
        }
        if !asked {
            return None;
        }
        let Some((wait_ns, to)) = best else {
            self.count(Kind::Push, level, Verdict::Affinity);
            return None;
        };
        // Whoever wakes up beside a free CPU is placed; all else is pushed.
        let kind = if a.run_ns == 0 && wait_ns == 0 { Kind::Place } else { Kind::Push };
        let answer = self.ask(q, a.pid, to, wait_ns, now_ns);
        // Where it may not stay there is no choice.
        let verdict = if usable { Verdict::from(answer.ruling) } else { Verdict::AppliedAged };
        self.count(kind, level, verdict);
        if !verdict.is_applied() {
            return None;
        }
        self.note(a.pid, kind, q, Some(&answer).filter(|_| usable), now_ns);
        Some(to)
    }

    // ---- free CPUs ----------------------------------------------------------------------------

    /// Give waiting tasks to free CPUs; each is told once.
    pub fn assign(&mut self, now_ns: u64) -> Vec<Order> {
        let mut orders = Vec::new();
        for llc in 0..self.queues.len() as u32 {
            self.take_own(llc, now_ns, &mut orders);
        }
        if !self.waiting.is_empty() && self.queues.len() > 1 {
            for cpu in 0..self.cpus.len() as u32 {
                self.pull(cpu, now_ns, &mut orders);
            }
        }
        orders
    }

    /// The tasks of an LLC's own queue that find a free CPU of it, those that are due first.
    fn take_own(&mut self, llc: u32, now_ns: u64, orders: &mut Vec<Order>) {
        let due: Vec<i32> = self.queues[llc as usize].tasks.iter().map(|(_, pid)| *pid).collect();
        for pid in due {
            let Some(waiting) = self.waiting.get(&pid) else { continue };
            let Arrival { cpu: before, ref allowed, run_ns, .. } = waiting.arrival;
            let Some(cpu) = self.free_cpu(llc, allowed, before, now_ns) else {
                if *allowed == Allowed::All {
                    break;
                }
                continue;
            };
            let kind = if run_ns == 0 { Kind::Place } else { Kind::Pull };
            self.count(kind, Level::Core, Verdict::Applied);
            orders.extend(self.give(pid, cpu, now_ns));
        }
    }

    /// A free CPU fetches the best-paying of the first tasks of the nearest queue that has one.
    fn pull(&mut self, cpu: u32, now_ns: u64, orders: &mut Vec<Order>) {
        let Some(to) = self.llc_of(cpu).filter(|_| self.is_free(cpu, now_ns)) else { return };
        for level in [Level::Llc, Level::Node] {
            let (mut asked, mut verdict, mut taken) = (false, Verdict::Nothing, None);
            for from in self.outward[to as usize].clone() {
                if self.topo.level(LlcId(to), from) != level {
                    continue;
                }
                asked = true;
                if self.queues[from.index()].tasks.is_empty() {
                    continue;
                }
                let (best, reason) = self.best_of(from.0, to, cpu, now_ns);
                verdict = reason;
                if let Some(found) = best {
                    taken = Some(found);
                    break;
                }
            }
            if asked {
                self.count(Kind::Pull, level, verdict);
            }
            if let Some((pid, q, answer)) = taken {
                self.note(pid, Kind::Pull, &q, answer.as_ref(), now_ns);
                orders.extend(self.give(pid, cpu, now_ns));
                return;
            }
        }
    }

    /// The best of the first tasks that wait in `from` for `cpu` of LLC `to`, and the verdict.
    fn best_of(
        &mut self,
        from: u32,
        to: u32,
        cpu: u32,
        now_ns: u64,
    ) -> (Option<(i32, Asker, Option<Answer>)>, Verdict) {
        let first = self.queues[from as usize].tasks.iter().take(LOOK);
        let first: Vec<i32> = first.map(|(_, pid)| *pid).collect();
        let (mut best, mut reason) =
            (None::<(i64, (i32, Asker, Option<Answer>))>, Verdict::Affinity);
        for pid in first {
            let Some(waiting) = self.waiting.get(&pid) else { continue };
            if !waiting.arrival.allowed.has(cpu) {
                continue;
            }
            let waited_ns = now_ns.saturating_sub(waiting.since_ns);
            let wait_ns = self.wait(from, 0, &Allowed::All, now_ns);
            let q = self.asker(pid, from, wait_ns);
            if waited_ns > self.policy.age.get() && self.policy.migrate != Migrate::Never {
                return (Some((pid, q, None)), Verdict::AppliedAged);
            }
            let answer = self.ask(&q, pid, to, 0, now_ns);
            let net_ns = answer.gain_ns.saturating_sub(answer.penalty_ns);
            match answer.ruling {
                Ruling::Worth if best.as_ref().is_none_or(|(most, _)| net_ns > *most) => {
                    best = Some((net_ns, (pid, q, Some(answer))));
                }
                Ruling::Worth => {}
                ruling if best.is_none() => reason = Verdict::from(ruling),
                _ => {}
            }
        }
        match best {
            Some((_, found)) => (Some(found), Verdict::Applied),
            None => (None, reason),
        }
    }

    /// `pid` stops waiting and goes to `cpu`.
    fn give(&mut self, pid: i32, cpu: u32, now_ns: u64) -> Option<Order> {
        let waiting = self.leave(pid)?;
        let llc = self.llc_of(cpu)? as usize;
        let slice_ns = self.turn_ns(llc);
        let wait_ns = now_ns.saturating_sub(waiting.since_ns);
        self.counters.waits += 1;
        self.counters.wait_ns += wait_ns;
        self.counters.wait_hist[decide::hist_slot(wait_ns) as usize] += 1;
        let queue = &mut self.queues[llc];
        queue.vtime_ns = queue.vtime_ns.max(self.known.get(&pid).map_or(0, |known| known.vtime_ns));
        let given = Given {
            pid,
            at_ns: now_ns,
            end_ns: now_ns + waiting.expect_ns.min(slice_ns),
            until_ns: now_ns + slice_ns,
        };
        if let Some(cpu) = self.cpus[cpu as usize].as_mut() {
            cpu.given = Some(given);
        }
        Some(Order {
            pid,
            cpu,
            slice_ns,
            deadline_ns: waiting.deadline_ns,
            flags: waiting.arrival.flags,
            seq: waiting.arrival.seq,
        })
    }

    /// Length of a turn in `llc`: shorter when many wait.
    fn turn_ns(&self, llc: usize) -> u64 {
        let slice_ns = self.policy.slice.get();
        let cpus = self.topo.llcs[llc].cpus.len() as u32;
        let waiting = self.queues[llc].tasks.len() as u64;
        decide::turn(slice_ns, slice_ns / LEAST_SLICE, waiting, cpus)
    }
}
