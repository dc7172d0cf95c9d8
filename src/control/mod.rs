// SPDX-License-Identifier: GPL-2.0-only
//! The control socket: the policy is read and changed while the scheduler runs.
//!
//! ```text
//!   scx_toll set ─┐  JSON lines                    Job
//!   scx_toll get ─┼─► socket ─► connection thread ─────► sched.rs's loop ─► PolicyWriter
//!   a program ────┘             decode, check,   ◄─────  apply, write
//!                               read the file    Answer
//! ```
//!
//! The loop is the only one that touches the policy. It never waits for a client: whatever can
//! take long (a slow client, a penalty file) is done by the connection's own thread.
//!
//! The socket is `control.sock` in `/run/scx_toll`, or in the directory that
//! `$SCX_TOLL_RUN_DIR` names. One request a line, one answer a line:
//!
//! ```text
//! {"what":"get"}
//! {"what":"policy","version":1,"slice_us":20000.0,…}
//! {"what":"set","assign":["migrate=never","slice_us=5000"]}
//! {"what":"changed","version":2,"changes":[{"key":"migrate","old":"toll","new":"never"},…]}
//! {"what":"set","assign":["slice_us=5"]}
//! {"what":"refused","error":"slice_us=5: a turn lasts from 100 to 1000000 microseconds"}
//! {"what":"watch","filter":{"kinds":["pull"],"rate":0.1}}
//! {"what":"watching","places":{…}}
//! {"what":"decision","seq":1,"kind":"pull","verdict":"applied",…}
//! {"what":"outcome","seq":1,"waited_ns":30000,"paid":true,…}
//! {"what":"lost","ring":0,"queue":12}
//! ```
//!
//! After `watching` the connection only carries records ([`audience`], [`crate::events`]); the
//! filter is documented at [`crate::events::filter::Filter`].
//!
//! All assignments of a request become one policy version, or none does.
//!
//! | assignment | meaning |
//! |---|---|
//! | `penalty=FILE` or `penalty=default` | what moves cost; FILE is absolute, and read by the scheduler's process |
//! | `slice_us=US` | length of one turn, 100 to 1000000 |
//! | `migrate=toll`, `always`, `never`, `fixed:US` | what decides about a move |
//! | `learn=on`, `off` | refine what moves cost by what they take, or leave it as it is now |
//! | `hysteresis_us.llc=OPEN[,CLOSE[,HOLD]]` | the gate before moves between LLCs of a node; what is left out stays |
//! | `hysteresis_us.node=OPEN[,CLOSE[,HOLD]]` | likewise between nodes |

pub mod audience;
pub mod change;
pub mod client;
pub mod server;
mod watch;
pub mod wire;

use std::path::PathBuf;

/// The environment variable that names another directory for the socket.
pub const RUN_DIR_VARIABLE: &str = "SCX_TOLL_RUN_DIR";

/// Where the socket lives.
pub fn run_dir() -> PathBuf {
    match std::env::var_os(RUN_DIR_VARIABLE) {
        Some(dir) if !dir.is_empty() => dir.into(),
        _ => "/run/scx_toll".into(),
    }
}

/// Where statistics are served: where the sched_ext family's tools look, or in the directory that
/// the environment names.
pub fn stats_socket() -> PathBuf {
    match std::env::var_os(RUN_DIR_VARIABLE) {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir).join("stats.sock"),
        _ => "/var/run/scx/root/stats".into(),
    }
}

/// The socket's name in its directory.
pub const SOCKET: &str = "control.sock";
