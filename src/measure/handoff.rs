// SPDX-License-Identifier: GPL-2.0-only
//! One cache line between two CPUs, in three ways.
//!
//! - *hand-off*: both threads write the same line in turn; half a round trip;
//! - *read*: a line that the other side only read, fetched by us;
//! - *modified*: a line that the other side modified, fetched by us.
//!
//! For the latter two the other side throws a few hundred lines out of all caches, reads or
//! writes them, and says so; we then follow them in a random cycle and time that. Where lines
//! cannot be thrown out without privileges, these two are left out.
//!
//! The other side (the *follower*) is a thread that waits for a turn's number in one line, does
//! its part, and answers in another. It says whether it was switched out since its last answer,
//! so that the sample can be rejected. Nobody waits for ever: the leader gives up at the deadline
//! and releases the follower.

use super::chase::{Rng, random_cycle};
use super::estimate::Sample;
use super::os;
use super::plan::Pair;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Hand-offs there and back in one sample: some 10 µs.
const ROUNDS: u64 = 100;
/// Lines of one sample of the states; 128 bytes apart they fit into any first-level cache.
const STATE_LINES: u32 = 192;
/// Most samples of one kind that are taken.
const SAMPLES_MAX: usize = 400;
/// Looks at a line before the wait becomes polite: a pause would be part of what is measured.
const EAGER_LOOKS: u32 = 64;
/// Looks at a line between two looks at the clock.
const LOOKS_PER_CLOCK: u32 = 4096;
/// The turn that ends the follower.
const STOP: u64 = u64::MAX;
/// The answer of a follower that cannot run where it should.
const FAILED: u64 = u64::MAX;

/// A counter alone in its line, and in the neighbour that prefetchers pair with it.
#[derive(Default)]
#[repr(align(128))]
struct Line(AtomicU64);

/// A line of the states: its successor, and a word to modify.
#[derive(Default)]
#[repr(align(128))]
struct StateLine {
    next: AtomicU32,
    mark: AtomicU32,
}

/// Samples in ns per line.
#[derive(Debug, Default)]
pub struct HandoffSamples {
    /// Half a round trip of a line that both write.
    pub handoff: Vec<Sample>,
    /// Fetching a line that the other side only read.
    pub read: Vec<Sample>,
    /// Fetching a line that the other side modified.
    pub modified: Vec<Sample>,
}

/// The lines that the two threads share.
#[derive(Default)]
struct Shared {
    turn: Line,
    answer: Line,
    ball: Line,
    states: Vec<StateLine>,
}

/// What a turn is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ball,
    Read,
    Modified,
}

impl Kind {
    const fn of(turn: u64) -> Kind {
        match turn % 3 {
            0 => Kind::Ball,
            1 => Kind::Read,
            _ => Kind::Modified,
        }
    }
}

/// Measure `pair` for about `budget`, at most three times as long on a machine so busy that the
/// two threads seldom run at once.
///
/// # Errors
/// The kernel's, when one of the CPUs cannot be used.
pub fn measure(pair: &Pair, budget: Duration, rng: &mut Rng) -> io::Result<HandoffSamples> {
    let mut shared = Shared::default();
    let cycle = random_cycle(STATE_LINES, rng);
    shared.states = cycle
        .into_iter()
        .map(|next| StateLine { next: next.into(), ..StateLine::default() })
        .collect();
    let shared = &shared;
    std::thread::scope(|scope| {
        let follower = scope.spawn(move || follow(shared, pair));
        let leader = scope.spawn(move || {
            let led = os::pin(pair.from).map(|()| lead(shared, budget));
            shared.turn.0.store(STOP, Ordering::Release);
            led
        });
        let followed = follower.join().unwrap_or_else(|_| Err(io::Error::other("it panicked")));
        let led = leader.join().unwrap_or_else(|_| Err(io::Error::other("it panicked")));
        followed.and(led)
    })
}

/// Wait until `line` is not `old` any more; `None` after `deadline`.
fn await_change(line: &Line, old: u64, deadline: Option<Instant>) -> Option<u64> {
    let mut looks = 0_u32;
    loop {
        let now = line.0.load(Ordering::Acquire);
        if now != old {
            return Some(now);
        }
        looks = looks.wrapping_add(1);
        if looks > EAGER_LOOKS {
            std::hint::spin_loop();
        }
        if looks.is_multiple_of(LOOKS_PER_CLOCK) && deadline.is_some_and(|at| Instant::now() > at) {
            return None;
        }
    }
}

fn follow(shared: &Shared, pair: &Pair) -> io::Result<()> {
    if let Err(err) = os::pin(pair.to) {
        shared.answer.0.store(FAILED, Ordering::Release);
        return Err(err);
    }
    let mut turn = 0;
    let mut switches = os::switches();
    loop {
        turn = match await_change(&shared.turn, turn, None) {
            Some(STOP) | None => return Ok(()),
            Some(turn) => turn,
        };
        match Kind::of(turn) {
            Kind::Ball if !return_balls(shared) => return Ok(()),
            Kind::Ball => {}
            kind => prepare(&shared.states, kind),
        }
        let now = os::switches();
        let disturbed = u64::from(now != switches);
        switches = now;
        shared.answer.0.store(turn << 1 | disturbed, Ordering::Release);
    }
}

/// Return each ball of a turn; false when the leader gave up.
fn return_balls(shared: &Shared) -> bool {
    for round in 0..=ROUNDS {
        while shared.ball.0.load(Ordering::Acquire) != 2 * round + 1 {
            // The ball line is looked at alone as long as balls come quickly.
            let mut looks = 0;
            while shared.ball.0.load(Ordering::Acquire) != 2 * round + 1 && looks < LOOKS_PER_CLOCK
            {
                looks += 1;
                if looks > EAGER_LOOKS {
                    std::hint::spin_loop();
                }
            }
            if shared.turn.0.load(Ordering::Relaxed) == STOP {
                return false;
            }
        }
        shared.ball.0.store(2 * round + 2, Ordering::Release);
    }
    true
}

/// Leave all lines in this CPU's cache, clean or modified, and in no other.
fn prepare(lines: &[StateLine], kind: Kind) {
    for line in lines {
        os::flush(line);
    }
    os::fence();
    for line in lines {
        if kind == Kind::Modified {
            line.mark.fetch_add(1, Ordering::Relaxed);
        } else {
            std::hint::black_box(line.mark.load(Ordering::Relaxed));
        }
    }
    os::fence();
}

/// The leader's part, until there are enough samples or the time is over.
fn lead(shared: &Shared, budget: Duration) -> HandoffSamples {
    let start = Instant::now();
    let deadline = start + 3 * budget;
    let mut samples = HandoffSamples::default();
    let mut answer = 0;
    for turn in 3.. {
        let enough = samples.handoff.len() >= SAMPLES_MAX;
        let undisturbed = samples.handoff.iter().filter(|sample| !sample.disturbed).count();
        let few = undisturbed < 2 * super::estimate::SAMPLES_MIN;
        if enough || (start.elapsed() > budget && !few) || Instant::now() > deadline {
            break;
        }
        let kind = Kind::of(turn);
        if kind != Kind::Ball && !os::CAN_FLUSH {
            continue;
        }
        let Some((ns, disturbed)) = one_turn(shared, turn, kind, &mut answer, deadline) else {
            break;
        };
        let sample = Sample { value: ns, disturbed };
        match kind {
            Kind::Ball => samples.handoff.push(sample),
            Kind::Read => samples.read.push(sample),
            Kind::Modified => samples.modified.push(sample),
        }
    }
    samples
}

/// One sample in ns per line, and whether either thread was switched out; `None` after the
/// deadline or when the follower cannot run.
fn one_turn(
    shared: &Shared,
    turn: u64,
    kind: Kind,
    answer: &mut u64,
    deadline: Instant,
) -> Option<(f64, bool)> {
    let switches = os::switches();
    shared.ball.0.store(0, Ordering::Relaxed);
    shared.turn.0.store(turn, Ordering::Release);
    let mut ns = 0.0;
    if kind == Kind::Ball {
        // The first ball waits for the follower to notice the turn, so it does not count.
        let mut start = Instant::now();
        for round in 0..=ROUNDS {
            if round == 1 {
                start = Instant::now();
            }
            shared.ball.0.store(2 * round + 1, Ordering::Release);
            await_change(&shared.ball, 2 * round + 1, Some(deadline))?;
        }
        ns = start.elapsed().as_nanos() as f64 / (2 * ROUNDS) as f64;
    }
    *answer = await_change(&shared.answer, *answer, Some(deadline))?;
    if *answer == FAILED {
        return None;
    }
    let followed = *answer & 1 == 1;
    if kind != Kind::Ball {
        os::fence();
        let start = Instant::now();
        let mut at = 0;
        for _ in 0..STATE_LINES {
            at = shared.states.get(at as usize)?.next.load(Ordering::Relaxed);
        }
        std::hint::black_box(at);
        ns = start.elapsed().as_nanos() as f64 / f64::from(STATE_LINES);
    }
    Some((ns, followed || os::switches() != switches))
}
