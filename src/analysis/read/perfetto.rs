// SPDX-License-Identifier: GPL-2.0-only
//! Traces of Perfetto: protocol buffers, of which the kernel's scheduler events are read.
//!
//! A trace is a sequence of packets; a packet may hold a bundle of events of one CPU, either one
//! message each or, switches and wakings, as columns (`compact_sched`). Bundles of different CPUs
//! overlap in time, so events are held back and sorted, for [`WINDOW_NS`] or up to [`HELD_MAX`].
//!
//! A task that is woken is told by `sched_waking`, before a CPU is chosen for it, or by `sched_wakeup`
//! afterwards. Where a trace has only the first, the wakeup counts from the move that follows, if one
//! does.
//!
//! Field numbers are those of Perfetto's `ftrace_event_bundle.proto`, `ftrace_event.proto` and
//! `sched.proto`. Bad at: packets that are compressed, which are passed over.

use super::super::event::{Comm, Context, Event, Left, PID_MAX, Pid, What};
use super::text::CPU_MAX;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Packets above this are passed over.
const PACKET_MAX: usize = 8 << 20;
/// Perfetto empties the kernel's buffers at least this often.
const WINDOW_NS: u64 = 2_000_000_000;
/// Most events that are held back, some 30 MB.
const HELD_MAX: usize = 200_000;
/// The CPU of a woken task is chosen within this time.
const CHOSEN_NS: u64 = 50_000;
/// Wakings that wait for a CPU to be chosen.
const WAKING_MAX: usize = 256;

/// A value on the wire.
#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The number at the beginning of `bytes`, which are moved on.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for at in 0..10 {
        let byte = *bytes.get(at)?;
        value |= u64::from(byte & 0x7f).checked_shl(7 * at as u32)?;
        if byte < 0x80 {
            *bytes = &bytes[at + 1..];
            return Some(value);
        }
    }
    None
}

/// The next field of a message; `None` at its end and where it is damaged.
fn field<'a>(message: &mut &'a [u8]) -> Option<(u32, Value<'a>)> {
    let key = varint(message)?;
    let number = u32::try_from(key >> 3).ok().filter(|number| *number > 0)?;
    let mut take = |len: usize| {
        let (taken, rest) = message.split_at_checked(len)?;
        *message = rest;
        Some(taken)
    };
    let value = match key & 7 {
        0 => Value::Number(varint(message)?),
        1 => Value::Number(u64::from_le_bytes(take(8)?.try_into().ok()?)),
        5 => Value::Number(u64::from(u32::from_le_bytes(take(4)?.try_into().ok()?))),
        2 => {
            let len = usize::try_from(varint(message)?).ok()?;
            let (taken, rest) = message.split_at_checked(len)?;
            *message = rest;
            Value::Bytes(taken)
        }
        _ => return None,
    };
    Some((number, value))
}

/// True if `bytes` begin like a trace: packets of whole fields, the last of them perhaps cut.
pub fn begins(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let mut packets = 0;
    while !rest.is_empty() {
        let Some(mut packet) = packet_at(&mut rest) else { break };
        while !packet.is_empty() {
            if field(&mut packet).is_none() {
                return false;
            }
        }
        packets += 1;
    }
    packets > 0
}

/// A whole packet at the beginning of `bytes`, which are moved behind it.
fn packet_at<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut rest = bytes.strip_prefix(&[0x0a])?;
    let len = usize::try_from(varint(&mut rest)?).ok()?;
    let (packet, rest) = rest.split_at_checked(len)?;
    *bytes = rest;
    Some(packet)
}

/// What a message says of the numbers and texts in it.
#[derive(Clone, Copy, Default)]
struct Body<'a> {
    numbers: [u64; 8],
    texts: [&'a [u8]; 8],
}

impl<'a> Body<'a> {
    fn read(mut message: &'a [u8]) -> Body<'a> {
        let mut body = Body::default();
        while let Some((number, value)) = field(&mut message) {
            let Some(number) = usize::try_from(number).ok().filter(|number| *number < 8) else {
                continue;
            };
            match value {
                Value::Number(value) => body.numbers[number] = value,
                Value::Bytes(text) => body.texts[number] = text,
            }
        }
        body
    }

    fn pid(&self, number: usize) -> Option<Pid> {
        Pid::try_from(self.numbers[number]).ok().filter(|pid| *pid <= PID_MAX)
    }

    fn cpu(&self, number: usize) -> Option<u32> {
        cpu_of(self.numbers[number])
    }

    fn comm(&self, number: usize) -> Comm {
        Comm::new(self.texts[number])
    }
}

fn cpu_of(number: u64) -> Option<u32> {
    u32::try_from(number).ok().filter(|cpu| u64::from(*cpu) <= CPU_MAX)
}

/// What happened, or that a task is about to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    What(What),
    Waking(Pid, Comm, u32),
}

/// What an event's own message says. `None`: damaged; `Some(None)`: nothing that counts.
fn said(kind: u32, message: &[u8]) -> Option<Option<Said>> {
    let body = Body::read(message);
    let what = match kind {
        4 => What::Switch {
            prev: body.pid(2)?,
            prev_comm: body.comm(1),
            left: Left::from_bits(body.numbers[4]),
            next: body.pid(6)?,
            next_comm: body.comm(5),
        },
        17 | 114 => {
            let (pid, comm, cpu) = (body.pid(2)?, body.comm(1), body.cpu(5)?);
            What::Wakeup { pid, comm, cpu, new: kind == 114 }
        }
        20 => return Some(Some(Said::Waking(body.pid(2)?, body.comm(1), body.cpu(5)?))),
        491 => What::Migrate {
            pid: body.pid(2)?,
            comm: body.comm(1),
            from: body.cpu(4)?,
            to: body.cpu(5)?,
        },
        237 => What::Exec { pid: body.pid(2)? },
        238 => What::Exit { pid: body.pid(2)? },
        239 => What::Fork { child: body.pid(4)?, comm: body.comm(3) },
        _ => return Some(None),
    };
    Some(Some(Said::What(what)))
}

/// An event that is held back; sorted by time, then by order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    at_ns: u64,
    order: u64,
    cpu: u32,
    current: Pid,
    current_comm: Comm,
    said: Said,
}

impl Ord for Held {
    fn cmp(&self, other: &Held) -> std::cmp::Ordering {
        (self.at_ns, self.order).cmp(&(other.at_ns, other.order))
    }
}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Held) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// What is told of a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found {
    /// The next event, in the order of time.
    Event(Event),
    /// A packet or event of another kind.
    Other,
    /// Damage.
    Broken,
}

/// Reads a trace piece by piece.
#[derive(Debug, Default)]
pub struct Perfetto {
    /// The beginning of a packet that is not whole yet.
    rest: Vec<u8>,
    /// Bytes of a packet that is passed over.
    pass: u64,
    /// Damage goes on.
    lost: bool,
    held: BinaryHeap<Reverse<Held>>,
    order: u64,
    latest_ns: u64,
    /// Who runs on each CPU.
    running: Vec<(Pid, Comm)>,
    /// The trace has `sched_wakeup`.
    wakes: bool,
    waking: VecDeque<Held>,
}

impl Perfetto {
    /// Take the next bytes of the trace and tell what is complete.
    pub fn take(&mut self, bytes: &[u8], tell: &mut dyn FnMut(Found)) {
        let mut bytes = bytes;
        if self.pass > 0 {
            let passed = usize::try_from(self.pass).unwrap_or(usize::MAX).min(bytes.len());
            self.pass -= passed as u64;
            bytes = &bytes[passed..];
        }
        self.rest.extend_from_slice(bytes);
        let whole = std::mem::take(&mut self.rest);
        let mut left = &whole[..];
        while !left.is_empty() {
            if let Some(packet) = packet_at(&mut left) {
                self.lost = false;
                self.packet(packet, tell);
                continue;
            }
            if !self.skip(&mut left, tell) {
                break;
            }
        }
        self.rest = left.to_vec();
    }

    /// What stands here is no whole packet: pass it over if more bytes do not help. False if they may.
    fn skip(&mut self, left: &mut &[u8], tell: &mut dyn FnMut(Found)) -> bool {
        let mut after = *left;
        match varint(&mut after) {
            None if left.len() < 10 => return false,
            Some(0x0a) => {
                let mut body = after;
                match varint(&mut body) {
                    None if after.len() < 10 => return false,
                    Some(len) if len <= PACKET_MAX as u64 => return false,
                    // A packet that is too long, unless its length is damage.
                    Some(len) if len < 1 << 32 => {
                        tell(Found::Broken);
                        let here = usize::try_from(len).unwrap_or(usize::MAX).min(body.len());
                        self.pass = len - here as u64;
                        *left = &body[here..];
                        return true;
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        // Damage: go on at the next byte that may begin a packet.
        if !std::mem::replace(&mut self.lost, true) {
            tell(Found::Broken);
        }
        let next = memchr::memchr(0x0a, &left[1..]).map_or(left.len(), |at| at + 1);
        *left = &left[next..];
        true
    }

    /// There is nothing more.
    pub fn finish(&mut self, tell: &mut dyn FnMut(Found)) {
        if !self.rest.is_empty() || self.pass > 0 {
            tell(Found::Broken);
        }
        while let Some(Reverse(held)) = self.held.pop() {
            self.tell(held, tell);
        }
        self.chosen(u64::MAX, tell);
    }

    fn packet(&mut self, mut packet: &[u8], tell: &mut dyn FnMut(Found)) {
        let mut bundles = 0;
        while let Some((number, value)) = field(&mut packet) {
            if let (1, Value::Bytes(bundle)) = (number, value) {
                bundles += 1;
                self.bundle(bundle, tell);
            }
        }
        if !packet.is_empty() {
            tell(Found::Broken);
        } else if bundles == 0 {
            tell(Found::Other);
        }
        while self.held.peek().is_some_and(|Reverse(held)| {
            held.at_ns.saturating_add(WINDOW_NS) < self.latest_ns || self.held.len() > HELD_MAX
        }) {
            let Some(Reverse(held)) = self.held.pop() else { return };
            self.tell(held, tell);
        }
    }

    /// Events of one CPU.
    fn bundle(&mut self, bundle: &[u8], tell: &mut dyn FnMut(Found)) {
        let (mut cpu, mut lost) = (None, false);
        let mut found: Vec<(u64, Pid, Said)> = Vec::new();
        let mut message = bundle;
        while let Some((number, value)) = field(&mut message) {
            match (number, value) {
                (1, Value::Number(number)) => cpu = cpu_of(number),
                (3, Value::Number(number)) => lost = number != 0,
                (2, Value::Bytes(event)) => match single(event) {
                    Some(Some(event)) => found.push(event),
                    Some(None) => tell(Found::Other),
                    None => tell(Found::Broken),
                },
                (4, Value::Bytes(columns)) if compact(columns, &mut found).is_none() => {
                    tell(Found::Broken);
                }
                _ => {}
            }
        }
        // A CPU of number 0 need not be written.
        let cpu = cpu.unwrap_or(0);
        if !message.is_empty() {
            tell(Found::Broken);
        }
        found.sort_by_key(|(at_ns, _, _)| *at_ns);
        if let Some((at_ns, pid, _)) = found.first().copied().filter(|_| lost) {
            self.hold(at_ns, cpu, pid, Said::What(What::Lost(None)));
        }
        for (at_ns, pid, said) in found {
            self.hold(at_ns, cpu, pid, said);
        }
    }

    fn hold(&mut self, at_ns: u64, cpu: u32, pid: Pid, mut said: Said) {
        if self.running.len() <= cpu as usize {
            self.running.resize(cpu as usize + 1, (0, Comm::default()));
        }
        let running = &mut self.running[cpu as usize];
        let (current, current_comm) = match *running {
            (current, comm) if current == pid => (current, comm),
            _ => (pid, Comm::default()),
        };
        if let Said::What(What::Switch { prev, prev_comm, next, next_comm, .. }) = &mut said {
            // Columns do not say who left.
            if *prev == UNTOLD {
                (*prev, *prev_comm) = *running;
            }
            *running = (*next, *next_comm);
        }
        self.wakes |= matches!(said, Said::What(What::Wakeup { new: false, .. }));
        self.latest_ns = self.latest_ns.max(at_ns);
        self.order += 1;
        let order = self.order;
        self.held.push(Reverse(Held { at_ns, order, cpu, current, current_comm, said }));
    }

    /// An event whose time has come.
    fn tell(&mut self, held: Held, tell: &mut dyn FnMut(Found)) {
        self.chosen(held.at_ns.saturating_sub(CHOSEN_NS), tell);
        let what = match held.said {
            Said::Waking(..) if self.wakes => return tell(Found::Other),
            Said::Waking(..) => {
                self.waking.push_back(held);
                return;
            }
            Said::What(what) => what,
        };
        let at = |pid: Pid, waking: &VecDeque<Held>| {
            waking
                .iter()
                .position(|held| matches!(held.said, Said::Waking(woken, ..) if woken == pid))
        };
        if let What::Switch { next, .. } = what
            && let Some(at) = at(next, &self.waking)
            && let Some(waking) = self.waking.remove(at)
        {
            tell(Found::Event(woken(&waking, None)));
        }
        tell(Found::Event(event(&held, what)));
        if let What::Migrate { pid, to, .. } = what
            && let Some(at) = at(pid, &self.waking)
            && let Some(waking) = self.waking.remove(at)
        {
            tell(Found::Event(woken(&Held { at_ns: held.at_ns, ..waking }, Some(to))));
        }
    }

    /// Tasks whose waking is older than `before_ns` stay where they were.
    fn chosen(&mut self, before_ns: u64, tell: &mut dyn FnMut(Found)) {
        while self
            .waking
            .front()
            .is_some_and(|held| held.at_ns < before_ns || self.waking.len() > WAKING_MAX)
        {
            let Some(waking) = self.waking.pop_front() else { return };
            tell(Found::Event(woken(&waking, None)));
        }
    }
}

/// Who left is not told.
const UNTOLD: Pid = Pid::MAX;

fn event(held: &Held, what: What) -> Event {
    let Held { at_ns, cpu, current, current_comm, .. } = *held;
    Event { at_ns, cpu, current, current_comm, context: Context::Unknown, what }
}

/// The wakeup that follows a waking, on the chosen CPU or where it was.
fn woken(waking: &Held, to: Option<u32>) -> Event {
    let what = match waking.said {
        Said::Waking(pid, comm, cpu) => {
            What::Wakeup { pid, comm, cpu: to.unwrap_or(cpu), new: false }
        }
        Said::What(what) => what,
    };
    event(waking, what)
}

/// A message of one event. `None`: damaged; `Some(None)`: nothing that counts.
fn single(mut message: &[u8]) -> Option<Option<(u64, Pid, Said)>> {
    let (mut at_ns, mut pid, mut found) = (0, 0, None);
    while let Some((number, value)) = field(&mut message) {
        match (number, value) {
            (1, Value::Number(time)) => at_ns = time,
            (2, Value::Number(number)) => {
                pid = Pid::try_from(number).ok().filter(|pid| *pid <= PID_MAX)?;
            }
            (kind, Value::Bytes(body)) => found = said(kind, body)?.or(found),
            _ => {}
        }
    }
    message.is_empty().then_some(())?;
    Some(found.map(|said| (at_ns, pid, said)))
}

/// Numbers in a row.
fn packed(mut bytes: &[u8]) -> Option<Vec<u64>> {
    let mut numbers = Vec::new();
    while !bytes.is_empty() {
        numbers.push(varint(&mut bytes)?);
    }
    Some(numbers)
}

/// Switches and wakings as columns; times are differences.
fn compact(mut message: &[u8], found: &mut Vec<(u64, Pid, Said)>) -> Option<()> {
    let mut columns: [Vec<u64>; 12] = Default::default();
    let mut names: Vec<&[u8]> = Vec::new();
    while let Some((number, value)) = field(&mut message) {
        match (number, value) {
            (5, Value::Bytes(name)) => names.push(name),
            (1..=11, Value::Bytes(bytes)) => columns[number as usize] = packed(bytes)?,
            _ => {}
        }
    }
    message.is_empty().then_some(())?;
    let comm = |index: &u64| {
        let name = usize::try_from(*index).ok().and_then(|index| names.get(index));
        Comm::new(name.copied().unwrap_or_default())
    };
    let pid_of = |number: &u64| Pid::try_from(*number).ok().filter(|pid| *pid <= PID_MAX);
    let mut at_ns = 0u64;
    for (at, step) in columns[1].iter().enumerate() {
        at_ns = at_ns.checked_add(*step)?;
        let next = pid_of(columns[3].get(at)?)?;
        let (left, next_comm) = (Left::from_bits(*columns[2].get(at)?), comm(columns[6].get(at)?));
        let prev_comm = Comm::default();
        let what = What::Switch { prev: UNTOLD, prev_comm, left, next, next_comm };
        found.push((at_ns, 0, Said::What(what)));
    }
    at_ns = 0;
    for (at, step) in columns[7].iter().enumerate() {
        at_ns = at_ns.checked_add(*step)?;
        let (pid, cpu) = (pid_of(columns[8].get(at)?)?, cpu_of(*columns[9].get(at)?)?);
        found.push((at_ns, 0, Said::Waking(pid, comm(columns[11].get(at)?), cpu)));
    }
    Some(())
}
