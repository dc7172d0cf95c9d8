// SPDX-License-Identifier: GPL-2.0-only
//! `pairs`: producers and consumers that hand data to each other over pipes; how many exchanges?
//!
//! One of a pair works, writes, and waits for the other: never more than one of them runs. Whoever
//! gets data that was written in another LLC pays for loading it. So a pair that is spread apart
//! pays at every exchange.

use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context, Result};

use crate::clock::{NS_PER_S, NS_PER_US};
use crate::cpus::CpuSet;
use crate::lab::Setting;
use crate::lab::figures::{Figure, Found};
use crate::lab::staff::{Staff, Stage};
use crate::lab::worker::{Ground, Worker};
use crate::topology::Place;

/// Work of each side for an exchange.
pub const WORK_NS: u64 = 100 * NS_PER_US;
/// Data handed over each way.
pub const SHARED_KIB: u64 = 32;
/// Stream of the working sets.
pub const STREAM_SETS: u64 = 3;

/// What goes through the pipes: the CPU where the data was written.
type Message = [u8; size_of::<u32>()];

fn written_at(place: Place) -> Message {
    (place.position as u32).to_ne_bytes()
}

/// Wait for the other side's data and pay for it; false when the other side is gone.
fn receive(worker: &mut Worker, stage: &Stage, from: &mut PipeReader) -> Result<bool> {
    let mut message = Message::default();
    match from.read_exact(&mut message) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
        read => read.context("pipe")?,
    }
    let position = u32::from_ne_bytes(message) as usize;
    let topology = &stage.ground.topology;
    let place = topology.cpus().iter().nth(position).and_then(|cpu| topology.place(cpu));
    worker.receive(place.unwrap_or(worker.place()), SHARED_KIB);
    Ok(true)
}

/// Hand data to the other side; false when it is gone.
fn send(worker: &Worker, to: &mut PipeWriter) -> Result<bool> {
    match to.write_all(&written_at(worker.place())) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        written => written.context("pipe").map(|()| true),
    }
}

fn produce(
    worker: &mut Worker,
    stage: &Stage,
    index: usize,
    mut to: PipeWriter,
    mut from: PipeReader,
) -> Result<()> {
    while stage.goes_on() {
        worker.work(WORK_NS);
        if !send(worker, &mut to)? || !receive(worker, stage, &mut from)? {
            break;
        }
        stage.tallies[index].count.fetch_add(1, Relaxed);
    }
    Ok(())
}

fn consume(
    worker: &mut Worker,
    stage: &Stage,
    mut from: PipeReader,
    mut to: PipeWriter,
) -> Result<()> {
    while receive(worker, stage, &mut from)? {
        worker.work(WORK_NS);
        if !send(worker, &mut to)? {
            break;
        }
    }
    Ok(())
}

/// The CPUs of the two LLCs, half the machine apart, where the two of pair `pair` begin, if they
/// are to begin apart.
fn beginnings(ground: &Ground, setting: &Setting, pair: usize) -> [Option<CpuSet>; 2] {
    let llcs = ground.topology.llcs();
    let apart = [pair, pair + llcs.len() / 2];
    apart.map(|llc| setting.apart.then(|| llcs[llc % llcs.len()]))
}

/// Confine the calling task to `cpus`, if there are any to confine it to.
fn confine(cpus: Option<CpuSet>) -> Result<()> {
    cpus.map_or(Ok(()), |cpus| cpus.confine(0)).context("confining a task of a pair")
}

/// Hire `pairs` pairs.
///
/// # Errors
/// When there is no pipe, and as [`Staff::hire`].
pub fn hire<'a>(
    staff: &mut Staff<'a>,
    stage: &'a Stage,
    setting: &Setting,
    pairs: usize,
) -> Result<()> {
    let mut sets = setting.rng(STREAM_SETS);
    let all = setting.apart.then_some(*stage.ground.topology.cpus());
    for pair in 0..pairs {
        let [here, there] = beginnings(&stage.ground, setting, pair);
        let (from_producer, to_consumer) = std::io::pipe().context("no pipe")?;
        let (from_consumer, to_producer) = std::io::pipe().context("no pipe")?;
        let index = staff.next();
        // The end of a pipe is how each side learns that the other is gone. The producer inherits
        // the consumer's ends too, but it is the first to go.
        staff.hire(
            "prod",
            setting.draw_footprint(&mut sets),
            move || confine(here),
            |worker| {
                confine(all)?;
                produce(worker, stage, index, to_consumer, from_consumer)
            },
        )?;
        staff.hire(
            "cons",
            setting.draw_footprint(&mut sets),
            move || confine(there),
            |worker| {
                confine(all)?;
                consume(worker, stage, from_producer, to_producer)
            },
        )?;
    }
    Ok(())
}

/// Exchanges per second of the tasks `of`; the bound is that of `pairs` pairs on CPUs of their own.
pub fn figure(stage: &Stage, of: std::ops::Range<usize>, pairs: usize, span_ns: u64) -> Figure {
    let count = stage.tallies[of].iter().map(|tally| tally.count.load(Relaxed)).sum();
    figure_of(count, pairs, span_ns)
}

/// The same for `count` exchanges.
pub fn figure_of(count: u64, pairs: usize, span_ns: u64) -> Figure {
    let per_s = count as f64 * NS_PER_S as f64 / span_ns as f64;
    let bound = pairs as f64 * NS_PER_S as f64 / (2 * WORK_NS) as f64;
    Figure::higher("exchanges", per_s, "per_s").bounded(bound)
}

/// Run the scenario.
///
/// # Errors
/// When a task fails.
pub fn run(ground: Ground, setting: &Setting) -> Result<Found> {
    let pairs = (ground.topology.cpus().len() / 2).max(1);
    let stage = Stage::new(ground, 2 * pairs, 0)?;
    let mut staff = Staff::new(&stage);
    hire(&mut staff, &stage, setting, pairs)?;
    let from_ns = staff.release(setting.span_ns)?;
    let until_ns = staff.dismiss()?;
    Ok(Found {
        scenario: "pairs".into(),
        figures: vec![figure(&stage, 0..2 * pairs, pairs, setting.span_ns)],
        paid: stage.paid(),
        from_ns,
        until_ns,
    })
}
