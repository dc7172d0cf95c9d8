// SPDX-License-Identifier: GPL-2.0-only
//! Entries as bytes: numbers in groups of seven bits (LEB128), signed ones folded onto unsigned ones
//! (0, -1, 1, -2, …), times as the difference to the time before, tasks in full once per block.

use super::{Cgroup, Entry, Load};
use crate::control::wire::Frame;
use crate::events::{Decision, Kind, Outcome, Question, Slice, Verdict, Who};
use crate::model::decide::Migrate;
use crate::topology::Level;
use std::collections::HashMap;

/// The payload of a block while it is written.
#[derive(Debug, Default)]
pub struct Out {
    pub bytes: Vec<u8>,
    last_ns: u64,
    tasks: HashMap<Who, u64>,
}

/// The payload of a block while it is read.
#[derive(Debug)]
pub struct In<'a> {
    bytes: &'a [u8],
    last_ns: u64,
    tasks: Vec<Who>,
}

impl<'a> In<'a> {
    pub fn new(bytes: &'a [u8]) -> In<'a> {
        In { bytes, last_ns: 0, tasks: Vec::new() }
    }

    /// Bytes that are not read yet.
    pub fn left(&self) -> usize {
        self.bytes.len()
    }
}

/// What can be written and read. Reading gives `None` for bytes that nobody wrote.
pub trait Coded: Sized {
    fn put(&self, out: &mut Out);
    fn take(from: &mut In) -> Option<Self>;
}

impl Coded for u64 {
    fn put(&self, out: &mut Out) {
        let mut rest = *self;
        while rest >= 0x80 {
            out.bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.bytes.push(rest as u8);
    }

    fn take(from: &mut In) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = from.bytes.split_first()?;
            from.bytes = rest;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

impl Coded for u32 {
    fn put(&self, out: &mut Out) {
        u64::from(*self).put(out);
    }

    fn take(from: &mut In) -> Option<u32> {
        u64::take(from)?.try_into().ok()
    }
}

impl Coded for i64 {
    fn put(&self, out: &mut Out) {
        ((self << 1 ^ self >> 63) as u64).put(out);
    }

    fn take(from: &mut In) -> Option<i64> {
        let folded = u64::take(from)?;
        Some((folded >> 1) as i64 ^ -((folded & 1) as i64))
    }
}

impl Coded for bool {
    fn put(&self, out: &mut Out) {
        u64::from(*self).put(out);
    }

    fn take(from: &mut In) -> Option<bool> {
        match u64::take(from)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl<T: Coded> Coded for Option<T> {
    fn put(&self, out: &mut Out) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(from: &mut In) -> Option<Option<T>> {
        Some(if bool::take(from)? { Some(T::take(from)?) } else { None })
    }
}

impl Coded for Vec<u64> {
    fn put(&self, out: &mut Out) {
        (self.len() as u64).put(out);
        self.iter().for_each(|value| value.put(out));
    }

    fn take(from: &mut In) -> Option<Vec<u64>> {
        let len = u64::take(from)?;
        // Each takes a byte at least, so a length that makes no sense reserves nothing.
        (len <= from.bytes.len() as u64).then(|| (0..len).map(|_| u64::take(from)).collect())?
    }
}

/// Longest text, in bytes: what the kernel takes as a path.
pub const TEXT_MAX: usize = 4096;
/// Longest name of a task: 15 bytes, of which each may have become a replacement character.
const COMM_MAX: usize = 45;

impl Coded for String {
    fn put(&self, out: &mut Out) {
        (self.len() as u64).put(out);
        out.bytes.extend_from_slice(self.as_bytes());
    }

    fn take(from: &mut In) -> Option<String> {
        let len = usize::try_from(u64::take(from)?).ok().filter(|len| *len <= TEXT_MAX)?;
        let (text, rest) = from.bytes.split_at_checked(len)?;
        from.bytes = rest;
        String::from_utf8(text.to_vec()).ok()
    }
}

/// A time as the difference to the one before it, and none (0) as 0.
struct Time(u64);

impl Coded for Time {
    fn put(&self, out: &mut Out) {
        (self.0 != 0).put(out);
        if self.0 != 0 {
            (self.0.wrapping_sub(out.last_ns) as i64).put(out);
            out.last_ns = self.0;
        }
    }

    fn take(from: &mut In) -> Option<Time> {
        if !bool::take(from)? {
            return Some(Time(0));
        }
        from.last_ns = from.last_ns.wrapping_add(i64::take(from)? as u64);
        Some(Time(from.last_ns))
    }
}

impl Coded for Who {
    fn put(&self, out: &mut Out) {
        if let Some(&number) = out.tasks.get(self) {
            return number.put(out);
        }
        0u64.put(out);
        out.tasks.insert(self.clone(), out.tasks.len() as u64 + 1);
        self.pid.put(out);
        self.tgid.put(out);
        self.cgroup.put(out);
        self.comm.put(out);
    }

    fn take(from: &mut In) -> Option<Who> {
        if let Some(number) = u64::take(from)?.checked_sub(1) {
            return from.tasks.get(usize::try_from(number).ok()?).cloned();
        }
        let who = Who {
            pid: Coded::take(from)?,
            tgid: Coded::take(from)?,
            cgroup: Coded::take(from)?,
            comm: Coded::take(from)?,
        };
        // Whoever refers to it later gets a copy.
        if who.comm.len() > COMM_MAX {
            return None;
        }
        from.tasks.push(who.clone());
        Some(who)
    }
}

/// An enum as the position in the list of all its values.
macro_rules! listed {
    ($type:ty, $all:expr) => {
        impl Coded for $type {
            fn put(&self, out: &mut Out) {
                (*self as u64).put(out);
            }

            fn take(from: &mut In) -> Option<$type> {
                $all.get(usize::try_from(u64::take(from)?).ok()?).copied()
            }
        }
    };
}

listed!(Kind, Kind::ALL);
listed!(Level, Level::ALL);
listed!(Verdict, Verdict::ALL);
listed!(Migrate, [Migrate::Toll, Migrate::Always, Migrate::Never, Migrate::Fixed]);

macro_rules! put {
    ($out:ident, $value:expr) => {
        $value.put($out)
    };
    ($out:ident, $value:expr, Time) => {
        Time($value).put($out)
    };
}

macro_rules! take {
    ($from:ident) => {
        Coded::take($from)?
    };
    ($from:ident, Time) => {
        Time::take($from)?.0
    };
}

/// A struct as its fields in this order. A change of the order, or of a field, is a new
/// [`super::VERSION`].
macro_rules! coded {
    ($type:ident { $($field:ident $(: $how:ident)?),+ $(,)? }) => {
        impl Coded for $type {
            fn put(&self, out: &mut Out) {
                $(put!(out, self.$field $(, $how)?);)+
            }

            fn take(from: &mut In) -> Option<$type> {
                Some($type { $($field: take!(from $(, $how)?)),+ })
            }
        }
    };
}

coded!(Question {
    asked_ns: Time,
    gain_ns,
    penalty_ns,
    wait_from_ns,
    wait_to_ns,
    turns,
    hop_ns,
    refill_ns,
    remote_ns,
    price_q10,
    refill_q10,
    warm_from_ns,
    warm_to_ns,
    warm_most_ns,
    span_ns,
    there_pm,
    here_pm,
    gate_since_ns: Time,
    gate_seen_ns: Time,
    open_ns,
    close_ns,
    hold_ns,
    reasked,
    owed,
    sent_home,
    against_class,
    slower_pm,
    home_node,
    beside,
});
coded!(Decision {
    seq,
    at_ns: Time,
    count,
    policy_version,
    who,
    kind,
    level,
    verdict,
    cpu,
    from_llc,
    to_llc,
    from_cpu,
    to_cpu,
    waited_ns,
    age_ns,
    migrate,
    fixed_ns,
    for_class,
    question,
});
coded!(Outcome {
    seq,
    at_ns: Time,
    waited_ns,
    wait_from_ns,
    wait_to_ns,
    penalty_ns,
    turns,
    paid,
    who,
    cpu,
});
coded!(Slice { cpu, from_ns: Time, to_ns: Time, who, more });
coded!(Load { from_ns: Time, span_ns, busy_ns });
coded!(Cgroup { id, path });

const DECISION: u8 = 1;
const OUTCOME: u8 = 2;
const SLICE: u8 = 3;
const LOST: u8 = 4;
const ENDED: u8 = 5;
const LOAD: u8 = 6;
const CGROUP: u8 = 7;
const END: u8 = 8;

impl Coded for Entry {
    fn put(&self, out: &mut Out) {
        let mut tagged = |tag: u8, value: &dyn Fn(&mut Out)| {
            out.bytes.push(tag);
            value(out);
        };
        match self {
            Entry::Frame(Frame::Decision(decision)) => tagged(DECISION, &|out| decision.put(out)),
            Entry::Frame(Frame::Outcome(outcome)) => tagged(OUTCOME, &|out| outcome.put(out)),
            Entry::Frame(Frame::Slice(slice)) => tagged(SLICE, &|out| slice.put(out)),
            Entry::Frame(Frame::Lost { ring, queue }) => tagged(LOST, &|out| {
                ring.put(out);
                queue.put(out);
            }),
            Entry::Frame(Frame::Ended {}) => tagged(ENDED, &|_| {}),
            Entry::Load(load) => tagged(LOAD, &|out| load.put(out)),
            Entry::Cgroup(cgroup) => tagged(CGROUP, &|out| cgroup.put(out)),
            Entry::End => tagged(END, &|_| {}),
        }
    }

    fn take(from: &mut In) -> Option<Entry> {
        let (&tag, rest) = from.bytes.split_first()?;
        from.bytes = rest;
        Some(match tag {
            DECISION => Entry::Frame(Frame::Decision(Box::new(Decision::take(from)?))),
            OUTCOME => Entry::Frame(Frame::Outcome(Outcome::take(from)?)),
            SLICE => Entry::Frame(Frame::Slice(Slice::take(from)?)),
            LOST => Entry::Frame(Frame::Lost { ring: take!(from), queue: take!(from) }),
            ENDED => Entry::Frame(Frame::Ended {}),
            LOAD => Entry::Load(Load::take(from)?),
            CGROUP => Entry::Cgroup(Cgroup::take(from)?),
            END => Entry::End,
            _ => return None,
        })
    }
}
