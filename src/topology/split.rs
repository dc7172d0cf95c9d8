// SPDX-License-Identifier: GPL-2.0-only
//! Virtual LLCs: parts of one last-level cache that are scheduled apart.
//!
//! Each LLC has one queue and one account of its wait. That is right for CPUs that share a cache
//! *and* are alike *and* not too many, so an LLC is split
//!
//! 1. between CPUs that the kernel keeps for special use (isolated partitions) and all others: a CPU that
//!    hardly any task may use is no capacity for the rest, and its idleness no invitation;
//! 2. between classes of capacity: time on a little core is less work;
//! 3. where it has more cores than one queue's lock should serve ([`SplitRule::max_cores`]).
//!
//! ```text
//!   one L3, 4 big and 8 little cores        three LLCs, one cache
//!   [B B B B l l l l l l l l]          ─►   [B B B B] [l l l l] [l l l l]     with --virt-llc=2-4
//! ```
//!
//! The parts keep the number of their common cache ([`super::Llc::cache`]). A search meets them as
//! LLCs of the same node, nearest of all; the price of a move between them is that of another core
//! of the same LLC ([`Topology::price_level`]), since no line leaves the cache. Threads of one core
//! are never parted.

use super::{Cpu, Llc, Topology};
use crate::units::{CpuId, LlcId, MAX_LLCS};
use anyhow::{Result, bail};
use std::collections::BTreeMap;

/// Most cores of one LLC that share a queue unless the user says otherwise. Figures of others for
/// a queue's lock lie between 8 and 64 CPUs; a guess on the generous side, since every split makes
/// a search longer.
pub const DEFAULT_MAX_CORES: usize = 32;

/// How LLCs are split by size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SplitRule {
    /// Fewest cores of a part.
    pub min_cores: usize,
    /// Most cores of a part, unless parts would get smaller than `min_cores`.
    pub max_cores: usize,
}

impl Default for SplitRule {
    fn default() -> SplitRule {
        SplitRule { min_cores: 1, max_cores: DEFAULT_MAX_CORES }
    }
}

impl SplitRule {
    /// A rule.
    ///
    /// # Errors
    /// What is wrong with the numbers, in words.
    pub fn new(min_cores: usize, max_cores: usize) -> Result<SplitRule, String> {
        match min_cores {
            0 => Err("a part has at least 1 core".into()),
            _ if min_cores > max_cores => Err(format!("{min_cores} is more than {max_cores}")),
            _ => Ok(SplitRule { min_cores, max_cores }),
        }
    }

    /// Into how many parts of equal size, give or take one, `cores` cores are split.
    pub fn parts(self, cores: usize) -> usize {
        let most = (cores / self.min_cores.max(1)).max(1);
        cores.div_ceil(self.max_cores.max(1)).clamp(1, most)
    }
}

/// Two CPUs are of one class of capacity unless the lesser has less than this share of the
/// greater. Favoured cores of one design differ by up to 10 %, designs by 25 % and more.
pub const SAME_CLASS_SHARE: f64 = 0.8;

/// CPUs of one LLC that are alike: not isolated before isolated, big before little.
type Kind = (bool, usize);

impl Topology {
    /// The same machine with its LLCs split by `rule`.
    ///
    /// # Errors
    /// When there would be more than [`MAX_LLCS`] of them.
    pub fn split(&self, rule: SplitRule) -> Result<Topology> {
        let mut topo = Topology { llcs: Vec::new(), ..self.clone() };
        for node in &mut topo.nodes {
            node.llcs.clear();
        }
        let classes = self.capacity_classes();
        for llc in &self.llcs {
            for cpus in parts_of(self, llc, rule, &classes) {
                let id = LlcId(topo.llcs.len() as u32);
                let share = u64::from(llc.cache_kib) * cpus.len() as u64 / llc.cpus.len() as u64;
                topo.nodes[llc.node.index()].llcs.push(id);
                topo.llcs.push(Llc { id, cpus, cache_kib: (share as u32).max(1), ..llc.clone() });
            }
        }
        if topo.llcs.len() > MAX_LLCS {
            bail!(
                "with parts of {} to {} cores the machine has {} LLCs, at most {MAX_LLCS} are \
                 supported",
                rule.min_cores,
                rule.max_cores,
                topo.llcs.len()
            );
        }
        let home: BTreeMap<CpuId, LlcId> =
            topo.llcs.iter().flat_map(|llc| llc.cpus.iter().map(|&cpu| (cpu, llc.id))).collect();
        for cpu in &mut topo.cpus {
            cpu.llc = home.get(&cpu.id).copied().unwrap_or(cpu.llc);
        }
        Ok(topo)
    }

    /// The largest capacity of each class of CPUs, descending; one entry unless the machine is
    /// hybrid.
    pub fn capacity_classes(&self) -> Vec<u32> {
        let mut capacities: Vec<u32> = self.cpus.iter().map(|cpu| cpu.capacity).collect();
        capacities.sort_unstable_by(|a, b| b.cmp(a));
        let mut classes: Vec<u32> = Vec::new();
        for capacity in capacities {
            match classes.last() {
                Some(&top) if f64::from(capacity) >= f64::from(top) * SAME_CLASS_SHARE => {}
                _ => classes.push(capacity),
            }
        }
        classes
    }
}

/// The parts of `llc`, each with its CPUs in ascending order.
fn parts_of(topo: &Topology, llc: &Llc, rule: SplitRule, classes: &[u32]) -> Vec<Vec<CpuId>> {
    let mut kinds: BTreeMap<Kind, BTreeMap<u32, Vec<CpuId>>> = BTreeMap::new();
    for cpu in llc.cpus.iter().filter_map(|&id| topo.cpu(id)) {
        let cores = kinds.entry(kind(cpu, classes)).or_default();
        cores.entry(cpu.core).or_default().push(cpu.id);
    }
    let mut parts = Vec::new();
    for cores in kinds.into_values() {
        let cores: Vec<Vec<CpuId>> = cores.into_values().collect();
        let (count, total) = (rule.parts(cores.len()), cores.len());
        for part in 0..count {
            let mut cpus = cores[part * total / count..(part + 1) * total / count].concat();
            cpus.sort_unstable();
            parts.push(cpus);
        }
    }
    parts
}

/// Its class is the last one whose largest capacity it reaches.
fn kind(cpu: &Cpu, classes: &[u32]) -> Kind {
    (cpu.isolated, classes.iter().take_while(|&&top| top >= cpu.capacity).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Level;

    fn cpus(topo: &Topology) -> Vec<Vec<u32>> {
        topo.llcs.iter().map(|llc| llc.cpus.iter().map(|cpu| cpu.0).collect()).collect()
    }

    #[test]
    fn parts_are_of_one_size_within_the_range() {
        for (min, max, cores, parts) in [
            (1, 32, 32, 1),
            (1, 32, 33, 2),
            (1, 32, 128, 4),
            (2, 4, 8, 2),
            (2, 4, 9, 3),
            (4, 4, 6, 1),
            (8, 8, 4, 1),
            (1, 1, 5, 5),
        ] {
            assert_eq!(
                SplitRule::new(min, max).unwrap().parts(cores),
                parts,
                "{min}-{max} {cores}"
            );
        }
        assert!(SplitRule::new(0, 3).is_err() && SplitRule::new(4, 3).is_err());
    }

    #[test]
    fn halves_of_one_cache_cost_what_its_cores_cost() {
        let plain = Topology::synthetic(2, 2, 8).unwrap();
        let topo = plain.split(SplitRule::new(2, 4).unwrap()).unwrap();
        assert_eq!(topo.llcs.len(), 8);
        assert_eq!(topo.llcs[1].cpus, [4, 5, 6, 7].map(CpuId));
        assert_eq!(topo.llcs[1].cache_kib, plain.llcs[0].cache_kib / 2);
        assert_eq!(topo.cpu(CpuId(9)).unwrap().llc, LlcId(2));
        let level = |a, b| (topo.level(LlcId(a), LlcId(b)), topo.price_level(LlcId(a), LlcId(b)));
        assert_eq!(level(0, 1), (Level::Llc, Level::Core));
        assert_eq!(level(0, 2), (Level::Llc, Level::Llc));
        assert_eq!(level(0, 4), (Level::Node, Level::Node));
        assert_eq!(topo.outward(LlcId(0))[0], LlcId(1), "the other half comes first");
        assert_eq!(topo.outward(LlcId(3))[0], LlcId(2));
        assert_eq!(plain.split(SplitRule::default()).unwrap(), plain);
    }

    #[test]
    fn threads_of_a_core_stay_together_and_unlike_cpus_part() {
        let mut topo = Topology::synthetic(1, 1, 8).unwrap();
        for cpu in &mut topo.cpus {
            cpu.core = cpu.id.0 % 4;
            cpu.isolated = cpu.core == 3;
            cpu.capacity = if cpu.core < 2 { 1024 } else { 500 };
        }
        let by_kind = topo.split(SplitRule::default()).unwrap();
        assert_eq!(cpus(&by_kind), [vec![0, 1, 4, 5], vec![2, 6], vec![3, 7]]);
        let small = topo.split(SplitRule::new(1, 1).unwrap()).unwrap();
        assert_eq!(cpus(&small), [vec![0, 4], vec![1, 5], vec![2, 6], vec![3, 7]]);
    }

    #[test]
    fn favoured_cores_are_no_class_of_their_own() {
        let mut topo = Topology::synthetic(1, 1, 8).unwrap();
        let capacities = [1024, 1009, 1024, 940, 583, 580, 583, 600];
        for (cpu, capacity) in topo.cpus.iter_mut().zip(capacities) {
            cpu.capacity = capacity;
        }
        assert_eq!(topo.capacity_classes(), [1024, 600]);
        assert_eq!(
            cpus(&topo.split(SplitRule::default()).unwrap()),
            [vec![0, 1, 2, 3], vec![4, 5, 6, 7]]
        );
    }

    #[test]
    fn too_many_parts_are_refused_in_one_sentence() {
        let topo = Topology::synthetic(1, 2, 100).unwrap();
        let error = topo.split(SplitRule::new(1, 1).unwrap()).unwrap_err().to_string();
        assert!(error.contains("the machine has 200 LLCs, at most 128"), "{error}");
    }
}
