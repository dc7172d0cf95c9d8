// SPDX-License-Identifier: GPL-2.0-only
//! `scx_toll set` and `scx_toll get`: the other end of the socket.

use super::wire::{self, Answer, Frame, Places, Request};
use super::{SOCKET, run_dir};
use crate::cli::{GetArgs, SetArgs};
use crate::events::filter::Filter;
use crate::fault::Fault;
use crate::ui::policy::policy_page;
use anyhow::{Context, Result, anyhow, bail};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long the scheduler may take to answer; longer than its own patience.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of a subscription that are read at once.
const READ_BYTES: usize = 256 << 10;

/// Change the policy in force and say what was changed.
///
/// # Errors
/// When no scheduler is running, or it refuses; its sentence says why.
pub fn set(args: &SetArgs) -> Result<()> {
    let assign = args.assignments.iter().map(|text| absolute(text)).collect::<Result<_>>()?;
    let answer = ask(&run_dir(), &Request::Set { assign })?;
    let Answer::Changed { version, changes } = &answer else { return Err(unfit(answer)) };
    let text = if args.json {
        wire::encode(&answer)?
    } else {
        let mut text = format!("policy version {version}\n");
        for change in changes {
            text += &format!("  {}  {} -> {}\n", change.key, change.old, change.new);
        }
        text
    };
    print(&text)
}

/// Print the policy in force.
///
/// # Errors
/// As [`set`].
pub fn get(args: &GetArgs) -> Result<()> {
    let answer = ask(&run_dir(), &Request::Get {})?;
    let Answer::Policy(view) = &answer else { return Err(unfit(answer)) };
    print(&if args.json { wire::encode(&answer)? } else { policy_page(view) })
}

/// The scheduler's process has another working directory than we.
fn absolute(assignment: &str) -> Result<String> {
    match assignment.split_once('=') {
        Some(("penalty", path)) if !["", "default"].contains(&path) => {
            let path = std::path::absolute(path).with_context(|| assignment.to_string())?;
            Ok(format!("penalty={}", path.display()))
        }
        _ => Ok(assignment.to_string()),
    }
}

/// The error for an answer that is not the one hoped for.
fn unfit(answer: Answer) -> anyhow::Error {
    match answer {
        Answer::Refused { error } => Fault::Usage(error).into(),
        Answer::Failed { error } => anyhow!(error),
        _ => anyhow!("the scheduler answered something else than was asked"),
    }
}

/// Ask the scheduler whose socket is in `dir`.
///
/// # Errors
/// One sentence when there is none, when only others may ask it, and when it does not answer.
pub fn ask(dir: &Path, request: &Request) -> Result<Answer> {
    let path = dir.join(SOCKET);
    let mut stream = connect(&path)?;
    let talk = || -> std::io::Result<String> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        // A server that turns us away has closed already: its words are still to be read.
        let wrote = stream.write_all(wire::encode(request)?.as_bytes());
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line)?;
        if line.is_empty() { wrote.map(|()| line) } else { Ok(line) }
    };
    let line = { talk }().with_context(|| path.display().to_string())?;
    if line.is_empty() {
        bail!("scx_toll ended without an answer");
    }
    serde_json::from_str(&line).context("the scheduler's answer is not understood")
}

fn connect(path: &Path) -> Result<UnixStream> {
    UnixStream::connect(path).map_err(|err| match err.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            anyhow!("no scx_toll is running (nobody listens at {})", path.display())
        }
        ErrorKind::PermissionDenied => {
            anyhow!("only root may control scx_toll (no access to {})", path.display())
        }
        _ => anyhow!("{}: {err}", path.display()),
    })
}

/// A subscription from the listener's side.
#[derive(Debug)]
pub struct Watch {
    /// Where the records come from.
    pub places: Places,
    lines: BufReader<UnixStream>,
    line: Vec<u8>,
    wait: Duration,
}

/// Listen to the decisions of the scheduler whose socket is in `dir`.
///
/// # Errors
/// As [`ask`], and when it refuses.
pub fn watch(dir: &Path, filter: &Filter) -> Result<Watch> {
    let path = dir.join(SOCKET);
    let mut stream = connect(&path)?;
    let request = wire::encode(&Request::Watch { filter: filter.clone() })?;
    let talk = || -> std::io::Result<(String, BufReader<UnixStream>)> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let wrote = stream.write_all(request.as_bytes());
        let mut line = String::new();
        let mut lines = BufReader::with_capacity(READ_BYTES, stream);
        lines.read_line(&mut line)?;
        if line.is_empty() { wrote.map(|()| (line, lines)) } else { Ok((line, lines)) }
    };
    let (line, lines) = { talk }().with_context(|| path.display().to_string())?;
    if line.is_empty() {
        bail!("scx_toll ended without an answer");
    }
    let answer = serde_json::from_str(&line).context("the scheduler's answer is not understood")?;
    let Answer::Watching { places } = answer else { return Err(unfit(answer)) };
    Ok(Watch { places, lines, line: Vec::new(), wait: PATIENCE })
}

/// A line of a subscription, as it came.
#[derive(Debug)]
pub struct Line(Vec<u8>);

impl Line {
    /// The bytes, without a newline.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// True for the few lines that are no records.
    pub fn is_notice(&self) -> bool {
        [&b"{\"what\":\"lost\""[..], b"{\"what\":\"ended\""].iter().any(|s| self.0.starts_with(s))
    }

    /// What it says.
    ///
    /// # Errors
    /// When it is not understood.
    pub fn frame(&self) -> Result<Frame> {
        serde_json::from_slice(&self.0).context("a record is not understood")
    }
}

impl Watch {
    /// The next line; `None` when none came within `wait`. The end of the connection reads as
    /// [`Frame::Ended`].
    ///
    /// # Errors
    /// When the connection fails.
    pub fn next(&mut self, wait: Duration) -> Result<Option<Line>> {
        // A zero timeout would mean none at all.
        let wait = wait.max(Duration::from_millis(1));
        if self.wait != wait {
            self.lines.get_ref().set_read_timeout(Some(wait))?;
            self.wait = wait;
        }
        match self.lines.read_until(b'\n', &mut self.line) {
            Ok(_) if self.line.pop() == Some(b'\n') => {
                Ok(Some(Line(std::mem::take(&mut self.line))))
            }
            Ok(_) => Ok(Some(Line(wire::encode(&Frame::Ended {})?.trim_end().into()))),
            Err(err) => match err.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(None),
                _ => Err(err).context("the control socket"),
            },
        }
    }

    /// True when more has come already: no wait for it.
    pub fn has_more(&self) -> bool {
        !self.lines.buffer().is_empty()
    }
}

fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("standard output")
}
