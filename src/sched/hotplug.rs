// SPDX-License-Identifier: GPL-2.0-only
//! CPUs go and come while the scheduler runs.
//!
//! The BPF half (`hotplug.bpf.h`) keeps the account of those it knows. This half looks after it:
//! tasks that were queued just as their last CPU went, and CPUs that were offline at the start,
//! whose LLC only sysfs tells once they are online. A CPU whose LLC had no CPU at all by then
//! changes the shape of the machine: then the scheduler starts anew.

use super::Scheduler;
use crate::bpf::types;
use crate::stats;
use crate::topology::{Cpu, Topology};
use crate::units::CpuId;
use anyhow::Result;
use libbpf_rs::ProgramInput;
use log::info;
use std::time::{Duration, Instant};

/// How long sysfs may contradict itself while CPUs go and come.
const UNSETTLED: Duration = Duration::from_secs(5);

/// What became of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// The scheduler goes on.
    InPlace,
    /// Its shape is another: the scheduler has to start anew.
    NewShape,
}

/// The argument of the BPF program `toll_adopt`.
#[repr(transparent)]
struct Adopted(types::toll_adopted);

// SAFETY: the generated struct is `repr(C)`, made of integers only.
unsafe impl plain::Plain for Adopted {}

/// The next CPU of the same core in ring order, if the core has several threads.
pub fn next_sibling(topo: &Topology, cpu: &Cpu) -> Option<CpuId> {
    let same = |other: &&Cpu| other.core == cpu.core && other.id != cpu.id;
    let after = topo.cpus.iter().filter(same).find(|other| other.id > cpu.id);
    after.or_else(|| topo.cpus.iter().find(same)).map(|other| other.id)
}

/// Tell the BPF half what it has to know of `cpu` before it joins its LLC.
pub fn set_cpu(bss: &mut types::bss, topo: &Topology, cpu: &Cpu) {
    let at = cpu.id.index();
    bss.toll_cpu_llc[at] = cpu.llc.0 as u16;
    bss.toll_cpu_capacity[at] = cpu.capacity as u16;
    if let Some(sibling) = next_sibling(topo, cpu) {
        bss.toll_cpu_sibling[at] = sibling.0 as u16;
    }
}

/// Where `cpu` of the machine `now` belongs in `known`, which does not have it: the smallest LLC
/// with a CPU that is like it and shares its cache; `None` if there is no such LLC.
fn adopt(known: &Topology, now: &Topology, cpu: &Cpu) -> Option<Cpu> {
    let cache = now.llc(cpu.llc)?;
    let alike = |id: &CpuId| {
        known.cpu(*id).filter(|like| (like.isolated, like.capacity) == (cpu.isolated, cpu.capacity))
    };
    let neighbours = cache.cpus.iter().filter_map(alike);
    // A thread belongs with its core.
    let own_core = |like: &&Cpu| now.cpu(like.id).is_some_and(|like| like.core == cpu.core);
    let size = |like: &&Cpu| known.llc(like.llc).map_or(0, |llc| llc.cpus.len());
    let like = neighbours.min_by_key(|like| (!own_core(like), size(like)))?;
    let core = match own_core(&like) {
        true => like.core,
        false => known.cpus.iter().map(|cpu| cpu.core).max().unwrap_or(0) + 1,
    };
    Some(Cpu { id: cpu.id, llc: like.llc, node: like.node, core, ..*cpu })
}

/// `known` with `cpu` besides.
fn with_cpu(known: &Topology, cpu: &Cpu) -> Topology {
    let mut topo = known.clone();
    topo.cpus.push(cpu.clone());
    topo.cpus.sort_unstable_by_key(|cpu| cpu.id);
    if let Some(llc) = topo.llcs.get_mut(cpu.llc.index()) {
        llc.cpus.push(cpu.id);
        llc.cpus.sort_unstable();
    }
    topo
}

/// What the loop remembers of CPUs that went and came.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Events that were followed.
    hotplugs: u64,
    /// CPUs that came without an LLC, and were given one.
    strangers: u64,
    /// Since when a stranger waits for its place, because sysfs could not be read.
    waits_since: Option<Instant>,
}

impl Scheduler<'_> {
    /// CPUs that went or came since the start, and those of them that belong to no LLC.
    fn hotplugs(&self) -> (u64, u64) {
        let Some(bss) = self.skel.maps.bss_data.as_ref() else { return (0, 0) };
        // SAFETY: both are 8-byte aligned in memory that the kernel maps, and BPF writes them.
        unsafe {
            (
                (&raw const bss.toll_hotplugs).read_volatile(),
                (&raw const bss.toll_strangers).read_volatile(),
            )
        }
    }

    /// Look whether CPUs went or came, and follow.
    ///
    /// # Errors
    /// When the machine cannot be read any more, or the kernel refuses a map.
    pub(super) fn follow_hotplug(&mut self) -> Result<Followed> {
        let (hotplugs, strangers) = self.hotplugs();
        if hotplugs != self.cpus.hotplugs {
            self.skel.progs.toll_tidy.test_run(ProgramInput::default())?;
            info!("CPUs went or came: {hotplugs} times since the start");
            self.cpus.hotplugs = hotplugs;
        }
        if strangers == self.cpus.strangers {
            return Ok(Followed::InPlace);
        }
        // While CPUs go and come, what sysfs says of them may contradict itself for a moment.
        let now = match Topology::from_sysfs(None) {
            Ok(now) => now,
            Err(err) => {
                let since = *self.cpus.waits_since.get_or_insert_with(Instant::now);
                return if since.elapsed() < UNSETTLED { Ok(Followed::InPlace) } else { Err(err) };
            }
        };
        (self.cpus.strangers, self.cpus.waits_since) = (strangers, None);
        let unknown = |cpu: &&Cpu| self.topo.cpu(cpu.id).is_none();
        let new: Vec<Cpu> = now.cpus.iter().filter(unknown).cloned().collect();
        for cpu in new {
            let Some(cpu) = adopt(&self.topo, &now, &cpu) else {
                info!("{} has come with an LLC that was not there", cpu.id);
                return Ok(Followed::NewShape);
            };
            self.adopt(&cpu)?;
        }
        Ok(Followed::InPlace)
    }

    fn adopt(&mut self, cpu: &Cpu) -> Result<()> {
        self.topo = with_cpu(&self.topo, cpu);
        stats::write_cpu(
            &self.skel.maps.toll_cpus,
            cpu.id,
            types::toll_cpu { llc: cpu.llc.0, ..types::toll_cpu::default() },
        )?;
        if let Some(bss) = self.skel.maps.bss_data.as_mut() {
            // Its siblings get a new neighbour in their ring.
            for cpu in self.topo.cpus.iter().filter(|other| other.core == cpu.core) {
                set_cpu(bss, &self.topo, cpu);
            }
        }
        let mut argument = Adopted(types::toll_adopted { cpu: cpu.id.0, pad: 0 });
        // SAFETY: `Adopted: Plain`.
        let context = unsafe { plain::as_mut_bytes(&mut argument) };
        let input = ProgramInput { context_in: Some(context), ..ProgramInput::default() };
        self.skel.progs.toll_adopt.test_run(input)?;
        info!("{} has come, in {}", cpu.id, cpu.llc);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::split::SplitRule;
    use crate::units::LlcId;

    /// `topo` without CPU `gone`.
    fn without(topo: &Topology, gone: u32) -> Topology {
        let mut known = topo.clone();
        known.cpus.retain(|cpu| cpu.id.0 != gone);
        for llc in &mut known.llcs {
            llc.cpus.retain(|cpu| cpu.0 != gone);
        }
        known
    }

    #[test]
    fn a_cpu_that_comes_joins_those_that_share_its_cache() {
        let now = Topology::synthetic(2, 2, 4).unwrap();
        let known = without(&now, 6);
        let cpu = adopt(&known, &now, now.cpu(CpuId(6)).unwrap()).unwrap();
        assert_eq!(cpu.llc, LlcId(1));
        let topo = with_cpu(&known, &cpu);
        assert_eq!(topo.llcs[1].cpus, [4, 5, 6, 7].map(CpuId));
        assert!(topo.cpus.is_sorted_by_key(|cpu| cpu.id));
    }

    #[test]
    fn it_joins_its_own_core_or_else_the_smallest_part_of_the_cache() {
        let mut now = Topology::synthetic(1, 1, 8).unwrap();
        let rule = SplitRule::new(1, 4).unwrap();
        let known = without(&now, 7).split(rule).unwrap();
        let small = known.llcs.iter().min_by_key(|llc| llc.cpus.len()).unwrap().id;
        assert_eq!(adopt(&known, &now, now.cpu(CpuId(7)).unwrap()).unwrap().llc, small);
        for cpu in &mut now.cpus {
            cpu.core = cpu.id.0 % 4;
        }
        let known = without(&now, 7).split(SplitRule::new(1, 2).unwrap()).unwrap();
        let sibling = known.cpu(CpuId(3)).unwrap();
        let cpu = adopt(&known, &now, now.cpu(CpuId(7)).unwrap()).unwrap();
        assert_eq!((cpu.llc, cpu.core), (sibling.llc, sibling.core));
        let topo = with_cpu(&known, &cpu);
        assert_eq!(next_sibling(&topo, &cpu), Some(CpuId(3)));
        assert_eq!(next_sibling(&topo, topo.cpu(CpuId(3)).unwrap()), Some(CpuId(7)));
    }

    #[test]
    fn a_cpu_of_an_llc_that_was_not_there_has_no_place() {
        let now = Topology::synthetic(1, 2, 1).unwrap();
        let known = without(&now, 1);
        assert_eq!(adopt(&known, &now, now.cpu(CpuId(1)).unwrap()), None);
    }
}
