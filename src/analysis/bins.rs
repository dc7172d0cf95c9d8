// SPDX-License-Identifier: GPL-2.0-only
//! The load of each CPU over time, in equal bins and bounded memory.
//!
//! Nobody knows beforehand how long a trace is and how many CPUs it has. Bins begin short; whenever
//! there would be more than [`BINS_MAX`], or more than [`CELLS_MAX`] of all CPUs, two and two become one.

/// So many bins at most.
pub const BINS_MAX: usize = 4096;
/// Bins of all CPUs together at most, 8 MiB: with more than 512 CPUs they get wider.
pub const CELLS_MAX: usize = 1 << 21;
/// Width of a bin at first, in ns.
pub const WIDTH_MIN_NS: u64 = 100_000;

#[derive(Clone, Debug, Default)]
struct Row {
    seen: bool,
    value: f32,
    since_ns: u64,
    /// Value times ns, by bin; shorter than the others if nothing happened for long.
    sums: Vec<f32>,
}

/// Mean loads by CPU and bin.
#[derive(Clone, Debug, Default)]
pub struct Bins {
    start_ns: Option<u64>,
    width_ns: u64,
    rows: Vec<Row>,
    /// Rows that were seen.
    seen: usize,
    /// So many bins each has at most.
    bins_max: usize,
    /// Bins in which events are missing.
    gaps: Vec<usize>,
    len: usize,
}

impl Bins {
    /// None yet; the first instant begins the first bin.
    pub fn new() -> Bins {
        Bins { width_ns: WIDTH_MIN_NS, bins_max: BINS_MAX, ..Bins::default() }
    }

    /// From `at_ns` on the load of `cpu` is `value`.
    pub fn set(&mut self, cpu: u32, at_ns: u64, value: f32) {
        self.reach(at_ns);
        let cpu = cpu as usize;
        if cpu >= self.rows.len() {
            self.rows.resize_with(cpu + 1, Row::default);
        }
        if !self.rows[cpu].seen {
            self.seen += 1;
            self.bins_max = BINS_MAX.min(CELLS_MAX / self.seen.next_power_of_two());
            self.reach(at_ns);
        }
        let (start_ns, width_ns) = (self.start_ns.unwrap_or(at_ns), self.width_ns);
        let row = &mut self.rows[cpu];
        if row.seen {
            row.add_until(at_ns, start_ns, width_ns);
        }
        (row.seen, row.value, row.since_ns) = (true, value, at_ns);
    }

    /// Events are missing at `at_ns`.
    pub fn gap(&mut self, at_ns: u64) {
        self.reach(at_ns);
        let bin = self.bin(at_ns);
        if self.gaps.last() != Some(&bin) {
            self.gaps.push(bin);
        }
    }

    fn bin(&self, at_ns: u64) -> usize {
        (at_ns.saturating_sub(self.start_ns.unwrap_or(at_ns)) / self.width_ns) as usize
    }

    /// Make bins until `at_ns`.
    fn reach(&mut self, at_ns: u64) {
        self.start_ns.get_or_insert(at_ns);
        let mut bin = self.bin(at_ns);
        while bin >= self.bins_max {
            self.halve();
            bin = self.bin(at_ns);
        }
        self.len = self.len.max(bin + 1);
    }

    fn halve(&mut self) {
        self.width_ns = self.width_ns.saturating_mul(2);
        for row in &mut self.rows {
            row.sums = row.sums.chunks(2).map(|pair| pair.iter().sum()).collect();
        }
        self.gaps.iter_mut().for_each(|bin| *bin /= 2);
        self.gaps.dedup();
        self.len = self.len.div_ceil(2);
    }

    /// Everything until `end_ns`.
    pub fn finish(mut self, end_ns: u64) -> Loads {
        self.reach(end_ns);
        let (start_ns, width_ns) = (self.start_ns.unwrap_or(end_ns), self.width_ns);
        // What is left of the last bin tells too little.
        let len = ((end_ns.saturating_sub(start_ns)) / width_ns) as usize;
        let cpus = self.rows.into_iter().enumerate().filter(|(_, row)| row.seen);
        let cpus = cpus.map(|(cpu, mut row)| {
            row.add_until(end_ns, start_ns, width_ns);
            row.sums.reserve_exact(len.saturating_sub(row.sums.len()));
            row.sums.resize(len, 0.0);
            row.sums.iter_mut().for_each(|sum| *sum /= width_ns as f32);
            (cpu as u32, row.sums)
        });
        Loads { start_ns, width_ns, len, cpus: cpus.collect(), gaps: self.gaps }
    }
}

impl Row {
    /// Add what was since the last change.
    fn add_until(&mut self, at_ns: u64, start_ns: u64, width_ns: u64) {
        let mut from_ns = self.since_ns.max(start_ns) - start_ns;
        let to_ns = at_ns.saturating_sub(start_ns);
        if to_ns <= from_ns {
            return;
        }
        let last = (to_ns / width_ns) as usize;
        if self.value == 0.0 {
            return;
        }
        if self.sums.len() <= last {
            // Room for no more than there may ever be.
            let room = (last + 1).next_power_of_two();
            self.sums.reserve_exact(room - self.sums.len());
            self.sums.resize(last + 1, 0.0);
        }
        let mut bin = (from_ns / width_ns) as usize;
        while from_ns < to_ns {
            let end_ns = ((bin as u64 + 1) * width_ns).min(to_ns);
            self.sums[bin] += self.value * (end_ns - from_ns) as f32;
            from_ns = end_ns;
            bin += 1;
        }
    }
}

/// Loads of a whole trace.
#[derive(Clone, Debug, Default)]
pub struct Loads {
    /// When the first bin begins, in ns.
    pub start_ns: u64,
    /// Width of a bin, in ns.
    pub width_ns: u64,
    /// Bins.
    pub len: usize,
    /// The CPUs that were seen, and the mean number of tasks in each bin that ran or waited there.
    pub cpus: Vec<(u32, Vec<f32>)>,
    /// Bins in which events are missing, ascending.
    pub gaps: Vec<usize>,
}

impl Loads {
    /// The longest stretch of bins without a gap.
    pub fn whole_stretch(&self) -> std::ops::Range<usize> {
        let mut longest = 0..0;
        let mut from = 0;
        for gap in self.gaps.iter().copied().chain([self.len]) {
            let to = gap.min(self.len);
            if to.saturating_sub(from) > longest.len() {
                longest = from..to;
            }
            from = gap + 1;
        }
        longest
    }

    /// The mean of `series` in `columns` equal parts, for drawing.
    pub fn columns(series: &[f32], columns: usize) -> Vec<f32> {
        let columns = columns.min(series.len());
        let part = |at: usize| at * series.len() / columns.max(1);
        let mean = |part: &[f32]| part.iter().sum::<f32>() / part.len().max(1) as f32;
        (0..columns).map(|at| mean(&series[part(at)..part(at + 1)])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_holds_the_mean_of_its_time() {
        let mut bins = Bins::new();
        bins.set(0, 1_000_000, 2.0);
        bins.set(0, 1_150_000, 0.0);
        bins.set(2, 1_250_000, 4.0);
        let loads = bins.finish(1_300_000);
        assert_eq!((loads.start_ns, loads.width_ns, loads.len), (1_000_000, 100_000, 3));
        assert_eq!(loads.cpus, [(0, vec![2.0, 1.0, 0.0]), (2, vec![0.0, 0.0, 2.0])]);
    }

    #[test]
    fn a_long_trace_gets_wider_bins_and_keeps_its_means() {
        let mut bins = Bins::new();
        for step in 0..40_000u64 {
            bins.set(0, step * 100_000, (step % 2) as f32);
        }
        let loads = bins.finish(4_000_000_000);
        assert_eq!(loads.width_ns, 1_600_000);
        assert_eq!(loads.len, 2500);
        assert!(loads.cpus[0].1.iter().all(|mean| (mean - 0.5).abs() < 1e-3));
    }

    #[test]
    fn many_cpus_have_wider_bins_and_the_same_means() {
        let mut bins = Bins::new();
        for cpu in 0..8192u32 {
            bins.set(cpu, 0, 1.0);
        }
        (0..8192).for_each(|cpu| bins.set(cpu, 400_000_000, 3.0));
        let loads = bins.finish(800_000_000);
        assert!(loads.len * loads.cpus.len() <= CELLS_MAX && loads.len > 100, "{}", loads.len);
        for (cpu, row) in &loads.cpus {
            assert_eq!(row.len(), loads.len);
            let mean = row.iter().sum::<f32>() / loads.len as f32;
            assert!((mean - 2.0).abs() < 0.03, "CPU {cpu}: {mean}");
        }
    }

    #[test]
    fn gaps_split_what_is_whole() {
        let loads = Loads { len: 100, gaps: vec![10, 70, 71], ..Loads::default() };
        assert_eq!(loads.whole_stretch(), 11..70);
        assert_eq!(Loads { len: 5, ..Loads::default() }.whole_stretch(), 0..5);
        assert_eq!(Loads::default().whole_stretch(), 0..0);
    }
}
