// SPDX-License-Identifier: GPL-2.0-only
//! Recordings: decisions, their outcomes, what ran, and the load of each CPU, in a file.
//!
//! ```text
//!   file    = "tollrec" version block*            version: one byte
//!   block   = "TBLK" number length checksum payload   32 bits each, little endian
//!   payload = head                                of block 0: JSON
//!           | entry*                              of all others: tag, then fields as in code.rs
//! ```
//!
//! A block can be read without any other but the first: times and names are written in full once
//! per block and by reference after that. The checksum (CRC-32, as in zip) covers number, length
//! and payload, so a file that ends in the middle of a block, or in which something was
//! overwritten, can be read up to there and from the next whole block on, and what is missing is
//! known.

mod block;
mod code;
mod load;
pub mod perfetto;
mod proto;
mod read;
mod write;

pub use read::{Missing, Recording};
pub use write::{Amount, Recorder};

use crate::control::wire::{Frame, Places};
use crate::events::filter::Filter;
use serde::{Deserialize, Serialize};

/// The version of the format that is written, and the only one that is read.
pub const VERSION: u8 = 2;
/// What a file begins with, before its version.
const MAGIC: &[u8] = b"tollrec";

/// What a recording begins with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Version of the program that recorded.
    pub program: String,
    /// Seconds since 1970 when it began.
    pub began_unix: u64,
    /// The machine.
    pub places: Places,
    /// What was recorded.
    pub filter: Filter,
}

/// How busy the CPUs were in one interval, with tasks of the scheduler that the filter lets
/// through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Beginning of the interval, in ns of the kernel's scheduler clock.
    pub from_ns: u64,
    /// Its length, in ns.
    pub span_ns: u64,
    /// Run time within it, in ns, by the kernel's number of the CPU.
    pub busy_ns: Vec<u64>,
}

/// The path of a cgroup that a task in the recording is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// As in [`crate::events::Who`].
    pub id: u64,
    /// From the root of the hierarchy.
    pub path: String,
}

/// One thing in a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// What the scheduler sent.
    Frame(Frame),
    /// How busy the CPUs were.
    Load(Load),
    /// The name of a cgroup, before or soon after its first task.
    Cgroup(Cgroup),
    /// The recording was ended here, and not cut.
    End,
}
