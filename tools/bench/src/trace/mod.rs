// SPDX-License-Identifier: GPL-2.0-only
//! What the kernel did with tasks and CPUs, from its own tracepoints.
//!
//! 1. In the guest, [`tracefs`] records into the kernel's ring buffers and copies them out as they
//!    are: nothing is interpreted there, so tracing costs every scheduler the same.
//! 2. [`container`] carries formats and pages in a program's output to the host.
//! 3. On the host, [`format`] and [`ring`] read them, [`event`] gives them types, and [`Trace`] puts
//!    the CPUs' events in one order.
//! 4. [`timeline`] follows every task and CPU through the events: who ran where, who waited since
//!    when and on which CPU.
//! 5. [`waste`], [`moves`] and [`waits`] count in a window of it; [`summary`] puts them together.
//!
//! What was lost is never hidden: see [`Summary::complete`]. What this is bad at: it knows nothing
//! of affinity, so a task that may not move still counts as waiting beside an idle CPU.

pub mod container;
pub mod event;
pub mod format;
pub mod machine;
pub mod moves;
pub mod record;
pub mod ring;
pub mod summary;
pub mod timeline;
pub mod tracefs;
pub mod waits;
pub mod waste;

pub use machine::{ByLevel, Machine};
pub use record::{Trace, split};
pub use summary::{Options, Summary};
pub use timeline::Timeline;
