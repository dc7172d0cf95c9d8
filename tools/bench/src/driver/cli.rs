// SPDX-License-Identifier: GPL-2.0-only
//! What the user of `tools/lab` types.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::lab::Scenario;

/// A deterministic benchmark of schedulers on a real kernel.
///
/// Each cell (machine, scenario, scheduler, seed) boots a virtual machine in which one instruction
/// is one nanosecond, and runs a seeded load whose tasks pay for being moved. The same cell gives
/// the same figures, whatever the host does meanwhile.
#[derive(Debug, Parser)]
#[command(name = "tools/lab", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the lab can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run cells, print the table, and keep the result
    Run(RunArgs),
    /// Print the table of a result
    Show(ShowArgs),
    /// Print the ratios of two results, and which are within noise
    Compare(CompareArgs),
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Machines, NODESxLLCSxCPUS
    #[arg(long, value_name = "M,…", value_delimiter = ',', default_value = "2x2x2")]
    pub machine: Vec<String>,
    /// Scenarios; all but `heavy` and `pin` unless given
    #[arg(long, value_name = "S,…", value_delimiter = ',', value_enum)]
    pub scenario: Vec<Scenario>,
    /// Schedulers: eevdf, eevdf+autonuma, eevdf-autonuma, toll, `toll FLAGS`, or the name of an installed one
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', default_value = "eevdf,toll")]
    pub sched: Vec<String>,
    /// Seeds
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1")]
    pub seed: Vec<u64>,
    /// Seconds of load in each cell
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    pub seconds: f64,
    /// Mean working set of a task
    #[arg(long, value_name = "KIB", default_value_t = 850)]
    pub set_kib: u64,
    /// Mean memory of a task, whose remote time then follows where its pages are; 0: home is where
    /// it begins, for good [default: 16 of `heavy`, else 0]
    #[arg(long, value_name = "MIB")]
    pub memory_mib: Option<u64>,
    /// The tasks of `heavy` are kept to a node each, in turn: only their memory can move
    #[arg(long)]
    pub kept: bool,
    /// Load of `open`, in per cent of all CPUs
    #[arg(long, value_name = "PCT", default_value_t = 70)]
    pub load: u64,
    /// What moves cost: a penalty file [default: tools/bench/costs/default.toml]
    #[arg(long, value_name = "FILE")]
    pub costs: Option<PathBuf>,
    /// Kernel, as for tools/vm
    #[arg(long, value_name = "V", default_value = "7.3")]
    pub kernel: String,
    /// Machines side by side [default: one per CPU of the host]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Where the result goes [default: a new file in the build folder]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Keep the cells that the result has already, and run the others
    #[arg(long, requires = "out")]
    pub resume: bool,
    /// Record what the kernel does, too: idle CPUs beside waiting tasks, ping-pong, waits, and a
    /// picture of each cell beside the result. Recording takes time of the machine, the same for all
    #[arg(long)]
    pub trace: bool,
    /// Print the result as JSON instead of the table
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The result
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// As Markdown
    #[arg(long)]
    pub markdown: bool,
    /// Draw bars of all schedulers into this file
    #[arg(long, value_name = "SVG")]
    pub picture: Option<PathBuf>,
    /// Instructions of the scheduler per context switch and of each callback instead
    #[arg(long, conflicts_with_all = ["markdown", "picture"])]
    pub callbacks: bool,
}

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The result to compare with
    #[arg(value_name = "A")]
    pub before: PathBuf,
    /// The result to judge
    #[arg(value_name = "B")]
    pub after: PathBuf,
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
    fn lists_are_read() {
        let line = "lab run --machine 2x2x2,4x4x4 --scenario open,hog --seed 1,2";
        let cli = Cli::try_parse_from(line.split(' ')).expect("parse");
        let Command::Run(args) = cli.command else { panic!("not run") };
        assert_eq!(args.machine, ["2x2x2", "4x4x4"]);
        assert_eq!(args.scenario, [Scenario::Open, Scenario::Hog]);
        assert_eq!((args.seed, args.sched), (vec![1, 2], vec!["eevdf".into(), "toll".into()]));
    }
}
