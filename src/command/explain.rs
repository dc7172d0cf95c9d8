// SPDX-License-Identifier: GPL-2.0-only
//! `scx_toll explain`: decisions as they are made, in words or as JSON.

use super::retell;
use crate::cli::{ExplainArgs, FilterArgs};
use crate::control::client::{self, Line, Watch};
use crate::control::run_dir;
use crate::control::wire::{self, Frame};
use crate::events::Verdict;
use crate::events::filter::{Filter, Sieve};
use crate::fault::Fault;
use crate::ui::explain::Teller;
use anyhow::{Context, Result};
use std::io::{BufWriter, ErrorKind, Stdout, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often a signal and the end of the time are looked for.
const POLL: Duration = Duration::from_millis(100);
/// Bytes that are printed at once while more come.
const WRITE_BYTES: usize = 64 << 10;
/// Longest time that can be asked for, in seconds.
const SECONDS_MAX: f64 = 7.0 * 86_400.0;

/// Tell decisions until the time is over, the scheduler ends, or a signal comes.
///
/// # Errors
/// When no scheduler is running, when it refuses, and when nothing can be written.
pub fn explain(args: &ExplainArgs) -> Result<()> {
    let filter = filter(&args.filter, false)?;
    if let Some(path) = &args.from {
        let mut printer = Printer::new(args.json);
        let done = retell::tell(path, &filter, &mut printer);
        return quiet_pipe(done.and_then(|()| printer.finish()));
    }
    let stop = until(args.seconds)?;
    let mut watch = client::watch(&run_dir(), &filter)?;
    let mut printer = Printer::new(args.json);
    let done = follow(&mut watch, &stop, &mut |line| match line {
        Some((line, more)) => printer.print(&line, more),
        None => Ok(()),
    });
    quiet_pipe(done.and_then(|()| printer.finish()))
}

/// What was typed, as a filter; refused here in the words of the flags.
pub(super) fn filter(args: &FilterArgs, slices: bool) -> Result<Filter> {
    let usage = |sentence: String| Fault::Usage(sentence);
    let mut verdicts = Vec::new();
    for name in &args.verdict {
        let verdict = Verdict::ALL.into_iter().find(|verdict| verdict.name() == name);
        let names = Verdict::ALL.map(Verdict::name).join(", ");
        verdicts.push(
            verdict.ok_or_else(|| usage(format!("--verdict {name}: expected one of {names}")))?,
        );
    }
    let filter = Filter {
        pid: args.pid,
        cgroup: args.cgroup.clone(),
        kinds: args.kind.clone(),
        verdicts,
        rate: args.rate,
        slices,
    };
    // Its cgroup is looked for by the scheduler's process.
    Sieve::new(&filter, None).map_err(|sentence| usage(format!("--{sentence}")))?;
    Ok(filter)
}

/// When to stop: by a signal or at an instant.
pub(super) struct Until {
    signal: Arc<AtomicBool>,
    end: Option<Instant>,
}

impl Until {
    pub(super) fn is_over(&self) -> bool {
        self.signal.load(Ordering::Relaxed) || self.end.is_some_and(|end| Instant::now() >= end)
    }
}

/// Stop at a signal, or `seconds` from now.
pub(super) fn until(seconds: Option<f64>) -> Result<Until> {
    let wait = match seconds {
        None => None,
        Some(seconds) if seconds > 0.0 && seconds <= SECONDS_MAX => {
            Some(Duration::from_secs_f64(seconds))
        }
        Some(seconds) => {
            let sentence =
                format!("--seconds {seconds}: expected a number above 0, at most {SECONDS_MAX}");
            return Err(Fault::Usage(sentence).into());
        }
    };
    let signal = Arc::new(AtomicBool::new(false));
    let on_signal = Arc::clone(&signal);
    ctrlc::set_handler(move || on_signal.store(true, Ordering::Relaxed))
        .context("the handler for Ctrl-C and SIGTERM cannot be set")?;
    Ok(Until { signal, end: wait.map(|wait| Instant::now() + wait) })
}

/// Hand every line to `take` until it is over, and whether another one has come already; `None`
/// where none came for a while.
pub(super) fn follow(
    watch: &mut Watch,
    stop: &Until,
    take: &mut dyn FnMut(Option<(Line, bool)>) -> Result<()>,
) -> Result<()> {
    while !stop.is_over() {
        let Some(line) = watch.next(POLL)? else {
            take(None)?;
            continue;
        };
        if line.is_notice() {
            match line.frame()? {
                Frame::Ended {} => {
                    eprintln!("scx_toll: the scheduler has ended");
                    return Ok(());
                }
                frame => complain(&frame),
            }
        }
        take(Some((line, watch.has_more())))?;
    }
    Ok(())
}

fn complain(frame: &Frame) {
    if let Frame::Lost { ring, queue } = frame {
        eprintln!(
            "scx_toll: {ring} records were lost because the ring buffer was full, {queue} because \
             they were not read fast enough"
        );
    }
}

/// Prints frames, as they are or in words.
pub(super) struct Printer {
    json: bool,
    teller: Teller,
    out: BufWriter<Stdout>,
}

impl Printer {
    pub(super) fn new(json: bool) -> Printer {
        let out = BufWriter::with_capacity(WRITE_BYTES, std::io::stdout());
        Printer { json, teller: Teller::default(), out }
    }

    /// Print a line that came; it is held back while `more` is to be printed.
    fn print(&mut self, line: &Line, more: bool) -> Result<()> {
        if self.json {
            self.write(line.bytes())?;
        } else {
            self.tell(line.frame()?)?;
        }
        if more { Ok(()) } else { self.out.flush().context("standard output") }
    }

    /// Print a frame that was recorded.
    pub(super) fn replay(&mut self, frame: Frame) -> Result<()> {
        match self.json {
            true => self.write(wire::encode(&frame)?.trim_end().as_bytes()),
            false => self.tell(frame),
        }
    }

    /// Print a frame in words.
    fn tell(&mut self, frame: Frame) -> Result<()> {
        let lines = match frame {
            Frame::Decision(decision) => self.teller.decision(*decision),
            Frame::Outcome(outcome) => self.teller.outcome(&outcome),
            Frame::Slice(_) | Frame::Lost { .. } | Frame::Ended {} => Vec::new(),
        };
        lines.iter().try_for_each(|line| self.write(line.as_bytes()))
    }

    fn write(&mut self, line: &[u8]) -> Result<()> {
        let wrote = self.out.write_all(line).and_then(|()| self.out.write_all(b"\n"));
        wrote.context("standard output")
    }

    /// Print what was held back.
    pub(super) fn finish(mut self) -> Result<()> {
        for line in self.teller.rest() {
            self.write(line.as_bytes())?;
        }
        self.out.flush().context("standard output")
    }
}

/// A reader that has gone away (`| head`) has seen enough: no failure.
pub(super) fn quiet_pipe(done: Result<()>) -> Result<()> {
    match done {
        Err(err) => match err.downcast_ref::<std::io::Error>() {
            Some(io) if io.kind() == ErrorKind::BrokenPipe => Ok(()),
            _ => Err(err),
        },
        done => done,
    }
}
