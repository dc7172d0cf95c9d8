// SPDX-License-Identifier: GPL-2.0-only
//! The simulator, with scx_toll in it, does what queueing theory says where that is known: the mean over
//! ten seeds lies within three standard errors.
//!
//! Requests arrive as a Poisson process and take times of which the scheduler knows nothing beforehand;
//! each is a task that sleeps when it is done. Moves cost nothing, and kernel and interrupts take no
//! time.
//!
//! | what | mean response |
//! |---|---|
//! | k CPUs of one LLC, or of several with free moves | M/M/k: `1/μ + C(k, λ/μ) / (kμ − λ)`, by any order that does not know what a request takes |
//! | as many LLCs of one CPU each, moves forbidden | M/M/1: `1 / (μ − λ/n)` |
//! | three CPUs, the shorter queue of two drawn at random (`src/sim/stand_in/example.bpf.c`) | from the stationary distribution of the three queues |
//! | one CPU that all requests share | processor sharing: `(1/μ) / (1 − ρ)`, whatever the requests take |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod simulated;

use scx_toll::model::decide::Migrate;
use scx_toll::sim::abi::CpuMask;
use scx_toll::sim::load::{Cx, Ends, Hire, Load, StaffView, Step};
use scx_toll::sim::run::Outcome;
use scx_toll::topology::Topology;
use scx_toll::units::Ns;
use simulated::{Simulated, compile_source, run_other, sources};
use std::cell::RefCell;
use std::rc::Rc;
use toll_bench::lab::figures::Figure;
use toll_bench::rng::Rng;

const SEEDS: u64 = 10;
/// Requests of a run; the mean is taken without the first tenth.
const REQUESTS: usize = 20_000;
/// The same where each request takes many turns.
const FEWER: usize = 8_000;

/// What requests take.
#[derive(Clone, Copy)]
enum Takes {
    /// Exponential times of this mean, ns.
    Exponential(u64),
    /// Nine of ten are short, the others as many times as long as given.
    TwoSizes { short: u64, times: u64 },
}

impl Takes {
    fn draw(self, rng: &mut Rng) -> u64 {
        match self {
            Takes::Exponential(mean) => rng.exponential_ns(mean).max(1),
            Takes::TwoSizes { short, times } if rng.below(10) == 0 => short * times,
            Takes::TwoSizes { short, .. } => short,
        }
    }

    fn mean(self) -> f64 {
        match self {
            Takes::Exponential(mean) => mean as f64,
            Takes::TwoSizes { short, times } => short as f64 * (0.9 + 0.1 * times as f64),
        }
    }
}

/// Requests for free tasks; response times go out through `found`.
struct Requests {
    pools: usize,
    tasks: usize,
    takes: Takes,
    gap_ns: u64,
    rng: Rng,
    /// Free tasks by pool; all pools are one unless each LLC has its own.
    free: Vec<Vec<u32>>,
    /// The pool of each task, from where it was when it was released.
    pool: Vec<usize>,
    /// When the request of each task came, and what it takes.
    at: Vec<Option<(u64, u64)>>,
    /// The task works on its request.
    works: Vec<bool>,
    came: usize,
    requests: usize,
    found: Rc<RefCell<Vec<u64>>>,
}

impl Load for Requests {
    fn staff(&mut self) -> Vec<Hire> {
        // One-CPU LLCs that have a pool each are numbered as their CPUs.
        let born_on = |nr: usize| (self.pools > 1).then(|| CpuMask::of([nr % self.pools]));
        let hire = |nr| Hire { born_on: born_on(nr), ..Hire::new(&format!("q{nr}"), 0) };
        (0..self.tasks).map(hire).collect()
    }

    fn ends(&self) -> Ends {
        Ends::Done(u64::MAX / 8)
    }

    fn released(&mut self, cx: &mut Cx) {
        cx.at(cx.now + 50_000_000, 0);
    }

    fn next(&mut self, task: u32, cx: &mut Cx) -> Step {
        let at = task as usize;
        if self.pool[at] == usize::MAX {
            // Just released: it belongs where it is.
            self.pool[at] = if self.pools > 1 { cx.machine.llc(cx.cpu) } else { 0 };
            self.free[self.pool[at]].push(task);
            return Step::Block;
        }
        if std::mem::take(&mut self.works[at]) {
            let (came, _) = self.at[at].take().unwrap();
            self.found.borrow_mut().push(cx.now - came);
            self.free[self.pool[at]].push(task);
        }
        match self.at[at] {
            Some((_, takes)) => {
                self.works[at] = true;
                Step::Work(takes)
            }
            None if self.came >= self.requests => Step::End,
            None => Step::Block,
        }
    }

    fn phase(&mut self, _: u64, cx: &mut Cx) {
        self.came += 1;
        let pool = self.rng.below(self.pools as u64) as usize;
        let task = self.free[pool].pop().expect("a task for each request");
        self.at[task as usize] = Some((cx.now, self.takes.draw(&mut self.rng)));
        cx.wake(task, false);
        if self.came < self.requests {
            cx.at(cx.now + self.rng.exponential_ns(self.gap_ns), 0);
        } else {
            // Whoever is free goes home; the others when they are done.
            self.free.iter().flatten().for_each(|&task| cx.wake(task, false));
        }
    }

    fn figures(&self, _: &StaffView, _: u64) -> Vec<Figure> {
        Vec::new()
    }
}

/// Mean response times under scx_toll, one for each seed, in units of the mean demand.
fn means(
    machine: impl Fn(u64) -> Simulated,
    pools: usize,
    tasks: usize,
    takes: Takes,
    load: f64,
) -> Vec<f64> {
    let cpus = machine(1).topo.cpus.len();
    means_of(cpus, pools, tasks, takes, load, |seed, requests| machine(seed).run(requests))
}

/// The same under whatever `run` runs.
fn means_of(
    cpus: usize,
    pools: usize,
    tasks: usize,
    takes: Takes,
    load: f64,
    run: impl Fn(u64, Box<dyn Load>) -> Outcome,
) -> Vec<f64> {
    (1..=SEEDS)
        .map(|seed| {
            let requests = if matches!(takes, Takes::Exponential(_)) { REQUESTS } else { FEWER };
            let found = Rc::new(RefCell::new(Vec::new()));
            let load = Requests {
                pools,
                tasks,
                takes,
                gap_ns: (takes.mean() / (load * cpus as f64)) as u64,
                rng: Rng::stream(seed, 77),
                free: vec![Vec::new(); pools],
                pool: vec![usize::MAX; tasks],
                at: vec![None; tasks],
                works: vec![false; tasks],
                came: 0,
                requests,
                found: Rc::clone(&found),
            };
            let outcome = run(seed, Box::new(load));
            assert!(outcome.failure.is_none(), "{:?}", outcome.failure);
            let found = &found.borrow()[requests / 10..];
            found.iter().sum::<u64>() as f64 / found.len() as f64 / takes.mean()
        })
        .collect()
}

/// Assert that the mean of `means` is `expected` within three standard errors.
fn check(what: &str, means: &[f64], expected: f64) {
    let nr = means.len() as f64;
    let mean = means.iter().sum::<f64>() / nr;
    let variance = means.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / (nr - 1.0);
    let error = (variance / nr).sqrt();
    println!("{what}: {mean:.4} ± {error:.4}, expected {expected:.4}");
    assert!((mean - expected).abs() < 3.0 * error, "{what}: {mean} ± {error}, expected {expected}");
}

/// Mean response of M/M/k at this load, in units of the mean demand: Erlang's C.
fn mmk(k: usize, load: f64) -> f64 {
    let offered = load * k as f64;
    let term = |n: usize| (1..=n).fold(1.0, |product, i| product * offered / i as f64);
    let queue = term(k) / (1.0 - load);
    let all: f64 = (0..k).map(term).sum::<f64>() + queue;
    1.0 + queue / all / (k as f64 * (1.0 - load))
}

/// Mean response of three CPUs at this load where requests join the shorter queue of two that are drawn,
/// in units of the mean demand: by the stationary distribution of the sorted lengths of the queues,
/// found by letting time pass until nothing changes.
fn two_choices(load: f64) -> f64 {
    const MOST: usize = 30;
    let index = |a: usize, b: usize, c: usize| (a * (MOST + 1) + b) * (MOST + 1) + c;
    let sorted = |mut q: [usize; 3]| {
        q.sort_unstable_by(|x, y| y.cmp(x));
        index(q[0], q[1], q[2])
    };
    let states: Vec<[usize; 3]> = (0..=MOST)
        .flat_map(|a| (0..=a).flat_map(move |b| (0..=b).map(move |c| [a, b, c])))
        .collect();
    // To where each state goes, and how often; the rest of the time it stays.
    let arrivals = 3.0 * load;
    let rate = arrivals + 3.0;
    let mut p = vec![0.0; (MOST + 1).pow(3)];
    p[0] = 1.0;
    for _ in 0..6_000 {
        let mut next = vec![0.0; p.len()];
        for &state in &states {
            let mass = p[index(state[0], state[1], state[2])];
            if mass == 0.0 {
                continue;
            }
            let mut stay = 1.0;
            let mut go = |to: [usize; 3], often: f64, next: &mut Vec<f64>| {
                next[sorted(to)] += mass * often / rate;
                stay -= often / rate;
            };
            // Of the three pairs two contain the shortest queue; the third leads to the middle one.
            for (queue, share) in [(2, 2.0 / 3.0), (1, 1.0 / 3.0)] {
                let mut to = state;
                to[queue] += 1;
                if to[queue] <= MOST {
                    go(to, arrivals * share, &mut next);
                }
            }
            for queue in 0..3 {
                let mut to = state;
                if to[queue] > 0 {
                    to[queue] -= 1;
                    go(to, 1.0, &mut next);
                }
            }
            next[index(state[0], state[1], state[2])] += mass * stay;
        }
        p = next;
    }
    let number: f64 =
        states.iter().map(|q| p[index(q[0], q[1], q[2])] * q.iter().sum::<usize>() as f64).sum();
    number / arrivals
}

const MEAN: Takes = Takes::Exponential(5_000_000);

#[test]
fn one_llc_is_one_queue() {
    let machine = |seed| Simulated::without_costs(1, 1, 4, seed);
    assert!((mmk(1, 0.5) - 2.0).abs() < 1e-12 && (mmk(4, 0.8) - 1.7455).abs() < 1e-3);
    check("M/M/4 at 80 %", &means(machine, 1, 200, MEAN, 0.8), mmk(4, 0.8));
}

#[test]
fn free_moves_make_one_queue_of_many() {
    let machine = |seed| {
        let mut machine = Simulated::without_costs(1, 4, 1, seed).migrate(Migrate::Always);
        machine.policy.slice = Ns::from_ms(2);
        machine
    };
    check("4 LLCs, free moves, at 70 %", &means(machine, 1, 200, MEAN, 0.7), mmk(4, 0.7));
}

#[test]
fn forbidden_moves_leave_a_queue_each() {
    let machine = |seed| Simulated::without_costs(1, 4, 1, seed).migrate(Migrate::Never);
    check("4 × M/M/1 at 60 %", &means(machine, 4, 400, MEAN, 0.6), mmk(1, 0.6));
}

#[test]
fn the_shorter_of_two_queues() {
    let dir = tempfile::tempdir().unwrap();
    let object = dir.path().join("example.so");
    compile_source("gcc", &sources().0, "example.bpf.c", &object).unwrap();
    let topo = Topology::synthetic(1, 1, 3).unwrap();
    let run = |seed, requests| run_other(&topo, &object, seed, requests);
    check("JSQ(2) of 3 at 80 %", &means_of(3, 1, 200, MEAN, 0.8, run), two_choices(0.8));
}

#[test]
fn one_cpu_is_shared() {
    let machine = |seed| {
        let mut machine = Simulated::without_costs(1, 1, 1, seed);
        machine.policy.slice = Ns::from_us(500);
        machine.timing.tick_ns = 250_000;
        machine
    };
    let takes = Takes::TwoSizes { short: 8_000_000, times: 11 };
    check("processor sharing at 60 %", &means(machine, 1, 150, takes, 0.6), 1.0 / 0.4);
}
