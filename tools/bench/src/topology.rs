// SPDX-License-Identifier: GPL-2.0-only
//! Which LLC and which NUMA node a CPU belongs to, read from sysfs.
//!
//! Only CPUs that this process may use are looked at. An LLC is the data or unified cache of the
//! highest level; its number is its position, ordered by lowest CPU. Where sysfs shows no caches, a
//! package stands for an LLC, and where it shows no packages, the whole machine does.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cpus::CpuSet;

/// Position of an LLC in [`Topology::llcs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LlcId(pub usize);

/// Position of a node in [`Topology::nodes`]; not the kernel's number, which may have gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeId(pub usize);

/// Where a CPU is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its position among the CPUs that this process may use.
    pub position: usize,
    /// Its LLC.
    pub llc: LlcId,
    /// Its NUMA node.
    pub node: NodeId,
}

/// A NUMA node with CPUs.
#[derive(Clone, Debug)]
pub struct Node {
    /// The kernel's number of the node.
    pub number: usize,
    /// Its CPUs, as far as this process may use them.
    pub cpus: CpuSet,
}

/// The CPUs that this process may use, and where each is.
#[derive(Clone, Debug)]
pub struct Topology {
    cpus: CpuSet,
    llcs: Vec<CpuSet>,
    nodes: Vec<Node>,
    /// Indexed by CPU number.
    places: Vec<Option<Place>>,
}

impl Topology {
    /// The topology of this machine.
    pub fn probe() -> Result<Self> {
        let allowed = CpuSet::allowed().context("the CPUs of this process could not be read")?;
        Self::read(Path::new("/sys"), &allowed)
    }

    /// The topology below a sysfs at `sysfs`, seen from a process that may use `cpus`.
    pub fn read(sysfs: &Path, cpus: &CpuSet) -> Result<Self> {
        if cpus.is_empty() {
            bail!("there is no CPU to run on");
        }
        let cpu_dir = sysfs.join("devices/system/cpu");
        let mut llcs: Vec<CpuSet> = Vec::new();
        for cpu in cpus.iter() {
            if llcs.iter().any(|llc| llc.contains(cpu)) {
                continue;
            }
            let mut llc = siblings(&cpu_dir.join(format!("cpu{cpu}")))?.unwrap_or(*cpus).and(cpus);
            llc.insert(cpu);
            llcs.push(llc);
        }
        let nodes = read_nodes(&sysfs.join("devices/system/node"), cpus)?;
        let places = places(cpus, &llcs, &nodes);
        Ok(Self { cpus: *cpus, llcs, nodes, places })
    }

    /// All CPUs that this process may use.
    pub fn cpus(&self) -> &CpuSet {
        &self.cpus
    }

    /// The CPUs of each LLC, by [`LlcId`].
    pub fn llcs(&self) -> &[CpuSet] {
        &self.llcs
    }

    /// The nodes that have CPUs, by [`NodeId`].
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Where `cpu` is, or `None` if this process may not use it.
    pub fn place(&self, cpu: usize) -> Option<Place> {
        self.places.get(cpu).copied().flatten()
    }
}

/// Where each CPU is, indexed by CPU number.
fn places(cpus: &CpuSet, llcs: &[CpuSet], nodes: &[Node]) -> Vec<Option<Place>> {
    let nr = cpus.iter().last().map_or(0, |last| last + 1);
    let mut places = vec![None; nr];
    for (position, cpu) in cpus.iter().enumerate() {
        let llc = llcs.iter().position(|llc| llc.contains(cpu));
        let node = nodes.iter().position(|node| node.cpus.contains(cpu));
        places[cpu] = llc.zip(node).map(|(llc, node)| Place {
            position,
            llc: LlcId(llc),
            node: NodeId(node),
        });
    }
    places
}

/// The CPUs that share the last-level cache, or else the package, of the CPU described by `dir`.
fn siblings(dir: &Path) -> Result<Option<CpuSet>> {
    let mut last: Option<(u32, CpuSet)> = None;
    for index in 0.. {
        let cache = dir.join(format!("cache/index{index}"));
        let Some(level) = read_text(&cache.join("level")) else {
            break;
        };
        let kind = read_text(&cache.join("type")).unwrap_or_default();
        let level: u32 = level
            .parse()
            .with_context(|| format!("{}: '{level}' is not a level", cache.display()))?;
        if kind == "Instruction" || last.is_some_and(|(highest, _)| highest >= level) {
            continue;
        }
        if let Some(cpus) = read_cpus(&cache.join("shared_cpu_list"))? {
            last = Some((level, cpus));
        }
    }
    match last {
        Some((_, cpus)) => Ok(Some(cpus)),
        None => read_cpus(&dir.join("topology/package_cpus_list")),
    }
}

/// The nodes that hold any of `cpus`; one node for all if the kernel shows none.
fn read_nodes(dir: &Path, cpus: &CpuSet) -> Result<Vec<Node>> {
    let mut nodes = Vec::new();
    let mut left = *cpus;
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|n| n.strip_prefix("node"));
        let Some(number) = number.and_then(|n| n.parse().ok()) else {
            continue;
        };
        let listed = read_cpus(&entry.path().join("cpulist"))?.unwrap_or(CpuSet::EMPTY);
        let here = listed.and(&left);
        if !here.is_empty() {
            left = left.without(&here);
            nodes.push(Node { number, cpus: here });
        }
    }
    nodes.sort_by_key(|node| node.number);
    if !left.is_empty() {
        match nodes.first_mut() {
            Some(node) => left.iter().for_each(|cpu| node.cpus.insert(cpu)),
            None => nodes.push(Node { number: 0, cpus: left }),
        }
    }
    Ok(nodes)
}

fn read_text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_string())
}

fn read_cpus(path: &Path) -> Result<Option<CpuSet>> {
    let Some(text) = read_text(path) else {
        return Ok(None);
    };
    let cpus = text.parse().with_context(|| path.display().to_string())?;
    Ok(Some(cpus))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A sysfs in a directory of its own, removed when dropped.
    struct FakeSysfs(PathBuf);

    impl FakeSysfs {
        fn new(name: &str) -> Self {
            let dir = format!("toll_bench-{}-{name}", std::process::id());
            Self(std::env::temp_dir().join(dir))
        }

        fn put(&self, path: &str, text: &str) {
            let path = self.0.join("devices/system").join(path);
            fs::create_dir_all(path.parent().expect("parent")).expect("mkdir");
            fs::write(path, format!("{text}\n")).expect("write");
        }

        fn cache(&self, cpu: usize, index: usize, level: u32, kind: &str, shared: &str) {
            let dir = format!("cpu/cpu{cpu}/cache/index{index}");
            self.put(&format!("{dir}/level"), &level.to_string());
            self.put(&format!("{dir}/type"), kind);
            self.put(&format!("{dir}/shared_cpu_list"), shared);
        }
    }

    impl Drop for FakeSysfs {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Nodes 0 and 2 with two LLCs of two CPUs each, and a node 1 that has only memory.
    fn two_by_two_by_two() -> FakeSysfs {
        let sysfs = FakeSysfs::new("2x2x2");
        for cpu in 0..8 {
            let own = cpu.to_string();
            sysfs.cache(cpu, 0, 1, "Data", &own);
            sysfs.cache(cpu, 1, 1, "Instruction", &own);
            sysfs.cache(cpu, 2, 3, "Unified", ["0-1", "2-3", "4-5", "6-7"][cpu / 2]);
        }
        sysfs.put("node/node2/cpulist", "4-7");
        sysfs.put("node/node0/cpulist", "0-3");
        sysfs.put("node/node1/cpulist", "");
        sysfs.put("node/possible", "0-2");
        sysfs
    }

    #[test]
    fn llcs_and_nodes_are_found() {
        let sysfs = two_by_two_by_two();
        let topology = Topology::read(&sysfs.0, &(0..8).collect()).expect("topology");
        let llcs: Vec<String> = topology.llcs().iter().map(ToString::to_string).collect();
        assert_eq!(llcs, ["0-1", "2-3", "4-5", "6-7"]);
        let nodes = topology.nodes().iter();
        let nodes: Vec<_> = nodes.map(|n| (n.number, n.cpus.to_string())).collect();
        assert_eq!(nodes, [(0, "0-3".into()), (2, "4-7".into())]);
        let place = topology.place(5).expect("place");
        assert_eq!((place.llc, place.node), (LlcId(2), NodeId(1)));
        assert_eq!(topology.place(8), None);
    }

    #[test]
    fn only_allowed_cpus_count() {
        let sysfs = FakeSysfs::new("allowed");
        for cpu in 0..4 {
            sysfs.cache(cpu, 0, 3, "Unified", ["0-1", "2-3"][cpu / 2]);
        }
        let topology = Topology::read(&sysfs.0, &[1, 3].into_iter().collect()).expect("topology");
        assert_eq!((topology.llcs().len(), topology.nodes().len()), (2, 1));
        assert_eq!(topology.place(3).expect("place").position, 1);
        assert_eq!(topology.place(2), None);
    }

    #[test]
    fn without_caches_a_package_is_an_llc() {
        let sysfs = FakeSysfs::new("package");
        for cpu in 0..4 {
            let path = format!("cpu/cpu{cpu}/topology/package_cpus_list");
            sysfs.put(&path, ["0-1", "2-3"][cpu / 2]);
        }
        let topology = Topology::read(&sysfs.0, &(0..4).collect()).expect("topology");
        assert_eq!(topology.llcs().len(), 2);
    }

    #[test]
    fn with_an_empty_sysfs_all_is_one() {
        let topology = Topology::read(Path::new("/nonexistent"), &(0..4).collect());
        let topology = topology.expect("topology");
        assert_eq!((topology.llcs().len(), topology.nodes().len()), (1, 1));
        assert!(Topology::read(Path::new("/nonexistent"), &CpuSet::EMPTY).is_err());
    }

    #[test]
    fn this_machine_can_be_read() {
        let topology = Topology::probe().expect("topology");
        assert!(topology.cpus().iter().all(|cpu| topology.place(cpu).is_some()));
    }
}
