// SPDX-License-Identifier: GPL-2.0-only
//! `tollwork trace`: record, on the machine that is traced; show a recording, anywhere.

mod show;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use crate::trace::tracefs::Tracefs;
use show::ShowArgs;

/// Bytes handed to the kernel at a time when a recording is copied out.
const COPY_BYTES: usize = 256 << 10;

/// Arguments of `trace`.
#[derive(Args, Debug)]
pub struct TraceArgs {
    /// What to do
    #[command(subcommand)]
    pub action: Action,
}

/// The steps of a recording.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Record from now on; what was recorded before is gone
    Start(Buffer),
    /// Write a line into the recording
    Mark {
        /// The line
        text: String,
    },
    /// Record no longer
    Stop,
    /// Copy the recording out, in binary
    Dump(Out),
    /// Start, run a command, stop, and copy the recording out; fails if the command does
    Run {
        /// How much to keep
        #[command(flatten)]
        buffer: Buffer,
        /// Where to
        #[command(flatten)]
        out: Out,
        /// The command, after --
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Count in a recording, and draw it; here or on another machine
    Show(ShowArgs),
}

/// How much to keep.
#[derive(Args, Clone, Copy, Debug)]
pub struct Buffer {
    /// Size of each CPU's buffer; an event takes 30 to 80 bytes
    #[arg(long, value_name = "KIB", default_value_t = 4096,
        value_parser = clap::value_parser!(u64).range(8..=1 << 20))]
    pub buffer_kib: u64,
}

/// Where to.
#[derive(Args, Clone, Debug)]
pub struct Out {
    /// The file to write, or - for standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
}

/// Carry out `action`.
pub fn run(action: &Action) -> Result<()> {
    if let Action::Show(args) = action {
        return show::run(args);
    }
    let tracefs = Tracefs::find()?;
    match action {
        Action::Show(_) => Ok(()),
        Action::Start(buffer) => tracefs.start(buffer.buffer_kib),
        Action::Mark { text } => tracefs.mark(text),
        Action::Stop => tracefs.stop(),
        Action::Dump(out) => dump(&tracefs, &out.out),
        Action::Run { buffer, out, command } => {
            tracefs.start(buffer.buffer_kib)?;
            let done = execute(command);
            tracefs.stop()?;
            dump(&tracefs, &out.out)?;
            done
        }
    }
}

fn execute(command: &[String]) -> Result<()> {
    let Some((program, arguments)) = command.split_first() else { bail!("no command given") };
    let status = Command::new(program).args(arguments).status();
    let status = status.with_context(|| format!("{program} could not be run"))?;
    if !status.success() {
        bail!("{program} ended with {status}");
    }
    Ok(())
}

fn dump(tracefs: &Tracefs, to: &Path) -> Result<()> {
    let out: Box<dyn Write> = match to == Path::new("-") {
        true => Box::new(io::stdout().lock()),
        false => Box::new(File::create(to).with_context(|| to.display().to_string())?),
    };
    tracefs.dump(BufWriter::with_capacity(COPY_BYTES, out))
}
