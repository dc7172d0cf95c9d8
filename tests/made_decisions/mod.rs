// SPDX-License-Identifier: GPL-2.0-only
//! Decisions as `decide.h` makes them, compiled for the host, on made-up situations; and a recording of
//! them. Nothing of the Rust decision code is used.

// Each test crate uses its part of it.
#![allow(dead_code)]

use proptest::prelude::*;
use scx_toll::control::wire::{Frame, Places};
use scx_toll::events::{Decision, Kind, Outcome, Question, Verdict, Who};
use scx_toll::ffi;
use scx_toll::model::decide::Migrate;
use scx_toll::model::{Hysteresis, PenaltyMatrix};
use scx_toll::recording::{Head, Recorder};
use scx_toll::topology::{Level, Topology};
use scx_toll::units::LlcId;

/// LLCs of the machine, two to a node.
pub const LLCS: u32 = 4;
const LLCS_PER_NODE: u32 = 2;
/// Wait after which a task is pulled whatever it costs.
pub const AGE_NS: u64 = 500_000_000;
/// `TOLL_AGAINST_CLASS_NS`.
const AGAINST_CLASS_NS: i64 = 4_000_000;

/// The machine: 2 nodes × 2 LLCs × 2 CPUs.
pub fn machine() -> Topology {
    Topology::synthetic(2, 2, 2).unwrap()
}

/// What somebody decides by.
#[derive(Debug, Clone)]
pub struct Rules {
    pub migrate: Migrate,
    pub fixed_ns: u64,
    pub costs: PenaltyMatrix,
    pub thresholds: [Hysteresis; 3],
}

/// How a decision may end other than by its ruling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twist {
    None,
    /// The idle CPU or the task was gone.
    Raced,
    /// Its cgroup is owed a lot.
    Owed,
    /// User space sends it home.
    SentHome,
}

/// Everything about a decision but the rules.
#[derive(Debug, Clone)]
pub struct Situation {
    pub kind: Kind,
    pub from: u32,
    pub to: u32,
    pub home: Option<u32>,
    pub now_ns: u64,
    pub waits: (u64, u64),
    pub turns: u32,
    pub warm: (u64, u64),
    pub span_ns: u64,
    pub against_class: bool,
    pub slower_pm: u32,
    /// The gate before: since when, and when seen.
    pub gate: (u64, u64),
    pub waited_ns: u64,
    pub twist: Twist,
}

pub fn level(from: u32, to: u32) -> Level {
    machine().level(LlcId(from), LlcId(to))
}

fn wait() -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(0), 4 => 0..5_000_000u64, 2 => 0..200_000_000u64, 1 => any::<u64>()]
}

pub fn situation() -> impl Strategy<Value = Situation> {
    let places = (0..LLCS, 1..LLCS, prop::option::of(0..2u32), 0..3usize);
    let times =
        (1_000_000_000..1_300_000_000u64, 0..80_000_000u64, 0..80_000_000u64, any::<bool>());
    let task = (wait(), wait(), 1..9u32, wait(), wait(), 0..400_000_000u64);
    let class = (prop::bool::weighted(0.1), 0..900u32);
    let twist = prop_oneof![
        5 => Just(Twist::None),
        1 => Just(Twist::Raced),
        1 => Just(Twist::Owed),
        1 => Just(Twist::SentHome),
    ];
    (places, times, task, class, twist).prop_map(|(places, times, task, class, twist)| {
        let ((from, further, home, kind), (now_ns, since, seen, open)) = (places, times);
        let (wait_from, wait_to, turns, warm_from, warm_to, span_ns) = task;
        let (against_class, slower_pm) = class;
        let seen_at = now_ns - seen.min(since);
        Situation {
            kind: Kind::ALL[kind],
            from,
            to: (from + further) % LLCS,
            home,
            now_ns,
            waits: (wait_from, wait_to),
            turns,
            warm: (warm_from, warm_to),
            span_ns,
            against_class,
            slower_pm,
            gate: (if open { now_ns - since } else { 0 }, seen_at),
            waited_ns: since % (AGE_NS / 10),
            twist,
        }
    })
}

/// The question of `s` under `rules` with its answer, the gate being `gate` before; whether the move is
/// to be made by `decide.h`, and the gate after.
fn ask(s: &Situation, rules: &Rules, gate: (u64, u64)) -> (Question, Verdict, (u64, u64)) {
    let level = level(s.from, s.to);
    let hyst = rules.thresholds[level.index()];
    let rate = |llc: u32| match s.home {
        Some(home) if level == Level::Node => {
            rules.costs.remote[home as usize][(llc / LLCS_PER_NODE) as usize].get()
        }
        _ => 0,
    };
    let mut q = Question {
        asked_ns: s.now_ns,
        wait_from_ns: s.waits.0,
        wait_to_ns: s.waits.1,
        turns: s.turns,
        hop_ns: rules.costs.hop[s.from as usize][s.to as usize].get(),
        warm_from_ns: s.warm.0,
        warm_to_ns: s.warm.1,
        warm_most_ns: s.warm.0.max(s.warm.1),
        refill_q10: rules.costs.refill[level.index()].raw(),
        price_q10: rules.costs.price.raw(),
        span_ns: s.span_ns,
        there_pm: rate(s.to),
        here_pm: rate(s.from),
        against_class: s.against_class,
        slower_pm: s.slower_pm,
        home_node: s.home,
        gate_since_ns: gate.0,
        gate_seen_ns: gate.1,
        open_ns: hyst.open.get(),
        close_ns: hyst.close.get(),
        hold_ns: hyst.hold.get(),
        ..Question::default()
    };
    q.gain_ns = ffi::gain(q.wait_from_ns, q.wait_to_ns, q.turns);
    q.refill_ns = ffi::refill(q.warm_from_ns, q.warm_to_ns, q.refill_q10);
    q.remote_ns = ffi::remote(q.span_ns, q.there_pm, q.here_pm);
    if q.against_class {
        q.remote_ns += AGAINST_CLASS_NS + ffi::remote(q.span_ns, q.slower_pm, 0);
    }
    q.penalty_ns = ffi::penalty(q.hop_ns, q.refill_ns, q.remote_ns, q.price_q10);
    let mut led = ffi::Gate { since_at: gate.0, seen_at: gate.1 };
    let one_turn = ffi::gain(q.wait_from_ns, q.wait_to_ns, 1);
    let held = rules.migrate == Migrate::Always
        || led.pass(one_turn, s.now_ns, q.open_ns, q.close_ns, q.hold_ns);
    let verdict = match ffi::worth(rules.migrate as u32, q.gain_ns, q.penalty_ns, rules.fixed_ns) {
        false => Verdict::NotWorth,
        true if held || q.penalty_ns < 0 => Verdict::Applied,
        true => Verdict::Hysteresis,
    };
    (q, verdict, (led.since_at, led.seen_at))
}

/// The decision on `s` under `rules`, number `seq` of the recording, with the gate that `s` names.
pub fn decide(s: &Situation, rules: &Rules, seq: u64) -> Decision {
    decide_with(s, rules, seq, s.gate).0
}

/// The same with another gate; and the gate after that.
pub fn decide_with(
    s: &Situation,
    rules: &Rules,
    seq: u64,
    gate: (u64, u64),
) -> (Decision, (u64, u64)) {
    let (mut q, ruling, after) = ask(s, rules, gate);
    let worth = ruling == Verdict::Applied;
    let verdict = match s.twist {
        Twist::Raced if worth => Verdict::Raced,
        Twist::Raced if s.kind == Kind::Push => {
            q.reasked = true;
            Verdict::Raced
        }
        Twist::Owed if !worth && rules.migrate == Migrate::Toll && s.waits.1 < s.waits.0 => {
            q.owed = true;
            Verdict::AppliedAged
        }
        Twist::SentHome if !worth => {
            q.sent_home = true;
            Verdict::AppliedAged
        }
        _ => ruling,
    };
    let decision = Decision {
        seq,
        at_ns: s.now_ns + 1,
        count: seq,
        policy_version: 1,
        who: Some(who(seq)),
        kind: s.kind,
        level: level(s.from, s.to),
        verdict,
        cpu: s.from * 2,
        from_llc: Some(s.from),
        to_llc: Some(s.to),
        from_cpu: Some(s.from * 2),
        to_cpu: None,
        waited_ns: s.waited_ns,
        age_ns: AGE_NS,
        migrate: rules.migrate,
        fixed_ns: rules.fixed_ns,
        for_class: false,
        question: Some(q),
    };
    (decision, after)
}

fn who(seq: u64) -> Who {
    let pid = 100 + (seq % 7) as u32;
    Who { pid, tgid: pid, cgroup: 1, comm: format!("task{pid}") }
}

/// What became of the move `decision` when its task ran after `waited_ns`.
pub fn outcome(decision: &Decision, waited_ns: u64) -> Option<Outcome> {
    let q = decision.question.as_ref().filter(|_| decision.verdict == Verdict::Applied)?;
    let saved_ns = ffi::gain(q.wait_from_ns, waited_ns, q.turns);
    Some(Outcome {
        seq: decision.seq,
        at_ns: decision.at_ns + waited_ns,
        waited_ns,
        wait_from_ns: q.wait_from_ns,
        wait_to_ns: q.wait_to_ns,
        penalty_ns: q.penalty_ns,
        turns: q.turns,
        paid: Some(saved_ns > q.penalty_ns),
        who: who(decision.seq),
        cpu: 0,
    })
}

/// A recording of these on the machine.
pub fn record(frames: &[Frame]) -> Vec<u8> {
    let topo = machine();
    let places = Places {
        cpu_llc: topo.cpus.iter().map(|cpu| Some(cpu.llc.0)).collect(),
        llc_node: topo.llcs.iter().map(|llc| llc.node.0).collect(),
        llc_cache: topo.llcs.iter().map(|llc| llc.cache).collect(),
        distance: topo.nodes.iter().map(|node| node.distance.clone()).collect(),
    };
    let head = Head { program: "0.0.0".into(), began_unix: 1, places, ..Head::default() };
    let mut file = Vec::new();
    let mut recorder = Recorder::new(&mut file, &head, Box::new(|_| None)).unwrap();
    for (i, frame) in frames.iter().enumerate() {
        recorder.add(frame.clone()).unwrap();
        if i % 50 == 49 {
            recorder.flush().unwrap();
        }
    }
    recorder.finish().unwrap();
    file
}
