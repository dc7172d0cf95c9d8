// SPDX-License-Identifier: GPL-2.0-only
//! Lines sent to a Unix socket, each after the answer to the one before, as fast as that goes.
//!
//! | key | meaning |
//! |---|---|
//! | `sent` | lines that were answered |
//! | `changed` | answers that contain `"what":"changed"` |
//! | `last` | the last answer |
//! | `elapsed_ms` | from the first line to the last answer |
//! | `slowest_ms` | the longest that one answer took |

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cli::RequestsArgs;
use crate::report::Report;
use crate::scenario::Outcome;

/// Send the lines.
pub fn run(args: &RequestsArgs) -> Result<Outcome> {
    let connect =
        || UnixStream::connect(&args.socket).with_context(|| args.socket.display().to_string());
    let mut hanging = Vec::new();
    for _ in 0..args.hanging {
        let mut stream = connect()?;
        stream.write_all(b"{\"what\":")?;
        hanging.push(stream);
    }
    let mut stream = connect()?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let (mut sent, mut changed, mut slowest) = (0u64, 0u64, Duration::ZERO);
    let mut last = String::new();
    let begun = Instant::now();
    for _ in 0..args.repeat {
        for line in &args.lines {
            let asked = Instant::now();
            // A server that has had enough of us closes: its last words are still to be read.
            let wrote = stream.write_all(format!("{line}\n").as_bytes());
            last.clear();
            if answers.read_line(&mut last)? == 0 {
                wrote?;
                bail!("the server closed the connection after {sent} answers");
            }
            slowest = slowest.max(asked.elapsed());
            sent += 1;
            changed += u64::from(last.contains("\"what\":\"changed\""));
        }
    }
    let mut report = Report::new();
    report
        .add("sent", sent)
        .add("changed", changed)
        .add("last", last.trim_end())
        .add("elapsed_ms", begun.elapsed().as_millis())
        .add("slowest_ms", slowest.as_millis());
    drop(hanging);
    Ok(report.into())
}
