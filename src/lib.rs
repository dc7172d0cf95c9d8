// SPDX-License-Identifier: GPL-2.0-only
//! A Linux scheduler that knows what a migration costs on this machine, and
//! moves a task only when the wait it saves is longer than that: `ΔL > P`.
//!
//! Data flows one way, and the modules stand here in its order:
//!
//! ```text
//! units, topology ─► measure ─► model ─► policy ─► BPF decisions ─► events, stats, memory ─► analysis ─► ui
//! ```
//!
//! A module uses only modules of earlier stages; [`sched`] alone sees all of
//! them and carries values back through its loop. `tests/layering.rs` checks it.
//! `ARCHITECTURE.md` has the whole page.

pub mod units;

pub mod topology;

pub mod measure;

pub mod ffi;
pub mod model;

pub mod policy;

pub mod bpf;

pub mod events;
pub mod stats;

pub mod memory;

pub mod analysis;

pub mod ui;

pub mod cgroups;
pub mod cli;
pub mod command;
pub mod config;
pub mod control;
pub mod fault;
pub mod preflight;
pub mod recording;
pub mod sched;
pub mod sim;
pub mod user;
