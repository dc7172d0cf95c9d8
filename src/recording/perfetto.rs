// SPDX-License-Identifier: GPL-2.0-only
//! A recording as a trace for Perfetto (<https://ui.perfetto.dev>).
//!
//! ```text
//!   llc0 (node 0)
//!     cpu0              what ran: a slice for each stretch of a task
//!       cpu0 decisions  an instant for each decision and outcome, with all its figures; an arrow
//!                       from a move to where its task then ran
//!       cpu0 load       per cent, every 100 ms
//! ```
//!
//! Field numbers are those of Perfetto's `trace_packet.proto` and of what it includes. Times are ns
//! of the kernel's scheduler clock.

use super::proto::Message;
use super::{Entry, Load};
use crate::control::wire::{Frame, Places};
use crate::events::{Decision, Outcome, Slice, Who};
use std::collections::HashMap;
use std::io::{self, Write};

/// Numbers of the fields that are used.
mod field {
    /// Trace.
    pub const PACKET: u32 = 1;
    /// TracePacket.
    pub const TIMESTAMP: u32 = 8;
    pub const SEQUENCE: u32 = 10;
    pub const TRACK_EVENT: u32 = 11;
    pub const TRACK_DESCRIPTOR: u32 = 60;
    /// TrackDescriptor.
    pub const UUID: u32 = 1;
    pub const TRACK_NAME: u32 = 2;
    pub const PARENT: u32 = 5;
    pub const COUNTER: u32 = 8;
    pub const COUNTER_UNIT_NAME: u32 = 6;
    /// TrackEvent.
    pub const ANNOTATION: u32 = 4;
    pub const TYPE: u32 = 9;
    pub const TRACK: u32 = 11;
    pub const CATEGORY: u32 = 22;
    pub const NAME: u32 = 23;
    pub const COUNTER_DOUBLE: u32 = 44;
    pub const FLOW: u32 = 47;
    pub const FLOW_END: u32 = 48;
    /// DebugAnnotation.
    pub const UINT_VALUE: u32 = 3;
    pub const INT_VALUE: u32 = 4;
    pub const STRING_VALUE: u32 = 6;
    pub const ANNOTATION_NAME: u32 = 10;
}

/// TrackEvent.Type.
const SLICE_BEGIN: u64 = 1;
const SLICE_END: u64 = 2;
const INSTANT: u64 = 3;
const COUNTER: u64 = 4;

/// All packets are of one writer.
const SEQUENCE: u64 = 1;
/// Numbers of tracks: each CPU has one of each kind, each LLC one.
const CPU_TRACKS: u64 = 1 << 16;
const DECISION_TRACKS: u64 = 2 << 16;
const LOAD_TRACKS: u64 = 3 << 16;
const LLC_TRACKS: u64 = 4 << 16;

/// Writes a trace.
pub struct Exporter<W: Write> {
    out: W,
    /// Names of cgroups, as far as they have been told.
    cgroups: HashMap<u64, String>,
    /// Of each CPU, whose stretch is open and until when it is known to go.
    open: HashMap<u32, (Who, u64)>,
}

fn event(kind: u64, track: u64) -> Message {
    Message::default().uint(field::TYPE, kind).uint(field::TRACK, track)
}

/// A number that belongs to an event.
fn note(event: Message, name: &str, value: i64) -> Message {
    let note = Message::default().string(field::ANNOTATION_NAME, name);
    event.message(field::ANNOTATION, note.int(field::INT_VALUE, value))
}

fn note_uint(event: Message, name: &str, value: u64) -> Message {
    let note = Message::default().string(field::ANNOTATION_NAME, name);
    event.message(field::ANNOTATION, note.uint(field::UINT_VALUE, value))
}

fn note_text(event: Message, name: &str, value: &str) -> Message {
    let note = Message::default().string(field::ANNOTATION_NAME, name);
    event.message(field::ANNOTATION, note.string(field::STRING_VALUE, value))
}

impl<W: Write> Exporter<W> {
    /// Begin a trace of this machine.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(out: W, places: &Places) -> io::Result<Exporter<W>> {
        let mut exporter = Exporter { out, cgroups: HashMap::new(), open: HashMap::new() };
        for (llc, node) in places.llc_node.iter().enumerate() {
            let name = format!("llc{llc} (node {node})");
            exporter.track(LLC_TRACKS + llc as u64, None, &name, None)?;
        }
        let cpus = places.cpu_llc.iter().zip(0u64..);
        for (llc, cpu) in cpus.filter_map(|(llc, cpu)| Some(((*llc)?, cpu))) {
            let parent = Some(CPU_TRACKS + cpu);
            let llc = Some(LLC_TRACKS + u64::from(llc));
            exporter.track(CPU_TRACKS + cpu, llc, &format!("cpu{cpu}"), None)?;
            exporter.track(DECISION_TRACKS + cpu, parent, &format!("cpu{cpu} decisions"), None)?;
            exporter.track(LOAD_TRACKS + cpu, parent, &format!("cpu{cpu} load"), Some("%"))?;
        }
        Ok(exporter)
    }

    fn packet(&mut self, packet: Message) -> io::Result<()> {
        let packet = packet.uint(field::SEQUENCE, SEQUENCE);
        self.out.write_all(&Message::default().message(field::PACKET, packet).into_bytes())
    }

    fn track(
        &mut self,
        number: u64,
        parent: Option<u64>,
        name: &str,
        unit: Option<&str>,
    ) -> io::Result<()> {
        let mut track =
            Message::default().uint(field::UUID, number).string(field::TRACK_NAME, name);
        if let Some(parent) = parent {
            track = track.uint(field::PARENT, parent);
        }
        if let Some(unit) = unit {
            let counter = Message::default().string(field::COUNTER_UNIT_NAME, unit);
            track = track.message(field::COUNTER, counter);
        }
        self.packet(Message::default().message(field::TRACK_DESCRIPTOR, track))
    }

    fn at(&mut self, ns: u64, event: Message) -> io::Result<()> {
        let packet = Message::default().uint(field::TIMESTAMP, ns);
        self.packet(packet.message(field::TRACK_EVENT, event))
    }

    /// Add what a recording says next.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, entry: &Entry) -> io::Result<()> {
        match entry {
            Entry::Frame(Frame::Decision(decision)) => self.decision(decision),
            Entry::Frame(Frame::Outcome(outcome)) => self.outcome(outcome),
            Entry::Frame(Frame::Slice(slice)) => self.slice(slice),
            Entry::Frame(Frame::Lost { .. } | Frame::Ended {}) | Entry::End => Ok(()),
            Entry::Load(load) => self.load(load),
            Entry::Cgroup(cgroup) => {
                self.cgroups.insert(cgroup.id, cgroup.path.clone());
                Ok(())
            }
        }
    }

    fn task(&self, event: Message, who: &Who) -> Message {
        let event = note_uint(event, "pid", u64::from(who.pid));
        let event = note_uint(event, "tgid", u64::from(who.tgid));
        match self.cgroups.get(&who.cgroup) {
            Some(path) => note_text(event, "cgroup", path),
            None => note_uint(event, "cgroup", who.cgroup),
        }
    }

    fn decision(&mut self, decision: &Decision) -> io::Result<()> {
        let name = format!(
            "{} {} {}",
            decision.kind.name(),
            decision.level.name(),
            decision.verdict.name()
        );
        let mut event = event(INSTANT, DECISION_TRACKS + u64::from(decision.cpu))
            .string(field::CATEGORY, "decision")
            .string(field::NAME, &name);
        if let Some(who) = &decision.who {
            event = self.task(note_text(event, "task", &who.comm), who);
        }
        let places = [
            ("from_llc", decision.from_llc),
            ("to_llc", decision.to_llc),
            ("to_cpu", decision.to_cpu),
        ];
        for (name, place) in places {
            if let Some(place) = place {
                event = note_uint(event, name, u64::from(place));
            }
        }
        if let Some(q) = &decision.question {
            for (name, ns) in [
                ("gain_ns", q.gain_ns),
                ("penalty_ns", q.penalty_ns),
                ("hop_ns", q.hop_ns as i64),
                ("refill_ns", q.refill_ns),
                ("remote_ns", q.remote_ns),
                ("wait_from_ns", q.wait_from_ns as i64),
                ("wait_to_ns", q.wait_to_ns as i64),
            ] {
                event = note(event, name, ns);
            }
        }
        event = note_uint(event, "waited_ns", decision.waited_ns);
        if decision.verdict.is_applied() {
            event = event.fixed64(field::FLOW, decision.seq);
        }
        self.at(decision.at_ns, event)
    }

    fn outcome(&mut self, outcome: &Outcome) -> io::Result<()> {
        let name = match outcome.paid {
            Some(true) => "moved task runs: paid",
            Some(false) => "moved task runs: did not pay",
            None => "moved task runs",
        };
        let event = event(INSTANT, DECISION_TRACKS + u64::from(outcome.cpu))
            .string(field::CATEGORY, "outcome")
            .string(field::NAME, name);
        let event = self.task(note_text(event, "task", &outcome.who.comm), &outcome.who);
        let event = note_uint(event, "waited_ns", outcome.waited_ns);
        let event = note(event, "penalty_ns", outcome.penalty_ns);
        self.at(outcome.at_ns, event.fixed64(field::FLOW_END, outcome.seq))
    }

    /// A long stretch comes in pieces, and is one slice all the same.
    fn slice(&mut self, slice: &Slice) -> io::Result<()> {
        let track = CPU_TRACKS + u64::from(slice.cpu);
        let goes_on = match self.open.remove(&slice.cpu) {
            Some((who, until)) if who == slice.who && until == slice.from_ns => true,
            // The piece that should have ended it was lost.
            Some((_, until)) => {
                self.at(until, event(SLICE_END, track))?;
                false
            }
            None => false,
        };
        if !goes_on {
            let begin = event(SLICE_BEGIN, track)
                .string(field::CATEGORY, "run")
                .string(field::NAME, &slice.who.comm);
            let begin = self.task(begin, &slice.who);
            self.at(slice.from_ns, begin)?;
        }
        if slice.more {
            self.open.insert(slice.cpu, (slice.who.clone(), slice.to_ns));
            return Ok(());
        }
        self.at(slice.to_ns, event(SLICE_END, track))
    }

    fn load(&mut self, load: &Load) -> io::Result<()> {
        for (cpu, busy_ns) in (0u64..).zip(&load.busy_ns) {
            let percent = *busy_ns as f64 * 100.0 / load.span_ns.max(1) as f64;
            let event = event(COUNTER, LOAD_TRACKS + cpu);
            self.at(load.from_ns, event.double(field::COUNTER_DOUBLE, percent))?;
        }
        Ok(())
    }

    /// End what is open; gives back where it was written.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        let open: Vec<_> = self.open.drain().collect();
        for (cpu, (_, until)) in open {
            self.at(until, event(SLICE_END, CPU_TRACKS + u64::from(cpu)))?;
        }
        self.out.flush()?;
        Ok(self.out)
    }
}
