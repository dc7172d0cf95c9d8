// SPDX-License-Identifier: GPL-2.0-only
//! Reads what is whole of a recording, and says what is missing.

use super::code::{Coded, In};
use super::{Entry, Head, MAGIC, VERSION, block};
use crate::control::wire::Frame;
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;

/// A recording in memory.
#[derive(Debug)]
pub struct Recording {
    file: Vec<u8>,
    /// Where the blocks with entries begin.
    entries_at: usize,
    /// What it begins with.
    pub head: Head,
}

/// What could not be read, or was never recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Missing {
    /// Blocks that were read.
    pub blocks: u32,
    /// Bytes that are in no whole block.
    pub bytes: usize,
    /// Whole blocks that are known to have been between others.
    pub gaps: u32,
    /// Records that were lost before they were recorded.
    pub lost: u64,
    /// Time of the last record that was read, in ns of the kernel's scheduler clock.
    pub last_ns: u64,
    /// The recording was cut: its end is missing.
    pub cut: bool,
}

impl Missing {
    /// One sentence for each thing that is missing.
    pub fn sentences(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.gaps > 0 {
            all.push(format!("{} blocks between others are damaged or missing", self.gaps));
        }
        let seconds = self.last_ns as f64 / 1e9;
        if self.cut {
            all.push(format!(
                "the recording was cut: it ends after {} whole blocks at {seconds:.6} s, {} bytes \
                 are in no whole block, and what came after is missing",
                self.blocks, self.bytes
            ));
        } else if self.bytes > 0 {
            all.push(format!("{} bytes are in no whole block", self.bytes));
        }
        if self.lost > 0 {
            all.push(format!("{} records were lost before they were recorded", self.lost));
        }
        all
    }
}

fn time_of(entry: &Entry) -> u64 {
    match entry {
        Entry::Frame(Frame::Decision(decision)) => decision.at_ns,
        Entry::Frame(Frame::Outcome(outcome)) => outcome.at_ns,
        Entry::Frame(Frame::Slice(slice)) => slice.to_ns,
        Entry::Load(load) => load.from_ns,
        _ => 0,
    }
}

/// The entries in a payload; `None` when it is not understood.
fn entries(payload: &[u8]) -> Option<Vec<Entry>> {
    let mut from = In::new(payload);
    let mut all = Vec::new();
    while !from.is_empty() {
        all.push(Entry::take(&mut from)?);
    }
    Some(all)
}

impl Recording {
    /// Read the recording at `path`.
    ///
    /// # Errors
    /// When it cannot be read, is no recording, or one of another version, or its first block is
    /// not whole.
    pub fn open(path: &Path) -> Result<Recording> {
        let name = || path.display().to_string();
        let file = std::fs::read(path).with_context(name)?;
        Recording::new(file).with_context(name)
    }

    /// True if `begin`, the first bytes of a file, are those of a recording.
    pub fn begins(begin: &[u8]) -> bool {
        begin.starts_with(MAGIC)
    }

    /// The recording in these bytes.
    ///
    /// # Errors
    /// As [`Recording::open`].
    pub fn new(file: Vec<u8>) -> Result<Recording> {
        let Some(rest) = file.strip_prefix(MAGIC) else {
            bail!("this is no recording of scx_toll");
        };
        let Some(&version) = rest.first() else { bail!("the recording ends in its first bytes") };
        ensure!(
            version == VERSION,
            "the recording has version {version} of the format, expected {VERSION}"
        );
        let head_at = MAGIC.len() + 1;
        let first = block::next(&file, head_at).filter(|b| b.at == head_at && b.number == 0);
        let Some(first) = first else { bail!("the recording ends in its first block") };
        let head = serde_json::from_slice(first.payload).context("its first block")?;
        let entries_at = first.end;
        Ok(Recording { file, entries_at, head })
    }

    /// Hand all entries of whole blocks to `take`, in their order, and say what is missing.
    ///
    /// # Errors
    /// What `take` fails with.
    pub fn replay(&self, take: &mut dyn FnMut(Entry) -> Result<()>) -> Result<Missing> {
        let mut missing = Missing { cut: true, ..Missing::default() };
        let (mut at, mut number) = (self.entries_at, 0);
        while let Some(block) = block::next(&self.file, at) {
            missing.bytes += block.at - at;
            at = block.end;
            let Some(entries) = entries(block.payload) else {
                missing.bytes += block.end - block.at;
                continue;
            };
            missing.gaps += block.number.saturating_sub(number + 1);
            number = number.max(block.number);
            missing.blocks += 1;
            for entry in entries {
                missing.last_ns = missing.last_ns.max(time_of(&entry));
                match &entry {
                    Entry::End => missing.cut = false,
                    Entry::Frame(Frame::Lost { ring, queue }) => missing.lost += ring + queue,
                    _ => {}
                }
                take(entry)?;
            }
        }
        missing.bytes += self.file.len() - at;
        Ok(missing)
    }
}
