// SPDX-License-Identifier: GPL-2.0-only
//! Latency and bandwidth from each node's CPUs to each node's memory.
//!
//! The memory is bound to its node (`mbind`); where that is refused, a thread on that node
//! touches it first, which places it there unless the node is full. Before each sample its lines
//! are thrown out of all caches where that is possible; elsewhere the buffer's size has to do.

use super::chase::{self, CacheLine, LINE_BYTES, Rng};
use super::estimate::{Estimate, Sample};
use super::os;
use crate::topology::Node;
use crate::units::CpuId;
use std::io;
use std::time::{Duration, Instant};

/// Bytes of the buffer where lines can be thrown out of the caches.
const BUFFER_BYTES: usize = 16 << 20;
/// Bytes elsewhere: beyond most caches.
const BUFFER_BYTES_WITHOUT_FLUSH: usize = 64 << 20;
/// Lines of one sample of the latency.
const SEGMENT_LINES: usize = 512;
/// Lines of one sample of the bandwidth: 256 KiB.
const STREAM_LINES: usize = 4096;
/// Most and fewest samples.
const ROUNDS: std::ops::RangeInclusive<usize> = 16..=400;

/// What was measured between one node's memory and one node's CPUs.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryEstimate {
    /// ns for one dependent load.
    pub latency_ns: Option<Estimate>,
    /// ns to stream one KiB with one thread.
    pub ns_per_kib: Option<Estimate>,
    /// The kernel refused to bind the memory, so it was placed by touching it first.
    pub by_first_touch: bool,
}

/// Measure the memory of `node` from `cpu` for about `budget`. `node_cpu` is a CPU of `node`, if
/// it has one, for the fallback.
///
/// # Errors
/// The kernel's: no memory, a CPU that cannot be used, or memory that cannot be placed at all.
pub fn measure(
    node: &Node,
    node_cpu: Option<CpuId>,
    cpu: CpuId,
    budget: Duration,
    rng: &mut Rng,
) -> io::Result<MemoryEstimate> {
    let work = || -> io::Result<MemoryEstimate> {
        let bytes = if os::CAN_FLUSH { BUFFER_BYTES } else { BUFFER_BYTES_WITHOUT_FLUSH };
        let mut mapping = os::Mapping::new(bytes)?;
        let by_first_touch = match (mapping.bind(node.kernel_id), node_cpu) {
            (Ok(()), _) => false,
            (Err(_), Some(owner)) => {
                os::pin(owner)?;
                true
            }
            (Err(err), None) => return Err(err),
        };
        chase::link(mapping.lines(), rng);
        os::pin(cpu)?;
        let lines: &[CacheLine] = mapping.lines();
        let latency_ns = Estimate::of(&latency(lines, budget / 2));
        let ns_per_kib = Estimate::of(&bandwidth(lines, budget / 2));
        Ok(MemoryEstimate { latency_ns, ns_per_kib, by_first_touch })
    };
    std::thread::scope(|scope| {
        let joined = scope.spawn(work).join();
        joined.unwrap_or_else(|_| Err(io::Error::other("the measuring thread panicked")))
    })
}

/// Time `work` as one sample of `per` units.
fn sample(per: f64, work: impl FnOnce()) -> Sample {
    let switches = os::switches();
    let start = Instant::now();
    work();
    let value = start.elapsed().as_nanos() as f64 / per;
    Sample { value, disturbed: os::switches() != switches }
}

/// True until there are enough samples or the time is over, at most twice over.
fn wants_more(samples: usize, spent: Duration, budget: Duration) -> bool {
    let few = samples < *ROUNDS.start();
    samples < *ROUNDS.end() && (spent < budget || (few && spent < 2 * budget))
}

fn latency(lines: &[CacheLine], budget: Duration) -> Vec<Sample> {
    let start = Instant::now();
    let mut samples = Vec::new();
    let mut at = 0;
    while wants_more(samples.len(), start.elapsed(), budget) {
        if os::CAN_FLUSH {
            let mut line = at;
            for _ in 0..SEGMENT_LINES {
                let next = chase::follow(lines, line, 1);
                lines.get(line as usize).inspect(|line| os::flush(*line));
                line = next;
            }
            os::fence();
        }
        let from = at;
        samples
            .push(sample(SEGMENT_LINES as f64, || at = chase::follow(lines, from, SEGMENT_LINES)));
    }
    samples
}

fn bandwidth(lines: &[CacheLine], budget: Duration) -> Vec<Sample> {
    let start = Instant::now();
    let mut samples = Vec::new();
    let kib = (STREAM_LINES * LINE_BYTES / 1024) as f64;
    for chunk in lines.chunks_exact(STREAM_LINES).cycle() {
        if !wants_more(samples.len(), start.elapsed(), budget) {
            break;
        }
        if os::CAN_FLUSH {
            chunk.iter().for_each(os::flush);
            os::fence();
        }
        samples.push(sample(kib, || {
            chase::stream(chunk);
        }));
    }
    samples
}
