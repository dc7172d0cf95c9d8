// SPDX-License-Identifier: GPL-2.0-only
//! Ring-buffer bytes → typed decisions, outcomes and slices. Pure.
//!
//! A record is laid out as its struct in `intf.h`, which says what each field means and how gain,
//! penalty and verdict follow from the others. All times are ns of the kernel's scheduler clock.

use crate::bpf::types;
use crate::model::decide::Migrate;
use crate::model::rule::Ruling;
use crate::topology::Level;
use serde::{Deserialize, Serialize};

pub mod filter;

/// Which callback asked, as `enum toll_kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A waking task goes to an idle CPU.
    Place = 0,
    /// A loaded LLC hands a task away.
    Push = 1,
    /// A CPU with nothing to run fetches a task.
    Pull = 2,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Kind; 3] = [Kind::Place, Kind::Push, Kind::Pull];

    /// "place", "push" or "pull".
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Place => "place",
            Kind::Push => "push",
            Kind::Pull => "pull",
        }
    }
}

/// How a decision ended, as `enum toll_verdict`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The gain exceeded the penalty, the move was made.
    Applied = 0,
    /// The task had waited too long and was moved whatever it cost.
    AppliedAged = 1,
    /// The gain does not exceed the penalty.
    NotWorth = 2,
    /// It would pay, but has not for long enough.
    Hysteresis = 3,
    /// No task may run there.
    Affinity = 4,
    /// No task waits, or no CPU is idle.
    Nothing = 5,
    /// Another CPU was faster.
    Raced = 6,
}

impl Verdict {
    /// All verdicts, in the order of their numbers.
    pub const ALL: [Verdict; 7] = [
        Verdict::Applied,
        Verdict::AppliedAged,
        Verdict::NotWorth,
        Verdict::Hysteresis,
        Verdict::Affinity,
        Verdict::Nothing,
        Verdict::Raced,
    ];

    /// The name in statistics and flags: "applied", "not_worth", …
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Applied => "applied",
            Verdict::AppliedAged => "applied_aged",
            Verdict::NotWorth => "not_worth",
            Verdict::Hysteresis => "hysteresis",
            Verdict::Affinity => "affinity",
            Verdict::Nothing => "nothing",
            Verdict::Raced => "raced",
        }
    }

    /// True when a task was moved.
    pub const fn is_applied(self) -> bool {
        matches!(self, Verdict::Applied | Verdict::AppliedAged)
    }
}

/// A thread as a record names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Who {
    /// The thread.
    pub pid: u32,
    /// Its process.
    pub tgid: u32,
    /// Id of its cgroup: the inode of the cgroup's directory.
    pub cgroup: u64,
    /// Its name.
    pub comm: String,
}

/// The question `ΔL > P` as it was put, with everything that its answer follows from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The clock when it was put.
    pub asked_ns: u64,
    /// ΔL.
    pub gain_ns: i64,
    /// P.
    pub penalty_ns: i64,
    /// Expected wait where the task is.
    pub wait_from_ns: u64,
    /// Expected wait where it would go.
    pub wait_to_ns: u64,
    /// Turns that the gain counts.
    pub turns: u32,
    /// Part of P: the fixed cost.
    pub hop_ns: u64,
    /// Part of P: what has to be loaded again.
    pub refill_ns: i64,
    /// Part of P: extra run time away from the memory.
    pub remote_ns: i64,
    /// What all pay per ns that the mover pays, 1024 = 1.0.
    pub price_q10: u32,
    /// Factor on the refill, 1024 = 1.0.
    pub refill_q10: u32,
    /// Warmth where the task is.
    pub warm_from_ns: u64,
    /// Warmth left where it would go.
    pub warm_to_ns: u64,
    /// Most warmth that it can have.
    pub warm_most_ns: u64,
    /// Run time that the remote part counts.
    pub span_ns: u64,
    /// Extra run time there for its memory, per mille.
    pub there_pm: u32,
    /// The same here.
    pub here_pm: u32,
    /// Since when the imbalance had been open, before the question; 0: it was closed.
    pub gate_since_ns: u64,
    /// When it was last seen, before the question.
    pub gate_seen_ns: u64,
    /// Thresholds of the gate: open,
    pub open_ns: u64,
    /// close,
    pub close_ns: u64,
    /// and how long it must have lasted.
    pub hold_ns: u64,
    /// The idle CPU that was hoped for was lost, and this is the question without it.
    pub reasked: bool,
    /// It was refused, and made all the same, because the task's cgroup is owed a lot.
    #[serde(default)]
    pub owed: bool,
    /// It was refused, and made all the same: user space sends the task home to its memory.
    #[serde(default)]
    pub sent_home: bool,
    /// It leads from the class of cores where the task belongs, which costs
    /// [`AGAINST_CLASS`](crate::model::rule::AGAINST_CLASS) more.
    #[serde(default)]
    pub against_class: bool,
    /// Extra run time on a core of the lesser class, per mille; 0 unless it leads to one.
    #[serde(default)]
    pub slower_pm: u32,
    /// Node of the task's memory; none if it is not known.
    #[serde(default)]
    pub home_node: Option<u32>,
    /// The task goes to its partner: `wait_from_ns` is what hand-overs from there have cost.
    #[serde(default)]
    pub beside: bool,
}

impl From<Ruling> for Verdict {
    fn from(ruling: Ruling) -> Verdict {
        match ruling {
            Ruling::Worth => Verdict::Applied,
            Ruling::NotWorth => Verdict::NotWorth,
            Ruling::NotYet => Verdict::Hysteresis,
        }
    }
}

/// One decision, as it was counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Names the decision; see [`Outcome::seq`].
    pub seq: u64,
    /// When it was counted.
    pub at_ns: u64,
    /// How many decisions of this kind, level and verdict `cpu` has counted by now.
    pub count: u64,
    /// Version of the policy that it was made under; 0 where no task was looked at.
    pub policy_version: u64,
    /// The task; of several candidates the one that explains the verdict best.
    pub who: Option<Who>,
    /// Which callback asked.
    pub kind: Kind,
    /// How far the move would go.
    pub level: Level,
    /// How it ended.
    pub verdict: Verdict,
    /// The CPU that decided, in whose counters it is.
    pub cpu: u32,
    /// LLC where the task is.
    pub from_llc: Option<u32>,
    /// LLC where it would go.
    pub to_llc: Option<u32>,
    /// CPU where it is.
    pub from_cpu: Option<u32>,
    /// CPU where it goes; none when it is only queued there.
    pub to_cpu: Option<u32>,
    /// How long it had waited already.
    pub waited_ns: u64,
    /// Wait after which a task is moved whatever it costs; 0 where no task was looked at.
    pub age_ns: u64,
    /// What decided.
    pub migrate: Migrate,
    /// The price under [`Migrate::Fixed`].
    pub fixed_ns: u64,
    /// It leads to the class of cores where the task belongs, whatever it costs: no question is put.
    #[serde(default)]
    pub for_class: bool,
    /// The question, if it came to one.
    pub question: Option<Question>,
}

/// A moved task runs: did the move pay?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The decision's; 0 when it was not recorded.
    pub seq: u64,
    /// When the task began to run.
    pub at_ns: u64,
    /// How long it waited from the decision to now.
    pub waited_ns: u64,
    /// How long it was expected to wait where it was.
    pub wait_from_ns: u64,
    /// How long it was expected to wait where it went.
    pub wait_to_ns: u64,
    /// P of the move.
    pub penalty_ns: i64,
    /// Turns that the gain counts.
    pub turns: u32,
    /// Whether turns × (expected wait there − real wait) exceeds P; `None` when it was moved for
    /// its age, whatever that cost.
    pub paid: Option<bool>,
    /// The task.
    pub who: Who,
    /// Where it runs.
    pub cpu: u32,
}

/// A stretch of one task on one CPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// The CPU.
    pub cpu: u32,
    /// From when
    pub from_ns: u64,
    /// to when it ran.
    pub to_ns: u64,
    /// The task.
    pub who: Who,
    /// It runs on: another piece follows.
    pub more: bool,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A decision.
    Decision(Box<Decision>),
    /// What became of one.
    Outcome(Outcome),
    /// What ran.
    Slice(Slice),
}

impl Event {
    /// When it was recorded, in ns of the kernel's scheduler clock.
    pub fn at_ns(&self) -> u64 {
        match self {
            Event::Decision(decision) => decision.at_ns,
            Event::Outcome(outcome) => outcome.at_ns,
            Event::Slice(slice) => slice.to_ns,
        }
    }
}

/// The bytes of a record as the struct that they begin with.
trait Raw: Copy + Default {}
impl Raw for types::toll_decision {}
impl Raw for types::toll_outcome {}
impl Raw for types::toll_slice {}

#[repr(transparent)]
#[derive(Default)]
struct Bytes<T: Raw>(T);

// SAFETY: the three structs are `repr(C)` without hidden padding (asserted in intf.h), made of
// integers only, and every bit pattern is a valid value.
unsafe impl<T: Raw> plain::Plain for Bytes<T> {}

fn copy<T: Raw>(bytes: &[u8]) -> Option<T> {
    let mut out = Bytes::<T>::default();
    (bytes.len() == size_of::<T>() && out.copy_from_bytes(bytes).is_ok()).then_some(out.0)
}

use plain::Plain as _;

/// The event in one record of the ring buffer; `None` when it is none that this program knows.
pub fn decode(bytes: &[u8]) -> Option<Event> {
    let kind = u32::from_ne_bytes(*bytes.first_chunk()?);
    match types::toll_event(kind) {
        types::toll_event::TOLL_EVENT_DECISION => decision(&copy(bytes)?).map(Event::Decision),
        types::toll_event::TOLL_EVENT_OUTCOME => Some(Event::Outcome(outcome(&copy(bytes)?))),
        types::toll_event::TOLL_EVENT_SLICE => Some(Event::Slice(slice(&copy(bytes)?))),
        _ => None,
    }
}

fn who(raw: &types::toll_who) -> Who {
    let name: Vec<u8> = raw.comm.iter().map(|&c| c as u8).take_while(|&c| c != 0).collect();
    Who {
        pid: raw.pid,
        tgid: raw.tgid,
        cgroup: raw.cgroup,
        comm: String::from_utf8_lossy(&name).into_owned(),
    }
}

fn decision(raw: &types::toll_decision) -> Option<Box<Decision>> {
    let llc = |llc: u32| (llc < types::toll_limits::TOLL_MAX_LLCS.0).then_some(llc);
    let migrates = [Migrate::Toll, Migrate::Always, Migrate::Never, Migrate::Fixed];
    Some(Box::new(Decision {
        seq: raw.seq,
        at_ns: raw.at_ns,
        count: raw.count,
        policy_version: raw.policy_version,
        who: (raw.who.pid != 0).then(|| who(&raw.who)),
        kind: *Kind::ALL.get(raw.kind as usize)?,
        level: *Level::ALL.get(raw.level as usize)?,
        verdict: *Verdict::ALL.get(raw.verdict as usize)?,
        cpu: raw.cpu,
        from_llc: llc(raw.from_llc),
        to_llc: llc(raw.to_llc),
        from_cpu: raw.from_cpu.try_into().ok(),
        to_cpu: raw.to_cpu.try_into().ok(),
        waited_ns: raw.waited_ns,
        age_ns: raw.age_ns,
        migrate: *migrates.get(raw.migrate as usize)?,
        fixed_ns: raw.fixed_ns,
        for_class: raw.flags & types::toll_decision_flags::TOLL_FOR_CLASS.0 != 0,
        question: (raw.flags & types::toll_decision_flags::TOLL_PRICED.0 != 0)
            .then(|| question(raw)),
    }))
}

fn question(raw: &types::toll_decision) -> Question {
    use types::toll_decision_flags as flags;
    let has = |flag: flags| raw.flags & flag.0 != 0;
    let known = raw.home_node < types::toll_limits::TOLL_MAX_NODES.0;
    Question {
        asked_ns: raw.asked_ns,
        gain_ns: raw.gain_ns,
        penalty_ns: raw.penalty_ns,
        wait_from_ns: raw.wait_from_ns,
        wait_to_ns: raw.wait_to_ns,
        turns: raw.turns,
        hop_ns: raw.hop_ns,
        refill_ns: raw.refill_ns,
        remote_ns: raw.remote_ns,
        price_q10: raw.price_q10,
        refill_q10: raw.refill_q10,
        warm_from_ns: raw.warm_from_ns,
        warm_to_ns: raw.warm_to_ns,
        warm_most_ns: raw.warm_most_ns,
        span_ns: raw.span_ns,
        there_pm: raw.there_pm,
        here_pm: raw.here_pm,
        gate_since_ns: raw.gate.since_at,
        gate_seen_ns: raw.gate.seen_at,
        open_ns: raw.hyst.open_ns,
        close_ns: raw.hyst.close_ns,
        hold_ns: raw.hyst.hold_ns,
        reasked: has(flags::TOLL_REASKED),
        owed: has(flags::TOLL_OWED),
        sent_home: has(flags::TOLL_SENT_HOME),
        against_class: has(flags::TOLL_AGAINST_CLASS),
        slower_pm: raw.slower_pm,
        home_node: known.then_some(raw.home_node),
        beside: has(flags::TOLL_BESIDE),
    }
}

fn outcome(raw: &types::toll_outcome) -> Outcome {
    let judged = raw.verdict == types::toll_verdict::TOLL_APPLIED.0;
    Outcome {
        seq: raw.seq,
        at_ns: raw.at_ns,
        waited_ns: raw.waited_ns,
        wait_from_ns: raw.wait_from_ns,
        wait_to_ns: raw.wait_to_ns,
        penalty_ns: raw.penalty_ns,
        turns: raw.turns,
        paid: judged.then_some(raw.paid != 0),
        who: who(&raw.who),
        cpu: raw.cpu,
    }
}

fn slice(raw: &types::toll_slice) -> Slice {
    Slice {
        cpu: raw.cpu,
        from_ns: raw.from_ns,
        to_ns: raw.to_ns,
        who: who(&raw.who),
        more: raw.more != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<T: Raw>(raw: T) -> Vec<u8> {
        let raw = Bytes(raw);
        // SAFETY: see `impl Plain for Bytes`.
        unsafe { plain::as_bytes(&raw) }.to_vec()
    }

    fn raw_decision() -> types::toll_decision {
        types::toll_decision {
            event: types::toll_event::TOLL_EVENT_DECISION.0,
            kind: 2,
            level: 1,
            verdict: 2,
            from_llc: 3,
            to_llc: 128,
            from_cpu: -1,
            to_cpu: 6,
            ..types::toll_decision::default()
        }
    }

    #[test]
    fn names_are_those_of_the_header() {
        use types::{toll_kind as k, toll_verdict as v};
        assert_eq!(Kind::Pull as u32, k::TOLL_KIND_PULL.0);
        assert_eq!(Kind::ALL.len() as u32, k::TOLL_NR_KINDS.0);
        assert_eq!(Verdict::Raced as u32, v::TOLL_RACED.0);
        assert_eq!(Verdict::ALL.len() as u32, v::TOLL_NR_VERDICTS.0);
        for (i, verdict) in Verdict::ALL.into_iter().enumerate() {
            assert_eq!(verdict as usize, i);
            let json = serde_json::to_string(&verdict).unwrap();
            assert_eq!(json, format!("{:?}", verdict.name()));
        }
    }

    #[test]
    fn what_is_unknown_in_a_record_is_none() {
        let Some(Event::Decision(decision)) = decode(&bytes(raw_decision())) else {
            panic!("a decision");
        };
        assert_eq!((decision.from_llc, decision.to_llc), (Some(3), None));
        assert_eq!((decision.from_cpu, decision.to_cpu), (None, Some(6)));
        assert_eq!((decision.who, decision.question), (None, None));
    }

    #[test]
    fn a_priced_record_keeps_its_question() {
        let mut raw = raw_decision();
        raw.flags = 1;
        raw.penalty_ns = -7;
        raw.who.pid = 12;
        raw.who.comm[..2].copy_from_slice(&[b'r' as i8, b'c' as i8]);
        let Some(Event::Decision(decision)) = decode(&bytes(raw)) else { panic!("a decision") };
        assert_eq!(decision.question.expect("priced").penalty_ns, -7);
        assert_eq!(decision.who.expect("a task").comm, "rc");
    }

    #[test]
    fn an_outcome_of_a_move_for_age_is_not_judged() {
        let raw = types::toll_outcome {
            event: types::toll_event::TOLL_EVENT_OUTCOME.0,
            verdict: 1,
            ..types::toll_outcome::default()
        };
        let Some(Event::Outcome(outcome)) = decode(&bytes(raw)) else { panic!("an outcome") };
        assert_eq!(outcome.paid, None);
    }

    #[test]
    fn other_bytes_are_no_event() {
        let good = bytes(raw_decision());
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&good[..good.len() - 1]), None);
        assert_eq!(decode(&[good.clone(), vec![0]].concat()), None);
        let kind = std::mem::offset_of!(types::toll_decision, kind);
        for (field, value) in [(0usize, 9u8), (kind, 7)] {
            let mut bad = good.clone();
            bad[field] = value;
            assert_eq!(decode(&bad), None, "byte {field}");
        }
    }
}
