// SPDX-License-Identifier: GPL-2.0-only
//! Four nodes, each of which moves to its neighbour at the same time: every order in which locks
//! can be taken ends, and no budget is lost. The same check on locks taken in the order of the
//! move (source first) finds the ring in which all wait.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use loom::sync::{Mutex, MutexGuard};
use loom::thread;
use scx_toll::memory::ordered::{Exclusive, Ordered};
use std::panic::catch_unwind;
use std::sync::Arc;

/// A mutex whose orders of events are all tried.
struct Tried<T>(Mutex<T>);

impl<T> Exclusive<T> for Tried<T> {
    type Guard<'a>
        = MutexGuard<'a, T>
    where
        T: 'a;

    fn new(value: T) -> Tried<T> {
        Tried(Mutex::new(value))
    }

    fn hold(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("nobody panics with it")
    }
}

const NODES: usize = 4;
const START: u64 = 100;

/// Every interleaving with at most so many switches away from a thread that could run on.
fn every_order(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(body);
}

/// Run `mover(node)` for all nodes at once.
fn all_at_once(mover: impl Fn(usize) + Clone + Send + 'static) {
    let threads: Vec<_> = (1..NODES)
        .map(|node| {
            let mover = mover.clone();
            thread::spawn(move || mover(node))
        })
        .collect();
    mover(0);
    for thread in threads {
        thread.join().expect("it ends");
    }
}

#[test]
fn ascending_order_always_ends_and_loses_nothing() {
    every_order(|| {
        let budgets: Arc<Ordered<Tried<u64>>> = Arc::new(Ordered::new([START; NODES]));
        let shared = Arc::clone(&budgets);
        all_at_once(move |node| {
            let taken = shared.with_both(node, (node + 1) % NODES, |from, to| {
                *from -= 3;
                *to += 2;
            });
            assert!(taken.is_some());
        });
        for node in 0..NODES {
            let next = (node + 1) % NODES;
            budgets.with_both(node, next, |here: &mut u64, there| {
                assert_eq!((*here, *there), (START - 1, START - 1), "nodes {node} and {next}");
            });
        }
    });
}

#[test]
fn source_first_is_found_to_deadlock() {
    let found = catch_unwind(|| {
        every_order(|| {
            let budgets: Arc<Vec<Mutex<u64>>> =
                Arc::new((0..NODES).map(|_| Mutex::new(START)).collect());
            all_at_once(move |node| {
                let mut from = budgets[node].lock().expect("nobody panics with it");
                let mut to = budgets[(node + 1) % NODES].lock().expect("nobody panics with it");
                *from -= 3;
                *to += 2;
            });
        });
    });
    let why = found.expect_err("a ring of four that all take their own lock first");
    let why = why.downcast_ref::<String>().cloned().unwrap_or_else(|| {
        why.downcast_ref::<&str>().map_or_else(String::new, |why| (*why).into())
    });
    assert!(why.contains("deadlock"), "{why}");
}
