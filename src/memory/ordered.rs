// SPDX-License-Identifier: GPL-2.0-only
//! One value per node, of which two can be held at once: always in ascending order of the nodes,
//! so that whoever holds one waits only for higher ones, and no ring of waiters can close.
//!
//! Generic over the mutex, so that `tests/a_ring_of_budgets_never_deadlocks.rs` can try every
//! order of events with one that is made for it.

use std::ops::DerefMut;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A mutual exclusion.
pub trait Exclusive<T> {
    /// Held until it is dropped.
    type Guard<'a>: DerefMut<Target = T>
    where
        Self: 'a;

    /// An unlocked one.
    fn new(value: T) -> Self;

    /// Wait for it.
    fn hold(&self) -> Self::Guard<'_>;
}

impl<T> Exclusive<T> for Mutex<T> {
    type Guard<'a>
        = MutexGuard<'a, T>
    where
        T: 'a;

    fn new(value: T) -> Mutex<T> {
        Mutex::new(value)
    }

    /// The values here are whole after every statement, so one that a panic left is good.
    fn hold(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The values, by node.
pub struct Ordered<M> {
    nodes: Vec<M>,
}

impl<M> Ordered<M> {
    /// One value for each node.
    pub fn new<T>(values: impl IntoIterator<Item = T>) -> Ordered<M>
    where
        M: Exclusive<T>,
    {
        Ordered { nodes: values.into_iter().map(M::new).collect() }
    }

    /// Run `work` on the values of nodes `a` and `b`, in this order; `None` unless there are two
    /// such nodes.
    pub fn with_both<T, R>(
        &self,
        a: usize,
        b: usize,
        work: impl FnOnce(&mut T, &mut T) -> R,
    ) -> Option<R>
    where
        M: Exclusive<T>,
    {
        let (low, high) = (a.min(b), a.max(b));
        if low == high {
            return None;
        }
        let (low, high) = (self.nodes.get(low)?, self.nodes.get(high)?);
        let mut first = low.hold();
        let mut second = high.hold();
        Some(match a < b {
            true => work(&mut first, &mut second),
            false => work(&mut second, &mut first),
        })
    }
}
