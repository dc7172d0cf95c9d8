// SPDX-License-Identifier: GPL-2.0-only
//! What interrupts a CPU: kicks, ticks, timers, and a task that has done its work.

use super::*;

impl Engine<'_> {
    pub(super) fn kick(&mut self, cpu: usize, flags: u64) {
        let curr = self.cpu(cpu).curr;
        if flags & abi::KICK_IDLE != 0 {
            if curr.is_none() {
                self.w().resched(cpu);
            }
            return;
        }
        if flags & abi::KICK_PREEMPT != 0
            && let Some(task) = curr
        {
            self.w().raw(task).scx.slice = 0;
        }
        self.w().resched(cpu);
    }

    pub(super) fn tick(&mut self, cpu: usize) {
        self.enter(cpu);
        self.cpu(cpu).tick_armed = false;
        let Some(task) = self.cpu(cpu).curr else { return };
        self.update_curr(cpu);
        if let Some(tick) = self.ops.tick {
            let raw = self.task(task).raw;
            self.counts.callbacks += 1;
            // SAFETY: a callback of the bound object, about a live task.
            unsafe { tick(raw) };
        }
        if self.w().raw(task).scx.slice == 0 {
            self.cpu(cpu).need_resched = true;
        }
        self.arm_tick(cpu);
        self.settle(cpu);
    }

    pub(super) fn timer(&mut self, cpu: usize, timer: usize, started: u64) {
        self.enter(cpu);
        let timer = timer as *mut abi::Timer;
        // SAFETY: a timer in one of the object's maps, which live as long as it does.
        let due = unsafe {
            match (*timer).started == started {
                true => (*timer).callback.map(|callback| (callback, (*timer).map)),
                false => None,
            }
        };
        let Some((callback, map)) = due else { return };
        let mut key = 0;
        self.counts.callbacks += 1;
        // SAFETY: the scheduler has set it for this timer.
        unsafe { callback(map, &raw mut key, timer) };
        self.settle(cpu);
    }

    pub(super) fn reenqueue(&mut self, cpu: usize) {
        self.enter(cpu);
        let tasks: Vec<TaskId> = self.world().dsqs[cpu].iter().map(|entry| entry.task).collect();
        for task in tasks {
            self.w().dequeue(task);
            self.put(task, cpu, abi::ENQ_REENQ);
        }
        self.run_deferred(cpu);
        self.settle(cpu);
    }

    /// What runs on `cpu` has done what it had to: what does it do next?
    pub(super) fn done(&mut self, cpu: usize) {
        self.enter(cpu);
        self.update_curr(cpu);
        let Some(task) = self.cpu(cpu).curr else { return };
        self.workers.finish(task);
        let now = self.world().now;
        let step = self.next_step(task, cpu);
        match step {
            Step::Work(ns) => {
                self.workers.demand(task, ns.max(1));
                self.cpu(cpu).stretch += 1;
                self.expect_end(task, cpu);
                self.settle(cpu);
                return;
            }
            Step::Until(at) => {
                let state = self.task(task);
                state.state = State::Asleep;
                state.timer += 1;
                let timer = state.timer;
                self.w().events.push(at.max(now), Event::Wake { task, timer });
            }
            Step::Block => self.task(task).state = State::Asleep,
            Step::End => {
                self.w().raw(task).flags |= abi::PF_EXITING;
                self.task(task).state = State::Gone;
            }
        }
        self.cpu(cpu).need_resched = true;
        self.settle(cpu);
    }
}
