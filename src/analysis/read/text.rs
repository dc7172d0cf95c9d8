// SPDX-License-Identifier: GPL-2.0-only
//! A line of `perf script`, of ftrace, or of `trace-cmd report`.
//!
//! The three differ in how the task is named before the CPU, in whether the event carries its group,
//! and in the form of what follows:
//!
//! ```text
//!      make  1234 [001]  12.345678: sched:sched_switch: prev_comm=make prev_pid=1234 …   perf script
//!      make-1234  [001] d..2. 12.345678: sched_switch: prev_comm=make prev_pid=1234 …    ftrace
//!      make-1234  [001]  12.345678: sched_switch:  make:1234 [120] S ==> sh:12 [120]     trace-cmd
//! ```
//!
//! A name may hold blanks, brackets, `=` and bytes that are not UTF-8, so what follows a name is
//! looked for from behind, within the 15 bytes that a name can have.

use super::super::event::{Comm, Context, Event, Left, PID_MAX, Pid, What};
use super::lines::find;

/// CPUs above this are taken for damage: no kernel is built for more.
pub const CPU_MAX: u64 = 8191;
const NAME_MAX: usize = 15;

/// Who wrote a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `perf script` or `perf sched script`.
    Perf,
    /// The kernel's own `trace` file, or `trace-cmd report`.
    Ftrace,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// An event that counts.
    Event(Event, Dialect),
    /// An event of another kind; its time.
    Other(u64),
    /// A comment, a heading, a line of a call stack, nothing.
    Empty,
    /// Something that no rule explains.
    Broken,
}

/// Read one line.
pub fn parse(line: &[u8]) -> Parsed {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let stack = line.trim_ascii_start().starts_with(b"=> ");
    if stack || line.first() == Some(&b'#') || line.iter().all(u8::is_ascii_whitespace) {
        return Parsed::Empty;
    }
    let Some(head) = Head::find(line) else { return without_head(line) };
    let Some((current, current_comm, dialect)) = task(&line[..head.bracket]) else {
        return Parsed::Broken;
    };
    let (name, body) = event_name(&line[head.rest..]);
    match what(name, body) {
        None => Parsed::Broken,
        Some(None) => Parsed::Other(head.at_ns),
        Some(Some(what)) => {
            let Head { at_ns, cpu, context, .. } = head;
            Parsed::Event(Event { at_ns, cpu, current, current_comm, context, what }, dialect)
        }
    }
}

/// A line without a CPU and a time: a gap, a heading of `trace-cmd report`, or damage.
fn without_head(line: &[u8]) -> Parsed {
    let text = line.trim_ascii();
    let cpu = text.strip_prefix(b"CPU:").and_then(number);
    if let Some((cpu, rest)) = cpu {
        // CPU:1 [LOST 12 EVENTS], CPU:1 [12 EVENTS DROPPED]
        let rest = rest.trim_ascii_start();
        let inner = rest.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
        let count = inner.and_then(|inner| {
            let words = inner.strip_prefix(b"LOST ").unwrap_or(inner);
            number(words).filter(|(_, rest)| rest.starts_with(b" EVENTS")).map(|(n, _)| n)
        });
        let lost = count.map(Some).or_else(|| (inner == Some(b"LOST EVENTS")).then_some(None));
        if let Some(count) = lost.filter(|_| cpu <= CPU_MAX) {
            return Parsed::Event(gap(0, cpu as u32, count), Dialect::Ftrace);
        }
    }
    if let Some(at) = position(text, b"PERF_RECORD_LOST") {
        let count = position(&text[at..], b"lost ").and_then(|by| number(&text[at + by + 5..]));
        return Parsed::Event(gap(0, 0, count.map(|(n, _)| n)), Dialect::Perf);
    }
    let heading = [&b"cpus="[..], b"version = ", b"CPU ", b"trace.dat"];
    match heading.iter().any(|heading| text.starts_with(heading)) {
        true => Parsed::Empty,
        false => Parsed::Broken,
    }
}

/// Events are missing; the time is that of the neighbours.
fn gap(at_ns: u64, cpu: u32, count: Option<u64>) -> Event {
    let what = What::Lost(count);
    let (current_comm, context) = (Comm::default(), Context::Unknown);
    Event { at_ns, cpu, current: 0, current_comm, context, what }
}

/// `[001] d..2. 12.345678: `, and where it stands.
struct Head {
    bracket: usize,
    cpu: u32,
    context: Context,
    at_ns: u64,
    rest: usize,
}

impl Head {
    /// The first place that looks like one.
    fn find(line: &[u8]) -> Option<Head> {
        let mut from = 0;
        while let Some(at) = find(&line[from..], b'[') {
            let bracket = from + at;
            if let Some(head) = Head::at(line, bracket) {
                return Some(head);
            }
            from = bracket + 1;
        }
        None
    }

    fn at(line: &[u8], bracket: usize) -> Option<Head> {
        let (cpu, rest) = number(&line[bracket + 1..])?;
        let rest = rest.strip_prefix(b"]")?;
        if cpu > CPU_MAX {
            return None;
        }
        let mut rest = rest.trim_ascii_start();
        let mut context = Context::Unknown;
        if let Some((at_ns, after)) = time(rest) {
            let rest = line.len() - after.len();
            return Some(Head { bracket, cpu: cpu as u32, context, at_ns, rest });
        }
        // The flags of ftrace; a letter of the third place tells the kind of interrupt.
        let blank = rest.iter().position(u8::is_ascii_whitespace)?;
        if (4..=8).contains(&blank) {
            context = match rest.get(2) {
                Some(b's') => Context::SoftIrq,
                Some(b'h' | b'H' | b'z' | b'Z') => Context::HardIrq,
                Some(b'.') => Context::Task,
                _ => Context::Unknown,
            };
        }
        rest = rest[blank..].trim_ascii_start();
        let (at_ns, after) = time(rest)?;
        Some(Head { bracket, cpu: cpu as u32, context, at_ns, rest: line.len() - after.len() })
    }
}

/// Digits at the beginning, and what follows them.
pub(super) fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    let mut len = 0;
    while let Some(digit) = bytes.get(len).filter(|byte| byte.is_ascii_digit()) {
        value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        len += 1;
    }
    (len > 0).then(|| (value, &bytes[len..]))
}

/// `12.345678:` as ns, and what follows it.
fn time(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (seconds, rest) = number(bytes)?;
    let rest = rest.strip_prefix(b".")?;
    let (fraction, after) = number(rest)?;
    let digits = rest.len() - after.len();
    let scale = 10u64.checked_pow(9u32.checked_sub(u32::try_from(digits).ok()?)?)?;
    let ns = seconds.checked_mul(1_000_000_000)?.checked_add(fraction * scale)?;
    // A year of any clock is far below; anything above is damage.
    (ns < 1 << 62).then_some(())?;
    Some((ns, after.strip_prefix(b":")?))
}

/// Who ran, from what stands before the CPU.
fn task(head: &[u8]) -> Option<(Pid, Comm, Dialect)> {
    let mut head = head.trim_ascii();
    // ftrace can print the process too: "name-12 (   10)".
    if head.last() == Some(&b')') {
        let open = head.iter().rposition(|&byte| byte == b'(')?;
        head = head[..open].trim_ascii_end();
    }
    let digits = head.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let before = head.len() - digits;
    let (id, _) = number(&head[before..])?;
    let pid = pid_of(id)?;
    let (last, name) = head[..before].split_last()?;
    let (name, dialect) = match last {
        b'-' => (name, Dialect::Ftrace),
        // "process/thread" of perf script -F pid,tid.
        b'/' => {
            let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
            (name[..name.len() - digits].trim_ascii_end(), Dialect::Perf)
        }
        byte if byte.is_ascii_whitespace() => (name.trim_ascii_end(), Dialect::Perf),
        _ => return None,
    };
    Some((pid, Comm::new(name), dialect))
}

fn pid_of(id: u64) -> Option<Pid> {
    Pid::try_from(id).ok().filter(|&pid| pid <= PID_MAX)
}

/// The event's name without its group, and what it says.
fn event_name(rest: &[u8]) -> (&[u8], &[u8]) {
    let rest = rest.trim_ascii_start();
    let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
    let (name, body) = rest.split_at(end);
    let name = name.strip_suffix(b":").unwrap_or(name);
    let group = name.iter().rposition(|&byte| byte == b':').map_or(0, |at| at + 1);
    (&name[group..], body.trim_ascii())
}

/// `None`: damaged. `Some(None)`: an event of another kind.
fn what(name: &[u8], body: &[u8]) -> Option<Option<What>> {
    let what = match name {
        b"sched_switch" => switch(body),
        b"sched_wakeup" => wakeup(body, false),
        b"sched_wakeup_new" => wakeup(body, true),
        b"sched_migrate_task" => migrate(body),
        b"sched_process_fork" => named(body, b"child_comm=", b" child_pid=")
            .map(|(comm, child, _)| What::Fork { child, comm }),
        b"sched_process_exit" => pid_value(body, b"pid=").map(|pid| What::Exit { pid }),
        b"sched_process_exec" => pid_value(body, b"pid=").map(|pid| What::Exec { pid }),
        b"sched_move_numa" => pid_value(body, b"pid=").map(|pid| What::Numa { pid, other: 0 }),
        b"sched_swap_numa" => pid_value(body, b"src_pid=")
            .zip(pid_value(body, b"dst_pid="))
            .map(|(pid, other)| What::Numa { pid, other }),
        b"" => None,
        _ => return Some(None),
    };
    what.map(Some)
}

fn switch(body: &[u8]) -> Option<What> {
    if body.starts_with(b"prev_comm=") {
        let (prev_comm, prev, rest) = named(body, b"prev_comm=", b" prev_pid=")?;
        let (left, rest) = word(after(rest, b"prev_state=")?);
        let left = Left::from_letters(left)?;
        let (next_comm, next, _) = named(rest, b"next_comm=", b" next_pid=")?;
        return Some(What::Switch { prev, prev_comm, left, next, next_comm });
    }
    let arrow = position(body, b" ==> ")?;
    let (before, next) = (body[..arrow].trim_ascii(), &body[arrow + 5..]);
    let state = before.iter().rposition(u8::is_ascii_whitespace)?;
    let left = Left::from_letters(&before[state + 1..])?;
    let (prev_comm, prev) = colon(&before[..state])?;
    let (next_comm, next) = colon(next)?;
    Some(What::Switch { prev, prev_comm, left, next, next_comm })
}

fn wakeup(body: &[u8], new: bool) -> Option<What> {
    if body.starts_with(b"comm=") {
        let (comm, pid, rest) = named(body, b"comm=", b" pid=")?;
        let cpu = cpu_value(rest, b"target_cpu=")?;
        return Some(What::Wakeup { pid, comm, cpu, new });
    }
    let at = body.windows(4).rposition(|window| window == b"CPU:")?;
    let cpu = cpu_value(&body[at..], b"CPU:")?;
    let (comm, pid) = colon(&body[..at])?;
    Some(What::Wakeup { pid, comm, cpu, new })
}

fn migrate(body: &[u8]) -> Option<What> {
    let (comm, pid, rest) = named(body, b"comm=", b" pid=")?;
    let (from, to) = (cpu_value(rest, b"orig_cpu=")?, cpu_value(rest, b"dest_cpu=")?);
    Some(What::Migrate { pid, comm, from, to })
}

/// `name:12 [120] …`: the name and the number.
fn colon(bytes: &[u8]) -> Option<(Comm, Pid)> {
    let priority = bytes.windows(2).rposition(|window| window == b" [")?;
    let task = bytes[..priority].trim_ascii();
    let at = task.iter().rposition(|&byte| byte == b':')?;
    let (id, rest) = number(&task[at + 1..])?;
    rest.is_empty().then_some(())?;
    Some((Comm::new(&task[..at]), pid_of(id)?))
}

/// The name behind `key`, the number behind `then`, and what follows.
fn named<'a>(body: &'a [u8], key: &[u8], then: &[u8]) -> Option<(Comm, Pid, &'a [u8])> {
    let name = after(body, key)?;
    let longest = NAME_MAX.min(name.len());
    let len = (0..=longest).rev().find(|&len| name[len..].starts_with(then))?;
    let (id, rest) = number(&name[len + then.len()..])?;
    Some((Comm::new(&name[..len]), pid_of(id)?, rest))
}

fn pid_value(body: &[u8], key: &[u8]) -> Option<Pid> {
    // The last one: a name may look like a key.
    let at = body.windows(key.len()).rposition(|window| window == key)?;
    pid_of(number(&body[at + key.len()..])?.0)
}

fn cpu_value(body: &[u8], key: &[u8]) -> Option<u32> {
    let (cpu, _) = number(after(body, key)?)?;
    (cpu <= CPU_MAX).then_some(cpu as u32)
}

fn after<'a>(body: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    position(body, key).map(|at| &body[at + key.len()..])
}

fn word(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().position(u8::is_ascii_whitespace).unwrap_or(bytes.len()))
}

/// Where `needle` is; it begins with a byte that is rarer than most.
fn position(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let (&first, mut from) = (needle.first()?, 0);
    while let Some(at) = find(&bytes[from..], first) {
        if bytes[from + at..].starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}
