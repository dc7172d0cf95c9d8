// SPDX-License-Identifier: GPL-2.0-only
//! How tasks are born, what they do next, and how they end.

use super::*;

impl Engine<'_> {
    pub(super) fn birth(&mut self, hire: &Hire, pid: i32) -> Result<TaskId> {
        let all = self.world().machine.online_mask();
        let cpus = hire.born_on.as_ref().or(hire.cpus.as_ref()).unwrap_or(&all).clone();
        let cpus = Box::into_raw(Box::new(cpus));
        let pages = ((PROGRAM_KIB + hire.set_kib) / 4) as i64;
        let mm = Box::into_raw(Box::new(Mm { anon_pages: pages, ..Mm::default() }));
        let mut raw = Box::new(blank(pid, cpus, mm));
        // SAFETY: made just above.
        raw.nr_cpus_allowed = unsafe { (*cpus).weight() } as i32;
        raw.scx.weight = hire.weight;
        raw.cgroups = self.cgroups.css_set();
        for (to, from) in raw.comm.iter_mut().take(15).zip(hire.name.bytes()) {
            *to = from as c_char;
        }
        let here = self.world().here();
        raw.cpu = here as i32;
        let task = self.w().add_task(raw);
        self.workers.add(hire.set_kib);
        let raw = self.task(task).raw;
        // SAFETY: the task lives as long as the world.
        unsafe { (*raw).group_leader = raw };
        if let Some(init_task) = self.ops.init_task {
            let mut args = InitTaskArgs { fork: true, cgroup: self.cgroups.root() };
            // SAFETY: a callback of the bound object, about a live task.
            let err = unsafe { init_task(raw, &raw mut args) };
            if err != 0 {
                bail!("the scheduler's init_task() failed with {err}");
            }
        }
        if let Some(enable) = self.ops.enable {
            // SAFETY: as above.
            unsafe { enable(raw) };
        }
        self.counts.callbacks += 2;
        Ok(task)
    }

    pub(super) fn bury(&mut self, task: TaskId) {
        let raw = self.task(task).raw;
        if let Some(disable) = self.ops.disable {
            // SAFETY: a callback of the bound object, about a live task.
            unsafe { disable(raw) };
        }
        if let Some(exit_task) = self.ops.exit_task {
            let mut args = ExitTaskArgs { cancelled: false };
            // SAFETY: as above.
            unsafe { exit_task(raw, &raw mut args) };
        }
        self.counts.callbacks += 2;
        // SAFETY: no callback about it follows.
        unsafe { self.object.forget_task(raw) };
        if task != PARENT {
            self.gone += 1;
        }
    }

    /// What task `task` does next.
    pub(super) fn next_step(&mut self, task: TaskId, cpu: usize) -> Step {
        if task == PARENT {
            return self.parent(cpu);
        }
        let nr = (task - PARENT - 1) as usize;
        if self.released.is_none() {
            // It has touched its memory, which makes this its home, and waits.
            self.workers.settle(task, &self.machine);
            self.ready += 1;
            if let (Some(_), cpus) = (&self.hired[nr].born_on, self.hired[nr].cpus.clone()) {
                let cpus = cpus.unwrap_or_else(|| self.world().machine.online_mask());
                self.set_cpus(task, cpus);
            }
            return Step::Block;
        }
        self.call_load(cpu, |load, cx| load.next(nr as u32, cx))
    }

    pub(super) fn parent(&mut self, cpu: usize) -> Step {
        if self.released.is_some() {
            return Step::Block;
        }
        if self.forked < self.hired.len() {
            let nr = self.forked;
            self.forked += 1;
            let hire = self.hired[nr].clone();
            match self.birth(&hire, PARENT_PID + 1 + nr as i32) {
                Ok(task) => {
                    self.workers.demand(task, hire.set_kib * TOUCH_NS_PER_KIB + 1);
                    self.wake_new(task, cpu);
                }
                Err(why) => self.w().fail(format!("{why:#}")),
            }
            return Step::Work(FORK_NS);
        }
        let now = self.world().now;
        if self.ready < self.hired.len() {
            return Step::Until(now + POLL_NS);
        }
        if self.ready == self.hired.len() {
            // Once more, after a rest.
            self.ready += 1;
            return Step::Until(now + SETTLE_NS);
        }
        self.released = Some(now);
        self.audit.released(now);
        self.call_load(cpu, |load, cx| load.released(cx));
        for nr in 0..self.hired.len() {
            self.wake(PARENT + 1 + nr as TaskId, abi::WAKE_TTWU);
        }
        Step::Block
    }

    /// Let the load decide something on `cpu`, and carry out what it orders.
    pub(super) fn call_load<T>(
        &mut self,
        cpu: usize,
        call: impl FnOnce(&mut dyn Load, &mut Cx) -> T,
    ) -> T {
        let mut cx = Cx {
            now: self.world().now,
            released: self.released.unwrap_or(0),
            cpu,
            machine: &self.machine,
            workers: &mut self.workers,
            first: PARENT + 1,
            orders: Vec::new(),
        };
        let answer = call(&mut *self.load, &mut cx);
        let orders = cx.orders;
        for order in orders {
            match order {
                Order::Wake { task, sync } => {
                    let sync = if sync { abi::WAKE_SYNC } else { 0 };
                    self.wake(PARENT + 1 + task, abi::WAKE_TTWU | sync);
                }
                Order::Phase { at, number } => self.w().events.push(at, Event::Phase { number }),
            }
        }
        answer
    }

    /// `cpus` are those that the running task `task` may use from now on.
    pub(super) fn set_cpus(&mut self, task: TaskId, cpus: CpuMask) {
        let raw = self.task(task).raw;
        // SAFETY: the task and its mask live as long as the world, and no callback runs.
        unsafe {
            (*raw).nr_cpus_allowed = cpus.weight() as i32;
            *(*raw).cpus = cpus;
            if let Some(set_cpumask) = self.ops.set_cpumask {
                set_cpumask(raw, (*raw).cpus);
            }
        }
    }
}
