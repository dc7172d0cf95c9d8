// SPDX-License-Identifier: GPL-2.0-only
//! Does a CPU idle beside a queue that pays?
//!
//! The question ΔL > P is put as the scheduler puts it, by the same rule in Rust, from the figures that
//! the scheduler has at this instant: for the first tasks of each queue, and the nearest LLCs with a CPU
//! that has been idle for a while. An imbalance between nodes has to exceed the threshold of its gate;
//! how long it has to last is part of the bound.
//!
//! A tick wakes one CPU at a time. So what must not be is that a queue pays for longer than the bound, and
//! no task leaves it for another LLC meanwhile.

use super::is_idle;
use crate::bpf::types;
use crate::model::decide::{self, Migrate};
use crate::policy::Policy;
use crate::sim::toll::{View, dsq_of_llc};
use crate::sim::world::{TaskId, World};
use crate::topology::{Level, Topology};
use crate::units::LlcId;
use std::collections::HashMap;

/// Tasks of a queue, and LLCs with an idle CPU, that are asked for: as `TOLL_PULL_LOOK` and
/// `TOLL_LOOK_LLCS` in `pull.bpf.h`.
const FIRST_TASKS: usize = 4;
const NEAREST: usize = 4;

/// CPUs that have been idle for less are about to be woken, or only just went idle.
const IDLE_NS: u64 = 1_000_000;

/// See [`Paying`].
#[derive(Clone, Copy)]
struct Streak {
    since: u64,
    moves_out: u64,
}

/// See the module.
pub struct Paying {
    outward: Vec<Vec<usize>>,
    level: Vec<Vec<Level>>,
    /// By LLC: since when its queue has paid for an idle CPU, and no task has left it.
    since: HashMap<usize, Streak>,
    /// CPU time that idled so, by samples.
    pub wasted_ns: u64,
}

impl Paying {
    /// Nothing seen yet.
    pub fn new(topo: &Topology) -> Paying {
        let ids = |from: LlcId| topo.outward(from).into_iter().map(|llc| llc.index()).collect();
        let levels =
            |from: LlcId| topo.llcs.iter().map(|to| topo.price_level(from, to.id)).collect();
        Paying {
            outward: topo.llcs.iter().map(|llc| ids(llc.id)).collect(),
            level: topo.llcs.iter().map(|llc| levels(llc.id)).collect(),
            since: HashMap::new(),
            wasted_ns: 0,
        }
    }

    /// Look; `span` ns have passed since the last look. An imbalance may last for `notice` ns.
    pub fn look(
        &mut self,
        world: &World,
        view: &View,
        policy: &Policy,
        notice: u64,
        span: u64,
    ) -> Result<(), String> {
        let mut idle: Vec<Vec<usize>> = vec![Vec::new(); view.llcs.len()];
        let long = |cpu: usize| world.now - world.cpus[cpu].idle_since > IDLE_NS;
        for cpu in (0..world.cpus.len()).filter(|&cpu| is_idle(world, cpu) && long(cpu)) {
            idle[world.machine.llc(cpu)].push(cpu);
        }
        let before = std::mem::take(&mut self.since);
        let mut found = Ok(());
        for from in 0..view.llcs.len() {
            let Some(dsq) = world.dsq(dsq_of_llc(from), 0) else { continue };
            let queued = world.dsqs[dsq].len();
            let Some((task, cpu, nr)) = self.pays_for(world, view, policy, from, &idle) else {
                continue;
            };
            self.wasted_ns += span * nr.min(queued) as u64;
            let nr_llcs = view.llcs.len();
            let row = &view.pairs[from * nr_llcs..(from + 1) * nr_llcs];
            let moves_out = row.iter().map(|pair| pair.nr_moves).sum();
            let now = Streak { since: world.now, moves_out };
            let streak = before.get(&from).filter(|streak| streak.moves_out == moves_out);
            let streak = streak.copied().unwrap_or(now);
            self.since.insert(from, streak);
            let lasted = world.now - streak.since;
            if lasted > notice && found.is_ok() {
                found = Err(format!(
                    "CPU {cpu} idles beside the queue of LLC {from}, whose task {task} pays, and for \
                     {:.1} ms nothing has left it",
                    lasted as f64 / 1e6
                ));
            }
        }
        found
    }

    /// A task of the queue of `from` and an idle CPU for which it pays, and how many such CPUs there are
    /// in the nearest LLCs.
    fn pays_for(
        &self,
        world: &World,
        view: &View,
        policy: &Policy,
        from: usize,
        idle: &[Vec<usize>],
    ) -> Option<(TaskId, usize, usize)> {
        let queue = &world.dsqs[world.dsq(dsq_of_llc(from), 0)?];
        let (mut first, mut nr, mut asked) = (None, 0, 0);
        for to in std::iter::once(from).chain(self.outward[from].iter().copied()) {
            if idle[to].is_empty() || queue.is_empty() {
                continue;
            }
            let tasks = queue.iter().take(FIRST_TASKS).map(|entry| entry.task);
            for task in tasks.filter(|&task| self.pays(world, view, policy, task, from, to)) {
                let cpu = idle[to].iter().copied().find(|&cpu| world.may_use(task, cpu));
                let Some(cpu) = cpu else { continue };
                first = first.or(Some((task, cpu)));
                nr += idle[to].len();
                break;
            }
            asked += 1;
            if asked >= NEAREST {
                break;
            }
        }
        first.map(|(task, cpu)| (task, cpu, nr))
    }

    /// Would it pay to run `task`, which waits in `from`, at once in `to`?
    fn pays(
        &self,
        world: &World,
        view: &View,
        policy: &Policy,
        task: TaskId,
        from: usize,
        to: usize,
    ) -> bool {
        if from == to {
            return true;
        }
        // SAFETY: the task is alive, since it waits.
        let Some(known) = (unsafe { view.task(world.tasks[task as usize].raw) }) else {
            return false;
        };
        let waited = world.now.saturating_sub(known.enqueued_at);
        if policy.migrate == Migrate::Never {
            return false;
        }
        if known.enqueued_at != 0 && waited > policy.age.get() {
            return true;
        }
        let wait = wait_of(known, &view.llcs[from], world.now, policy.slice.get());
        let stay = decide::expect_stay(known.avg_run_ns, known.run_ns);
        let slice = policy.slice.get();
        let turns = decide::turns(stay, slice, policy.max_turns);
        let span = stay.min(u64::from(turns) * slice);
        let gain = decide::gain(wait, 0, turns);
        let level = self.level[from][to];
        let warm = |llc: usize| warm_in(known, llc, &view.llcs[llc], policy);
        let refill =
            decide::refill(warm(from), warm(to), policy.matrix.refill[level.index()].raw());
        let home = known.home_node as usize;
        let remote = match policy.matrix.remote.get(home).filter(|_| level == Level::Node) {
            None => 0,
            Some(row) => {
                let rate = |llc: usize| row[view.llcs[llc].node as usize].get();
                decide::remote(span, rate(to), rate(from))
            }
        };
        let hop = policy.matrix.hop(LlcId(from as u32), LlcId(to as u32)).get();
        let penalty = decide::penalty(hop, refill, remote, policy.matrix.price.raw());
        let one_turn = decide::gain(wait, 0, 1);
        let open = policy.hysteresis[level.index()].open.get() as i64;
        decide::worth(policy.migrate, gain, penalty, policy.fixed.get())
            && (penalty < 0 || policy.migrate == Migrate::Always || one_turn > open)
    }
}

/// `toll_wait_of()` of a task that waits in `llc` already.
fn wait_of(task: &types::toll_task, llc: &types::toll_llc, now: u64, slice: u64) -> u64 {
    let need = decide::running_need(llc.end_sum_ns, llc.nr_running, now, slice);
    let wait = decide::wait(llc.queued_ns, need, llc.capacity_q10);
    decide::own_wait(wait, llc.weight_q10, llc.nr_queued + llc.nr_running, task.weight_q10)
}

/// `warm_in()`.
fn warm_in(task: &types::toll_task, llc: usize, state: &types::toll_llc, policy: &Policy) -> u64 {
    let Some(warm) = task.warm.iter().find(|warm| warm.llc as usize == llc) else { return 0 };
    let others = state.busy_ns.saturating_sub(warm.busy_at);
    decide::warm_left(warm.warm_ns, others, &policy.decay.q10, policy.decay.step.get())
}
