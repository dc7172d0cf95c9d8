// SPDX-License-Identifier: GPL-2.0-only
//! Pages follow tasks that have settled on another node.
//!
//! ```text
//!   BPF: toll_away ─► away ─► judge ──(model::follow)──► mover: one for each target node
//!                              │ process: what /proc says      │ budget: bytes per second of both nodes
//!                              │ pages: a random sample         │ pressure: PSI, free memory
//!                              └──────────► Told ◄──────────────┘
//! ```
//!
//! Nothing here runs in the scheduler's loop, which hands over who has settled and is handed
//! [`judge::Told`]: a record, or threads whose home has changed.
//!
//! What it is bad at: every private page counts as hot, since nothing here sees accesses; the
//! mempolicies of a process are read from `numa_maps`, which walks its page tables one mapping
//! after the other, so a process above [`process::MAX_BYTES`] is left where it is.

pub mod away;
pub mod budget;
pub mod judge;
pub mod mover;
pub mod ordered;
pub mod pages;
pub mod pressure;
pub mod process;
