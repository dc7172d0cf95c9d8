// SPDX-License-Identifier: GPL-2.0-only
//! A machine in memory, on which the BPF half runs as it is.
//!
//! ```text
//!   src/bpf/*  ──cc──►  object ──callbacks──►  engine ──►  figures, hash
//!   (unmodified)          ▲                      │ ▲
//!                         └─── kfuncs ◄── world ◄┘ └── load, worker
//! ```
//!
//! - [`object`]: a scheduler as a shared object, compiled against `stand_in/`; [`abi`]: what both share;
//! - [`world`]: the state of the kernel, which [`kfuncs`](self) change; [`dsq`]: queues;
//! - [`engine`]: what calls the scheduler, and when; [`events`], [`timing`];
//! - [`machine`]: the topology by CPU number; [`worker`]: caches and memory, and what moves cost;
//! - [`load`]: what tasks do; [`loads`]: the lab's scenarios;
//! - [`audit`]: what has to hold at any time;
//! - [`toll`]: what scx_toll's user space does before and after.
//!
//! The same input gives the same run, whichever compiler made the object.

pub mod abi;
pub mod audit;
mod cgroups;
pub mod dsq;
pub mod engine;
pub mod events;
mod kfuncs;
pub mod load;
pub mod loads;
pub mod machine;
pub mod object;
pub mod run;
pub mod timing;
pub mod toll;
pub mod worker;
pub mod world;
