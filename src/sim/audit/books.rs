// SPDX-License-Identifier: GPL-2.0-only
//! Are the scheduler's counters what really happened? Between two events nothing is under way, so they
//! have to agree to the last one.

use crate::sim::toll::{View, dsq_of_llc};
use crate::sim::world::{State, World};

/// The first that does not agree.
pub fn check(world: &World, view: &View, wakeups: u64) -> Result<(), String> {
    answers(view)?;
    let same = |what: &str, counted: u64, real: u64| match counted == real {
        true => Ok(()),
        false => Err(format!("{what}: {counted} counted, {real} are real")),
    };
    same("wakeups", view.cpus.iter().map(|cpu| cpu.nr_wakes).sum(), wakeups)?;
    let nr = view.llcs.len();
    let (mut running, mut idle) = (vec![0; nr], vec![0; nr]);
    for (cpu, state) in world.cpus.iter().enumerate().filter(|(_, state)| state.online) {
        match state.curr {
            Some(_) => running[world.machine.llc(cpu)] += 1,
            None => idle[world.machine.llc(cpu)] += 1,
        }
    }
    let (mut queued_ns, mut ran_ns, mut uncharged_ns) = (vec![0; nr], 0, 0);
    for task in &world.tasks {
        ran_ns += task.ran_ns;
        if task.state == State::Gone {
            continue;
        }
        // SAFETY: the task is alive.
        let Some(known) = (unsafe { view.task(task.raw) }) else { continue };
        if let Some(sum) = queued_ns.get_mut(known.queued_llc as usize) {
            *sum += known.queued_ns;
        }
        // SAFETY: the task is alive.
        let cpu = unsafe { (*task.raw).cpu } as usize;
        if task.state == State::Running {
            // What the kernel has accounted for up to its last look, and the scheduler has not.
            let clock = world.cpus[cpu].since + world.cpus[cpu].skew;
            uncharged_ns += clock.saturating_sub(known.started_at);
        }
    }
    for (llc, entry) in view.llcs.iter().enumerate() {
        let waits = world.dsq(dsq_of_llc(llc), 0).map_or(0, |dsq| world.dsqs[dsq].len() as u64);
        same(&format!("tasks in the queue of LLC {llc}"), entry.nr_queued, waits)?;
        same(&format!("tasks that run in LLC {llc}"), entry.nr_running, running[llc])?;
        same(&format!("idle CPUs of LLC {llc}"), entry.nr_idle, idle[llc])?;
        same(&format!("run time that waits in LLC {llc}"), entry.queued_ns, queued_ns[llc])?;
    }
    let charged: u64 = view.llcs.iter().map(|llc| llc.busy_ns).sum();
    same("CPU time that was charged", charged + uncharged_ns, ran_ns)
}

/// Is every question that was asked answered?
fn answers(view: &View) -> Result<(), String> {
    for (cpu, counters) in view.cpus.iter().enumerate() {
        for (kind, levels) in counters.asked.iter().enumerate() {
            for (level, &asked) in levels.iter().enumerate() {
                let answered: u64 = counters.verdicts[kind][level].iter().sum();
                if asked != answered {
                    return Err(format!(
                        "CPU {cpu} has asked {asked} questions of kind {kind} at level {level}, and \
                         answered {answered}"
                    ));
                }
            }
        }
    }
    Ok(())
}
