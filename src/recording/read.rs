// SPDX-License-Identifier: GPL-2.0-only
//! Reads what is whole of a recording, and says what is missing.

use super::block::Blocks;
use super::code::{Coded, In};
use super::{Entry, Head, MAGIC, VERSION};
use crate::control::wire::Frame;
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Where a recording is.
#[derive(Debug)]
enum Source {
    File(File),
    Bytes(Vec<u8>),
}

impl Source {
    /// What stands there from `at` on.
    fn reader(&self, at: u64) -> std::io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Source::File(file) => {
                let mut file = file;
                file.seek(SeekFrom::Start(at))?;
                Box::new(file)
            }
            Source::Bytes(bytes) => {
                let at = usize::try_from(at).unwrap_or(usize::MAX);
                Box::new(bytes.get(at..).unwrap_or_default())
            }
        })
    }
}

/// A recording that can be read.
#[derive(Debug)]
pub struct Recording {
    source: Source,
    /// Where the blocks with entries begin.
    entries_at: u64,
    /// What it begins with.
    pub head: Head,
}

/// What could not be read, or was never recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Missing {
    /// Blocks that were read.
    pub blocks: u32,
    /// Bytes that are in no whole block, or behind an entry in one that nobody wrote.
    pub bytes: u64,
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

impl Recording {
    /// Open the recording at `path`. A file is read as it is needed; what is no file (a pipe) is taken
    /// into memory.
    ///
    /// # Errors
    /// When it cannot be read, is no recording, or one of another version, or its first block is
    /// not whole.
    pub fn open(path: &Path) -> Result<Recording> {
        let name = || path.display().to_string();
        let file = File::open(path).with_context(name)?;
        Recording::from_file(file).with_context(name)
    }

    /// The recording in an open file; see [`Recording::open`].
    ///
    /// # Errors
    /// As [`Recording::open`].
    pub fn from_file(mut file: File) -> Result<Recording> {
        if file.metadata()?.is_file() {
            return Recording::of(Source::File(file));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Recording::new(bytes)
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
        Recording::of(Source::Bytes(file))
    }

    fn of(source: Source) -> Result<Recording> {
        let head_at = MAGIC.len() as u64 + 1;
        let mut begin = Vec::new();
        source.reader(0)?.take(head_at).read_to_end(&mut begin)?;
        let Some(rest) = begin.strip_prefix(MAGIC) else {
            bail!("this is no recording of scx_toll");
        };
        let Some(&version) = rest.first() else { bail!("the recording ends in its first bytes") };
        ensure!(
            version == VERSION,
            "the recording has version {version} of the format, expected {VERSION}"
        );
        let mut blocks = Blocks::new(source.reader(head_at)?, head_at);
        let first = blocks.next()?.filter(|b| b.at == head_at && b.number == 0);
        let Some(first) = first else { bail!("the recording ends in its first block") };
        let head = serde_json::from_slice(first.payload).context("its first block")?;
        let entries_at = first.end;
        drop(blocks);
        Ok(Recording { source, entries_at, head })
    }

    /// Hand all entries of whole blocks to `take`, in their order, and say what is missing. No more
    /// than a block is in memory at a time.
    ///
    /// # Errors
    /// What `take` fails with, and when the file cannot be read any more.
    pub fn replay(&self, take: &mut dyn FnMut(Entry) -> Result<()>) -> Result<Missing> {
        let mut missing = Missing { cut: true, ..Missing::default() };
        let (mut at, mut number) = (self.entries_at, 0);
        let mut blocks = Blocks::new(self.source.reader(at)?, at);
        while let Some(block) = blocks.next()? {
            missing.bytes += block.at - at;
            at = block.end;
            missing.gaps += block.number.saturating_sub(number + 1);
            number = number.max(block.number);
            missing.blocks += 1;
            let mut from = In::new(block.payload);
            while from.left() > 0 {
                let left = from.left() as u64;
                let Some(entry) = Entry::take(&mut from) else {
                    missing.bytes += left;
                    break;
                };
                missing.last_ns = missing.last_ns.max(time_of(&entry));
                match &entry {
                    Entry::End => missing.cut = false,
                    Entry::Frame(Frame::Lost { ring, queue }) => {
                        missing.lost = missing.lost.saturating_add(*ring).saturating_add(*queue);
                    }
                    _ => {}
                }
                take(entry)?;
            }
        }
        missing.bytes += blocks.at() - at;
        Ok(missing)
    }
}
