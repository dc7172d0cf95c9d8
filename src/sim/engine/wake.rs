// SPDX-License-Identifier: GPL-2.0-only
//! A task wakes up: select_cpu, runnable, enqueue, and what is put off until the run queue is let go.

use super::*;

impl Engine<'_> {
    pub(super) fn wake(&mut self, task: TaskId, flags: u64) {
        if self.task(task).state != State::Asleep {
            return;
        }
        self.counts.wakeups += 1;
        self.audit.wakes(task);
        let cpu = self.select_cpu(task, flags);
        self.activate(task, cpu, abi::ENQ_WAKEUP);
    }

    pub(super) fn wake_new(&mut self, task: TaskId, _parent: usize) {
        let cpu = self.select_cpu(task, abi::WAKE_FORK);
        self.activate(task, cpu, 0);
    }

    pub(super) fn select_cpu(&mut self, task: TaskId, flags: u64) -> usize {
        let raw = self.task(task).raw;
        let prev = self.world().cpu_of(task);
        // SAFETY: the task lives as long as the world.
        let (fixed, cpus) = unsafe {
            let task = &*raw;
            (task.nr_cpus_allowed <= 1 || task.migration_disabled != 0, &*task.cpus)
        };
        let mut cpu = prev;
        if !fixed {
            cpu = match self.ops.select_cpu {
                Some(select_cpu) => {
                    self.w().directing = Some(task);
                    self.counts.callbacks += 1;
                    // SAFETY: a callback of the bound object, about a live task.
                    let cpu = unsafe { select_cpu(raw, prev as i32, flags) };
                    self.w().directing = None;
                    cpu as usize
                }
                None => self.select_cpu_by_default(task, raw, prev),
            };
        }
        if cpu >= self.world().cpus.len() {
            self.w().fail(format!("invalid CPU {} from ops.select_cpu()", cpu as i32));
            return prev;
        }
        match cpus.has(cpu) && self.world().machine.is_online(cpu) {
            true => cpu,
            false => cpus.and(&self.world().machine.online_mask()).iter().next().unwrap_or(prev),
        }
    }

    pub(super) fn select_cpu_by_default(
        &mut self,
        task: TaskId,
        raw: *mut Task,
        prev: usize,
    ) -> usize {
        let mut all = self.world().machine.online_mask();
        let kernel = self.world.cast();
        // SAFETY: the world is alive, and no reference into it is.
        let found = unsafe {
            crate::sim::kfuncs::select_cpu_and(kernel, raw, prev as i32, 0, &raw mut all, 0)
        };
        if found < 0 {
            return prev;
        }
        self.w().raw(task).scx.slice = abi::SLICE_DFL;
        self.task(task).sent = Some(Sent { dsq: abi::DSQ_LOCAL, flags: 0, by_vtime: false });
        found as usize
    }

    /// Put `task` into the run queue of `cpu`.
    pub(super) fn activate(&mut self, task: TaskId, cpu: usize, flags: u64) {
        let now = self.world().now;
        let w = self.w();
        w.set_cpu(task, cpu);
        w.raw(task).scx.flags |= abi::TASK_QUEUED;
        let state = &mut w.tasks[task as usize];
        state.state = State::Waiting;
        state.runnable_at = now;
        let raw = state.raw;
        self.nr_waiting += 1;
        if let Some(runnable) = self.ops.runnable {
            self.counts.callbacks += 1;
            // SAFETY: a callback of the bound object, about a live task.
            unsafe { runnable(raw, flags) };
        }
        self.put(task, cpu, flags);
        // Any task is better than none.
        if self.cpu(cpu).curr.is_none() {
            self.w().resched(cpu);
        }
        self.run_deferred(cpu);
    }

    /// Hand a task that waits to the scheduler, or to where the scheduler has sent it already.
    pub(super) fn put(&mut self, task: TaskId, cpu: usize, flags: u64) {
        let raw = self.task(task).raw;
        // SAFETY: the task lives as long as the world.
        let (exits, stays) =
            unsafe { ((*raw).flags & abi::PF_EXITING != 0, (*raw).migration_disabled != 0) };
        if self.task(task).sent.is_none() {
            let local = (exits && self.ops.flags & abi::OPS_ENQ_EXITING == 0)
                || (stays && self.ops.flags & abi::OPS_ENQ_MIGRATION_DISABLED == 0);
            let Some(enqueue) = self.ops.enqueue.filter(|_| !local) else {
                let dsq = if local { cpu } else { self.world().global() };
                let w = self.w();
                w.raw(task).scx.slice = abi::SLICE_DFL;
                return w.enqueue(task, dsq, flags, false);
            };
            let w = self.w();
            w.enqueues += 1;
            w.tasks[task as usize].held = w.enqueues;
            w.directing = Some(task);
            self.counts.callbacks += 1;
            // SAFETY: a callback of the bound object, about a live task.
            unsafe { enqueue(raw, flags) };
            self.w().directing = None;
        }
        let Some(mut sent) = self.task(task).sent.take() else { return };
        sent.flags |= flags;
        self.task(task).held = 0;
        let w = self.w();
        match w.dsq(sent.dsq, cpu) {
            Some(dsq) if dsq < w.cpus.len() && dsq != cpu => {
                // Two run queues cannot be locked from here.
                w.tasks[task as usize].deferred = true;
                w.tasks[task as usize].sent = Some(sent);
                w.cpus[cpu].deferred.push(task);
            }
            _ => w.deliver(task, sent, cpu),
        }
    }

    /// Carry out what was put off while the run queue of `cpu` was held.
    pub(super) fn run_deferred(&mut self, cpu: usize) {
        let w = self.w();
        for task in std::mem::take(&mut w.cpus[cpu].deferred) {
            let state = &mut w.tasks[task as usize];
            if std::mem::take(&mut state.deferred)
                && let Some(sent) = state.sent.take()
            {
                w.deliver(task, sent, cpu);
            }
        }
    }
}
