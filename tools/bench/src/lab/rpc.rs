// SPDX-License-Identifier: GPL-2.0-only
//! `rpc`: short requests and replies among hogs; how long does a task that wakes wait for a CPU?
//!
//! A client sleeps for a while, works a little, asks its server and waits for the answer. Three
//! wakeups per request are timed, each from the instant that causes it: the client's timer, the
//! request at the server, the answer at the client. The hogs see to it that no CPU idles.

use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context, Result};

use crate::clock::{NS_PER_MS, NS_PER_US, now_ns};
use crate::lab::Setting;
use crate::lab::figures::{Figure, Found, mean, quantile};
use crate::lab::hog;
use crate::lab::staff::{Sample, Staff, Stage, sleep_until};
use crate::lab::worker::{Ground, Worker};
use crate::rng::Rng;

const WORK_NS: u64 = 50 * NS_PER_US;
const THINK_MEAN_NS: u64 = 2 * NS_PER_MS;
/// Samples that one task may leave: as many as it could if it never waited, and half again.
const fn room(span_ns: u64) -> usize {
    (span_ns / THINK_MEAN_NS * 3) as usize + 16
}
const STREAM_SETS: u64 = 3;
const STREAM_THINK: u64 = 16;

/// The samples of one task, in order.
struct Latencies<'a> {
    samples: std::slice::Iter<'a, Sample>,
}

impl Latencies<'_> {
    /// A wakeup that was due at `due_ns` has come. 0 stands for no sample, so 1 ns is the least.
    fn note(&mut self, due_ns: u64) {
        if let Some(sample) = self.samples.next() {
            sample.0.store(now_ns().saturating_sub(due_ns).max(1), Relaxed);
        }
    }
}

type Word = [u8; size_of::<u64>()];

/// Send the time, so that the other side can tell how long it took to wake up.
fn send(to: &mut PipeWriter) -> Result<()> {
    to.write_all(&now_ns().to_ne_bytes()).context("pipe")
}

/// When the other side sent; none when it is gone.
fn receive(from: &mut PipeReader) -> Result<Option<u64>> {
    let mut word = Word::default();
    match from.read_exact(&mut word) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        read => read.context("pipe").map(|()| Some(u64::from_ne_bytes(word))),
    }
}

fn client(
    worker: &mut Worker,
    stage: &Stage,
    mut seen: Latencies,
    mut rng: Rng,
    (mut to, mut from): (PipeWriter, PipeReader),
) -> Result<()> {
    loop {
        let due = now_ns() + rng.exponential_ns(THINK_MEAN_NS);
        if due >= stage.deadline().at_ns() {
            return Ok(());
        }
        sleep_until(due);
        seen.note(due);
        worker.work(WORK_NS);
        send(&mut to)?;
        let Some(sent) = receive(&mut from)? else { return Ok(()) };
        seen.note(sent);
        worker.work(WORK_NS);
    }
}

fn server(
    worker: &mut Worker,
    mut seen: Latencies,
    (mut from, mut to): (PipeReader, PipeWriter),
) -> Result<()> {
    while let Some(sent) = receive(&mut from)? {
        seen.note(sent);
        worker.work(WORK_NS);
        send(&mut to)?;
    }
    Ok(())
}

/// Run the scenario.
///
/// # Errors
/// When a task fails.
pub fn run(ground: Ground, setting: &Setting) -> Result<Found> {
    let cpus = ground.topology.cpus().len();
    let pairs = (cpus / 2).max(1);
    let room = room(setting.span_ns);
    let stage = Stage::new(ground, cpus + 2 * pairs, 2 * pairs * room)?;
    let mut staff = Staff::new(&stage);
    hog::hire(&mut staff, &stage, setting, cpus)?;
    let mut sets = setting.rng(STREAM_SETS);
    for pair in 0..pairs {
        let latencies = |task: usize| Latencies {
            samples: stage.samples[task * room..(task + 1) * room].iter(),
        };
        let (from_client, to_server) = std::io::pipe().context("no pipe")?;
        let (from_server, to_client) = std::io::pipe().context("no pipe")?;
        let rng = setting.rng(STREAM_THINK + pair as u64);
        staff.hire(
            "client",
            setting.draw_footprint(&mut sets),
            || Ok(()),
            |worker| client(worker, &stage, latencies(2 * pair), rng, (to_server, from_server)),
        )?;
        staff.hire(
            "server",
            setting.draw_footprint(&mut sets),
            || Ok(()),
            |worker| server(worker, latencies(2 * pair + 1), (from_client, to_client)),
        )?;
    }
    let from_ns = staff.release(setting.span_ns)?;
    let until_ns = staff.dismiss()?;
    let seen: Vec<u64> =
        stage.samples.iter().map(|s| s.0.load(Relaxed)).filter(|&ns| ns > 0).collect();
    let us = |ns: f64| ns / NS_PER_US as f64;
    Ok(Found {
        scenario: "rpc".into(),
        figures: vec![
            Figure::lower("wakeup_p999", us(quantile(&seen, 999) as f64), "us"),
            Figure::lower("wakeup_p99", us(quantile(&seen, 990) as f64), "us"),
            Figure::lower("wakeup_mean", us(mean(&seen)), "us"),
            Figure::higher("requests", seen.len() as f64 / 3.0, ""),
            hog::useful(&stage, 0..stage.tallies.len(), cpus, setting.span_ns),
        ],
        paid: stage.paid(),
        from_ns,
        until_ns,
    })
}
