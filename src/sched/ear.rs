// SPDX-License-Identifier: GPL-2.0-only
//! The ring buffer's reader: tells the BPF half what to record, and hands on what it recorded.

use crate::bpf::types;
use crate::control::audience::Audience;
use crate::events::filter::Listen;
use crate::events::{self, Event};
use anyhow::{Context, Result, anyhow, bail};
use libbpf_rs::{MapCore, MapFlags, RingBuffer, RingBufferBuilder};
use log::warn;
use std::cell::RefCell;
use std::mem::offset_of;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Records that are read in one turn of the loop at most: it has other work too.
const TURN_MAX: usize = 32 << 10;
/// Records that are read before they are handed on.
const BATCH: usize = 1024;

/// What was read, and how many records nobody understood.
#[derive(Default)]
struct Heard {
    events: Vec<Event>,
    unknown: u64,
}

/// The reader.
pub struct Ear {
    ring: RingBuffer<'static>,
    heard: Rc<RefCell<Heard>>,
    in_force: Listen,
    /// Records lost in the ring buffer since the scheduler was loaded, as told.
    lost: u64,
}

impl Ear {
    /// A reader of `ring`.
    pub fn new(ring: &impl MapCore) -> Result<Ear> {
        let heard = Rc::new(RefCell::new(Heard::default()));
        let into = Rc::clone(&heard);
        let mut builder = RingBufferBuilder::new();
        builder.add(ring, move |bytes| {
            let mut heard = into.borrow_mut();
            match events::decode(bytes) {
                Some(event) => heard.events.push(event),
                None => heard.unknown += 1,
            }
            0
        })?;
        Ok(Ear { ring: builder.build()?, heard, in_force: Listen::default(), lost: 0 })
    }

    /// Let the BPF half record what `listen` says from now on.
    pub fn tune(&mut self, listen: Listen, bss: &mut Option<&mut types::bss>) -> Result<()> {
        if listen == self.in_force {
            return Ok(());
        }
        let bss = bss.as_mut().ok_or_else(|| anyhow!("the BPF object has no bss"))?;
        let to = &mut bss.toll_listen;
        to.levels = listen.levels;
        to.rate = listen.rate;
        to.pid = listen.pid;
        to.cgroup = listen.cgroup;
        to.cgroup_level = listen.cgroup_level;
        let mut wants = 0;
        if listen.decisions {
            wants |= types::toll_wants::TOLL_WANTS_DECISIONS.0;
        }
        if listen.slices {
            wants |= types::toll_wants::TOLL_WANTS_SLICES.0;
        }
        // SAFETY: the word is aligned in memory that the kernel maps for as long as the skeleton
        // lives, and BPF only reads it.
        let word = unsafe { AtomicU32::from_ptr(&raw mut to.wants) };
        // The filters come first; a record under half of them is filtered again by its listener.
        word.store(wants, Ordering::Release);
        self.in_force = listen;
        Ok(())
    }

    /// Hand on what was recorded since the last turn, and how much was lost.
    pub fn pass_on(&mut self, audience: &mut Audience, recorders: &impl MapCore) -> Result<()> {
        if !self.in_force.decisions {
            return Ok(());
        }
        let mut read = 0;
        while read < TURN_MAX {
            let got = self.ring.consume_raw_n(BATCH);
            if got < 0 {
                bail!("the ring buffer cannot be read: error {}", -got);
            }
            let mut heard = self.heard.borrow_mut();
            for event in heard.events.drain(..) {
                audience.publish(&event);
            }
            if heard.unknown > 0 {
                warn!("{} records of the BPF half are not understood", heard.unknown);
                heard.unknown = 0;
            }
            read += got as usize;
            if (got as usize) < BATCH {
                break;
            }
        }
        let lost = lost_in_ring(recorders)?;
        if lost > self.lost {
            audience.lost(lost - self.lost);
            self.lost = lost;
        }
        Ok(())
    }
}

/// Records that found no room, over all CPUs.
fn lost_in_ring(recorders: &impl MapCore) -> Result<u64> {
    const AT: usize = offset_of!(types::toll_recorder, nr_lost);
    let key = 0u32.to_ne_bytes();
    let cpus = recorders
        .lookup_percpu(&key, MapFlags::ANY)
        .context("toll_recorders cannot be read")?
        .unwrap_or_default();
    let lost = |cpu: &Vec<u8>| Some(u64::from_ne_bytes(*cpu.get(AT..)?.first_chunk()?));
    Ok(cpus.iter().filter_map(lost).sum())
}
