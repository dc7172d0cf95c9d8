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
//! Nothing is reserved because a length in the trace asks for it: a packet is kept as it comes in, up
//! to [`PACKET_MAX`], its columns are decoded where they stand, and of a bundle at most [`BATCH_MAX`]
//! events are sorted at a time.
//!
//! Field numbers are those of Perfetto's `ftrace_event_bundle.proto`, `ftrace_event.proto` and
//! `sched.proto`. Bad at: packets that are compressed, which are passed over.

use super::super::event::{Comm, Context, Event, Left, PID_MAX, Pid, What};
use super::text::CPU_MAX;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;

/// Packets above this are passed over.
const PACKET_MAX: usize = 8 << 20;
/// Perfetto empties the kernel's buffers at least this often.
const WINDOW_NS: u64 = 2_000_000_000;
/// Most events that are held back, some 22 MB.
const HELD_MAX: usize = 200_000;
/// Events of a bundle that are sorted together; a larger one is taken in parts.
const BATCH_MAX: usize = 1 << 14;
/// Names of a bundle that are told apart; tasks with later ones have none.
const NAMES_MAX: usize = 1 << 16;
/// The beginning of a packet is given room in steps of so many bytes.
const ROOM: usize = 1 << 20;
/// The CPU of a woken task is chosen within this time.
const CHOSEN_NS: u64 = 50_000;
/// Wakings that wait for a CPU to be chosen.
const WAKING_MAX: usize = 256;

/// What is wrong with a trace, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Offset of the packet, in bytes.
    pub at: u64,
    /// What is wrong there.
    pub why: Why,
}

/// What is wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It begins with another byte than packets do.
    Begin(u8),
    /// It says that it is so long.
    TooLong(u64),
    /// The trace ends within it.
    Cut,
    /// A field in it is longer than what holds it, or of no type that there is.
    Field,
    /// A number of a task or CPU in it, and the largest that there can be.
    Number(u64, u64),
    /// Its columns are of different lengths, or their times have no sum.
    Columns,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: ", self.at)?;
        match self.why {
            Why::Begin(byte) => {
                write!(f, "{byte:#04x}, expected 0x0a, with which a packet begins")
            }
            Why::TooLong(len) => {
                write!(f, "a packet of {len} bytes, expected {PACKET_MAX} at most")
            }
            Why::Cut => write!(f, "the trace ends within the packet that begins here"),
            Why::Field => write!(f, "a packet with a field that is no whole field of its message"),
            Why::Number(number, most) => {
                write!(f, "a packet with task or CPU {number}, expected {most} at most")
            }
            Why::Columns => {
                write!(f, "a packet with columns of events, expected as many values in each")
            }
        }
    }
}

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

    fn pid(&self, number: usize) -> Result<Pid, Why> {
        pid_of(self.numbers[number])
    }

    fn cpu(&self, number: usize) -> Result<u32, Why> {
        cpu_of(self.numbers[number])
    }

    fn comm(&self, number: usize) -> Comm {
        Comm::new(self.texts[number])
    }
}

fn cpu_of(number: u64) -> Result<u32, Why> {
    let cpu = u32::try_from(number).ok().filter(|cpu| u64::from(*cpu) <= CPU_MAX);
    cpu.ok_or(Why::Number(number, CPU_MAX))
}

fn pid_of(number: u64) -> Result<Pid, Why> {
    let pid = Pid::try_from(number).ok().filter(|pid| *pid <= PID_MAX);
    pid.ok_or(Why::Number(number, u64::from(PID_MAX)))
}

/// What happened, or that a task is about to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    What(What),
    Waking(Pid, Comm, u32),
}

/// What an event's own message says; `None`: nothing that counts.
fn said(kind: u32, message: &[u8]) -> Result<Option<Said>, Why> {
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
        20 => return Ok(Some(Said::Waking(body.pid(2)?, body.comm(1), body.cpu(5)?))),
        491 => What::Migrate {
            pid: body.pid(2)?,
            comm: body.comm(1),
            from: body.cpu(4)?,
            to: body.cpu(5)?,
        },
        237 => What::Exec { pid: body.pid(2)? },
        238 => What::Exit { pid: body.pid(2)? },
        239 => What::Fork { child: body.pid(4)?, comm: body.comm(3) },
        _ => return Ok(None),
    };
    Ok(Some(Said::What(what)))
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
    Broken(Damage),
}

/// When, who ran, and what is told.
type Timed = (u64, Pid, Said);

/// Events of a bundle that are not held yet.
#[derive(Debug, Default)]
struct Batch {
    cpu: u32,
    /// Events are missing before the first.
    lost: bool,
    found: Vec<Timed>,
}

/// Reads a trace piece by piece.
#[derive(Debug, Default)]
pub struct Perfetto {
    /// The beginning of a packet that is not whole yet.
    rest: Vec<u8>,
    /// Offset in the trace of what is looked at.
    at: u64,
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
        let passed = usize::try_from(self.pass).unwrap_or(usize::MAX).min(bytes.len());
        self.pass -= passed as u64;
        self.at += passed as u64;
        let bytes = &bytes[passed..];
        // Most packets are whole in what came; only the beginning of one is copied.
        if self.rest.is_empty() {
            let used = self.packets(bytes, tell);
            self.keep(&bytes[used..]);
            return;
        }
        self.keep(bytes);
        let mut whole = std::mem::take(&mut self.rest);
        let used = self.packets(&whole, tell);
        drop(whole.drain(..used));
        self.rest = whole;
    }

    /// Append to what is kept, with little room to spare.
    fn keep(&mut self, bytes: &[u8]) {
        let len = self.rest.len() + bytes.len();
        if len > self.rest.capacity() {
            self.rest.reserve_exact(len.next_multiple_of(ROOM) - self.rest.len());
        }
        self.rest.extend_from_slice(bytes);
    }

    /// Take what is whole of `bytes`, and say how much that was.
    fn packets(&mut self, bytes: &[u8], tell: &mut dyn FnMut(Found)) -> usize {
        let mut left = bytes;
        while !left.is_empty() {
            let before = left.len();
            if let Some(packet) = packet_at(&mut left) {
                self.lost = false;
                self.packet(packet, tell);
            } else if !self.skip(&mut left, tell) {
                break;
            }
            self.at += (before - left.len()) as u64;
        }
        bytes.len() - left.len()
    }

    /// What stands here is no whole packet: pass it over if more bytes do not help. False if they may.
    fn skip(&mut self, left: &mut &[u8], tell: &mut dyn FnMut(Found)) -> bool {
        let mut after = *left;
        let mut why = Why::Begin(left[0]);
        match varint(&mut after) {
            None if left.len() < 10 => return false,
            Some(0x0a) => {
                let mut body = after;
                match varint(&mut body) {
                    None if after.len() < 10 => return false,
                    Some(len) if len <= PACKET_MAX as u64 => return false,
                    // A packet that is too long, unless its length is damage.
                    Some(len) if len < 1 << 32 => {
                        self.broken(Why::TooLong(len), tell);
                        let here = usize::try_from(len).unwrap_or(usize::MAX).min(body.len());
                        self.pass = len - here as u64;
                        *left = &body[here..];
                        return true;
                    }
                    Some(len) => why = Why::TooLong(len),
                    None => why = Why::Field,
                }
            }
            _ => {}
        }
        // Damage: go on at the next byte that may begin a packet.
        if !std::mem::replace(&mut self.lost, true) {
            self.broken(why, tell);
        }
        let next = memchr::memchr(0x0a, &left[1..]).map_or(left.len(), |at| at + 1);
        *left = &left[next..];
        true
    }

    fn broken(&self, why: Why, tell: &mut dyn FnMut(Found)) {
        tell(Found::Broken(Damage { at: self.at, why }));
    }

    /// There is nothing more.
    pub fn finish(&mut self, tell: &mut dyn FnMut(Found)) {
        if !self.rest.is_empty() || self.pass > 0 {
            self.broken(Why::Cut, tell);
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
            self.broken(Why::Field, tell);
        } else if bundles == 0 {
            tell(Found::Other);
        }
        while self
            .held
            .peek()
            .is_some_and(|Reverse(held)| held.at_ns.saturating_add(WINDOW_NS) < self.latest_ns)
        {
            let Some(Reverse(held)) = self.held.pop() else { return };
            self.tell(held, tell);
        }
    }

    /// Events of one CPU.
    fn bundle(&mut self, bundle: &[u8], tell: &mut dyn FnMut(Found)) {
        // Which CPU may be written behind its events. One of number 0 need not be.
        let mut batch = Batch::default();
        let mut message = bundle;
        while let Some((number, value)) = field(&mut message) {
            match (number, value) {
                (1, Value::Number(number)) => batch.cpu = cpu_of(number).unwrap_or(0),
                (3, Value::Number(number)) => batch.lost = number != 0,
                _ => {}
            }
        }
        let whole = message.is_empty();
        message = bundle;
        while let Some((number, value)) = field(&mut message) {
            match (number, value) {
                (2, Value::Bytes(event)) => match single(event) {
                    Ok(Some(event)) => self.gather(&mut batch, event, tell),
                    Ok(None) => tell(Found::Other),
                    Err(why) => self.broken(why, tell),
                },
                (4, Value::Bytes(columns)) => {
                    let taken = compact(columns, &mut |at_ns, said| {
                        self.gather(&mut batch, (at_ns, 0, said), tell);
                    });
                    if let Err(why) = taken {
                        self.broken(why, tell);
                    }
                }
                _ => {}
            }
        }
        if !whole {
            self.broken(Why::Field, tell);
        }
        self.release(&mut batch, tell);
    }

    fn gather(&mut self, batch: &mut Batch, event: Timed, tell: &mut dyn FnMut(Found)) {
        batch.found.push(event);
        if batch.found.len() >= BATCH_MAX {
            self.release(batch, tell);
        }
    }

    /// Hold what was gathered.
    fn release(&mut self, batch: &mut Batch, tell: &mut dyn FnMut(Found)) {
        batch.found.sort_by_key(|(at_ns, _, _)| *at_ns);
        if let Some((at_ns, pid, _)) = batch.found.first().copied()
            && std::mem::take(&mut batch.lost)
        {
            self.hold(at_ns, batch.cpu, pid, Said::What(What::Lost(None)), tell);
        }
        for (at_ns, pid, said) in batch.found.drain(..) {
            self.hold(at_ns, batch.cpu, pid, said, tell);
        }
    }

    fn hold(
        &mut self,
        at_ns: u64,
        cpu: u32,
        pid: Pid,
        mut said: Said,
        tell: &mut dyn FnMut(Found),
    ) {
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
        if self.held.len() == self.held.capacity() && self.held.len() > HELD_MAX / 4 {
            self.held.reserve_exact(HELD_MAX + 1 - self.held.len());
        }
        self.held.push(Reverse(Held { at_ns, order, cpu, current, current_comm, said }));
        if self.held.len() > HELD_MAX
            && let Some(Reverse(first)) = self.held.pop()
        {
            self.tell(first, tell);
        }
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

/// A message of one event; `None`: nothing that counts.
fn single(mut message: &[u8]) -> Result<Option<Timed>, Why> {
    let (mut at_ns, mut pid, mut found) = (0, 0, None);
    while let Some((number, value)) = field(&mut message) {
        match (number, value) {
            (1, Value::Number(time)) => at_ns = time,
            (2, Value::Number(number)) => {
                pid = pid_of(number)?;
            }
            (kind, Value::Bytes(body)) => found = said(kind, body)?.or(found),
            _ => {}
        }
    }
    if !message.is_empty() {
        return Err(Why::Field);
    }
    Ok(found.map(|said| (at_ns, pid, said)))
}

/// Switches and wakings as columns; times are differences.
fn compact(mut message: &[u8], give: &mut dyn FnMut(u64, Said)) -> Result<(), Why> {
    let mut columns: [&[u8]; 12] = Default::default();
    let mut names: Vec<&[u8]> = Vec::new();
    while let Some((number, value)) = field(&mut message) {
        match (number, value) {
            (5, Value::Bytes(name)) if names.len() < NAMES_MAX => names.push(name),
            (1..=4 | 6..=11, Value::Bytes(bytes)) if are_numbers(bytes) => {
                columns[number as usize] = bytes;
            }
            (1..=4 | 6..=11, Value::Bytes(_)) => return Err(Why::Field),
            _ => {}
        }
    }
    if !message.is_empty() {
        return Err(Why::Field);
    }
    let comm = |index: u64| {
        let name = usize::try_from(index).ok().and_then(|index| names.get(index));
        Comm::new(name.copied().unwrap_or_default())
    };
    let mut next = |column: usize| varint(&mut columns[column]);
    let mut at_ns = 0u64;
    while let Some(step) = next(1) {
        at_ns = at_ns.checked_add(step).ok_or(Why::Columns)?;
        let (Some(left), Some(pid), Some(name)) = (next(2), next(3), next(6)) else {
            return Err(Why::Columns);
        };
        let (left, prev_comm) = (Left::from_bits(left), Comm::default());
        let (next, next_comm) = (pid_of(pid)?, comm(name));
        give(at_ns, Said::What(What::Switch { prev: UNTOLD, prev_comm, left, next, next_comm }));
    }
    at_ns = 0;
    while let Some(step) = next(7) {
        at_ns = at_ns.checked_add(step).ok_or(Why::Columns)?;
        let (Some(pid), Some(cpu), Some(name)) = (next(8), next(9), next(11)) else {
            return Err(Why::Columns);
        };
        give(at_ns, Said::Waking(pid_of(pid)?, comm(name), cpu_of(cpu)?));
    }
    Ok(())
}

/// True for whole numbers in a row.
fn are_numbers(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        if varint(&mut bytes).is_none() {
            return false;
        }
    }
    true
}
