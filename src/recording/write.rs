// SPDX-License-Identifier: GPL-2.0-only
//! Writes a recording, a block at a time.

use super::code::{Coded, Out, TEXT_MAX};
use super::load::Meter;
use super::{Cgroup, Entry, Head, MAGIC, VERSION, block};
use crate::control::wire::Frame;
use crate::events::Who;
use std::collections::HashSet;
use std::io::{self, Write};

/// Bytes after which a block is closed.
const BLOCK_BYTES: usize = 64 << 10;

/// How much was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    /// Decisions.
    pub decisions: u64,
    /// Their outcomes.
    pub outcomes: u64,
    /// Slices.
    pub slices: u64,
    /// Records that were lost on the way.
    pub lost: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// Turns frames into a file. What was not written with [`Recorder::flush`] is lost with the
/// process; all else is readable, whatever happens after it.
pub struct Recorder<W: Write> {
    out: W,
    block: Out,
    next: u32,
    load: Meter,
    known: HashSet<u64>,
    names: Box<dyn FnMut(u64) -> Option<String>>,
    amount: Amount,
}

impl<W: Write> Recorder<W> {
    /// Begin a recording; `names` tells the path of a cgroup by its id.
    ///
    /// # Errors
    /// When `out` does not take it.
    pub fn new(
        mut out: W,
        head: &Head,
        names: Box<dyn FnMut(u64) -> Option<String>>,
    ) -> io::Result<Recorder<W>> {
        let mut begin = [MAGIC, &[VERSION]].concat();
        begin.extend(block::seal(0, &serde_json::to_vec(head)?));
        out.write_all(&begin)?;
        out.flush()?;
        Ok(Recorder {
            out,
            block: Out::default(),
            next: 1,
            load: Meter::new(head.places.cpu_llc.len()),
            known: HashSet::new(),
            names,
            amount: Amount { bytes: begin.len() as u64, ..Amount::default() },
        })
    }

    /// Record `frame`.
    ///
    /// # Errors
    /// When a block was full and could not be written.
    pub fn add(&mut self, frame: Frame) -> io::Result<()> {
        let mut loads = Vec::new();
        match &frame {
            Frame::Decision(decision) => {
                self.amount.decisions += 1;
                if let Some(who) = &decision.who {
                    self.name(who);
                }
            }
            Frame::Outcome(_) => self.amount.outcomes += 1,
            Frame::Slice(slice) => {
                self.amount.slices += 1;
                self.name(&slice.who);
                loads = self.load.add(slice);
            }
            Frame::Lost { ring, queue } => self.amount.lost += ring + queue,
            Frame::Ended {} => {}
        }
        Entry::Frame(frame).put(&mut self.block);
        for load in loads {
            Entry::Load(load).put(&mut self.block);
        }
        if self.block.bytes.len() >= BLOCK_BYTES { self.flush() } else { Ok(()) }
    }

    /// Note the name of a cgroup that has not been seen before.
    fn name(&mut self, who: &Who) {
        if !self.known.insert(who.cgroup) {
            return;
        }
        if let Some(path) = (self.names)(who.cgroup).filter(|path| path.len() <= TEXT_MAX) {
            Entry::Cgroup(Cgroup { id: who.cgroup, path }).put(&mut self.block);
        }
    }

    /// Write what has come as a block, if anything has.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        let payload = std::mem::take(&mut self.block).bytes;
        if payload.is_empty() {
            return Ok(());
        }
        let sealed = block::seal(self.next, &payload);
        self.next += 1;
        self.amount.bytes += sealed.len() as u64;
        self.out.write_all(&sealed)?;
        self.out.flush()
    }

    /// Where it is written.
    pub fn target(&self) -> &W {
        &self.out
    }

    /// Write what is left, and that this is the end; gives back where it was written.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<(W, Amount)> {
        for load in self.load.rest() {
            Entry::Load(load).put(&mut self.block);
        }
        Entry::End.put(&mut self.block);
        self.flush()?;
        Ok((self.out, self.amount))
    }
}
