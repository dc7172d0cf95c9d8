// SPDX-License-Identifier: GPL-2.0-only
//! Readers: a stream of bytes becomes events or samples, in bounded memory.
//!
//! 1. [`Format`] is told from the first bytes, not from the name of the file.
//! 2. Each line is an event, something else that belongs there, or broken; broken lines are counted
//!    and the first ones kept, and reading goes on.
//! 3. Times never go backwards for whoever follows: a small step back (clocks of two CPUs that
//!    differ) counts as the latest time, a large one (another recording, another boot) as a gap, after
//!    which time goes on from where it was.
//!
//! Bad at: lines out of order by more than [`STEP_MAX_NS`]; they are taken for a new recording.

pub mod lines;
pub mod perfetto;
pub mod series;
pub mod text;

use super::event::{Event, Sample, What};
use anyhow::{Context as _, Result};
use lines::{LINE_MAX, Line, Lines};
use perfetto::{Found, Perfetto};
use serde::Serialize;
use series::Columns;
use std::io::Read;
use text::{Dialect, Parsed};

/// Steps back up to this are the clocks of CPUs that differ.
pub const STEP_MAX_NS: u64 = 1_000_000_000;
/// Later times than this, 146 years, are all the same.
const TIME_MAX_NS: u64 = 1 << 62;
/// So many bytes decide about the format.
const PEEK: usize = 64 << 10;
/// So many broken lines are kept, and so much of each.
const BROKEN_KEPT: usize = 5;
const BROKEN_LEN: usize = 100;
/// Bytes between two reports of progress.
const TELL_EVERY: u64 = 8 << 20;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Text of `perf script`.
    PerfScript,
    /// Text of ftrace or of `trace-cmd report`.
    Ftrace,
    /// Packets of Perfetto.
    Perfetto,
    /// What `scx_toll record` wrote; not read here.
    Recording,
    /// A load series with a heading and commas.
    Csv,
    /// A load series of JSON objects.
    Json,
}

impl Format {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Format::PerfScript => "perf script",
            Format::Ftrace => "ftrace",
            Format::Perfetto => "Perfetto",
            Format::Recording => "recording of scx_toll",
            Format::Csv => "CSV load series",
            Format::Json => "JSON load series",
        }
    }

    /// True for a load series, false for events.
    pub const fn is_series(self) -> bool {
        matches!(self, Format::Csv | Format::Json)
    }

    /// From the first bytes of a file.
    pub fn detect(begin: &[u8]) -> Option<Format> {
        let text = begin.strip_prefix(b"\xef\xbb\xbf").unwrap_or(begin).trim_ascii_start();
        if matches!(text.first(), Some(b'{' | b'[')) && find_json(text) {
            return Some(Format::Json);
        }
        if Columns::from_heading(text.split(|&byte| byte == b'\n').next()?).is_some() {
            return Some(Format::Csv);
        }
        let text = begin.split(|&byte| byte == b'\n').find_map(|line| match text::parse(line) {
            Parsed::Event(_, Dialect::Perf) => Some(Format::PerfScript),
            Parsed::Event(_, Dialect::Ftrace) => Some(Format::Ftrace),
            _ => None,
        });
        text.or_else(|| perfetto::begins(begin).then_some(Format::Perfetto))
    }
}

/// Does a load series begin here? (A line of a trace may begin with a bracket too.)
fn find_json(text: &[u8]) -> bool {
    let Some(open) = lines::find(text, b'{') else { return false };
    let end = lines::find(&text[open..], b'}').map(|end| open + end + 1);
    end.is_some_and(|end| series::from_json(&text[open..end]).is_some())
}

/// What was read, and what could not be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Intake {
    /// What the file is.
    pub format: Option<Format>,
    /// Its bytes.
    pub bytes: u64,
    /// Its lines; of JSON its objects, of Perfetto its events and other packets.
    pub lines: u64,
    /// Events or samples that count.
    pub events: u64,
    /// Events of other kinds.
    pub other: u64,
    /// Lines that no rule explains.
    pub broken: u64,
    /// The first of them: their number and their beginning.
    pub broken_lines: Vec<(u64, String)>,
    /// Places where the trace says that events are missing.
    pub gaps: u64,
    /// Events that are missing there, as far as it says.
    pub lost: u64,
    /// Events with an earlier time than the one before.
    pub steps_back: u64,
    /// The largest of these steps, in ns.
    pub step_back_max_ns: u64,
}

/// Who takes what the readers find.
pub trait Sink {
    /// The next event; times never fall.
    fn event(&mut self, event: &Event);
    /// The next sample; times never fall.
    fn sample(&mut self, sample: &Sample);
    /// Samples before and after `at_ns` have nothing to do with each other. (Of events this is told by
    /// [`What::Lost`].)
    fn gap(&mut self, _at_ns: u64) {}
}

/// Makes times never fall.
#[derive(Debug, Default)]
struct Clock {
    latest_ns: u64,
    /// Added to every time since the last large step back.
    ahead_ns: u64,
}

impl Clock {
    /// The time to go by, and whether everything before is another recording.
    fn next(&mut self, at_ns: u64, intake: &mut Intake) -> (u64, bool) {
        let at_ns = at_ns.saturating_add(self.ahead_ns).min(TIME_MAX_NS);
        let Some(back_ns) = self.latest_ns.checked_sub(at_ns).filter(|&back| back > 0) else {
            self.latest_ns = at_ns;
            return (at_ns, false);
        };
        intake.steps_back += 1;
        intake.step_back_max_ns = intake.step_back_max_ns.max(back_ns);
        if back_ns > STEP_MAX_NS {
            self.ahead_ns = self.ahead_ns.saturating_add(back_ns);
        }
        (self.latest_ns, back_ns > STEP_MAX_NS)
    }
}

/// Read all of `source`. `progress` is told the bytes that are read, now and then.
///
/// # Errors
/// When `source` cannot be read, and when it is no trace.
pub fn read(
    source: impl Read,
    sink: &mut impl Sink,
    progress: &mut dyn FnMut(u64),
) -> Result<Intake> {
    let mut lines = Lines::new(source);
    let begin = lines.peek(PEEK).context("the trace cannot be read")?;
    let format = Format::detect(begin).context(
        "neither text of perf script, ftrace or trace-cmd report with scheduler events, nor a trace \
         of Perfetto, nor a load series with time, cpu and runnable",
    )?;
    let mut reader = Reader {
        intake: Intake { format: Some(format), ..Intake::default() },
        clock: Clock::default(),
        columns: None,
        object: Vec::new(),
        depth: 0,
        quoted: false,
        escaped: false,
    };
    let mut perfetto = Perfetto::default();
    const UNREADABLE: &str = "the trace cannot be read";
    let mut told = 0;
    loop {
        // Of JSON a whole series may stand in one line.
        let more = match format {
            Format::Json => {
                lines.next_chunk().context(UNREADABLE)?.map(|bytes| reader.json(bytes, sink))
            }
            Format::Perfetto => lines
                .next_chunk()
                .context(UNREADABLE)?
                .map(|bytes| perfetto.take(bytes, &mut |found| reader.found(found, sink))),
            _ => lines.next_line().context(UNREADABLE)?.map(|line| match line {
                Line::Whole(line) if format == Format::Csv => reader.csv_line(line, sink),
                Line::Whole(line) => reader.trace_line(line, sink),
                Line::TooLong(line) => reader.broken(line),
            }),
        };
        if more.is_none() {
            break;
        }
        if lines.bytes - told >= TELL_EVERY {
            told = lines.bytes;
            progress(told);
        }
    }
    perfetto.finish(&mut |found| reader.found(found, sink));
    if reader.depth > 0 {
        let object = std::mem::take(&mut reader.object);
        reader.broken(&object);
    }
    reader.intake.bytes = lines.bytes;
    Ok(reader.intake)
}

struct Reader {
    intake: Intake,
    clock: Clock,
    columns: Option<Columns>,
    /// The JSON object that has begun.
    object: Vec<u8>,
    depth: u32,
    quoted: bool,
    escaped: bool,
}

impl Reader {
    /// What cannot be read: its beginning, or of a packet what is wrong with it.
    fn broken(&mut self, line: &[u8]) {
        self.intake.lines += 1;
        self.intake.broken += 1;
        if self.intake.broken_lines.len() < BROKEN_KEPT {
            let begin = String::from_utf8_lossy(&line[..line.len().min(BROKEN_LEN)]);
            self.intake.broken_lines.push((self.intake.lines, begin.escape_debug().to_string()));
        }
    }

    fn trace_line(&mut self, line: &[u8], sink: &mut impl Sink) {
        match text::parse(line) {
            Parsed::Broken => return self.broken(line),
            Parsed::Empty => {}
            Parsed::Other(_) => self.intake.other += 1,
            Parsed::Event(event, _) => self.event(event, sink),
        }
        self.intake.lines += 1;
    }

    fn event(&mut self, mut event: Event, sink: &mut impl Sink) {
        if let What::Lost(count) = event.what {
            event.at_ns = self.clock.latest_ns;
            self.intake.gaps += 1;
            self.intake.lost += count.unwrap_or(0);
        } else {
            let (at_ns, anew) = self.clock.next(event.at_ns, &mut self.intake);
            self.intake.events += 1;
            event.at_ns = at_ns;
            if anew {
                self.intake.gaps += 1;
                sink.event(&Event { what: What::Lost(None), ..event });
            }
        }
        sink.event(&event);
    }

    /// What a trace of Perfetto says.
    fn found(&mut self, found: Found, sink: &mut impl Sink) {
        match found {
            Found::Broken(damage) => return self.broken(damage.to_string().as_bytes()),
            Found::Other => self.intake.other += 1,
            Found::Event(event) => self.event(event, sink),
        }
        self.intake.lines += 1;
    }

    fn csv_line(&mut self, line: &[u8], sink: &mut impl Sink) {
        let Some(columns) = self.columns else {
            let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
            if line.iter().all(u8::is_ascii_whitespace) {
                return;
            }
            self.columns = Columns::from_heading(line);
            self.intake.lines += 1;
            return;
        };
        if line.iter().all(u8::is_ascii_whitespace) || line.first() == Some(&b'#') {
            self.intake.lines += 1;
            return;
        }
        match columns.sample(line) {
            Some(sample) => self.take(sample, sink),
            None => self.broken(line),
        }
    }

    /// Objects are found by their braces, wherever lines end.
    fn json(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        for &byte in bytes {
            self.json_byte(byte, sink);
        }
    }

    fn json_byte(&mut self, byte: u8, sink: &mut impl Sink) {
        if self.depth > 0 && self.object.len() < LINE_MAX {
            self.object.push(byte);
        }
        if self.quoted {
            self.quoted = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
            return;
        }
        match byte {
            b'"' if self.depth > 0 => self.quoted = true,
            b'{' => {
                if self.depth == 0 {
                    self.object.clear();
                    self.object.push(byte);
                }
                self.depth += 1;
            }
            b'}' if self.depth > 0 => {
                self.depth -= 1;
                if self.depth == 0 {
                    let object = std::mem::take(&mut self.object);
                    match series::from_json(&object) {
                        Some(sample) => self.take(sample, sink),
                        None => self.broken(&object),
                    }
                    self.object = object;
                }
            }
            _ => {}
        }
        // An object without an end swallows the rest; give it up.
        if self.object.len() >= LINE_MAX && self.depth > 0 {
            let object = std::mem::take(&mut self.object);
            self.broken(&object);
            (self.depth, self.quoted, self.escaped) = (0, false, false);
        }
    }

    fn take(&mut self, mut sample: Sample, sink: &mut impl Sink) {
        self.intake.lines += 1;
        self.intake.events += 1;
        let (at_ns, anew) = self.clock.next(sample.at_ns, &mut self.intake);
        sample.at_ns = at_ns;
        if anew {
            self.intake.gaps += 1;
            sink.gap(at_ns);
        }
        sink.sample(&sample);
    }
}
