// SPDX-License-Identifier: GPL-2.0-only
//! A task that works, and pays for being moved.
//!
//! 1. Work is a demand of CPU time. [`Worker::work`] uses it up between looks at the thread's CPU
//!    clock ([`Worker::look`]).
//! 2. At each look the worker asks where it is. In another LLC than at the look before it owes the
//!    fixed cost of the move, and the loading of what was warm there and is not here. It works its
//!    debts off before it goes on.
//! 3. Away from its home each ns of work takes some thousandths more. Its home is the node where
//!    it began, or it is wherever the pages of its memory are ([`Home`]): then the share of the
//!    pages that are elsewhere counts, looked up again and again.
//! 4. Its working set becomes warm while it works, and is worn by what **others** run in the same
//!    LLC ([`Ground::busy`]): an idle cache keeps its contents.
//!
//! A worker that was moved twice between two looks pays for one move. Moves within an LLC are free.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::{Context, Result};

use crate::clock::{NS_PER_MS, thread_cpu_ns};
use crate::cpus::current_cpu;
use crate::lab::costs::{Costs, Level};
use crate::lab::resident::Resident;
use crate::shared::{Shareable, SharedSlice};
use crate::spin::until_next_look;
use crate::topology::{Place, Topology};

/// Run time after which a worker uses all of its memory, and looks where it is.
const LOOK_AT_MEMORY_NS: u64 = 20 * NS_PER_MS;

/// Where a worker is not slowed down.
pub enum Home {
    /// Where it began, whatever becomes of this memory.
    Fixed(Resident),
    /// Where this memory is.
    OfMemory(Resident),
}

/// What all workers of a run stand on.
pub struct Ground {
    /// The machine.
    pub topology: Topology,
    /// What moves cost on it.
    pub costs: Costs,
    /// CPU time that workers used, by LLC.
    busy: SharedSlice<Busy>,
}

#[repr(transparent)]
struct Busy(AtomicU64);
// SAFETY: one atomic integer.
unsafe impl Shareable for Busy {}

impl Ground {
    /// The ground of a run.
    ///
    /// # Errors
    /// When there is no shared memory.
    pub fn new(topology: Topology, costs: Costs) -> std::io::Result<Ground> {
        let busy = SharedSlice::new(topology.llcs().len())?;
        Ok(Ground { topology, costs, busy })
    }

    /// Where the caller runs; the first CPU's place should the kernel not tell.
    pub fn here(&self) -> Place {
        let cpu = current_cpu().unwrap_or(0);
        let first = || self.topology.cpus().first().and_then(|cpu| self.topology.place(cpu));
        // A machine has a CPU, and each has a place.
        self.topology.place(cpu).or_else(first).unwrap_or(Place {
            position: 0,
            llc: crate::topology::LlcId(0),
            node: crate::topology::NodeId(0),
        })
    }
}

/// How far it is from one place to another.
pub fn level(from: Place, to: Place) -> Level {
    if from.llc == to.llc {
        Level::Core
    } else if from.node == to.node {
        Level::Llc
    } else {
        Level::Node
    }
}

/// What a worker did and paid, in shared memory; written by the worker only.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Tally {
    /// Work done, ns of CPU time at home.
    pub work_ns: AtomicU64,
    /// Paid for moves: fixed costs and refills.
    pub refill_ns: AtomicU64,
    /// Paid for being away from home.
    pub remote_ns: AtomicU64,
    /// Moves that the worker saw, to another LLC of the node.
    pub llc_moves: AtomicU64,
    /// ... to another node.
    pub node_moves: AtomicU64,
    /// Whatever the scenario counts.
    pub count: AtomicU64,
}
// SAFETY: atomics only, ready for use as zeroes.
unsafe impl Shareable for Tally {}

fn add(cell: &AtomicU64, by: u64) {
    cell.fetch_add(by, Relaxed);
}

/// What is warm of the working set in one LLC.
#[derive(Clone, Copy, Debug, Default)]
struct Warm {
    kib: f64,
    /// The LLC's busy clock when `kib` was true, without this worker's own time since.
    busy_at: u64,
}

/// A task that works and pays.
pub struct Worker<'a> {
    ground: &'a Ground,
    tally: &'a Tally,
    set_kib: f64,
    place: Place,
    /// Where it began.
    began: Place,
    home: Home,
    /// Run time since it last looked at its memory.
    unlooked_ns: u64,
    warm: Vec<Warm>,
    /// CPU clock at the last look.
    looked_at: u64,
    /// Owed for moves.
    debt_ns: u64,
    /// Work done beyond the last demand.
    ahead_ns: u64,
    /// Thousandths of ns of work that did not make a whole one yet.
    rest: u64,
}

impl<'a> Worker<'a> {
    /// The calling task as a worker with a working set of `set_kib`.
    ///
    /// # Errors
    /// When the kernel does not tell where its memory is.
    pub fn new(
        ground: &'a Ground,
        tally: &'a Tally,
        set_kib: u64,
        mut home: Home,
    ) -> Result<Worker<'a>> {
        let here = ground.here();
        if let Home::OfMemory(memory) = &mut home {
            memory.look(&ground.topology).context("where memory is cannot be told")?;
        }
        Ok(Worker {
            ground,
            tally,
            set_kib: set_kib as f64,
            place: here,
            began: here,
            home,
            unlooked_ns: 0,
            warm: vec![Warm::default(); ground.topology.llcs().len()],
            looked_at: thread_cpu_ns(),
            debt_ns: 0,
            ahead_ns: 0,
            rest: 0,
        })
    }

    /// Work off `demand_ns` of CPU time at home, and what is owed. What one demand took too much
    /// is taken off the next. Stops at the first look at which `wanted` is false, and says whether
    /// it was wanted to the end.
    pub fn work_while(&mut self, demand_ns: u64, wanted: impl Fn() -> bool) -> bool {
        let mut done = self.ahead_ns;
        self.ahead_ns = 0;
        while done < demand_ns || self.debt_ns > 0 {
            until_next_look();
            done += self.look();
            if !wanted() {
                return false;
            }
        }
        self.ahead_ns = done - demand_ns;
        true
    }

    /// [`Worker::work_while`] to the end.
    pub fn work(&mut self, demand_ns: u64) {
        self.work_while(demand_ns, || true);
    }

    /// Pay for `kib` of data that another task at `from` has modified.
    pub fn receive(&mut self, from: Place, kib: u64) {
        self.look();
        let level = level(from, self.place).index();
        self.debt_ns += (self.ground.costs.refill_ns_per_kib[level] * kib as f64) as u64;
    }

    /// Where the worker was at its last look.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Account for the CPU time since the last look. Returns the work done.
    pub fn look(&mut self) -> u64 {
        let now = thread_cpu_ns();
        let used = now - self.looked_at;
        self.looked_at = now;
        let here = self.ground.here();
        if here.llc != self.place.llc {
            self.moved_to(here);
        }
        self.place = here;
        let paid = used.min(self.debt_ns);
        self.debt_ns -= paid;
        add(&self.tally.refill_ns, paid);
        let work = self.at_home_speed(used - paid);
        add(&self.tally.work_ns, work);
        self.grow_warm(used, used - paid);
        self.look_at_memory(used);
        work
    }

    /// After `used` more. What that takes is neither work nor paid for: it is gone.
    fn look_at_memory(&mut self, used: u64) {
        let Home::OfMemory(memory) = &mut self.home else { return };
        self.unlooked_ns += used;
        if self.unlooked_ns < LOOK_AT_MEMORY_NS {
            return;
        }
        self.unlooked_ns = 0;
        // It did tell at first; should it not do so now, what it told last goes on to hold.
        let _ = memory.look(&self.ground.topology);
        self.looked_at = thread_cpu_ns();
    }

    /// The work that `ns` of CPU time amount to here.
    fn at_home_speed(&mut self, ns: u64) -> u64 {
        let away_pm = match &self.home {
            Home::Fixed(_) => 1000 * u64::from(self.place.node != self.began.node),
            Home::OfMemory(memory) => memory.away_pm(self.place.node),
        };
        if away_pm == 0 {
            return ns;
        }
        let slow_pm = 1000 + self.ground.costs.remote_pm * away_pm / 1000;
        let thousandths = ns * 1000 + self.rest;
        let work = thousandths / slow_pm;
        self.rest = thousandths % slow_pm;
        add(&self.tally.remote_ns, ns.saturating_sub(work));
        work
    }

    /// What is still warm in LLC `llc`.
    fn warm_kib(&self, llc: usize) -> f64 {
        let Warm { kib, busy_at } = self.warm[llc];
        let others = self.ground.busy[llc].0.load(Relaxed).saturating_sub(busy_at);
        kib * (-(others as f64) / self.ground.costs.wear_ns).exp()
    }

    fn moved_to(&mut self, here: Place) {
        let level = level(self.place, here);
        add(if level == Level::Llc { &self.tally.llc_moves } else { &self.tally.node_moves }, 1);
        let (from, to) = (self.place.llc.0, here.llc.0);
        let there = self.warm_kib(from);
        let lost = (there - self.warm_kib(to)).max(0.0);
        let costs = &self.ground.costs;
        let refill = costs.refill_ns_per_kib[level.index()] * lost;
        self.debt_ns += costs.hop_ns[level.index()] + refill as u64;
        self.warm[to] = Warm {
            kib: there.max(self.warm_kib(to)),
            busy_at: self.ground.busy[to].0.load(Relaxed),
        };
    }

    /// `used` is what the worker ran since the last look; `worked` of it for itself.
    fn grow_warm(&mut self, used: u64, worked: u64) {
        let llc = self.place.llc.0;
        let busy = self.ground.busy[llc].0.fetch_add(used, Relaxed) + used;
        // Its own run time does not wear its own lines.
        self.warm[llc].busy_at += used;
        let grown = self.warm_kib(llc) + worked as f64 * self.ground.costs.fill_kib_per_ns;
        self.warm[llc] = Warm { kib: grown.min(self.set_kib), busy_at: busy };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{NS_PER_MS, NS_PER_US};
    use crate::cpus::CpuSet;
    use std::fs;

    /// Two CPUs in two LLCs of a node, or in two nodes.
    fn ground(nodes: usize) -> Ground {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("toll_worker-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let dir = std::env::temp_dir().join(name);
        let put = |path: &str, text: &str| {
            let path = dir.join("devices/system").join(path);
            fs::create_dir_all(path.parent().expect("parent")).expect("mkdir");
            fs::write(path, text).expect("write");
        };
        for cpu in 0..2 {
            put(&format!("cpu/cpu{cpu}/cache/index0/level"), "3");
            put(&format!("cpu/cpu{cpu}/cache/index0/type"), "Unified");
            put(&format!("cpu/cpu{cpu}/cache/index0/shared_cpu_list"), &cpu.to_string());
            put(
                &format!("node/node{}/cpulist", cpu % nodes),
                if nodes == 2 { ["0", "1"][cpu] } else { "0-1" },
            );
        }
        let topology = Topology::read(&dir, &CpuSet::from_iter([0, 1])).expect("topology");
        fs::remove_dir_all(&dir).expect("rmdir");
        let costs = Costs {
            hop_ns: [0, 1000, 3000],
            refill_ns_per_kib: [0.0, 100.0, 300.0],
            remote_pm: 250,
            fill_kib_per_ns: 1.0,
            wear_ns: 1e6,
        };
        Ground::new(topology, costs).expect("ground")
    }

    fn at(ground: &Ground, cpu: usize) -> Place {
        ground.topology.place(cpu).expect("a place")
    }

    fn begin<'a>(ground: &'a Ground, tally: &'a Tally, kib: u64) -> Worker<'a> {
        let home = Home::Fixed(Resident::new(0).expect("memory"));
        Worker::new(ground, tally, kib, home).expect("a worker")
    }

    /// A worker on CPU 0 with `kib` warm there.
    fn warm<'a>(ground: &'a Ground, tally: &'a Tally, kib: u64) -> Worker<'a> {
        let mut worker = begin(ground, tally, kib);
        (worker.place, worker.began) = (at(ground, 0), at(ground, 0));
        worker.grow_warm(0, kib);
        worker
    }

    #[test]
    fn a_move_costs_the_hop_and_the_refill_of_its_level() {
        for (nodes, debt) in [(1, 1000 + 50 * 100), (2, 3000 + 50 * 300)] {
            let (ground, tally) = (ground(nodes), Tally::default());
            let mut worker = warm(&ground, &tally, 50);
            worker.moved_to(at(&ground, 1));
            assert_eq!(worker.debt_ns, debt);
            let moves = (tally.llc_moves.load(Relaxed), tally.node_moves.load(Relaxed));
            assert_eq!(moves, if nodes == 1 { (1, 0) } else { (0, 1) });
        }
    }

    #[test]
    fn the_way_back_costs_the_hop_only_while_the_cache_there_was_idle() {
        let (ground, tally) = (ground(1), Tally::default());
        let mut worker = warm(&ground, &tally, 50);
        worker.moved_to(at(&ground, 1));
        worker.place = at(&ground, 1);
        worker.debt_ns = 0;
        worker.moved_to(at(&ground, 0));
        assert_eq!(worker.debt_ns, 1000);
    }

    #[test]
    fn others_wear_a_working_set_and_time_does_not() {
        let (ground, tally) = (ground(1), Tally::default());
        let worker = warm(&ground, &tally, 100);
        assert_eq!(worker.warm_kib(0), 100.0);
        ground.busy[0].0.fetch_add(1_000_000, Relaxed);
        let left = worker.warm_kib(0);
        assert!((left - 100.0 / std::f64::consts::E).abs() < 1e-9, "{left}");
    }

    #[test]
    fn away_from_home_work_takes_a_quarter_longer_and_no_ns_is_lost() {
        let (ground, tally) = (ground(2), Tally::default());
        let mut worker = warm(&ground, &tally, 0);
        worker.place = at(&ground, 1);
        let work: u64 = (0..100).map(|_| worker.at_home_speed(7)).sum();
        assert_eq!(work, 560);
        assert_eq!(tally.remote_ns.load(Relaxed), 140);
    }

    #[test]
    fn only_the_share_of_the_memory_that_is_elsewhere_slows_work_down() {
        let (ground, tally) = (ground(2), Tally::default());
        let mut worker = warm(&ground, &tally, 0);
        worker.home = Home::OfMemory(Resident::found(vec![12, 4]));
        // A quarter of the pages is elsewhere: a quarter of the quarter, 62 thousandths.
        assert_eq!(worker.at_home_speed(1_062_000), 1_000_000);
        worker.place = at(&ground, 1);
        assert_eq!(worker.at_home_speed(1_187_000), 1_000_000);
        assert_eq!(tally.remote_ns.load(Relaxed), 62_000 + 187_000);
    }

    #[test]
    fn a_demand_is_worked_off_and_overshoot_carries_over() {
        let mut ground = ground(1);
        ground.costs = Costs::FREE;
        let tally = Tally::default();
        let mut worker = begin(&ground, &tally, 0);
        for _ in 0..200 {
            worker.work(20 * NS_PER_US);
        }
        let work = tally.work_ns.load(Relaxed);
        assert!((4 * NS_PER_MS..6 * NS_PER_MS).contains(&work), "{work}");
        assert!(!worker.work_while(1000 * NS_PER_MS, || false));
    }
}
