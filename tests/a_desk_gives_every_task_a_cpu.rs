// SPDX-License-Identifier: GPL-2.0-only
//! `--policy user` on a made-up machine: every task that arrives is given one CPU once, one that it may
//! use; none waits beside a free CPU of its LLC; every question has one answer; and prices decide.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use scx_toll::model::PenaltyTable;
use scx_toll::model::decide::Migrate;
use scx_toll::model::penalty::{Cell, Provenance};
use scx_toll::policy::Policy;
use scx_toll::topology::{Level, Topology};
use scx_toll::units::Ns;
use scx_toll::user::{Allowed, Arrival, Desk, Order};
use std::collections::BTreeMap;

const MS: u64 = 1_000_000;
const CPUS: u32 = 8;
const CPUS_PER_LLC: u32 = 2;

fn desk(migrate: Migrate, hop: Option<Ns>) -> Desk {
    let topo = Topology::synthetic(2, 2, CPUS_PER_LLC as usize).unwrap();
    let mut table = PenaltyTable::default();
    if let Some(hop) = hop {
        for level in Level::ALL {
            table.class_mut(level).hop = Cell::new(hop, Provenance::Given);
        }
    }
    let policy = Policy { migrate, ..Policy::new(table, "test".into(), &topo) };
    Desk::new(topo, policy)
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Event {
    /// A task wants to run: pid, and which CPUs it may use by their bits.
    Wake(i32, u8),
    /// The task on this CPU ends its turn after so many µs and comes back, or goes to sleep.
    End(u32, u64, bool),
    /// Time goes by, in µs.
    Pass(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let mask = prop_oneof![3 => Just(0xffu8), 1 => 1..=255u8];
    let event = prop_oneof![
        4 => (1..40i32, mask).prop_map(|(pid, mask)| Event::Wake(pid, mask)),
        4 => (0..CPUS, 1..20_000u64, any::<bool>()).prop_map(|(cpu, us, back)| Event::End(cpu, us, back)),
        1 => (0..30_000u64).prop_map(Event::Pass),
    ];
    prop::collection::vec(event, 1..200)
}

fn migrate() -> impl Strategy<Value = Migrate> {
    prop::sample::select(vec![Migrate::Toll, Migrate::Always, Migrate::Never, Migrate::Fixed])
}

/// A task of the world around the desk.
#[derive(Debug, Clone)]
struct Task {
    cpu: u32,
    allowed: Allowed,
    run_ns: u64,
    span: (u64, u64),
    seq: u64,
    waits: bool,
}

struct World {
    desk: Desk,
    now_ns: u64,
    tasks: BTreeMap<i32, Task>,
    /// What runs on each CPU.
    on: BTreeMap<u32, i32>,
    moves: bool,
}

impl World {
    fn new(migrate: Migrate) -> World {
        let (tasks, on) = (BTreeMap::new(), BTreeMap::new());
        let moves = migrate != Migrate::Never;
        World { desk: desk(migrate, None), now_ns: 1_000 * MS, tasks, on, moves }
    }

    fn arrive(&mut self, pid: i32) {
        let task = self.tasks.get_mut(&pid).unwrap();
        (task.seq, task.waits) = (task.seq + 1, true);
        let arrival = Arrival {
            pid,
            cpu: task.cpu,
            allowed: task.allowed.clone(),
            run_ns: task.run_ns,
            start_ns: task.span.0,
            stop_ns: task.span.1,
            weight: 100,
            flags: 0,
            seq: task.seq,
        };
        self.desk.arrive(arrival, self.now_ns);
    }

    fn carry_out(&mut self, orders: Vec<Order>) {
        for order in orders {
            let task = self.tasks.get_mut(&order.pid).expect("a task that arrived");
            assert!(task.waits, "{} was given a CPU twice", order.pid);
            assert_eq!(task.seq, order.seq);
            assert!(task.allowed.has(order.cpu), "{task:?} may not run on {}", order.cpu);
            let stays = task.cpu / CPUS_PER_LLC == order.cpu / CPUS_PER_LLC;
            assert!(stays || self.moves || task.allowed != Allowed::All, "moves are switched off");
            (task.waits, task.cpu) = (false, order.cpu);
            task.span.0 = self.now_ns;
            // Whoever runs there already goes on first; here it is as if it had gone to sleep.
            self.on.insert(order.cpu, order.pid);
        }
    }

    fn end(&mut self, cpu: u32, us: u64, back: bool) {
        let Some(pid) = self.on.remove(&cpu) else { return };
        self.now_ns += us * 1_000;
        let task = self.tasks.get_mut(&pid).unwrap();
        if task.waits || task.cpu != cpu {
            return;
        }
        task.span.1 = self.now_ns;
        task.run_ns += task.span.1 - task.span.0;
        if back {
            self.arrive(pid);
        } else {
            task.run_ns = 0;
            self.desk.idle(cpu, self.now_ns);
        }
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Wake(pid, mask) => {
                let cpus: Vec<u32> = (0..CPUS).filter(|cpu| mask >> cpu & 1 != 0).collect();
                let allowed =
                    if mask == 0xff { Allowed::All } else { Allowed::These(cpus.clone()) };
                let runs = self.on.values().any(|on| *on == pid);
                let fresh = Task {
                    cpu: cpus[0],
                    allowed: allowed.clone(),
                    run_ns: 0,
                    span: (0, 0),
                    seq: 0,
                    waits: false,
                };
                let task = self.tasks.entry(pid).or_insert(fresh);
                // Also one that waits already, whose mask has changed.
                if !runs {
                    task.allowed = allowed;
                    self.arrive(pid);
                }
            }
            Event::End(cpu, us, back) => self.end(cpu, us, back),
            Event::Pass(us) => self.now_ns += us * 1_000,
        }
        let orders = self.desk.assign(self.now_ns);
        self.carry_out(orders);
        self.is_sound();
    }

    fn is_sound(&self) {
        assert_eq!(self.desk.counters().unanswered(), 0);
        let waiting = self.tasks.values().filter(|task| task.waits).count();
        assert_eq!(self.desk.nr_waiting(), waiting);
        let unbound = self.tasks.values().all(|task| task.allowed == Allowed::All);
        for (llc, state) in self.desk.llcs(self.now_ns).iter().enumerate() {
            assert!(state.queued == 0 || state.idle == 0 || !unbound, "llc{llc}: {state:?}");
            assert!(state.queued > 0 || state.queued_ns == 0, "llc{llc}: {state:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_task_gets_one_cpu_that_it_may_use(events in events(), migrate in migrate()) {
        let mut world = World::new(migrate);
        events.iter().for_each(|event| world.happen(event));
        // When CPUs go idle one after the other, nobody is left behind.
        for _ in 0..200 {
            world.now_ns += 20 * MS;
            for cpu in 0..CPUS {
                world.on.remove(&cpu);
                world.desk.idle(cpu, world.now_ns);
                let orders = world.desk.assign(world.now_ns);
                world.carry_out(orders);
            }
        }
        prop_assert_eq!(world.desk.nr_waiting(), 0);
        let taken: u64 = world.desk.counters().waits;
        let given = world.tasks.values().filter(|task| task.seq > 0).count() as u64;
        prop_assert!(taken >= given, "{} were given out, of {}", taken, given);
    }
}

/// Six endless tasks that all begin on LLC 0, for so many turns; how many CPUs they use in the end.
fn spread(migrate: Migrate, hop: Ns) -> usize {
    let mut world = World::new(migrate);
    world.desk = desk(migrate, Some(hop));
    for pid in 1..=6 {
        let task = Task {
            cpu: (pid as u32) % CPUS_PER_LLC,
            allowed: Allowed::All,
            run_ns: 0,
            span: (0, 0),
            seq: 0,
            waits: false,
        };
        world.tasks.insert(pid, task);
        world.arrive(pid);
    }
    let orders = world.desk.assign(world.now_ns);
    world.carry_out(orders);
    for _ in 0..20 {
        // A little before their turns are over, so that the desk knows who runs.
        world.now_ns += 19 * MS;
        let running: Vec<u32> = world.on.keys().copied().collect();
        for cpu in running {
            world.end(cpu, 0, true);
            let orders = world.desk.assign(world.now_ns);
            world.carry_out(orders);
        }
    }
    world.on.len()
}

#[test]
fn prices_decide_how_far_tasks_spread() {
    // Cheap moves pay on the node; whether they do beyond it is up to what their memory costs.
    assert!(spread(Migrate::Toll, Ns::from_us(10)) >= 4);
    assert_eq!(spread(Migrate::Toll, Ns::from_ms(60_000)), 2);
    assert_eq!(spread(Migrate::Never, Ns::from_us(10)), 2);
    assert_eq!(spread(Migrate::Always, Ns::from_ms(60_000)), 6);
}
