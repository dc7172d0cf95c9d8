// SPDX-License-Identifier: GPL-2.0-only
//! What kind of move a move was, and how sure that is.
//!
//! What the scheduler itself recorded counts before everything. Else who executed it comes first, in
//! this order:
//!
//! 1. NUMA balancing had announced it;
//! 2. the task was newborn, or slept: its place was chosen at fork or wakeup; if the stopper or a
//!    hotplug thread woke it, it had asked for other CPUs, or became another program. A sleeper that
//!    is woken much later only is one that the kernel has left in its queue for a while, and is
//!    balanced like any other, and one that a CPU gives away right after it was woken is placed;
//! 3. the stopper thread of the CPU it left moved it although it could run: new affinity, or, from a
//!    CPU that it had for itself to one with nothing to do, active balancing, which the kernel itself
//!    calls a push;
//! 4. the CPU it went to executed it: a **pull**, the surer if that CPU idled or was about to. But a
//!    CPU that had others to run, and in a switch took one that another LLC had left, did not fetch
//!    it: somebody had put it into its queue, a **push**. If it was about to idle, that may have
//!    been so too; what the scheduler does as a rule decides ([`super::habits`]);
//! 5. the CPU it left executed it: a **push**;
//! 6. an idle third CPU executed it, in a soft interrupt or for a target that idled too: a pull on
//!    behalf of the other;
//! 7. anything else: the loads of the two CPUs decide, and if they do not, nothing does.
//!
//! Loads alone say: to an idle CPU is a pull (5 → 0), to a busy one with at least two tasks less a
//! push (5 → 2), and against the slope (2 → 5) neither.
//!
//! Bad at: schedulers with one queue for many CPUs that both push and pull. Whoever takes a task from
//! such a queue executes the move, so that what somebody pushed into another LLC's queue looks like a
//! pull of the CPU that runs it, if that CPU has nothing else to do.

use super::event::{Context, Left};
use super::habits::Habits;
use super::layout::Layout;
use super::watch::{Load, Move, Was};
use serde::Serialize;

/// What kind of move it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A CPU with nothing to do, or less, fetched it.
    Pull,
    /// A CPU with too much to do gave it away.
    Push,
    /// Its place was chosen when it was woken.
    Wakeup,
    /// Its place was chosen when it was born.
    Fork,
    /// It was allowed other CPUs, became another program, or its CPU went.
    Affinity,
    /// It followed its memory.
    Numa,
    /// The trace does not say.
    Undetermined,
}

impl Kind {
    /// All kinds, in the order of tables.
    pub const ALL: [Kind; 7] = [
        Kind::Pull,
        Kind::Push,
        Kind::Wakeup,
        Kind::Fork,
        Kind::Affinity,
        Kind::Numa,
        Kind::Undetermined,
    ];

    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Pull => "pull",
            Kind::Push => "push",
            Kind::Wakeup => "wakeup",
            Kind::Fork => "fork",
            Kind::Affinity => "affinity",
            Kind::Numa => "numa",
            Kind::Undetermined => "undetermined",
        }
    }
}

/// A verdict.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// What it was.
    pub kind: Kind,
    /// How sure that is, from 0 (not at all) to 1; a degree, not a measured probability.
    pub confidence: f32,
    /// It rests on who executed it, not on loads alone.
    pub by_context: bool,
}

const fn context(kind: Kind, confidence: f32) -> Judged {
    Judged { kind, confidence, by_context: true }
}

/// A verdict that rests on loads alone.
pub const fn loads(kind: Kind, confidence: f32) -> Judged {
    Judged { kind, confidence, by_context: false }
}

/// sched_ext may say that a task is awake and then give it a CPU, in one go.
const PLACED_MAX_NS: u64 = 10_000;
/// A CPU that wakes a task to itself does so at once; only another one has to be interrupted first.
const WAKING_MAX_NS: u64 = 250_000;

/// The CPU that a sleeper went to took it, and nobody was waking it.
fn fetched_asleep(moved: &Move) -> bool {
    moved.by_cpu == moved.to
        && moved.woken_after_ns.is_some_and(|after_ns| after_ns > WAKING_MAX_NS)
}

/// Since when it has waited.
fn since_ns(moved: &Move) -> u64 {
    match moved.was {
        Was::Waiting(ns) | Was::Woken(ns) | Was::Born(ns) => moved.at_ns.saturating_sub(ns),
        Was::Asleep | Was::Newborn | Was::Running | Was::Unknown => moved.at_ns,
    }
}

/// The CPU it went to took it in a switch, out of a queue: it is what runs there next.
fn taken_at_once(moved: &Move) -> bool {
    let waited = matches!(moved.was, Was::Waiting(_) | Was::Woken(_) | Was::Born(_));
    let at_once = moved.then.zip(moved.ran_after_ns);
    let at_once = at_once.is_some_and(|((_, switched_ns), ran_ns)| switched_ns == ran_ns);
    waited && at_once && moved.by_pid != 0 && moved.context != Context::SoftIrq
}

/// A CPU executed the move of a task to itself.
fn came(moved: &Move, sure: f32, layout: &Layout, habits: &mut Habits) -> Judged {
    // A CPU that is about to idle still counts whoever leaves it.
    let leaves = matches!(moved.then, Some((Left::Asleep | Left::Dead, _)));
    let idle = moved.by_pid == 0 || moved.target == Some(0);
    let about = leaves && moved.target.is_none_or(|target| target <= 1);
    let apart = layout.apart(moved.from, moved.to);
    let at_once = taken_at_once(moved);
    if apart && at_once {
        // A queue of which a CPU idled is not where it has waited.
        let gives = habits.gives();
        let shares = gives || habits.one_queue_per_llc();
        let idled = shares && habits.idled(layout, moved.from, since_ns(moved), moved.at_ns);
        let beside = gives && habits.waits_beside(layout, moved.to);
        habits.came(true, !about || idled);
        if !about || idled {
            return context(Kind::Push, sure - 0.15);
        }
        if habits.never_fetches() || beside {
            return context(Kind::Push, 0.6);
        }
        return context(Kind::Pull, sure - 0.1);
    }
    if at_once {
        habits.came(false, !about);
    }
    context(Kind::Pull, if idle || about { sure } else { sure - 0.1 })
}

/// Judge one move on a machine of this `layout`. `habits`: of the scheduler so far, to which this
/// move is added.
pub fn judge(moved: &Move, layout: &Layout, habits: &mut Habits) -> Judged {
    if let Some(told) = moved.told {
        return match told.kind {
            Kind::Undetermined => loads(Kind::Undetermined, 0.0),
            kind => context(kind, 0.99),
        };
    }
    let stopper = moved.by_comm.bytes().starts_with(b"migration/");
    if moved.numa {
        return context(Kind::Numa, 0.95);
    }
    if moved.by_comm.bytes().starts_with(b"cpuhp/") {
        return context(Kind::Affinity, 0.95);
    }
    match moved.was {
        Was::Newborn => return context(Kind::Fork, 0.97),
        Was::Asleep if fetched_asleep(moved) => {}
        Was::Asleep if stopper => return context(Kind::Affinity, 0.8),
        Was::Asleep if moved.implied => return context(Kind::Wakeup, 0.9),
        Was::Asleep => return context(Kind::Wakeup, 0.97),
        Was::Woken(ago_ns) if ago_ns <= PLACED_MAX_NS && moved.by_cpu != moved.to => {
            return context(Kind::Wakeup, 0.75);
        }
        Was::Born(ago_ns) if ago_ns <= PLACED_MAX_NS && moved.by_cpu != moved.to => {
            return context(Kind::Fork, 0.75);
        }
        Was::Waiting(_) | Was::Woken(_) | Was::Born(_) | Was::Running | Was::Unknown => {}
    }
    if moved.implied {
        return from_loads(moved.source, moved.target);
    }
    let sure = if moved.was == Was::Unknown { 0.7 } else { 0.95 };
    if stopper && moved.by_cpu == moved.from {
        // Balancing takes the only task of a CPU away for one that has nothing to do.
        let balances = moved.source.is_none_or(|source| source <= 2) && moved.target <= Some(1);
        return match balances {
            true => context(Kind::Push, if moved.target == Some(0) { 0.8 } else { 0.6 }),
            false => context(Kind::Affinity, 0.6),
        };
    }
    if moved.by_cpu == moved.to {
        return came(moved, sure, layout, habits);
    }
    if moved.by_cpu == moved.from {
        return context(Kind::Push, sure);
    }
    // One idle CPU balances for all that sleep.
    if moved.by_pid == 0 && (moved.target == Some(0) || moved.context == Context::SoftIrq) {
        return context(Kind::Pull, sure - 0.15);
    }
    from_loads(moved.source, moved.target)
}

/// Judge by the tasks on the two CPUs before the move alone: those on the one it left, itself among
/// them, and those on the one it went to.
pub fn from_loads(source: Load, target: Load) -> Judged {
    match (source, target) {
        (Some(source), Some(0)) if source >= 2 => loads(Kind::Pull, 0.8),
        (Some(source), Some(target)) if target > 0 && source >= target + 2 => {
            loads(Kind::Push, if source >= target + 3 { 0.75 } else { 0.65 })
        }
        _ => loads(Kind::Undetermined, 0.0),
    }
}

/// A share and the interval that holds the true one with 95 % (Wilson's).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    /// How many there were.
    pub n: u64,
    /// The share of them, 0 to 1; 0 of none.
    pub share: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Share {
    /// `hits` of `n`.
    pub fn of(hits: u64, n: u64) -> Share {
        if n == 0 {
            return Share { n, share: 0.0, low: 0.0, high: 1.0 };
        }
        const Z: f64 = 1.959_964;
        let (count, share) = (n as f64, hits as f64 / n as f64);
        let scale = 1.0 + Z * Z / count;
        let centre = (share + Z * Z / (2.0 * count)) / scale;
        let half =
            Z / scale * (share * (1.0 - share) / count + Z * Z / (4.0 * count * count)).sqrt();
        Share { n, share, low: (centre - half).max(0.0), high: (centre + half).min(1.0) }
    }

    /// What a share of pulls among pulls and pushes says.
    pub const fn verdict(&self) -> &'static str {
        if self.n == 0 {
            "no push and no pull"
        } else if self.low > 0.5 {
            "pull-dominated"
        } else if self.high < 0.5 {
            "push-dominated"
        } else {
            "not decided"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::event::Comm;
    use crate::topology::Topology;

    fn moved(by_cpu: u32, source: u32, target: u32) -> Move {
        Move {
            at_ns: 0,
            pid: 7,
            comm: Comm::new(b"task"),
            slot: 0,
            from: 1,
            to: 2,
            was: Was::Waiting(1000),
            source: Some(source),
            target: Some(target),
            by_cpu,
            by_pid: 9,
            by_comm: Comm::new(b"other"),
            context: Context::Unknown,
            then: None,
            woken_after_ns: None,
            ran_after_ns: None,
            numa: false,
            implied: false,
            told: None,
        }
    }

    /// The cases that the project began with.
    #[test]
    fn five_to_zero_is_a_pull_five_to_two_a_push_two_to_five_neither() {
        let kind = |source, target| from_loads(Some(source), Some(target)).kind;
        assert_eq!(kind(5, 0), Kind::Pull);
        assert_eq!(kind(5, 2), Kind::Push);
        assert_eq!(kind(2, 5), Kind::Undetermined);
        assert_eq!(kind(1, 0), Kind::Undetermined, "nobody else waited there");
        assert_eq!(kind(3, 2), Kind::Undetermined);
        assert_eq!(from_loads(None, Some(0)).kind, Kind::Undetermined);
    }

    /// CPUs 1 and 2 are in one LLC of four, or in two of two.
    fn layout(llcs: usize) -> Layout {
        let topo = Topology::synthetic(1, llcs, 4 / llcs).unwrap_or_else(|why| panic!("{why}"));
        Layout::new(topo)
    }

    fn judge(moved: &Move) -> Judged {
        super::judge(moved, &layout(2), &mut Habits::default())
    }

    #[test]
    fn a_cpu_with_others_to_run_did_not_fetch_what_it_takes_from_another_llc() {
        let mut habits = Habits::default();
        let taken = |left| Move { then: Some((left, 9)), ran_after_ns: Some(9), ..moved(2, 3, 1) };
        let apart = layout(2);
        let mut kind = |moved: Move| super::judge(&moved, &apart, &mut habits).kind;
        assert_eq!(kind(taken(Left::Runnable)), Kind::Push);
        assert_eq!(kind(Move { target: Some(2), ..taken(Left::Asleep) }), Kind::Push);
        assert_eq!(kind(taken(Left::Asleep)), Kind::Pull, "it was about to idle");
        assert_eq!(kind(Move { ran_after_ns: Some(50), ..taken(Left::Runnable) }), Kind::Pull);
        let softirq = Move { context: Context::SoftIrq, ..taken(Left::Runnable) };
        assert_eq!(kind(softirq), Kind::Pull, "periodic balancing");
        (0..20).for_each(|_| habits.came(true, true));
        habits.load(&apart, 900, 0, Some(1));
        habits.load(&apart, 950, 0, Some(0));
        let late = Move { at_ns: 1000, was: Was::Waiting(99), ..taken(Left::Asleep) };
        assert_eq!(super::judge(&late, &apart, &mut habits).kind, Kind::Push, "a CPU idled there");
        let near = super::judge(&taken(Left::Runnable), &layout(1), &mut habits);
        assert_eq!(near.kind, Kind::Pull, "a queue that the LLC shares");
    }

    #[test]
    fn who_executed_it_comes_before_the_loads() {
        assert_eq!(judge(&moved(2, 5, 2)).kind, Kind::Pull);
        assert_eq!(judge(&moved(1, 5, 0)).kind, Kind::Push);
        assert_eq!(judge(&moved(3, 5, 2)), loads(Kind::Push, 0.75));
        assert_eq!(judge(&Move { by_pid: 0, ..moved(3, 5, 0) }).kind, Kind::Pull);
        assert_eq!(judge(&moved(3, 2, 5)).kind, Kind::Undetermined);
    }

    #[test]
    fn a_cpu_about_to_idle_is_surer_to_pull_than_a_busy_one() {
        let about = Move { then: Some((Left::Asleep, 50)), ..moved(2, 5, 1) };
        let busy = Move { then: Some((Left::Runnable, 50)), ..moved(2, 5, 1) };
        assert!(judge(&about).confidence > judge(&busy).confidence);
    }

    #[test]
    fn sleepers_newborns_and_the_stopper_have_reasons_of_their_own() {
        let kind = |moved: Move| judge(&moved).kind;
        assert_eq!(kind(Move { was: Was::Asleep, ..moved(1, 5, 0) }), Kind::Wakeup);
        assert_eq!(kind(Move { was: Was::Newborn, ..moved(1, 5, 0) }), Kind::Fork);
        assert_eq!(kind(Move { numa: true, ..moved(1, 5, 0) }), Kind::Numa);
        let stopper = Comm::new(b"migration/1");
        assert_eq!(kind(Move { by_comm: stopper, ..moved(1, 2, 0) }), Kind::Push);
        assert_eq!(kind(Move { by_comm: stopper, ..moved(1, 2, 1) }), Kind::Push);
        let given = Move { was: Was::Woken(2000), ..moved(1, 2, 0) };
        assert_eq!(kind(given), Kind::Wakeup);
        assert_eq!(kind(Move { was: Was::Born(2000), ..moved(1, 2, 0) }), Kind::Fork);
        assert_eq!(kind(Move { was: Was::Woken(90_000), ..moved(1, 2, 0) }), Kind::Push);
        assert_eq!(kind(Move { was: Was::Woken(2000), ..moved(2, 2, 0) }), Kind::Pull);
        let late = Move { woken_after_ns: Some(2_000_000), was: Was::Asleep, ..moved(2, 5, 0) };
        assert_eq!(kind(late), Kind::Pull, "it was still in the queue");
        assert_eq!(kind(Move { by_comm: stopper, ..moved(1, 5, 2) }), Kind::Affinity);
        let asleep = Move { was: Was::Asleep, by_comm: stopper, ..moved(1, 2, 1) };
        assert_eq!(kind(asleep), Kind::Affinity);
        assert_eq!(kind(Move { by_comm: Comm::new(b"cpuhp/1"), ..moved(1, 2, 1) }), Kind::Affinity);
    }

    #[test]
    fn the_interval_of_a_share_narrows_with_n() {
        let few = Share::of(6, 8);
        let many = Share::of(600, 800);
        assert_eq!((few.verdict(), many.verdict()), ("not decided", "pull-dominated"));
        assert_eq!(Share::of(10, 800).verdict(), "push-dominated");
        // Wilson's interval of 6 in 8 as in textbooks.
        assert!((few.low - 0.409).abs() < 0.001 && (few.high - 0.929).abs() < 0.001, "{few:?}");
    }
}
