// SPDX-License-Identifier: GPL-2.0-only
//! From sysfs to [`Topology`], in three steps:
//!
//! 1. `check_tree`: read what `scx_utils` is going to read and refuse what it would panic on or
//!    misunderstand, naming the file and the value;
//! 2. `scx_utils::Topology::new()`: CPUs, cores, caches, nodes, capacities;
//! 3. `build`: regroup into LLCs, renumber densely, add cache sizes.
//!
//! What counts as an LLC, in this order:
//! 1. the CPUs of one node that share an L3;
//! 2. where a node has no L3 at all: the CPUs that share an L2, if each L2 is shared by several
//!    cores (clusters of some ARM and Atom machines);
//! 3. otherwise, as in most virtual machines without cache information: the whole node.
//!
//! Cases 2 and 3 leave a warning.

use super::{
    CAPACITY_ONE, Cpu, FALLBACK_KIB_PER_CPU, LOCAL_DISTANCE, Llc, Node, REMOTE_DISTANCE, Topology,
    check_limits,
};
use crate::units::{CpuId, LlcId, MAX_CPUS, NodeId};
use anyhow::{Result, anyhow, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// The variable from which `scx_utils` takes its root, once per process.
pub const ROOT_VARIABLE: &str = "SCX_SYSFS_PREFIX";

const CPU_DIR: &str = "sys/devices/system/cpu";
const ISOLATED_PARTITIONS: &str = "sys/fs/cgroup/cpuset.cpus.isolated";
const NODE_DIR: &str = "sys/devices/system/node";
/// `scx_utils` marks a cache that sysfs does not describe with this number.
const NO_CACHE: usize = usize::MAX;
/// Largest cache size believed, in bytes: 1 TiB.
const CACHE_BYTES_MAX: u64 = 1 << 40;
/// Largest SLIT distance: the table's entries are bytes.
const DISTANCE_MAX: u32 = 255;
/// The files that `scx_utils` tries as a source of capacity; it multiplies their values by 1024.
const CAPACITY_FILES: [&str; 5] = [
    "cpufreq/amd_pstate_prefcore_ranking",
    "cpufreq/amd_pstate_highest_perf",
    "acpi_cppc/highest_perf",
    "cpu_capacity",
    "cpufreq/cpuinfo_max_freq",
];
/// Largest capacity value believed; leaves room for a sum over all CPUs and a factor of 1024.
const CAPACITY_VALUE_MAX: u64 = 1 << 40;

/// See [`Topology::from_sysfs`].
pub(super) fn read(root: Option<&Path>) -> Result<Topology> {
    let root = injected_root(root)?;
    check_tree(&root)?;
    let scx = scx_utils::Topology::new()
        .map_err(|err| anyhow!("cannot read the machine under {}/sys: {err:#}", root.display()))?;
    build(&scx, &root)
}

/// The root that `scx_utils` uses, if it is `wanted` and spelt so that `scx_utils` can use it.
fn injected_root(wanted: Option<&Path>) -> Result<PathBuf> {
    let set: OsString = std::env::var_os(ROOT_VARIABLE).unwrap_or_default();
    if let Some(wanted) = wanted.filter(|wanted| wanted.as_os_str() != set) {
        bail!(
            "to read the machine under {}, {ROOT_VARIABLE} must name it when the process starts; \
             it is {set:?}",
            wanted.display()
        );
    }
    let Some(text) = set.to_str() else {
        bail!("{ROOT_VARIABLE} is {set:?}, expected UTF-8");
    };
    let tidy: PathBuf = Path::new(text).components().collect();
    let wild = text.contains(|c: char| matches!(c, '*' | '?' | '[' | ']') || c.is_control());
    let absolute = text.starts_with('/') && text != "/" && tidy.as_os_str() == text;
    if !text.is_empty() && (wild || !absolute) {
        bail!(
            "{ROOT_VARIABLE} is {text:?}, expected an absolute path without wildcards, empty or \
             dot components or a slash at the end"
        );
    }
    // With an empty prefix the paths must still be absolute.
    Ok(if text.is_empty() { PathBuf::from("/") } else { tidy })
}

// ---- step 1: what scx_utils is going to read -------------------------------------------------

/// Refuse a tree that `scx_utils` would panic on or misread.
fn check_tree(root: &Path) -> Result<()> {
    let cpu_dir = root.join(CPU_DIR);
    let present: BTreeSet<u32> = numbered(&cpu_dir, "cpu", false)?.into_iter().collect();
    if present.is_empty() {
        bail!("{}: no directory cpu0, cpu1, ..., expected at least one CPU", cpu_dir.display());
    }
    let online_file = cpu_dir.join("online");
    let online = cpu_list(&online_file)?;
    for cpu in &online {
        if !present.contains(cpu) {
            bail!("{}: CPU {cpu} is online but has no directory cpu{cpu}", online_file.display());
        }
        check_cpu(&cpu_dir.join(format!("cpu{cpu}")))?;
    }
    for cpu in present {
        check_capacity(&cpu_dir.join(format!("cpu{cpu}")))?;
    }
    check_nodes(&root.join(NODE_DIR), &online)
}

/// The ids and caches of one online CPU.
fn check_cpu(dir: &Path) -> Result<()> {
    for file in ["core_id", "physical_package_id"] {
        number(&dir.join("topology").join(file), 0, i64::MAX)?;
    }
    number(&dir.join("topology/cluster_id"), i64::MIN, i64::MAX)?;
    let cache = dir.join("cache");
    if !cache.is_dir() {
        return Ok(());
    }
    for index in numbered(&cache, "index", false)? {
        let index = cache.join(format!("index{index}"));
        let shared = index.join("shared_cpu_list");
        if shared.exists() {
            cpu_list(&shared)?;
        }
        cache_bytes(&index.join("size"))?;
    }
    Ok(())
}

/// Capacity values so large that `scx_utils` would overflow. A value that is missing or not a
/// number is no error: it takes the next source.
fn check_capacity(dir: &Path) -> Result<()> {
    for file in CAPACITY_FILES.map(|file| dir.join(file)) {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        if text.trim().parse::<u64>().is_ok_and(|value| value > CAPACITY_VALUE_MAX) {
            bail!("{}: {:?} is no plausible capacity", file.display(), text.trim());
        }
    }
    Ok(())
}

/// Distances, and that each online CPU belongs to exactly one node. A kernel without NUMA has no
/// directory at all, and then one node holds everything.
fn check_nodes(dir: &Path, online: &BTreeSet<u32>) -> Result<()> {
    if !dir.is_dir() {
        return Ok(());
    }
    let nodes = numbered(dir, "node", true)?;
    if nodes.is_empty() {
        bail!("{}: no directory node0, node1, ..., expected at least one node", dir.display());
    }
    check_limits(0, 0, nodes.len())?;
    let mut owner: BTreeMap<u32, u32> = BTreeMap::new();
    for &node in &nodes {
        let node_dir = dir.join(format!("node{node}"));
        check_distances(&node_dir.join("distance"), nodes.len())?;
        for cpu in numbered(&node_dir, "cpu", false)? {
            if let Some(other) = owner.insert(cpu, node) {
                bail!("{}: CPU {cpu} is in node {other} and in node {node}", dir.display());
            }
        }
    }
    match online.iter().find(|cpu| !owner.contains_key(cpu)) {
        Some(cpu) => bail!("{}: CPU {cpu} is online but in no node", dir.display()),
        None => Ok(()),
    }
}

/// One row of the SLIT: as many numbers as there are nodes, by position, not by node number.
fn check_distances(file: &Path, nr_nodes: usize) -> Result<()> {
    let text = text(file)?;
    let valid = |word: &&str| {
        word.parse::<u32>().is_ok_and(|distance| (1..=DISTANCE_MAX).contains(&distance))
    };
    // The same separator as scx_utils: two blanks in a row would be an empty number to it.
    let words: Vec<&str> = text.split(' ').collect();
    if let Some(word) = words.iter().find(|word| !valid(word)) {
        bail!("{}: {word:?}, expected a distance from 1 to {DISTANCE_MAX}", file.display());
    }
    if words.len() != nr_nodes {
        bail!(
            "{}: {:?} has {} distances, expected one for each of the {nr_nodes} nodes",
            file.display(),
            text,
            words.len()
        );
    }
    Ok(())
}

/// The content of a file without surrounding white space.
fn text(file: &Path) -> Result<String> {
    let text =
        fs::read_to_string(file).map_err(|err| anyhow!("cannot read {}: {err}", file.display()))?;
    Ok(text.trim_end_matches('\0').trim().to_string())
}

/// A file that holds one number from `least` to `most`.
fn number(file: &Path, least: i64, most: i64) -> Result<i64> {
    let text = text(file)?;
    match text.parse::<i64>() {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        Ok(_) => bail!("{}: {text:?}, expected at least {least}", file.display()),
        Err(_) => bail!("{}: {text:?}, expected a number", file.display()),
    }
}

/// Numbers of the entries of `dir` that are called `prefix` and a number, in ascending order.
/// With `strict`, an entry that begins with `prefix` but goes on otherwise is an error even when
/// what follows is not a digit.
fn numbered(dir: &Path, prefix: &str, strict: bool) -> Result<Vec<u32>> {
    let refused = |err| anyhow!("cannot read {}: {err}", dir.display());
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir).map_err(refused)? {
        let name = entry.map_err(refused)?.file_name();
        let name = name.to_string_lossy();
        let Some(rest) = name.strip_prefix(prefix) else {
            continue;
        };
        if !strict && !rest.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        match rest.parse::<u32>() {
            Ok(number) if number.to_string() == rest => numbers.push(number),
            _ => bail!("{}/{name}: {rest:?}, expected {prefix} and a number", dir.display()),
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A file that holds a list of CPUs such as "0-3,8"; at least one.
fn cpu_list(file: &Path) -> Result<BTreeSet<u32>> {
    let text = text(file)?;
    let mut cpus = BTreeSet::new();
    for group in text.split(',') {
        let (first, last) = group.split_once('-').unwrap_or((group, group));
        let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) else {
            bail!("{}: {text:?}, expected a list of CPUs such as 0-3,8", file.display());
        };
        if first > last {
            bail!("{}: {text:?}, expected ranges that ascend", file.display());
        }
        if last as usize >= MAX_CPUS {
            bail!(
                "{}: {text:?} names CPU {last}, CPUs below {MAX_CPUS} are supported",
                file.display()
            );
        }
        cpus.extend(first..=last);
    }
    Ok(cpus)
}

/// A cache's size in bytes; `None` when the file is not there.
fn cache_bytes(file: &Path) -> Result<Option<u64>> {
    if !file.exists() {
        return Ok(None);
    }
    let text = text(file)?;
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'K')) => (&text[..at], 1 << 10),
        Some((at, 'M')) => (&text[..at], 1 << 20),
        Some((at, 'G')) => (&text[..at], 1 << 30),
        _ => (text.as_str(), 1),
    };
    let bytes = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(unit));
    match bytes {
        Some(bytes) if bytes <= CACHE_BYTES_MAX => Ok(Some(bytes)),
        _ => bail!("{}: {text:?}, expected a cache size such as 32768K", file.display()),
    }
}

// ---- step 3: regroup and renumber ------------------------------------------------------------

/// What the CPUs of one LLC have in common within their node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shared {
    /// The cache of this level (2 or 3), by package and the kernel's number.
    Cache { level: u8, package: usize, id: usize },
    /// Only the node.
    Node,
}

fn build(scx: &scx_utils::Topology, root: &Path) -> Result<Topology> {
    let mut warnings = Vec::new();
    let mut nodes = dense_nodes(scx);
    let mut llcs = Vec::new();
    for node in &mut nodes {
        let Some(from) = scx.nodes.get(&(node.kernel_id as usize)) else {
            continue;
        };
        let mut groups: Vec<(Shared, Vec<CpuId>)> = group_cpus(from, &mut warnings);
        groups.sort_by_key(|(_, cpus)| cpus.first().copied());
        for (shared, cpus) in groups {
            let id = LlcId(llcs.len() as u32);
            let cache_kib = cache_kib(root, shared, &cpus, &mut warnings)?;
            let kernel_id = match shared {
                Shared::Cache { id, .. } => Some(id as u64),
                Shared::Node => None,
            };
            node.llcs.push(id);
            llcs.push(Llc { id, kernel_id, cache: id.0, node: node.id, cpus, cache_kib });
        }
    }
    let cpus = dense_cpus(scx, &llcs, &isolated_cpus(root)?);
    if cpus.is_empty() {
        bail!("{}: no CPU of any node is online", root.join(NODE_DIR).display());
    }
    check_limits(cpus.len(), llcs.len(), nodes.len())?;
    Ok(Topology { cpus, llcs, nodes, warnings })
}

/// Nodes with CPUs, then nodes with memory only, each by the kernel's number; without LLCs yet.
///
/// The rows that the kernel prints are indexed by position among the online nodes, while its node
/// numbers may have holes: nodes 0 and 2 have rows of two entries.
fn dense_nodes(scx: &scx_utils::Topology) -> Vec<Node> {
    let mut order: Vec<(bool, usize, usize)> = scx
        .nodes
        .values()
        .enumerate()
        .map(|(position, node)| (node.llcs.is_empty(), node.id, position))
        .collect();
    order.sort_unstable();
    let row = |from: usize, own: usize| {
        let distances = scx.nodes.get(&from).map(|node| node.distance.as_slice()).unwrap_or(&[]);
        let entry = |&(_, _, position): &(bool, usize, usize)| match distances.get(position) {
            Some(&distance) => distance as u32,
            None if position == own => LOCAL_DISTANCE,
            None => REMOTE_DISTANCE,
        };
        order.iter().map(entry).collect()
    };
    let node = |(index, &(_, kernel_id, position)): (usize, &(bool, usize, usize))| Node {
        id: NodeId(index as u32),
        kernel_id: kernel_id as u32,
        distance: row(kernel_id, position),
        llcs: Vec::new(),
    };
    order.iter().enumerate().map(node).collect()
}

/// The CPUs of one node, grouped into LLCs.
fn group_cpus(node: &scx_utils::Node, warnings: &mut Vec<String>) -> Vec<(Shared, Vec<CpuId>)> {
    let cpus: Vec<&scx_utils::Cpu> =
        node.llcs.values().flat_map(|llc| llc.all_cpus.values()).map(|cpu| &**cpu).collect();
    let any_l3 = cpus.iter().any(|cpu| cpu.l3_id != NO_CACHE);
    let l2_shared = !any_l3 && l2_is_shared(&cpus);
    if !any_l3 && !cpus.is_empty() {
        let taken = if l2_shared { "each shared L2 is taken as an LLC" } else { "it is one LLC" };
        warnings.push(format!("sysfs describes no L3 in node {}: {taken}", node.id));
    }
    let key = |cpu: &scx_utils::Cpu| {
        let (level, id) = match (cpu.l3_id, cpu.l2_id) {
            (NO_CACHE, id) if id != NO_CACHE && (l2_shared || any_l3) => (2, id),
            (NO_CACHE, _) => return Shared::Node,
            (id, _) => (3, id),
        };
        Shared::Cache { level, package: cpu.package_id, id }
    };
    let mut groups: BTreeMap<Shared, Vec<CpuId>> = BTreeMap::new();
    for cpu in cpus {
        groups.entry(key(cpu)).or_default().push(CpuId(cpu.id as u32));
    }
    for (shared, cpus) in &mut groups {
        cpus.sort_unstable();
        if any_l3 && !matches!(shared, Shared::Cache { level: 3, .. }) {
            let first = cpus.first().copied().unwrap_or_default();
            warnings.push(format!("{first} has no L3 though others of its node do: own LLC"));
        }
    }
    groups.into_iter().collect()
}

/// True when sysfs describes the L2 of every CPU and several cores share each of them.
fn l2_is_shared(cpus: &[&scx_utils::Cpu]) -> bool {
    let mut cores: BTreeMap<(usize, usize), BTreeSet<usize>> = BTreeMap::new();
    for cpu in cpus {
        cores.entry((cpu.package_id, cpu.l2_id)).or_default().insert(cpu.core_id);
    }
    cores.iter().all(|(&(_, l2), cores)| l2 != NO_CACHE && cores.len() > 1)
}

/// Size of the cache behind `cpus` in KiB. A cache that is shared with CPUs of another node is
/// counted by share.
fn cache_kib(
    root: &Path,
    shared: Shared,
    cpus: &[CpuId],
    warnings: &mut Vec<String>,
) -> Result<u32> {
    let nr_cpus = cpus.len() as u64;
    let first = cpus.first().copied().unwrap_or_default();
    let known = match shared {
        Shared::Cache { level, .. } => {
            let dir = root.join(CPU_DIR).join(format!("cpu{}/cache/index{level}", first.0));
            let sharers = cpu_list(&dir.join("shared_cpu_list"))?.len() as u64;
            cache_bytes(&dir.join("size"))?
                .map(|bytes| bytes / 1024 * nr_cpus.min(sharers) / sharers.max(1))
        }
        Shared::Node => None,
    };
    match known {
        Some(kib) if kib > 0 => Ok(u32::try_from(kib).unwrap_or(u32::MAX)),
        _ => {
            warnings.push(format!(
                "sysfs does not tell the size of the last-level cache of {first}: assuming \
                 {FALLBACK_KIB_PER_CPU} KiB for each of its {nr_cpus} CPUs"
            ));
            Ok(FALLBACK_KIB_PER_CPU * nr_cpus as u32)
        }
    }
}

/// The CPUs that the kernel keeps out of load balancing, by its command line or as isolated
/// partitions of cpusets; an old kernel does not say.
fn isolated_cpus(root: &Path) -> Result<BTreeSet<u32>> {
    let mut cpus = BTreeSet::new();
    for file in [root.join(CPU_DIR).join("isolated"), root.join(ISOLATED_PARTITIONS)] {
        if file.exists() && !text(&file)?.is_empty() {
            cpus.extend(cpu_list(&file)?);
        }
    }
    Ok(cpus)
}

/// CPUs by ascending number with our LLC, node and core numbers.
///
/// The capacity is the kernel's own where it exports one for every CPU; otherwise what
/// `scx_utils` guesses from CPPC or the highest frequency.
fn dense_cpus(scx: &scx_utils::Topology, llcs: &[Llc], isolated: &BTreeSet<u32>) -> Vec<Cpu> {
    let exported = scx.all_cpus.values().all(|cpu| cpu.kernel_cpu_capacity.is_some());
    let mut cores: BTreeMap<(LlcId, usize), u32> = BTreeMap::new();
    let mut cpus = Vec::new();
    for llc in llcs {
        for &id in &llc.cpus {
            let Some(from) = scx.all_cpus.get(&id.index()) else {
                continue;
            };
            let next = cores.len() as u32;
            let core = *cores.entry((llc.id, from.core_id)).or_insert(next);
            let capacity = from.kernel_cpu_capacity.filter(|_| exported);
            let capacity = capacity.unwrap_or(from.cpu_capacity).clamp(1, CAPACITY_ONE as usize);
            cpus.push(Cpu {
                id,
                llc: llc.id,
                node: llc.node,
                core,
                capacity: capacity as u32,
                isolated: isolated.contains(&id.0),
            });
        }
    }
    cpus.sort_unstable_by_key(|cpu| cpu.id);
    cpus
}
