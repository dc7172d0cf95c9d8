// SPDX-License-Identifier: GPL-2.0-only
//! What `/proc` says of a process whose memory may move.

use super::pages::PAGE;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;

/// Largest process whose mappings are asked for their mempolicy. The kernel walks the page
/// tables of each for it, 4 GiB in some 10 ms.
pub const MAX_BYTES: u64 = 16 << 30;

/// Private anonymous memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Its first byte.
    pub start: u64,
    /// The byte behind its last.
    pub end: u64,
}

impl Region {
    /// Its pages, mapped or not.
    pub fn pages(&self) -> u64 {
        (self.end - self.start) / PAGE
    }
}

/// One thread, as it was at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thread {
    /// Run time since its start, in ns.
    pub ran_ns: u64,
    /// CPU where it is.
    pub cpu: u32,
}

/// What `/proc/PID/status` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory that is locked, in KiB.
    pub locked_kib: u64,
    /// Resident memory that is shared with others and of no file, in KiB.
    pub shared_kib: u64,
    /// CPUs that its first thread may use.
    pub cpus: BTreeSet<u32>,
    /// Nodes that its cpuset has.
    pub nodes: BTreeSet<u32>,
}

fn read(pid: u32, file: &str) -> io::Result<String> {
    fs::read_to_string(format!("/proc/{pid}/{file}"))
}

/// Numbers of a list such as `0-3,8`.
fn list(text: &str) -> BTreeSet<u32> {
    let part = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u32>().ok()?..=last.parse().ok()?)
    };
    text.trim().split(',').filter_map(part).flatten().collect()
}

/// The limits of process `pid`.
///
/// # Errors
/// When it has gone.
pub fn limits(pid: u32) -> io::Result<Limits> {
    let text = read(pid, "status")?;
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    let kib = |key: &str| value(key)?.split_whitespace().next()?.parse().ok();
    Ok(Limits {
        locked_kib: kib("VmLck:").unwrap_or(0),
        shared_kib: kib("RssShmem:").unwrap_or(0),
        cpus: value("Cpus_allowed_list:").map(list).unwrap_or_default(),
        nodes: value("Mems_allowed_list:").map(list).unwrap_or_default(),
    })
}

/// When process `pid` began; another process of the same number began at another time.
///
/// # Errors
/// When it has gone.
pub fn began(pid: u32) -> io::Result<u64> {
    Ok(stat_field(&read(pid, "stat")?, 22).unwrap_or(0))
}

/// Field `number` of a `stat` file, counted from 1 as proc(5) does; the name may have spaces.
fn stat_field(text: &str, number: usize) -> Option<u64> {
    let rest = &text[text.rfind(')')? + 1..];
    rest.split_whitespace().nth(number - 3)?.parse().ok()
}

/// Pages of process `pid` that are its own: resident, neither of a file nor shared.
///
/// # Errors
/// When it has gone.
pub fn private_pages(pid: u32) -> io::Result<u64> {
    let text = read(pid, "statm")?;
    let mut words = text.split_whitespace().map(|word| word.parse().unwrap_or(0u64));
    let (resident, shared) = (words.nth(1).unwrap_or(0), words.next().unwrap_or(0));
    Ok(resident.saturating_sub(shared))
}

/// The threads of process `pid`, by number; one that ends meanwhile is left out.
///
/// # Errors
/// When the process has gone.
pub fn threads(pid: u32) -> io::Result<HashMap<u32, Thread>> {
    let mut threads = HashMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let Ok(tid) = entry?.file_name().to_string_lossy().parse() else { continue };
        let thread = || {
            let ran = read(pid, &format!("task/{tid}/schedstat")).ok()?;
            let stat = read(pid, &format!("task/{tid}/stat")).ok()?;
            Some(Thread {
                ran_ns: ran.split_whitespace().next()?.parse().ok()?,
                cpu: stat_field(&stat, 39)? as u32,
            })
        };
        if let Some(thread) = thread() {
            threads.insert(tid, thread);
        }
    }
    Ok(threads)
}

/// The private anonymous mappings of process `pid`; its page tables are not walked.
///
/// # Errors
/// When it has gone.
pub fn regions(pid: u32) -> io::Result<Vec<Region>> {
    Ok(parse_maps(&read(pid, "maps")?))
}

fn parse_maps(text: &str) -> Vec<Region> {
    let region = |line: &str| {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let private =
            words.next()?.starts_with("rw") && line.split_whitespace().nth(1)?.ends_with('p');
        let inode = words.nth(2)?;
        let start = u64::from_str_radix(start, 16).ok()?;
        let end = u64::from_str_radix(end, 16).ok()?;
        (private && inode == "0" && end > start).then_some(Region { start, end })
    };
    text.lines().filter_map(region).collect()
}

/// Why a mapping stays where it is, and how many did for it.
pub type Kept = BTreeMap<&'static str, u64>;

/// Those of `regions` whose pages may be moved to node `target` and of which some are elsewhere,
/// with the number of these pages, and why the others stay: an explicit mempolicy, locked memory,
/// huge pages of a pool. `locked`: ask which are locked.
///
/// # Errors
/// When the process has gone.
pub fn movable(
    pid: u32,
    regions: &[Region],
    target: u32,
    locked: bool,
) -> io::Result<(Vec<(Region, u64)>, Kept)> {
    let policies = read(pid, "numa_maps")?;
    let locked = if locked { parse_locked(&read(pid, "smaps")?) } else { BTreeSet::new() };
    Ok(choose(regions, &policies, &locked, target))
}

fn choose(
    regions: &[Region],
    policies: &str,
    locked: &BTreeSet<u64>,
    target: u32,
) -> (Vec<(Region, u64)>, Kept) {
    let mut movable = Vec::new();
    let mut kept = Kept::new();
    for line in policies.lines() {
        let mut words = line.split_whitespace();
        let start = words.next().and_then(|start| u64::from_str_radix(start, 16).ok());
        let Some(region) = regions.iter().find(|region| Some(region.start) == start) else {
            continue;
        };
        let policy = words.next().unwrap_or("");
        let away: u64 = words.clone().filter_map(|word| pages_elsewhere(word, target)).sum();
        if away == 0 {
            continue;
        }
        let why = match () {
            () if policy != "default" => Some("mempolicy"),
            () if words.any(|word| word == "huge") => Some("huge"),
            () if locked.contains(&region.start) => Some("locked"),
            () => None,
        };
        match why {
            Some(why) => *kept.entry(why).or_insert(0) += away,
            None => movable.push((*region, away)),
        }
    }
    (movable, kept)
}

/// The pages of a word `N1=200` unless that is node `target`.
fn pages_elsewhere(word: &str, target: u32) -> Option<u64> {
    let (node, pages) = word.strip_prefix('N')?.split_once('=')?;
    (node.parse::<u32>().ok()? != target).then(|| pages.parse().ok())?
}

/// Where locked mappings start, by `smaps`.
fn parse_locked(text: &str) -> BTreeSet<u64> {
    let mut locked = BTreeSet::new();
    let mut start = None;
    for line in text.lines() {
        let first = line.split_whitespace().next().unwrap_or("");
        if let Some((from, _)) = first.split_once('-') {
            start = u64::from_str_radix(from, 16).ok();
        } else if first == "VmFlags:" && line.split_whitespace().any(|flag| flag == "lo") {
            locked.extend(start);
        }
    }
    locked
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
00400000-00452000 r-xp 00000000 08:02 173521 /usr/bin/dbus-daemon
00e03000-00e24000 rw-p 00000000 00:00 0      [heap]
7f0000000000-7f0000200000 rw-p 00000000 00:00 0
7f0000400000-7f0000600000 rw-s 00000000 00:01 1042 /dev/zero (deleted)
7f0000800000-7f0000a00000 ---p 00000000 00:00 0
7f0001000000-7f0001200000 rw-p 00000000 00:00 0
";

    #[test]
    fn only_private_anonymous_memory_that_is_written_counts() {
        let starts: Vec<u64> = parse_maps(MAPS).iter().map(|region| region.start).collect();
        assert_eq!(starts, [0x00e0_3000, 0x7f00_0000_0000, 0x7f00_0100_0000]);
    }

    #[test]
    fn what_is_pinned_in_any_way_stays() {
        let policies = "\
00e03000 default heap anon=33 dirty=33 N0=30 N1=3 kernelpagesize_kB=4
7f0000000000 bind:0 anon=512 dirty=512 N0=512 kernelpagesize_kB=4
7f0001000000 default anon=512 dirty=512 N0=512 kernelpagesize_kB=4
";
        let smaps = "7f0001000000-7f0001200000 rw-p 00000000 00:00 0\nVmFlags: rd wr lo ac\n";
        let regions = parse_maps(MAPS);
        let (movable, kept) = choose(&regions, policies, &parse_locked(smaps), 1);
        assert_eq!(movable, [(regions[0], 30)]);
        assert_eq!(kept, Kept::from([("mempolicy", 512), ("locked", 512)]));
        assert_eq!(choose(&regions, policies, &BTreeSet::new(), 0).0, [(regions[0], 3)]);
    }

    #[test]
    fn fields_are_counted_behind_the_name() {
        let text = "7 (a) b (c)) R 1 2 3 4";
        assert_eq!((stat_field(text, 4), stat_field(text, 7)), (Some(1), Some(4)));
        assert_eq!(list("0-2,7\n"), BTreeSet::from([0, 1, 2, 7]));
    }
}
