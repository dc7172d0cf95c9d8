// SPDX-License-Identifier: GPL-2.0-only
//! The pure model: what a move costs, as numbers that the policy writer can push.
//!
//! ```text
//!   defaults ─┐
//!   file ─────┼─► PenaltyTable ──┬─► PenaltyMatrix   hop, refill, remote for every pair
//!   measure ──┘   (per level,    │   (penalty)
//!   learned ──────► provenance)   └─► DecayTable      how warmth fades
//!                                    (warmth)
//!                 Hysteresis per level               how long an imbalance has to last
//! ```
//!
//! - [`penalty`]: the table of costs with the origin of each number, and the matrix made from it;
//! - [`mod@file`]: the penalty file;
//! - [`mod@from_measured`]: the table of costs from the measured figures;
//! - [`learn`]: fixed costs and refill factors refined by what moves took while the scheduler ran;
//! - [`warmth`]: the decay of warm cache lines while others run;
//! - [`capacity`]: what CPUs are worth together, and which class of CPU a task belongs on;
//! - [`hysteresis`]: two thresholds and a hold time per level;
//! - [`follow`]: whether memory follows its task, or the task goes home to it;
//! - [`decide`]: the formulas of `src/bpf/decide.h` a second time, to be tested against;
//! - [`rule`]: the question `ΔL > P` as a whole, put together from them.
//!
//! No I/O except one file that is read, no clock, no BPF types: the same input always gives the
//! same policy.

pub mod capacity;
pub mod decide;
pub mod file;
pub mod follow;
pub mod from_measured;
pub mod hysteresis;
pub mod learn;
pub mod penalty;
pub mod rule;
pub mod warmth;

pub use from_measured::from_measured;
pub use hysteresis::Hysteresis;
pub use learn::Learned;
pub use penalty::{PenaltyMatrix, PenaltyTable, Provenance};
pub use warmth::DecayTable;
