// SPDX-License-Identifier: GPL-2.0-only
//! What came out, as values that JSON, text and pictures are made of. Times are in ns.

use super::correlate::Correlation;
use super::infer::{Kind, Share};
use super::read::Intake;
use serde::Serialize;

/// Distances in tables: the three levels, and moves of CPUs that the machine does not have.
pub const DISTANCES: [&str; 4] = ["within llc", "between llcs", "between nodes", "unknown"];

/// Everything about one trace.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The file.
    pub trace: String,
    /// What was read.
    pub intake: Intake,
    /// Time of the first event.
    pub start_ns: u64,
    /// From the first event to the last.
    pub span_ns: u64,
    /// CPUs that events name.
    pub cpus: usize,
    /// Most tasks at a time.
    pub tasks_max: usize,
    /// Events that contradicted those before.
    pub repairs: u64,
    /// Task numbers that were given anew while the task before had not ended.
    pub reused: u64,
    /// The machine that levels go by, in words.
    pub machine: String,
    /// What the reader should know about all this, one sentence each.
    pub notes: Vec<String>,
    /// Moves by kind.
    pub moves: Vec<KindRow>,
    /// Who moves: pushes and pulls by distance, and of the whole machine in the last row.
    pub policy: Vec<PolicyRow>,
    /// Waits for a CPU.
    pub waits: Waits,
    /// Idle CPUs beside waiting tasks; `None` where not all that wait is told.
    pub waste: Option<Waste>,
    /// What moves saved and cost, by distance.
    pub prices: Vec<PriceRow>,
    /// Tasks that went back where they came from.
    pub ping_pong: PingPong,
    /// Task names by what their moves cost, the dearest first.
    pub tasks: Vec<TaskRow>,
    /// By cgroup, the dearest first; only where the trace tells cgroups. Without waits.
    pub cgroups: Vec<TaskRow>,
    /// The single moves that cost most beyond what they saved.
    pub worst: Vec<WorstMove>,
    /// Whether loads follow each other.
    pub correlations: Vec<Correlations>,
    /// Moves from LLC to LLC.
    pub heat: Vec<Vec<u64>>,
    /// The load of each CPU over time, for drawing.
    pub map: Map,
}

/// Moves of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct KindRow {
    /// Which.
    pub kind: Kind,
    /// How many.
    pub count: u64,
    /// By distance, as [`DISTANCES`].
    pub by_distance: [u64; 4],
    /// Mean confidence, 0 to 1.
    pub confidence: f64,
    /// How many were judged by who executed them, not by loads alone.
    pub by_context: u64,
}

/// Pushes against pulls.
#[derive(Clone, Debug, Serialize)]
pub struct PolicyRow {
    /// Over which distance; "all" for the machine.
    pub distance: &'static str,
    /// Pushes.
    pub pushes: u64,
    /// Pulls.
    pub pulls: u64,
    /// The share of pulls among both.
    pub pull_share: Share,
    /// In words.
    pub verdict: &'static str,
}

/// How long tasks waited.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Waits {
    /// How many waits ended by running.
    pub count: u64,
    /// Their mean.
    pub mean_ns: u64,
    /// Half were at most this; within 13 %, as the other percentiles.
    pub p50_ns: u64,
    /// 99 of 100.
    pub p99_ns: u64,
    /// 999 of 1000.
    pub p999_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// Who waited longest.
    pub max_task: String,
    /// Until when.
    pub max_at_ns: u64,
}

/// CPU time that was lost although somebody waited for it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Waste {
    /// The integral of `min(idle CPUs, waiting tasks)`, in CPU-ns.
    pub total_ns: u64,
    /// The longest time in which a CPU idled beside a waiting task.
    pub longest_ns: u64,
    /// When that began.
    pub longest_at_ns: u64,
}

/// Moves over one distance and their price.
#[derive(Clone, Debug, Serialize)]
pub struct PriceRow {
    /// Over which distance.
    pub distance: &'static str,
    /// Their sums.
    #[serde(flatten)]
    pub sum: PriceSum,
}

/// Prices of moves, summed up.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PriceSum {
    /// Moves that could be priced.
    pub count: u64,
    /// Those that saved more than they cost.
    pub paid: u64,
    /// The waits that they saved, in sum.
    pub gain_ns: i64,
    /// What they cost, in sum.
    pub penalty_ns: i64,
}

/// Tasks that went back where they came from.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PingPong {
    /// Moves back to the CPU before the last within [`super::collect::PING_PONG_NS`].
    pub count: u64,
    /// The same by distance.
    pub by_distance: [u64; 4],
    /// Most in a row.
    pub longest: u32,
    /// By which task.
    pub longest_task: String,
    /// Ending when.
    pub longest_at_ns: u64,
}

/// Moves of the tasks of one name.
#[derive(Clone, Debug, Serialize)]
pub struct TaskRow {
    /// Their name.
    pub name: String,
    /// Their sums.
    #[serde(flatten)]
    pub sum: NameSum,
}

/// Sums over the tasks of one name.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct NameSum {
    /// Moves.
    pub moves: u64,
    /// Moves back.
    pub ping_pong: u64,
    /// The waits that they saved.
    pub gain_ns: i64,
    /// What they cost.
    pub penalty_ns: i64,
    /// Waits.
    pub waits: u64,
    /// Their sum.
    pub waited_ns: u64,
}

/// A single move.
#[derive(Clone, Debug, Serialize)]
pub struct WorstMove {
    /// When.
    pub at_ns: u64,
    /// Who.
    pub name: String,
    /// Its number.
    pub pid: u32,
    /// The CPU before.
    pub from: u32,
    /// The CPU after.
    pub to: u32,
    /// Tasks on the CPU before.
    pub source: Option<u32>,
    /// Tasks on the CPU after, without this one.
    pub target: Option<u32>,
    /// What it was.
    pub kind: Kind,
    /// How sure that is.
    pub confidence: f32,
    /// The wait that it saved.
    pub gain_ns: i64,
    /// What it cost.
    pub penalty_ns: i64,
    /// How long after it the task ran.
    pub ran_after_ns: Option<u64>,
}

/// What was found among the CPUs, LLCs or nodes.
#[derive(Clone, Debug, Serialize)]
pub struct Correlations {
    /// "cpu", "llc" or "node".
    pub level: &'static str,
    /// The numbers of the series, in their order.
    pub names: Vec<u32>,
    /// Bins without a gap that it rests on.
    pub bins: usize,
    /// Width of a bin.
    pub width_ns: u64,
    /// Pairs that were looked at.
    pub pairs: usize,
    /// Those that are no chance.
    pub significant: usize,
    /// The strongest.
    pub strongest: Vec<Correlation>,
}

/// Loads and moves over time.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Map {
    /// CPUs, and their mean load in equal columns of the whole span.
    pub cpus: Vec<(u32, Vec<f32>)>,
    /// Moves, thinned out evenly if there are many: when, from, to, what.
    pub moves: Vec<(u64, u32, u32, Kind)>,
    /// One in so many moves is shown.
    pub one_in: u64,
}
