// SPDX-License-Identifier: GPL-2.0-only
//! Damage to traces: of any bytes, of lines of text, and of messages of protocol buffers, which stay
//! messages whatever becomes of their fields.

// Each test uses a part of it.
#![allow(dead_code)]

use scx_toll::measure::chase::Rng;

/// Numbers that something may count, index or reserve by.
const HUGE: [u64; 14] = [
    0,
    1,
    127,
    255,
    8191,
    8192,
    65_535,
    4_194_304,
    4_194_305,
    (1 << 31) - 1,
    1 << 32,
    1 << 62,
    i64::MAX as u64,
    u64::MAX,
];
/// What text may hold in the place of anything.
const TOKENS: [&str; 24] = [
    "nan",
    "inf",
    "-1",
    "1e308",
    "1e-320",
    "-0.0",
    "\"",
    "{",
    "}",
    "[",
    "]",
    "[[",
    ",",
    "=",
    ":",
    "==>",
    "\n",
    "\r\n",
    "\0",
    "\u{feff}",
    "\u{1f600}",
    " [000] ",
    "CPU:1 [LOST 18446744073709551615 EVENTS]\n",
    "\n  x 1 PERF_RECORD_LOST lost 99999999999999999999\n",
];

pub fn any<'a, T: ?Sized>(all: &[&'a T], rng: &mut Rng) -> &'a T {
    all[rng.below(all.len() as u32) as usize]
}

pub fn huge(rng: &mut Rng) -> u64 {
    match rng.below(4) {
        0 => rng.bits(),
        1 => u64::from(rng.below(1 << 23)),
        _ => HUGE[rng.below(HUGE.len() as u32) as usize],
    }
}

/// Somewhere in `bytes`, or right behind them.
fn place(bytes: &[u8], rng: &mut Rng) -> usize {
    rng.below(bytes.len() as u32 + 1) as usize
}

/// A piece of `bytes`, mostly a short one.
fn piece(bytes: &[u8], rng: &mut Rng) -> std::ops::Range<usize> {
    let at = place(bytes, rng);
    let longest = if rng.below(20) == 0 { 4096 } else { 24 };
    at..bytes.len().min(at + rng.below(longest) as usize)
}

/// Change a few bytes, wherever they are; `other` lends some.
pub fn of_bytes(bytes: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    for _ in 0..=rng.below(4) {
        let here = piece(bytes, rng);
        match rng.below(7) {
            0 => bytes[here].iter_mut().for_each(|byte| *byte = rng.below(256) as u8),
            1 => {
                let bit = 1 << rng.below(8);
                bytes.get_mut(here.start).into_iter().for_each(|byte| *byte ^= bit);
            }
            2 => bytes.insert(here.start, rng.below(256) as u8),
            3 => drop(bytes.drain(here)),
            4 => {
                let again = bytes[here.clone()].to_vec();
                drop(bytes.splice(here.start..here.start, again));
            }
            5 => drop(bytes.splice(here, other[piece(other, rng)].iter().copied())),
            _ => bytes.truncate(here.start),
        }
    }
}

/// Change text: its bytes, its numbers, and the order of its lines.
pub fn of_text(text: &[u8], other: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = text.to_vec();
    for _ in 0..=rng.below(3) {
        match rng.below(6) {
            0 => of_bytes(&mut bytes, other, rng),
            1 => {
                let token = TOKENS[rng.below(TOKENS.len() as u32) as usize];
                let here = piece(&bytes, rng);
                drop(bytes.splice(here, token.bytes()));
            }
            2 | 3 => bytes = of_numbers(&bytes, rng),
            _ => bytes = of_lines(&bytes, other, rng),
        }
    }
    bytes
}

/// Put other numbers in the place of some: one in 2, 16, 128 or 1024.
fn of_numbers(text: &[u8], rng: &mut Rng) -> Vec<u8> {
    let one_in = 2 << (3 * rng.below(4));
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.iter().position(u8::is_ascii_digit) {
        let len = rest[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        out.extend(&rest[..at]);
        match rng.below(one_in) {
            0 => out.extend(huge(rng).to_string().bytes()),
            _ => out.extend(&rest[at..at + len]),
        }
        rest = &rest[at + len..];
    }
    out.extend(rest);
    out
}

fn of_lines(text: &[u8], other: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let others: Vec<&[u8]> = other.split_inclusive(|byte| *byte == b'\n').collect();
    if lines.is_empty() || others.is_empty() {
        return text.to_vec();
    }
    let nr = lines.len() as u32;
    let (a, b) = (rng.below(nr) as usize, rng.below(nr) as usize);
    match rng.below(5) {
        0 => lines.swap(a, b),
        // Two writers at once: lines of one within those of the other.
        1 => {
            let (begin, end) = lines[a].split_at(lines[a].len() / 2);
            drop(lines.splice(a..=a, [begin, lines[b], end]));
        }
        2 => {
            let from = rng.below(others.len() as u32) as usize;
            let to = others.len().min(from + rng.below(64) as usize);
            drop(lines.splice(a..a, others[from..to].iter().copied()));
        }
        3 => {
            let times = 1 << rng.below(10);
            drop(lines.splice(a..a, std::iter::repeat_n(lines[b], times)));
        }
        _ => drop(lines.drain(a.min(b)..a.max(b))),
    }
    lines.concat()
}

// ---- protocol buffers ---------------------------------------------------------------------------

/// A number in groups of seven bits.
pub fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A field of type `kind`, 0 or 2.
pub fn key(out: &mut Vec<u8>, number: u32, kind: u32) {
    varint(out, u64::from(number) << 3 | u64::from(kind));
}

pub fn number(out: &mut Vec<u8>, field: u32, value: u64) {
    key(out, field, 0);
    varint(out, value);
}

pub fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    key(out, field, 2);
    varint(out, value.len() as u64);
    out.extend(value);
}

#[derive(Clone)]
enum Value {
    Number(u64),
    Bytes(Vec<u8>),
    Message(Vec<(u32, Value)>),
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for at in 0..10 {
        let byte = *bytes.get(at)?;
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            *bytes = &bytes[at + 1..];
            return Some(value);
        }
    }
    None
}

/// The fields of a message of numbers and bytes.
fn parse(mut bytes: &[u8], depth: u32) -> Option<Vec<(u32, Value)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = take(&mut bytes)?;
        let value = match key & 7 {
            0 => Value::Number(take(&mut bytes)?),
            2 => {
                let len = usize::try_from(take(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(len)?;
                bytes = rest;
                let inner = if depth > 0 { parse(value, depth - 1) } else { None };
                inner.map_or_else(|| Value::Bytes(value.to_vec()), Value::Message)
            }
            _ => return None,
        };
        fields.push((u32::try_from(key >> 3).ok()?, value));
    }
    Some(fields)
}

fn write(fields: &[(u32, Value)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (field, value) in fields {
        match value {
            Value::Number(value) => number(&mut out, *field, *value),
            Value::Bytes(value) => bytes(&mut out, *field, value),
            Value::Message(fields) => bytes(&mut out, *field, &write(fields)),
        }
    }
    out
}

/// Change a message, and then, now and then, its bytes.
pub fn of_message(message: &[u8], other: &[u8], rng: &mut Rng) -> Vec<u8> {
    let (Some(mut fields), Some(others)) = (parse(message, 3), parse(other, 3)) else {
        panic!("the corpus is made of messages");
    };
    for _ in 0..=rng.below(4) {
        of_fields(&mut fields, &others, rng);
    }
    let mut bytes = write(&fields);
    if rng.below(3) == 0 {
        of_bytes(&mut bytes, other, rng);
    }
    bytes
}

fn of_fields(fields: &mut Vec<(u32, Value)>, others: &[(u32, Value)], rng: &mut Rng) {
    if fields.is_empty() {
        return;
    }
    let at = rng.below(fields.len() as u32) as usize;
    if let Value::Message(inner) = &mut fields[at].1
        && rng.below(8) > 0
    {
        return of_fields(inner, others, rng);
    }
    match rng.below(6) {
        0 => fields[at].0 = 1 + rng.below(12),
        1 => drop(fields.remove(at)),
        2 => {
            let again = fields[at].clone();
            let times = 1 << rng.below(9);
            drop(fields.splice(at..at, std::iter::repeat_n(again, times)));
        }
        3 if !others.is_empty() => {
            fields.insert(at, others[rng.below(others.len() as u32) as usize].clone());
        }
        _ => match &mut fields[at].1 {
            Value::Number(value) => *value = huge(rng),
            Value::Bytes(bytes) if rng.below(2) == 0 => {
                let mut numbers = Vec::new();
                (0..rng.below(300)).for_each(|_| varint(&mut numbers, huge(rng)));
                *bytes = numbers;
            }
            Value::Bytes(bytes) => of_bytes(bytes, &[0xff; 12], rng),
            Value::Message(_) => fields[at].1 = Value::Bytes(vec![rng.below(256) as u8; 40]),
        },
    }
}

// ---- recordings ---------------------------------------------------------------------------------

/// Where the first block of a recording begins, and the bytes in front of a payload.
const BLOCKS_AT: usize = 8;
const HEADER: usize = 16;

/// A block with its checksum.
pub fn block(number: u32, payload: &[u8]) -> Vec<u8> {
    let (number, length) = (number.to_le_bytes(), (payload.len() as u32).to_le_bytes());
    let mut crc = !0u32;
    for byte in [&number[..], &length, payload].concat() {
        crc ^= u32::from(byte);
        (0..8).for_each(|_| crc = crc >> 1 ^ if crc & 1 == 0 { 0 } else { 0xedb8_8320 });
    }
    [b"TBLK", &number[..], &length, &(!crc).to_le_bytes(), payload].concat()
}

/// Payloads of a whole recording.
fn payloads(file: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut rest = &file[BLOCKS_AT..];
    while rest.len() >= HEADER {
        let len = u32::from_le_bytes([rest[8], rest[9], rest[10], rest[11]]) as usize;
        found.push(rest[HEADER..HEADER + len].to_vec());
        rest = &rest[HEADER + len..];
    }
    found
}

/// Change a recording: what is in its blocks, which stay whole, or its bytes.
pub fn of_recording(file: &[u8], other: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut all = payloads(file);
    for _ in 0..rng.below(4) {
        let at = rng.below(all.len() as u32) as usize;
        let others = payloads(other);
        match rng.below(4) {
            0 => {
                let again = all[at].clone();
                all.insert(at, again);
            }
            1 => {
                let with = rng.below(all.len() as u32) as usize;
                all.swap(at, with);
            }
            _ => of_bytes(&mut all[at], &others[others.len() - 1], rng),
        }
    }
    let mut bytes = file[..BLOCKS_AT].to_vec();
    (0..).zip(&all).for_each(|(number, payload)| bytes.extend(block(number, payload)));
    if rng.below(3) == 0 {
        of_bytes(&mut bytes, other, rng);
    }
    bytes
}
