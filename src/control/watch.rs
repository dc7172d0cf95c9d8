// SPDX-License-Identifier: GPL-2.0-only
//! A subscription on its connection: records become lines as fast as the client takes them.

use super::audience::{Lost, Seat};
use super::wire::Frame;
use crate::cgroups::Names;
use crate::events::{Event, Who};
use log::debug;
use std::collections::HashSet;
use std::io::{ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

/// How long a client may take to read what it was sent.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a client that gets nothing is looked after.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long records are collected before they are sent: to send each alone would wake this thread
/// and the client for each, and so cause more decisions than there are to tell.
const COLLECT: Duration = Duration::from_millis(10);
/// Bytes that are collected at most.
const BATCH_BYTES: usize = 256 << 10;
/// Moves whose outcome is waited for. Beyond, all are forgotten: their tasks never ran.
const OPEN_MOVES_MAX: usize = 64 << 10;

/// What only the listener's thread can decide: it may look into the file system, and it knows
/// which decisions it has passed on.
struct Fine {
    /// Names, and the path that a task's cgroup has to be at or below.
    cgroup: Option<(Names, String)>,
    /// Moves that were passed on and whose outcome was not.
    open_moves: HashSet<u64>,
}

impl Fine {
    fn passes(&mut self, event: &Event) -> bool {
        match event {
            Event::Decision(decision) => {
                let passes = decision.who.as_ref().is_none_or(|who| self.is_below(who));
                if passes && decision.verdict.is_applied() {
                    if self.open_moves.len() >= OPEN_MOVES_MAX {
                        self.open_moves.clear();
                    }
                    self.open_moves.insert(decision.seq);
                }
                passes
            }
            Event::Outcome(outcome) => self.open_moves.remove(&outcome.seq),
            Event::Slice(slice) => self.is_below(&slice.who),
        }
    }

    fn is_below(&mut self, who: &Who) -> bool {
        self.cgroup.as_mut().is_none_or(|(names, path)| names.is_below(who.cgroup, path))
    }
}

/// Send what comes to `seat` until the client goes away or nothing will come any more. `cgroup`
/// is where the hierarchy is mounted and the path that was asked for.
pub fn stream(stream: &mut UnixStream, seat: &Seat, cgroup: Option<(Names, String)>) {
    let mut fine = Fine { cgroup, open_moves: HashSet::new() };
    if let Err(err) = stream.set_write_timeout(Some(PATIENCE)) {
        debug!("control socket: {err}");
        return;
    }
    loop {
        match send_batch(stream, seat, &mut fine) {
            Ok(true) => {}
            Ok(false) => return,
            Err(err) => {
                debug!("control socket: {err}");
                return;
            }
        }
    }
}

/// Send what is there; false at the end.
fn send_batch(stream: &mut UnixStream, seat: &Seat, fine: &mut Fine) -> std::io::Result<bool> {
    let mut batch = Vec::new();
    let mut next = seat.next(LOOK_EVERY);
    if next.is_ok() {
        std::thread::sleep(COLLECT);
    }
    let ended = loop {
        match next {
            Ok(event) => {
                if fine.passes(&event) {
                    append(&mut batch, &Frame::from(event))?;
                }
                if batch.len() >= BATCH_BYTES {
                    break false;
                }
            }
            Err(RecvTimeoutError::Timeout) => break false,
            Err(RecvTimeoutError::Disconnected) => break true,
        }
        next = seat.next(Duration::ZERO);
    };
    let lost = seat.take_lost();
    if lost != Lost::default() {
        append(&mut batch, &Frame::Lost { ring: lost.ring, queue: lost.queue })?;
    }
    if ended {
        append(&mut batch, &Frame::Ended {})?;
    }
    if batch.is_empty() && has_hung_up(stream)? {
        return Ok(false);
    }
    stream.write_all(&batch)?;
    Ok(!ended)
}

fn append(batch: &mut Vec<u8>, frame: &Frame) -> std::io::Result<()> {
    serde_json::to_writer(&mut *batch, frame)?;
    batch.push(b'\n');
    Ok(())
}

/// Has the client closed its end? What it says meanwhile is ignored.
fn has_hung_up(stream: &UnixStream) -> std::io::Result<bool> {
    let mut byte = [0u8; 256];
    // SAFETY: the buffer is ours and as long as is said.
    let read = unsafe {
        libc::recv(stream.as_raw_fd(), byte.as_mut_ptr().cast(), byte.len(), libc::MSG_DONTWAIT)
    };
    if read >= 0 {
        return Ok(read == 0);
    }
    match std::io::Error::last_os_error() {
        err if matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(false),
        err => Err(err),
    }
}
