// SPDX-License-Identifier: GPL-2.0-only
//! Load, attach, bring tasks to the desk and orders back, print, detach.

use crate::bpf::{BpfScheduler, DispatchedTask, QueuedTask};
use crate::clock::Clock;
use anyhow::{Context, Result, bail};
use libbpf_rs::skel::Skel;
use scx_toll::config::Config;
use scx_toll::sched::make_policy;
use scx_toll::sched::print::{JsonLine, print_json, print_text};
use scx_toll::stats::exported::TollStats;
use scx_toll::stats::overhead::Meter;
use scx_toll::stats::{About, Delta, Snapshot};
use scx_toll::topology::Topology;
use scx_toll::ui::text;
use scx_toll::user::{Allowed, Arrival, Desk, Order};
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

/// What the kernel calls this scheduler.
const NAME: &str = "toll_user";
/// Tasks that are taken in at once, before some are given out.
const BATCH: usize = 1024;
/// How long to rest while tasks wait and no CPU is free for them: CPUs that end meanwhile wake us.
const REST: Duration = Duration::from_micros(200);

/// Schedule until a signal comes; true when the CPUs have changed and all has to begin anew.
///
/// # Errors
/// When it cannot be loaded, or the kernel has thrown it out.
pub fn schedule(config: &Config) -> Result<bool> {
    let machine = Topology::from_sysfs(None)?;
    let topo = machine.split(config.split)?;
    for warning in &topo.warnings {
        log::warn!("{warning}");
    }
    let policy = make_policy(config, &machine, &topo)?;
    let slice_ns = policy.slice.get();
    let meter = Meter::new()?;
    let mut object = MaybeUninit::uninit();
    let bpf = BpfScheduler::init(
        &mut object,
        config.libbpf.clone().into_bpf_open_opts(),
        config.exit_dump_len,
        config.partial,
        config.log >= log::LevelFilter::Trace,
        false,
        false,
        slice_ns,
        NAME,
    )
    .context("scx_rustland_core")?;
    let cpus = topo.cpus.iter().map(|cpu| cpu.id.0).collect();
    let desk = Desk::new(topo, policy);
    let mut user = User { bpf, desk, cpus, meter, clock: Clock::new(), loaded_at: Instant::now() };
    let done = user.work(config);
    let exit = user.bpf.shutdown_and_report()?;
    let last = user.snapshot()?;
    if config.json {
        print_json(&JsonLine::report(&last), config.run_id);
    } else {
        print_text(&text::exit_report(&last.counters, &last.llcs), config.run_id);
    }
    done?;
    Ok(exit.should_restart())
}

struct User<'obj> {
    bpf: BpfScheduler<'obj>,
    desk: Desk,
    /// CPUs of the machine, by ascending number.
    cpus: Vec<u32>,
    meter: Meter,
    clock: Clock,
    loaded_at: Instant,
}

impl User<'_> {
    /// Decide until a signal comes or the kernel ends it.
    fn work(&mut self, config: &Config) -> Result<()> {
        let mut last = self.snapshot()?;
        let mut unsent = Vec::new();
        while !self.bpf.exited() {
            self.read_clock();
            self.take_in()?;
            if self.desk.nr_waiting() > 0 {
                self.claim_idle();
            }
            unsent.extend(self.desk.assign(self.clock.now_ns()));
            self.send(&mut unsent);
            self.rest(unsent.len());
            let Some(every) = config.stats else { continue };
            if last.at.elapsed() < every {
                continue;
            }
            let now = self.snapshot()?;
            let delta = Delta::between(&last, &now);
            if config.json {
                print_json(&JsonLine::Stats(&delta), config.run_id);
            } else {
                print_text(&text::stats_block(&TollStats::from(&delta)), config.run_id);
            }
            last = now;
        }
        Ok(())
    }

    fn read_clock(&mut self) {
        if let Some(bss) = &self.bpf.skel.maps.bss_data {
            self.clock.was(bss.usersched_last_run_at);
        }
    }

    /// Bring what has come to the desk.
    fn take_in(&mut self) -> Result<()> {
        for _ in 0..BATCH {
            match self.bpf.dequeue_task() {
                Ok(Some(task)) => {
                    let arrival = self.arrival(&task);
                    self.desk.arrive(arrival, self.clock.now_ns());
                }
                Ok(None) => break,
                Err(code) => bail!("tasks cannot be read from the ring buffer: error {code}"),
            }
        }
        Ok(())
    }

    fn arrival(&self, task: &QueuedTask) -> Arrival {
        Arrival {
            pid: task.pid,
            cpu: task.cpu.try_into().unwrap_or(0),
            allowed: self.allowed(task),
            run_ns: task.exec_runtime,
            start_ns: task.start_ts,
            stop_ns: task.stop_ts,
            weight: task.weight,
            flags: task.flags,
            seq: task.enq_cnt,
        }
    }

    /// Where `task` may run. Only the number of CPUs is told; which they are is asked for when it is
    /// not all. The BPF half checks again, and leaves a task where it is if this is no longer true.
    fn allowed(&self, task: &QueuedTask) -> Allowed {
        if task.nr_cpus_allowed >= self.cpus.len() as u64 {
            return Allowed::All;
        }
        if task.nr_cpus_allowed == 1 {
            return self.known(vec![task.cpu.try_into().unwrap_or(0)]);
        }
        // SAFETY: an all-zero mask is a valid one, and the call writes at most its size.
        let mut mask: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let got = unsafe { libc::sched_getaffinity(task.pid, size_of_val(&mask), &mut mask) };
        if got != 0 {
            return Allowed::All;
        }
        let has = |cpu: &u32| {
            // SAFETY: CPU_ISSET reads within the mask for numbers below CPU_SETSIZE.
            (*cpu as i32) < libc::CPU_SETSIZE && unsafe { libc::CPU_ISSET(*cpu as usize, &mask) }
        };
        self.known(self.cpus.iter().copied().filter(has).collect())
    }

    /// These CPUs; all, if none of them is of this machine, which then the BPF half finds out.
    fn known(&self, mut cpus: Vec<u32>) -> Allowed {
        cpus.retain(|cpu| self.cpus.binary_search(cpu).is_ok());
        if cpus.is_empty() { Allowed::All } else { Allowed::These(cpus) }
    }

    /// Tell the desk which CPUs the kernel calls idle. Each is claimed by that and asked for once.
    fn claim_idle(&mut self) {
        let me = std::process::id() as i32;
        for _ in 0..self.cpus.len() {
            match self.bpf.select_cpu(me, 0, 0).try_into() {
                Ok(cpu) => self.desk.idle(cpu, self.clock.now_ns()),
                Err(_) => break,
            }
        }
    }

    /// Carry orders out. What finds no room is kept for the next time.
    fn send(&mut self, orders: &mut Vec<Order>) {
        let sent = orders.iter().take_while(|order| {
            let task = DispatchedTask {
                pid: order.pid,
                cpu: order.cpu as i32,
                flags: order.flags,
                slice_ns: order.slice_ns,
                vtime: order.deadline_ns,
                enq_cnt: order.seq,
            };
            self.bpf.dispatch_task(&task).is_ok()
        });
        let sent = sent.count();
        orders.drain(..sent);
    }

    /// Let others run. While tasks wait for a CPU we sleep for a moment instead of yielding: whoever is
    /// runnable and has work is run before any task.
    fn rest(&mut self, unsent: usize) {
        match self.desk.nr_waiting() + unsent {
            0 => self.bpf.notify_complete(0),
            pending => {
                *self.bpf.nr_scheduled_mut() = pending as u64;
                std::thread::sleep(REST);
            }
        }
    }

    fn snapshot(&mut self) -> Result<Snapshot> {
        let overhead = self.meter.read(self.bpf.skel.object().progs())?;
        Ok(Snapshot {
            at: Instant::now(),
            about: About { loaded_at: self.loaded_at, policy_version: 1 },
            counters: self.desk.counters().clone(),
            llcs: self.desk.llcs(self.clock.now_ns()),
            pairs: Vec::new(),
            overhead,
        })
    }
}
