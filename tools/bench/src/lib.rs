// SPDX-License-Identifier: GPL-2.0-only
//! Load generators with which scx_toll is measured, in a VM with emulated CPUs or on a live machine.
//!
//! Layers, each using only those above it:
//!
//! 1. [`clock`], [`rng`], [`report`]: time, reproducible randomness, `key=value` lines.
//! 2. [`cpus`], [`topology`]: sets of CPUs, affinity, and which LLC and node a CPU belongs to.
//! 3. [`spin`]: burning a demand of CPU time; [`run`]: when a run is over, and the signals that end it early.
//! 4. [`gate`], [`shared`], [`child`], [`team`]: waking many at once, memory between processes,
//!    children that never outlive their parent, and threads whose errors are not lost.
//! 5. [`scenario`]: one module per load; [`cli`]: what the user types.
//!
//! Beside them, [`trace`] records what the kernel does and counts in it, [`callbacks`] tells what a
//! scheduler's BPF programs cost, and [`picture`] draws; [`trace_command`] is `tollwork trace`.
//!
//! Work is always counted in *CPU time*, never in instructions: under counted time (`qemu -icount`)
//! only CPU time makes eight CPUs do eight CPUs' work. What this is bad at: there are no data behind
//! the work, so caches and memory play no part in it.

#![warn(missing_docs)]
#![warn(clippy::undocumented_unsafe_blocks)]

pub mod callbacks;
pub mod child;
pub mod cli;
pub mod clock;
pub mod cpus;
pub mod driver;
pub mod gate;
pub mod lab;
pub mod picture;
pub mod report;
pub mod rng;
pub mod run;
pub mod scenario;
pub mod shared;
pub mod spin;
pub mod team;
pub mod topology;
pub mod trace;
pub mod trace_command;
