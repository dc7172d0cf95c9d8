// SPDX-License-Identifier: GPL-2.0-only
//! Sets of CPUs: the kernel's list format (`0-3,8`), and affinity.

use std::fmt;
use std::io;
use std::str::FromStr;

/// The most CPUs a set can hold; the largest NR_CPUS that x86-64 kernels are built with.
pub const MAX_CPUS: usize = 8192;
const WORD_BITS: usize = u64::BITS as usize;

/// A set of CPUs. It holds no heap memory, so a child just forked from a threaded process may use it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CpuSet {
    words: [u64; MAX_CPUS / WORD_BITS],
}

impl CpuSet {
    /// The set without CPUs.
    pub const EMPTY: Self = Self { words: [0; MAX_CPUS / WORD_BITS] };

    /// The CPUs on which the calling thread may run.
    pub fn allowed() -> io::Result<Self> {
        let mut set = Self::EMPTY;
        let words = set.words.as_mut_ptr().cast::<libc::cpu_set_t>();
        // SAFETY: `words` points to as many writable bytes as are named, aligned at least as the
        // kernel's unsigned longs; 0 is the calling thread.
        let done = unsafe { libc::sched_getaffinity(0, size_of_val(&set.words), words) };
        if done == 0 { Ok(set) } else { Err(io::Error::last_os_error()) }
    }

    /// Confine the task `tid` (0: the calling thread) to this set.
    pub fn confine(&self, tid: libc::pid_t) -> io::Result<()> {
        let words = self.words.as_ptr().cast::<libc::cpu_set_t>();
        // SAFETY: `words` points to as many readable bytes as are named; the kernel only reads them.
        let done = unsafe { libc::sched_setaffinity(tid, size_of_val(&self.words), words) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Add `cpu`; a number of [`MAX_CPUS`] or more is ignored.
    pub fn insert(&mut self, cpu: usize) {
        if let Some(word) = self.words.get_mut(cpu / WORD_BITS) {
            *word |= 1 << (cpu % WORD_BITS);
        }
    }

    /// True if `cpu` is in the set.
    pub fn contains(&self, cpu: usize) -> bool {
        let word = self.words.get(cpu / WORD_BITS).copied().unwrap_or(0);
        word & (1 << (cpu % WORD_BITS)) != 0
    }

    /// The CPUs, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..MAX_CPUS).filter(|&cpu| self.contains(cpu))
    }

    /// The lowest CPU.
    pub fn first(&self) -> Option<usize> {
        self.iter().next()
    }

    /// How many CPUs there are.
    pub fn len(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&w| w == 0)
    }

    /// The CPUs that are in both sets.
    pub fn and(&self, other: &Self) -> Self {
        Self { words: std::array::from_fn(|i| self.words[i] & other.words[i]) }
    }

    /// The CPUs that are in this set only.
    pub fn without(&self, other: &Self) -> Self {
        Self { words: std::array::from_fn(|i| self.words[i] & !other.words[i]) }
    }
}

impl FromIterator<usize> for CpuSet {
    fn from_iter<I: IntoIterator<Item = usize>>(cpus: I) -> Self {
        let mut set = Self::EMPTY;
        cpus.into_iter().for_each(|cpu| set.insert(cpu));
        set
    }
}

/// A text that is not a CPU list; says which part is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadCpuList(String);

impl fmt::Display for BadCpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is not part of a CPU list; expected numbers below {MAX_CPUS} and ranges such as 0-3,8",
            self.0
        )
    }
}

impl std::error::Error for BadCpuList {}

impl FromStr for CpuSet {
    type Err = BadCpuList;

    /// Read the kernel's format. An empty text is the empty set, as in the list of a node without CPUs.
    fn from_str(text: &str) -> Result<Self, BadCpuList> {
        let mut set = Self::EMPTY;
        if text.trim().is_empty() {
            return Ok(set);
        }
        for part in text.trim().split(',') {
            let bad = || BadCpuList(part.to_string());
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first: usize = first.trim().parse().map_err(|_| bad())?;
            let last: usize = last.trim().parse().map_err(|_| bad())?;
            if first > last || last >= MAX_CPUS {
                return Err(bad());
            }
            (first..=last).for_each(|cpu| set.insert(cpu));
        }
        Ok(set)
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        let mut cpu = 0;
        while cpu < MAX_CPUS {
            if !self.contains(cpu) {
                cpu += 1;
                continue;
            }
            let first = cpu;
            while self.contains(cpu + 1) {
                cpu += 1;
            }
            match first == cpu {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{cpu}")?,
            }
            comma = ",";
            cpu += 1;
        }
        Ok(())
    }
}

impl fmt::Debug for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuSet({self})")
    }
}

/// The CPU on which the calling thread runs just now, or `None` if the kernel cannot tell.
pub fn current_cpu() -> Option<usize> {
    // SAFETY: takes no arguments and touches no memory of ours.
    usize::try_from(unsafe { libc::sched_getcpu() }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Vec<usize> {
        text.parse::<CpuSet>().expect(text).iter().collect()
    }

    #[test]
    fn lists_parse() {
        assert_eq!(parse("0"), [0]);
        assert_eq!(parse("0-3,8"), [0, 1, 2, 3, 8]);
        assert_eq!(parse("7,2-3,2\n"), [2, 3, 7]);
        assert_eq!(parse("63-65,8191"), [63, 64, 65, 8191]);
        assert_eq!(parse("\n"), [0usize; 0]);
    }

    #[test]
    fn wrong_parts_are_named() {
        for (text, part) in [
            ("x", "x"),
            ("1,,2", ""),
            ("0,3-1", "3-1"),
            ("1-", "1-"),
            ("-1", "-1"),
            ("8192", "8192"),
        ] {
            assert_eq!(text.parse::<CpuSet>(), Err(BadCpuList(part.into())));
        }
    }

    #[test]
    fn display_is_what_was_parsed() {
        for text in ["", "0", "0-3,8", "1,3,5", "62-65,8190-8191"] {
            assert_eq!(text.parse::<CpuSet>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn set_algebra() {
        let (a, b): (CpuSet, CpuSet) = ((0..4).collect(), (2..6).collect());
        assert_eq!(a.and(&b).to_string(), "2-3");
        assert_eq!(a.without(&b).to_string(), "0-1");
        assert_eq!((a.len(), a.first(), CpuSet::EMPTY.first()), (4, Some(0), None));
        assert!(CpuSet::EMPTY.is_empty() && !a.is_empty());
        assert!(!a.contains(MAX_CPUS + 1));
    }

    #[test]
    fn confining_the_calling_thread_takes_effect() {
        let allowed = CpuSet::allowed().expect("affinity");
        let one: CpuSet = allowed.first().into_iter().collect();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                one.confine(0).expect("confine");
                assert_eq!(CpuSet::allowed().expect("affinity"), one);
                assert_eq!(current_cpu(), allowed.first());
            });
        });
        assert!(CpuSet::EMPTY.confine(0).is_err());
    }
}
