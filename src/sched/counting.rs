// SPDX-License-Identifier: GPL-2.0-only
//! Counters for the BPF half, as long as it learns: they are opened, put into its maps and taken
//! out again, and the program that reads them (`src/bpf/refill.bpf.h`) is attached and detached.
//!
//! A map holds what was put into it, so no descriptor stays open here.

use crate::bpf::{MainSkel, OpenMainSkel};
use crate::config;
use crate::measure::counters::{Counters, Events};
use crate::topology::Topology;
use crate::units::CpuId;
use anyhow::{Context, Result};
use libbpf_rs::{Link, MapCore, MapFlags};
use log::{debug, info, warn};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Once;

/// Learning of refill factors, where it is possible.
pub struct Counting {
    /// `None`: this machine has nothing to count, or nothing to learn from it.
    events: Option<Events>,
    /// The program that reads, while it is attached.
    link: Option<Link>,
    /// CPUs that have counters now.
    cpus: Vec<CpuId>,
    /// How many CPUs had gone or come when they were opened.
    hotplugs: u64,
}

impl Counting {
    /// Find out whether the machine has `counters`, and let the program be loaded only if so.
    pub fn prepare(
        counters: config::Counters,
        topo: &Topology,
        nr_cpu_ids: u32,
        open: &mut OpenMainSkel,
    ) -> Result<Counting> {
        let events = match counters {
            config::Counters::Hardware => Events::Hardware,
            config::Counters::Software => Events::Software,
        };
        let events = Some(events).filter(|events| topo.llcs.len() > 1 && exist(*events, topo));
        open.progs.toll_count_switch.set_autoload(events.is_some());
        open.progs.toll_count_switch.set_autoattach(false);
        open.maps.toll_cycles.set_max_entries(nr_cpu_ids)?;
        open.maps.toll_insns.set_max_entries(nr_cpu_ids)?;
        Ok(Counting { events, link: None, cpus: Vec::new(), hotplugs: 0 })
    }

    /// Count while `on`, also on CPUs that have come; `hotplugs`: how many went or came until now.
    pub fn follow(&mut self, on: bool, hotplugs: u64, topo: &Topology, skel: &MainSkel) {
        let Some(events) = self.events else { return };
        if self.link.is_some() && (!on || hotplugs != self.hotplugs) {
            self.end(skel);
        }
        if !on || self.link.is_some() {
            return;
        }
        self.hotplugs = hotplugs;
        if let Err(err) = self.begin(events, topo, skel) {
            self.end(skel);
            self.events = None;
            warn!("refill factors are not learned: {err:#}");
        }
    }

    fn begin(&mut self, events: Events, topo: &Topology, skel: &MainSkel) -> Result<()> {
        for cpu in &topo.cpus {
            match Counters::open(events, cpu.id) {
                Ok(counters) => {
                    self.cpus.push(cpu.id);
                    put(&skel.maps.toll_cycles, cpu.id, &counters.cycles)?;
                    put(&skel.maps.toll_insns, cpu.id, &counters.insns)?;
                }
                // One that is offline, or of a kind without counters.
                Err(err) => debug!("{} has no counters: {err}", cpu.id),
            }
        }
        let program = &skel.progs.toll_count_switch;
        self.link = Some(program.attach().context("sched_switch cannot be followed")?);
        info!("{} CPUs count cycles and instructions", self.cpus.len());
        Ok(())
    }

    fn end(&mut self, skel: &MainSkel) {
        self.link = None;
        for cpu in self.cpus.drain(..) {
            let key = cpu.0.to_ne_bytes();
            for map in [&skel.maps.toll_cycles, &skel.maps.toll_insns] {
                if let Err(err) = map.delete(&key) {
                    debug!("a counter of {cpu} stays open: {err}");
                }
            }
        }
    }
}

fn put(map: &impl MapCore, cpu: CpuId, event: &OwnedFd) -> Result<()> {
    map.update(&cpu.0.to_ne_bytes(), &event.as_raw_fd().to_ne_bytes(), MapFlags::ANY)
        .with_context(|| format!("a counter of {cpu} cannot be handed over"))
}

/// Is there a CPU that counts `events`? Says once why not.
fn exist(events: Events, topo: &Topology) -> bool {
    static SAID: Once = Once::new();
    let mut why = None;
    for cpu in &topo.cpus {
        match Counters::open(events, cpu.id) {
            Ok(_) => return true,
            Err(err) => why = Some(err),
        }
    }
    if let Some(why) = why {
        SAID.call_once(|| {
            eprintln!(
                "scx_toll: no CPU counts cycles here ({why}): refill factors stay as they are"
            );
        });
    }
    false
}
