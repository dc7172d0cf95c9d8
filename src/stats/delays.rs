// SPDX-License-Identifier: GPL-2.0-only
//! The histograms of learn.bpf.h → [`Delays`], summed over the CPUs.

use crate::bpf::types;
use crate::model::learn::{BUCKETS, DISTANCES, Delays, Histogram};
use anyhow::{Context, Result, bail};
use libbpf_rs::{MapCore, MapFlags};

/// Read the map `toll_delays`. CPUs count on meanwhile: what is missed comes next time.
///
/// # Errors
/// When the map cannot be read.
pub fn read(map: &impl MapCore) -> Result<Delays> {
    let mut all: [Histogram; DISTANCES] = Default::default();
    for (distance, sum) in all.iter_mut().enumerate() {
        let key = (distance as u32).to_ne_bytes();
        let cpus = map
            .lookup_percpu(&key, MapFlags::ANY)
            .with_context(|| format!("entry {distance} of toll_delays cannot be read"))?;
        for bytes in cpus.into_iter().flatten() {
            sum.add(&histogram(&bytes)?);
        }
    }
    let [stayed, moved @ ..] = all;
    Ok(Delays { stayed, moved })
}

/// One `struct toll_delays`.
fn histogram(bytes: &[u8]) -> Result<Histogram> {
    const COUNT: usize = size_of::<u32>();
    if bytes.len() != size_of::<types::toll_delays>() {
        bail!("an entry of toll_delays has {} bytes", bytes.len());
    }
    let mut counts = [0; BUCKETS];
    for (count, bytes) in counts.iter_mut().zip(bytes.chunks_exact(COUNT)) {
        let mut number = [0; COUNT];
        number.copy_from_slice(bytes);
        *count = u64::from(u32::from_ne_bytes(number));
    }
    Ok(Histogram::new(counts))
}
