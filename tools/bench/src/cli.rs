// SPDX-License-Identifier: GPL-2.0-only
//! What the user types.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::cpus::CpuSet;
use crate::lab::Scenario;
use crate::trace_command::TraceArgs;

/// The longest run, a day; times of moves are kept in 48 bits of nanoseconds.
const MAX_SECONDS: f64 = 86_400.0;
const MAX_TASKS: u64 = 4096;

/// Loads for a scheduler, and what they saw as key=value lines on stdout.
///
/// Work is counted in CPU time. SIGINT and SIGTERM end a run early; the results are printed all the
/// same.
#[derive(Debug, Parser)]
#[command(name = "tollwork", version)]
pub struct Cli {
    /// The load to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The loads.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Endless busy tasks, released at one instant: how fast they spread, how fairly they are served
    Hogs(HogsArgs),
    /// A mixed load: hogs, sleepers, pairs over pipes, forks, bursts
    Mixed(MixedArgs),
    /// A light mixed load plus crowds released on one LLC or node, so that pushes and pulls happen
    Demo(DemoArgs),
    /// Forks, execs, context switches, and random changes of affinity, nice and policy
    Storm(StormArgs),
    /// Workers that count; fails if one made no progress in the last second
    Count(CountArgs),
    /// Hogs that swing between two sets of CPUs, and sleepers that get out of their way
    Swing(SwingArgs),
    /// Tasks that go round sets of CPUs and pay for each move: steady page faults, and none while they pay
    Wander(WanderArgs),
    /// A task that sleeps for a fixed period beside hogs: how late it runs after each
    Sleeper(SleeperArgs),
    /// A process with memory that it keeps writing and checking, first on some CPUs and then on others
    Memory(MemoryArgs),
    /// Requests to a Unix socket as fast as they are answered, and clients that hang
    Requests(RequestsArgs),
    /// A scenario of the lab: what a load costs under this scheduler, as one line of JSON
    Lab(LabArgs),
    /// Record what the kernel does with tasks and CPUs, and copy it out
    Trace(TraceArgs),
    /// Do nothing; what `storm` executes
    #[command(hide = true)]
    Noop,
}

/// Arguments of `hogs`.
#[derive(Args, Debug)]
pub struct HogsArgs {
    /// Number of hogs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_TASKS))]
    pub n: u64,
    /// Seconds from the release to the end
    #[arg(long, value_name = "S", value_parser = parse_seconds)]
    pub seconds: Duration,
    /// Confine all hogs to these CPUs until each has run there, then release them to all CPUs
    #[arg(long, value_name = "CPULIST", value_parser = parse_cpus)]
    pub start_on: Option<Box<CpuSet>>,
    /// Processes instead of threads
    #[arg(long)]
    pub processes: bool,
    /// Of the policy SCHED_EXT, which a scheduler that schedules only some tasks takes
    #[arg(long)]
    pub ext: bool,
}

/// Arguments of `mixed`.
#[derive(Args, Debug)]
pub struct MixedArgs {
    /// Seconds to run
    #[arg(long, value_name = "S", value_parser = parse_seconds)]
    pub seconds: Duration,
    /// Seed of all random draws
    #[arg(long, value_name = "X", default_value_t = 1)]
    pub seed: u64,
    /// Size of the load as a multiple of what suits the number of CPUs
    #[arg(long, value_name = "K", default_value_t = 1.0, value_parser = parse_scale)]
    pub scale: f64,
}

/// Arguments of `demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Seconds to run; a phase takes two
    #[arg(long, value_name = "S", value_parser = parse_seconds)]
    pub seconds: Duration,
    /// Seed of all random draws
    #[arg(long, value_name = "X", default_value_t = 1)]
    pub seed: u64,
}

/// Arguments of `storm`.
#[derive(Args, Debug)]
pub struct StormArgs {
    /// Seconds to run
    #[arg(long, value_name = "S", value_parser = parse_seconds)]
    pub seconds: Duration,
    /// Seed of all random draws
    #[arg(long, value_name = "X", default_value_t = 1)]
    pub seed: u64,
}

/// Arguments of `count`.
#[derive(Args, Debug)]
pub struct CountArgs {
    /// Seconds to run
    #[arg(long, value_name = "S", value_parser = parse_seconds)]
    pub seconds: Duration,
    /// Number of workers
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_TASKS))]
    pub n: u64,
}

/// Arguments of `swing`.
#[derive(Args, Debug)]
pub struct SwingArgs {
    /// Seconds to run
    #[arg(long, value_name = "S", value_parser = parse_seconds)]
    pub seconds: Duration,
    /// Where the hogs begin
    #[arg(long, value_name = "CPULIST", value_parser = parse_cpus)]
    pub between: Box<CpuSet>,
    /// Where they go then
    #[arg(long, value_name = "CPULIST", value_parser = parse_cpus)]
    pub and: Box<CpuSet>,
    /// Seconds between two swings
    #[arg(long, value_name = "S", default_value = "0.015", value_parser = parse_seconds)]
    pub every: Duration,
    /// Number of sleepers
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=MAX_TASKS))]
    pub sleepers: u64,
}

/// Arguments of `wander`.
#[derive(Args, Debug)]
pub struct WanderArgs {
    /// Seconds to run
    #[arg(long, value_name = "S", value_parser = parse_seconds)]
    pub seconds: Duration,
    /// A set of CPUs to stay on; give it once for each, in the order in which to go round
    #[arg(long, value_name = "CPULIST", required = true, value_parser = parse_cpus)]
    pub over: Vec<Box<CpuSet>>,
    /// Number of tasks, which begin on different sets
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=MAX_TASKS))]
    pub n: u64,
    /// CPU time in microseconds that each move costs
    #[arg(long, value_name = "US")]
    pub cost_us: u64,
    /// Seconds between two moves
    #[arg(long, value_name = "S", default_value = "0.006", value_parser = parse_seconds)]
    pub every: Duration,
    /// Memory in MiB that the process owns besides
    #[arg(long, value_name = "MIB", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub mib: u64,
}

/// Arguments of `sleeper`.
#[derive(Args, Debug)]
pub struct SleeperArgs {
    /// Seconds to run
    #[arg(long, value_name = "S", value_parser = parse_seconds)]
    pub seconds: Duration,
    /// Number of hogs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=MAX_TASKS))]
    pub hogs: u64,
    /// Microseconds from one wakeup to the next
    #[arg(long, value_name = "US", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..=10_000_000))]
    pub period_us: u64,
    /// CPU time in microseconds that it uses each time
    #[arg(long, value_name = "US", default_value_t = 50)]
    pub burn_us: u64,
}

/// What keeps the memory of `memory` where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kept {
    /// Nothing.
    No,
    /// It is locked.
    Mlock,
    /// Its policy names the node where it is.
    Mbind,
    /// It is a shared mapping.
    Shared,
    /// A child that sleeps has the same pages.
    Forked,
}

/// What the process of `memory` does when half of its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Midway {
    /// It forks; both go on writing and checking what is theirs now.
    Fork,
    /// It executes this program anew, which begins from the beginning.
    Exec,
}

/// Arguments of `memory`.
#[derive(Args, Debug)]
pub struct MemoryArgs {
    /// Size in MiB
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub mib: u64,
    /// Seconds to run, after the memory was first written
    #[arg(long, value_name = "S", value_parser = parse_seconds)]
    pub seconds: Duration,
    /// CPUs on which the memory is first written
    #[arg(long, value_name = "CPULIST", value_parser = parse_cpus)]
    pub from: Box<CpuSet>,
    /// Where the process goes then
    #[arg(long, value_name = "CPULIST", value_parser = parse_cpus)]
    pub to: Box<CpuSet>,
    /// Go back and forth between both so often
    #[arg(long, value_name = "S", value_parser = parse_seconds)]
    pub swing: Option<Duration>,
    /// Be free to go to either after so long
    #[arg(long, value_name = "S", value_parser = parse_seconds)]
    pub free_after: Option<Duration>,
    /// Per cent of the time that it is busy
    #[arg(long, value_name = "PCT", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub busy: u64,
    /// What keeps the memory where it is
    #[arg(long, value_enum, default_value_t = Kept::No)]
    pub kept: Kept,
    /// What it does when half of the time is over
    #[arg(long, value_enum)]
    pub midway: Option<Midway>,
}

/// Arguments of `requests`.
#[derive(Args, Debug)]
pub struct RequestsArgs {
    /// The socket
    #[arg(long, value_name = "PATH")]
    pub socket: PathBuf,
    /// Lines to send one after the other, each after the answer to the one before
    #[arg(value_name = "LINE")]
    pub lines: Vec<String>,
    /// How often to send all lines over again
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub repeat: u64,
    /// First open this many connections that send half a line and then nothing, and keep them
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub hanging: u64,
}

/// Arguments of `lab`.
#[derive(Args, Debug)]
pub struct LabArgs {
    /// What to run
    #[arg(value_enum)]
    pub scenario: Scenario,
    /// Seconds that the load lasts
    #[arg(long, value_name = "S", default_value = "2", value_parser = parse_seconds)]
    pub seconds: Duration,
    /// Seed of all random draws
    #[arg(long, value_name = "X", default_value_t = 1)]
    pub seed: u64,
    /// What moves cost: a penalty file of scx_toll [default: they are free]
    #[arg(long, value_name = "FILE")]
    pub costs: Option<PathBuf>,
    /// Mean working set of a task
    #[arg(long, value_name = "KIB", default_value_t = 850, value_parser = clap::value_parser!(u64).range(0..=65_536))]
    pub set_kib: u64,
    /// Mean memory of a task, whose remote time then follows where its pages are; 0: home is where
    /// it begins, for good [default: 16 of `heavy`, else 0]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(0..=65_536))]
    pub memory_mib: Option<u64>,
    /// Load of `open`, in per cent of all CPUs
    #[arg(long, value_name = "PCT", default_value_t = 70, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub load: u64,
    /// The two of a pair begin in LLCs half the machine apart, and may go anywhere from then on
    #[arg(long)]
    pub apart: bool,
    /// The tasks of `heavy` are kept to a node each, in turn
    #[arg(long)]
    pub kept: bool,
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= MAX_SECONDS => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => Err(format!("expected seconds above 0 and up to {MAX_SECONDS}")),
    }
}

fn parse_scale(text: &str) -> Result<f64, String> {
    const MAX_SCALE: f64 = 64.0;
    match text.parse::<f64>() {
        Ok(scale) if scale > 0.0 && scale <= MAX_SCALE => Ok(scale),
        _ => Err(format!("expected a factor above 0 and up to {MAX_SCALE}")),
    }
}

fn parse_cpus(text: &str) -> Result<Box<CpuSet>, String> {
    let cpus: CpuSet = text.parse().map_err(|error: crate::cpus::BadCpuList| error.to_string())?;
    match cpus.is_empty() {
        true => Err("expected at least one CPU, such as 0-3,8".into()),
        false => Ok(Box::new(cpus)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn hogs_are_read() {
        let line = "tollwork hogs --n 9 --seconds 1.5 --start-on 0-1";
        let cli = Cli::try_parse_from(line.split(' ')).expect("parse");
        let Command::Hogs(args) = cli.command else {
            panic!("not hogs");
        };
        assert_eq!((args.n, args.seconds), (9, Duration::from_millis(1500)));
        assert_eq!(args.start_on.expect("start_on").to_string(), "0-1");
    }

    #[test]
    fn senseless_values_are_refused() {
        for line in [
            "tollwork hogs --n 0 --seconds 1",
            "tollwork hogs --n 1 --seconds 0",
            "tollwork hogs --n 1 --seconds nan",
            "tollwork hogs --n 1 --seconds 1 --start-on 3-1",
            "tollwork mixed --seconds 1 --scale -2",
            "tollwork count --seconds 1",
            "tollwork swing --seconds 1 --between 0",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
