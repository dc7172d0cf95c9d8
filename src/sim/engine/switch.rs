// SPDX-License-Identifier: GPL-2.0-only
//! A CPU switches from one task to another, or begins to idle.

use super::*;

impl Engine<'_> {
    /// Account for what runs on `cpu` up to now.
    pub(super) fn update_curr(&mut self, cpu: usize) {
        let now = self.world().now;
        let Some(task) = self.cpu(cpu).curr else { return };
        let used = now - std::mem::replace(&mut self.cpu(cpu).since, now);
        if used == 0 {
            return;
        }
        let overhead = used.min(self.overhead[cpu]);
        self.overhead[cpu] -= overhead;
        let w = self.w();
        w.tasks[task as usize].ran_ns += used;
        let slice = &mut w.raw(task).scx.slice;
        if *slice != u64::MAX {
            *slice = slice.saturating_sub(used);
        }
        self.workers.account(task, cpu, used, overhead, &self.machine);
    }

    /// Choose what runs on `cpu`, which executes this, and switch to it.
    pub(super) fn schedule(&mut self, cpu: usize) {
        self.cpu(cpu).need_resched = false;
        self.update_curr(cpu);
        let prev = self.cpu(cpu).curr;
        let sleeps = prev.filter(|&task| self.task(task).state != State::Running);
        if let Some(task) = sleeps {
            self.sleep(task);
        }
        let runs = prev.filter(|_| sleeps.is_none());
        self.cpu(cpu).in_balance = true;
        let keep = self.balance(cpu, prev, runs);
        self.cpu(cpu).in_balance = false;
        let next = match keep {
            true => prev,
            false => self.world().dsqs[cpu].first().map(|entry| entry.task),
        };
        if let Some(task) = next {
            let scx = &mut self.w().raw(task).scx;
            if scx.slice == 0 {
                scx.slice = abi::SLICE_DFL;
            }
        }
        match (prev, next) {
            (None, None) => self.w().set_idle(cpu, true),
            (prev, next) if prev != next => self.switch(cpu, prev, runs, next),
            _ => {}
        }
        if !self.cpu(cpu).deferred.is_empty() {
            let w = self.w();
            let after = w.timing.irq_work(&mut w.events);
            w.events.push(w.now + after, Event::Deferred { cpu });
        }
    }

    /// The running task `task` goes to sleep, or ends.
    pub(super) fn sleep(&mut self, task: TaskId) {
        let raw = self.task(task).raw;
        if let Some(stopping) = self.ops.stopping {
            self.counts.callbacks += 1;
            // SAFETY: a callback of the bound object, about a live task.
            unsafe { stopping(raw, false) };
        }
        if let Some(quiescent) = self.ops.quiescent {
            self.counts.callbacks += 1;
            // SAFETY: as above.
            unsafe { quiescent(raw, abi::DEQ_SLEEP) };
        }
        self.w().raw(task).scx.flags &= !abi::TASK_QUEUED;
    }

    /// Bring something to the local queue of `cpu`; true if `runs`, what it has run so far, goes on.
    pub(super) fn balance(
        &mut self,
        cpu: usize,
        prev: Option<TaskId>,
        runs: Option<TaskId>,
    ) -> bool {
        let has_time =
            |engine: &mut Self| runs.is_some_and(|task| engine.w().raw(task).scx.slice > 0);
        if has_time(self) {
            return true;
        }
        let global = self.world().global();
        if !self.world().dsqs[cpu].is_empty() || self.w().consume(global, cpu) {
            return false;
        }
        let Some(dispatch) = self.ops.dispatch else {
            return runs.is_some() && self.ops.flags & abi::OPS_ENQ_LAST == 0;
        };
        let prev = prev.map_or(null_mut(), |task| self.task(task).raw);
        for left in (0..DISPATCH_LOOPS).rev() {
            self.w().buffer = Some(Vec::new());
            self.counts.callbacks += 1;
            // SAFETY: a callback of the bound object; `prev` is alive, or null.
            unsafe { dispatch(cpu as i32, prev) };
            let inserted = self.w().flush(cpu);
            self.w().buffer = None;
            if has_time(self) {
                return true;
            }
            if !self.world().dsqs[cpu].is_empty() || self.w().consume(global, cpu) {
                return false;
            }
            if inserted == 0 {
                break;
            }
            if left == 0 {
                let w = self.w();
                w.events.push(w.now, Event::Kick { by: cpu, cpu, flags: 0 });
            }
        }
        runs.is_some() && self.ops.flags & abi::OPS_ENQ_LAST == 0
    }

    /// From `prev`, which waits again if it `runs`, to `next`.
    pub(super) fn switch(
        &mut self,
        cpu: usize,
        prev: Option<TaskId>,
        runs: Option<TaskId>,
        next: Option<TaskId>,
    ) {
        self.counts.switches += 1;
        if prev.is_none() {
            self.update_idle(cpu, false);
        }
        if let Some(task) = runs {
            self.put_back(task, cpu, next.is_none());
        }
        self.cpu(cpu).curr = next;
        self.cpu(cpu).stretch += 1;
        self.note_switch(cpu, next);
        match next {
            Some(task) => self.set_next(task, cpu),
            None => self.update_idle(cpu, true),
        }
        if let Some(task) = prev.filter(|_| runs.is_none())
            && self.task(task).state == State::Gone
        {
            self.bury(task);
        }
    }

    pub(super) fn put_back(&mut self, task: TaskId, cpu: usize, last: bool) {
        let now = self.world().now;
        let raw = self.task(task).raw;
        if let Some(stopping) = self.ops.stopping {
            self.counts.callbacks += 1;
            // SAFETY: a callback of the bound object, about a live task.
            unsafe { stopping(raw, true) };
        }
        let state = self.task(task);
        (state.state, state.runnable_at) = (State::Waiting, now);
        self.nr_waiting += 1;
        if self.w().raw(task).scx.slice > 0 {
            self.w().enqueue(task, cpu, abi::ENQ_HEAD, false);
        } else {
            self.put(task, cpu, if last { abi::ENQ_LAST } else { 0 });
        }
    }

    pub(super) fn set_next(&mut self, task: TaskId, cpu: usize) {
        let now = self.world().now;
        let w = self.w();
        w.dequeue(task);
        let state = &mut w.tasks[task as usize];
        state.state = State::Running;
        state.turns += 1;
        state.ran_cpu = Some(cpu);
        let waited = now - state.runnable_at;
        let raw = state.raw;
        let overhead = w.timing.switch_ns;
        w.cpus[cpu].since = now;
        self.overhead[cpu] = overhead;
        self.nr_waiting -= 1;
        self.waited(task, waited);
        let llc = self.machine.llc(cpu);
        let object = &self.object;
        // SAFETY: the task is alive; only scx_toll's object names the state of its tasks.
        let penalty = || unsafe { crate::sim::toll::penalty_of_move(object, raw) };
        self.audit.runs(task, llc, penalty, now);
        if let Some(running) = self.ops.running {
            self.counts.callbacks += 1;
            // SAFETY: a callback of the bound object, about a live task.
            unsafe { running(raw) };
        }
        self.workers.arrive(task, cpu, &self.machine);
        self.expect_end(task, cpu);
        self.arm_tick(cpu);
    }

    /// When will what runs on `cpu` have done what it has to?
    pub(super) fn expect_end(&mut self, task: TaskId, cpu: usize) {
        let need = self.workers.need_ns(task, cpu, &self.machine);
        let at = self.world().now.saturating_add(self.overhead[cpu].saturating_add(need));
        if at < u64::MAX / 4 {
            let stretch = self.cpu(cpu).stretch;
            self.w().events.push(at, Event::Done { cpu, stretch });
        }
    }

    pub(super) fn arm_tick(&mut self, cpu: usize) {
        let w = self.w();
        if !std::mem::replace(&mut w.cpus[cpu].tick_armed, true) {
            let at = (w.now / w.timing.tick_ns + 1) * w.timing.tick_ns;
            w.events.push(at, Event::Tick { cpu });
        }
    }

    pub(super) fn update_idle(&mut self, cpu: usize, idle: bool) {
        if idle {
            self.nr_idle += 1;
        } else {
            self.nr_idle -= 1;
        }
        let now = self.world().now;
        self.cpu(cpu).idle_since = now;
        self.w().set_idle(cpu, idle);
        if let Some(update_idle) = self.ops.update_idle {
            self.counts.callbacks += 1;
            // SAFETY: a callback of the bound object.
            unsafe { update_idle(cpu as i32, idle) };
        }
    }

    pub(super) fn note_switch(&mut self, cpu: usize, next: Option<TaskId>) {
        let next = next.map_or(u64::MAX, u64::from);
        for word in [self.world().now, cpu as u64, next] {
            self.hash = (self.hash ^ word).wrapping_mul(0x0100_0000_01b3);
            self.hash ^= self.hash >> 29;
        }
    }

    pub(super) fn waited(&mut self, task: TaskId, waited: u64) {
        if self.released.is_some() {
            self.counts.wait_ns += waited;
            self.counts.longest_wait_ns = self.counts.longest_wait_ns.max(waited);
        }
        if waited > self.timeout_ns {
            self.stalled(task, waited);
        }
    }

    pub(super) fn stalled(&mut self, task: TaskId, waited: u64) {
        let pid = self.w().raw(task).pid;
        self.w().fail(format!(
            "runnable task stall (task {pid} failed to run for {:.3}s)",
            waited as f64 / 1e9
        ));
    }
}
