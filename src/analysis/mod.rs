// SPDX-License-Identifier: GPL-2.0-only
//! What a scheduler did, whichever it was, from a trace of the kernel's scheduler events.
//!
//! 1. [`read`]: bytes → events, or samples of a load series, in bounded memory.
//! 2. [`follow`]: events → waits, loads of CPUs, and moves with the loads on both sides.
//! 3. [`infer`]: what kind of move each one was, first by who executed it.
//! 4. [`price`]: what it saved and cost, by the scheduler's own formulas.
//! 5. [`correlate`]: whether load in one place causes load in another.
//! 6. [`collect`]: everything summed up while it goes by; [`assemble`] makes the [`report`] of it.
//! 7. [`replay`]: recorded decisions of scx_toll, decided once more.
//!
//! Nothing here touches the kernel or prints.

pub mod assemble;
pub mod bins;
pub mod collect;
pub mod correlate;
pub mod event;
pub mod follow;
pub mod habits;
pub mod infer;
pub mod layout;
pub mod price;
pub mod read;
pub mod replay;
pub mod report;
pub mod transfers;
pub mod watch;
