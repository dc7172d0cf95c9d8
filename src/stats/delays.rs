// SPDX-License-Identifier: GPL-2.0-only
//! The histograms of learn.bpf.h and refill.bpf.h → [`Delays`] and [`Refills`], summed over the CPUs.

use crate::bpf::types;
use crate::model::learn::refill::Refills;
use crate::model::learn::{BUCKETS, DISTANCES, Delays, Histogram};
use anyhow::{Context, Result, bail};
use libbpf_rs::{MapCore, MapFlags};

/// Read the map `toll_delays`. CPUs count on meanwhile: what is missed comes next time.
///
/// # Errors
/// When the map cannot be read.
pub fn read(map: &impl MapCore) -> Result<Delays> {
    let all: [Histogram; DISTANCES] = histograms(map, "toll_delays")?;
    let [stayed, moved @ ..] = all;
    Ok(Delays { stayed, moved })
}

/// Read the map `toll_refills`, likewise.
///
/// # Errors
/// When the map cannot be read.
pub fn read_refills(map: &impl MapCore) -> Result<Refills> {
    Ok(Refills { found: histograms(map, "toll_refills")? })
}

/// The first entries of `map`, which is called `name`.
fn histograms<const N: usize>(map: &impl MapCore, name: &str) -> Result<[Histogram; N]> {
    let mut all = std::array::from_fn(|_| Histogram::default());
    for (key, sum) in all.iter_mut().enumerate() {
        let cpus = map
            .lookup_percpu(&(key as u32).to_ne_bytes(), MapFlags::ANY)
            .with_context(|| format!("entry {key} of {name} cannot be read"))?;
        for bytes in cpus.into_iter().flatten() {
            sum.add(&histogram(&bytes)?);
        }
    }
    Ok(all)
}

/// One `struct toll_delays`.
fn histogram(bytes: &[u8]) -> Result<Histogram> {
    const COUNT: usize = size_of::<u32>();
    if bytes.len() != size_of::<types::toll_delays>() {
        bail!("a histogram has {} bytes", bytes.len());
    }
    let mut counts = [0; BUCKETS];
    for (count, bytes) in counts.iter_mut().zip(bytes.chunks_exact(COUNT)) {
        let mut number = [0; COUNT];
        number.copy_from_slice(bytes);
        *count = u64::from(u32::from_ne_bytes(number));
    }
    Ok(Histogram::new(counts))
}
