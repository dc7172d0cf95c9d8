// SPDX-License-Identifier: GPL-2.0-only
//! Flags as typed. [`crate::config`] turns them into settings.

use clap::{Args, Parser, Subcommand};
use scx_utils::libbpf_clap_opts::LibbpfOpts;
use std::path::PathBuf;

/// A sched_ext scheduler that migrates a task only if the wait it saves
/// exceeds what the move costs on this machine.
///
/// Without further arguments it schedules the machine until it is
/// interrupted, then hands it back to the kernel's default scheduler.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "scx_toll",
    disable_version_flag = true,
    args_conflicts_with_subcommands = true,
    after_help = "Exit status: 0 done; 1 failed; 2 bad usage or penalty file; 3 this kernel cannot run it; 4 a replay found a difference."
)]
pub struct Cli {
    /// What to do instead of scheduling; it takes flags of its own only.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// What a move costs: what was measured on this machine, or is measured
    /// now if it never was and the machine is quiet (measure); a penalty file
    /// (TOML); or the built-in table (default)
    #[arg(long, value_name = "FILE|measure|default", default_value = "measure")]
    pub penalty: PathBuf,

    /// Refine what a move costs by what moves take while this runs. Numbers
    /// given in a file stay; with `measure` what was learned is kept
    #[arg(long, value_name = "on|off", default_value = "on")]
    pub learn: String,

    /// When a task has settled on another node, move its memory there, or the task back to its
    /// memory, whichever costs less (on); only say what would be done, in the log and with --json
    /// (advise); or leave both where they are (off)
    #[arg(long, value_name = "on|off|advise", default_value = "off")]
    pub memory_follow: String,

    /// What decides about a move: the rule (toll), or for comparison always,
    /// never, or one fixed price in microseconds for every move between LLCs
    #[arg(long, value_name = "toll|always|never|fixed:US", default_value = "toll")]
    pub migrate: String,

    /// Where decisions are made: in the kernel (bpf), or by the same rule in a process of its own (user),
    /// for trying out a policy in Rust and for measuring what the way there costs
    #[arg(long, value_name = "bpf|user", default_value = "bpf")]
    pub policy: String,

    /// Length of one turn on a CPU, in microseconds (100 to 1000000)
    #[arg(short, long, value_name = "US", default_value_t = 20_000)]
    pub slice_us: u64,

    /// How long an imbalance must last before a move across a level (core, llc or node) is made:
    /// it begins to count when the gain exceeds OPEN, is forgotten below CLOSE, and has to last
    /// for HOLD, all in microseconds; once for each level
    ///
    /// Defaults: core=0,0,0 (also between parts of one cache), llc=0,0,0 (the penalty is threshold
    /// enough) and node=2000,500,4000.
    #[arg(long, value_name = "LEVEL=OPEN[,CLOSE[,HOLD]]")]
    pub hysteresis: Vec<String>,

    /// Split each last-level cache into virtual ones of MIN to MAX cores, 2-8 without a value;
    /// moves between parts of one cache cost what moves between its cores cost. Without the flag
    /// only caches of more than 32 cores are split; 1-1024 splits none by size
    #[arg(long, value_name = "MIN-MAX", num_args = 0..=1, require_equals = true, default_missing_value = "2-8")]
    pub virt_llc: Option<String>,

    /// Schedule only tasks whose policy is SCHED_EXT; all others stay with the kernel's default
    #[arg(long)]
    pub partial: bool,

    /// A number to know this run by: it stands in the log, the statistics and the report
    #[arg(long, value_name = "N")]
    pub run_id: Option<u64>,

    /// Print a block of statistics every so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub stats: Option<f64>,

    /// Print statistics and the exit report as JSON, one object a line
    #[arg(long)]
    pub json: bool,

    /// Schedule nothing: print a block of statistics of the scheduler that is
    /// running every so many seconds
    #[arg(long, value_name = "SECONDS", conflicts_with = "stats")]
    pub monitor: Option<f64>,

    /// End after the first block of --monitor
    #[arg(long, requires = "monitor")]
    pub once: bool,

    /// Describe each number of the statistics and exit
    #[arg(long)]
    pub help_stats: bool,

    /// Serve http://ADDR/metrics (OpenMetrics) while this runs; a port alone is that of 127.0.0.1
    #[arg(long, value_name = "[HOST:]PORT")]
    pub metrics: Option<String>,

    /// Bytes of the kernel's debug dump that are kept when it throws the scheduler out; 0: the kernel's default
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub exit_dump_len: u32,

    /// Say more, in the log on standard error; twice also what libbpf says, three
    /// times also what the verifier had to do for each program
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// How much to log: error, warn, info, debug or trace [default: warn]
    #[arg(long, value_name = "LEVEL", conflicts_with = "verbose")]
    pub log_level: Option<log::LevelFilter>,

    /// Print the version and exit
    #[arg(short = 'V', long)]
    pub version: bool,

    /// Options handed through to libbpf.
    #[command(flatten, next_help_heading = "Libbpf options")]
    pub libbpf: LibbpfOpts,
}

/// What `scx_toll` can do besides scheduling.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Measure what a move costs on this machine, print the figures and store them
    ///
    /// Needs no root. Takes about three seconds, in which the CPUs that are
    /// measured should have little else to do. `--penalty measure` uses the
    /// stored figures.
    Measure(MeasureArgs),
    /// Change the policy of the scheduler that is running, all at once
    Set(SetArgs),
    /// Print the policy of the scheduler that is running
    Get(GetArgs),
    /// Watch the scheduler that is running, full-screen; h shows the keys
    Top(TopArgs),
    /// Tell every decision of the scheduler that is running, as it is made: what
    /// would be saved, what it would cost, and how it ended
    Explain(ExplainArgs),
    /// Record decisions, what ran, and the load of each CPU in a file; or, with --any-scheduler, a trace
    /// for `analyze`
    Record(RecordArgs),
    /// Write a recording in a form for others
    Export(ExportArgs),
    /// Decide a recording once more: does every record follow from its own numbers? And what would
    /// another policy have decided?
    ///
    /// Exit status 4 when a record differs; the first is shown. With --penalty, --migrate or
    /// --hysteresis verdicts that such a policy would have changed are counted. Each decision is taken
    /// with the waits and the warmth that were recorded: what would have followed is not simulated.
    Replay(ReplayArgs),
    /// Run the scheduler on a machine that is not there: its BPF source, compiled for this machine, on
    /// simulated CPUs, caches and memory
    ///
    /// Needs neither root nor a kernel that has sched_ext. The same arguments give the same run. Exit
    /// status 1 when the kernel would have thrown the scheduler out, or an invariant does not hold.
    Simulate(SimulateArgs),
    /// Say what a scheduler did, whichever it was, from a trace
    ///
    /// A trace is text of `perf script`, of ftrace or of `trace-cmd report`
    /// with the events sched_switch, sched_wakeup, sched_wakeup_new,
    /// sched_migrate_task and sched_process_fork; or a load series with time
    /// (in seconds), cpu and runnable, as CSV or JSON. Needs no root.
    Analyze(AnalyzeArgs),
}

/// Which decisions.
#[derive(Debug, Clone, Args)]
pub struct FilterArgs {
    /// Only those about this thread, or the threads of this process
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,

    /// Only those about tasks of this cgroup and below; a path, with or without /sys/fs/cgroup
    #[arg(long, value_name = "PATH")]
    pub cgroup: Option<String>,

    /// Only these questions: place, push, pull (between LLCs), pull.node (of one level: .core,
    /// .llc, .node), all (also within LLCs); several with commas [default: all between LLCs]
    #[arg(long, value_name = "KIND[.LEVEL]", value_delimiter = ',')]
    pub kind: Vec<String>,

    /// Only those that ended so: applied, applied_aged, not_worth, hysteresis, affinity, nothing,
    /// raced; several with commas
    #[arg(long, value_name = "VERDICT", value_delimiter = ',')]
    pub verdict: Vec<String>,

    /// Share of the decisions that is looked at
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    pub rate: f64,
}

/// Flags of `scx_toll top`.
#[derive(Debug, Clone, Args)]
pub struct TopArgs {
    /// Show what was recorded in this file instead, at the pace at which it was
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
}

/// Flags of `scx_toll explain`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// Which decisions.
    #[command(flatten)]
    pub filter: FilterArgs,

    /// Tell what was recorded in this file instead
    #[arg(long, value_name = "FILE", conflicts_with = "seconds")]
    pub from: Option<PathBuf>,

    /// Stop after so many seconds; without it, at Ctrl-C
    #[arg(long, value_name = "SECONDS")]
    pub seconds: Option<f64>,

    /// Print records as JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `replay`.
#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// What `scx_toll record` wrote
    #[arg(value_name = "RECORDING")]
    pub recording: PathBuf,

    /// What a move costs by the other policy: a penalty file (TOML), or the built-in table (default)
    #[arg(long, value_name = "FILE|default")]
    pub penalty: Option<PathBuf>,

    /// What decides about a move by the other policy
    #[arg(long, value_name = "toll|always|never|fixed:US")]
    pub migrate: Option<String>,

    /// How long an imbalance must last by the other policy, in microseconds; levels that are not
    /// named stay as recorded
    #[arg(long, value_name = "LEVEL=OPEN[,CLOSE[,HOLD]]")]
    pub hysteresis: Vec<String>,

    /// Tell the first N decisions that the other policy changes, and the first N records that differ
    #[arg(value_name = "N", default_value_t = 0)]
    pub show: usize,

    /// Print everything as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Flags of `scx_toll simulate`.
#[derive(Debug, Clone, Args)]
pub struct SimulateArgs {
    /// The machine: nodes x LLCs of each x CPUs of each, such as 2x4x8; or a directory with a saved
    /// sysfs (below it sys/devices/system)
    #[arg(long, value_name = "NxLxC|DIR", default_value = "2x2x2")]
    pub topology: String,

    /// What runs there: a scenario of the lab (open, batch, hog, pairs); open:N has N tasks per CPU
    /// instead of four; or a load of rt-app, a file called .json
    #[arg(long, value_name = "NAME|FILE.json", default_value = "open")]
    pub scenario: String,

    /// Seed of the load, and of the order of what falls on one instant
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// How long the load lasts, in simulated seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    pub seconds: f64,

    /// Load of `open`, per cent of all CPUs
    #[arg(long, value_name = "PCT", default_value_t = 70)]
    pub load: u64,

    /// What moves cost there (TOML, as a penalty file): the lab's (default), nothing (free), or a file
    #[arg(long, value_name = "FILE|default|free", default_value = "default")]
    pub costs: PathBuf,

    /// What the scheduler takes them to cost: the same, as a measurement would have told (costs), a
    /// penalty file, or the built-in table (default)
    #[arg(long, value_name = "FILE|costs|default", default_value = "costs")]
    pub penalty: PathBuf,

    /// What decides about a move, as for the scheduler itself
    #[arg(long, value_name = "toll|always|never|fixed:US", default_value = "toll")]
    pub migrate: String,

    /// Length of one turn on a CPU, in microseconds
    #[arg(short, long, value_name = "US", default_value_t = 20_000)]
    pub slice_us: u64,

    /// How long an imbalance must last, as for the scheduler itself
    #[arg(long, value_name = "LEVEL=OPEN[,CLOSE[,HOLD]]")]
    pub hysteresis: Vec<String>,

    /// Another scheduler: a shared object that was compiled against src/sim/stand_in
    #[arg(long, value_name = "FILE", conflicts_with_all = ["penalty", "migrate", "slice_us", "hysteresis"])]
    pub scheduler: Option<PathBuf>,

    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `analyze`.
#[derive(Debug, Clone, Args)]
pub struct AnalyzeArgs {
    /// The trace, or `-` for standard input; two are compared
    #[arg(value_name = "TRACE", required = true, num_args = 1..=2)]
    pub traces: Vec<PathBuf>,

    /// Print everything as one JSON object
    #[arg(long)]
    pub json: bool,

    /// Also write a page with pictures to this file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// What moves cost: a penalty file (TOML), or the built-in table (default)
    #[arg(long, value_name = "FILE|default", default_value = "default")]
    pub penalty: PathBuf,

    /// The machine that the trace was made on: this one (here), or nodes x
    /// LLCs of each x CPUs of each, such as 2x4x8
    #[arg(long, value_name = "here|NxLxC", default_value = "here")]
    pub machine: String,
}

/// Flags of `scx_toll measure`.
#[derive(Debug, Clone, Args)]
pub struct MeasureArgs {
    /// Where the table (TOML) is written instead of the state directory; -: nowhere, print only
    #[arg(value_name = "FILE|-")]
    pub out: Option<PathBuf>,

    /// Measure all pairs of CPUs, and take more time for each figure
    #[arg(long)]
    pub thorough: bool,

    /// Print the table as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `set`.
#[derive(Debug, Clone, Args)]
pub struct SetArgs {
    /// What to change: penalty=FILE|default, slice_us=US, migrate=toll|always|never|fixed:US,
    /// learn=on|off, hysteresis_us.core=OPEN[,CLOSE[,HOLD]], and so hysteresis_us.llc and
    /// hysteresis_us.node; the
    /// scheduler's process reads FILE
    #[arg(value_name = "KEY=VALUE", required = true)]
    pub assignments: Vec<String>,

    /// Print what was changed as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `get`.
#[derive(Debug, Clone, Args)]
pub struct GetArgs {
    /// Print the policy as JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `scx_toll record`.
#[derive(Debug, Clone, Args)]
pub struct RecordArgs {
    /// Where to; what was there before is replaced
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Record the kernel's scheduler events as text, whichever scheduler runs; needs root
    #[arg(long, conflicts_with_all = ["pid", "cgroup", "kind", "verdict", "rate"])]
    pub any_scheduler: bool,

    /// Which decisions.
    #[command(flatten)]
    pub filter: FilterArgs,

    /// Stop after so many seconds; without it, at Ctrl-C or when the scheduler ends
    #[arg(long, value_name = "SECONDS")]
    pub seconds: Option<f64>,
}

/// Flags of `scx_toll export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// What `scx_toll record` wrote
    #[arg(value_name = "RECORDING")]
    pub recording: PathBuf,

    /// Where to; what was there before is replaced. One JSON object a line if it is called .jsonl or
    /// .json, else a trace for ui.perfetto.dev
    #[arg(value_name = "OUT")]
    pub out: PathBuf,
}
