// SPDX-License-Identifier: GPL-2.0-only
//! The scheduler's life: open → constants → load → attach → loop → detach.
//! CPUs that go and come while it runs are followed in [`hotplug`].
//!
//! Should this process die, the kernel drops the link with it and puts every
//! task back on its default scheduler; nothing here has to run for that.

use crate::bpf::{MainSkel, MainSkelBuilder, OpenMainSkel, types};
use crate::command;
use crate::config::{Config, Moments, PenaltySource, PolicyCheck};
use crate::control::audience::Audience;
use crate::control::server::{Server, Wish};
use crate::control::wire::{Answer, Places};
use crate::control::{change, run_dir};
use crate::model::follow::Mode;
use crate::model::{PenaltyTable, capacity, file};
use crate::policy::view::PolicyView;
use crate::policy::{Policy, PolicyWriter};
use crate::stats::exported::TollStats;
use crate::stats::overhead::Meter;
use crate::stats::{self, About, Delta, Maps, Snapshot};
use crate::topology::{Cpu, Llc, Topology};
use crate::ui::text;
use crate::units::{MAX_CPUS, Ns};
use anyhow::{Result, anyhow};
use counting::Counting;
use following::Following;
use hotplug::Followed;
use learning::{Learning, Seen};
use libbpf_rs::skel::{OpenSkel, Skel};
use libbpf_rs::{Link, OpenObject, ProgramInput};
use log::{info, warn};
use outlets::Outlets;
use print::{JsonLine, print_json, print_text};
use scx_utils::{
    UserExitInfo, compat, scx_ops_attach, scx_ops_load, scx_ops_open, uei_exited, uei_report,
};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

mod counting;
mod ear;
mod following;
mod hotplug;
mod learning;
mod outlets;
pub mod print;

use ear::Ear;

/// How often the loop looks for a signal and for the end of the scheduler.
const POLL: Duration = Duration::from_millis(50);
/// The verifier logs one line of figures per program, and nothing else (`linux/bpf_verifier.h`).
const BPF_LOG_STATS: u32 = 4;
/// How often it empties the ring buffer while somebody listens.
const POLL_RING: Duration = Duration::from_millis(5);

/// Schedule the machine until `stop` is set, starting anew after a CPU hotplug.
///
/// # Errors
/// When the scheduler cannot be loaded, or the kernel threw it out.
pub fn run(config: &Config, stop: &AtomicBool) -> Result<()> {
    // It outlives a restart: requests wait until the scheduler is back.
    let control = Server::start(&run_dir())
        .inspect_err(|err| warn!("the policy cannot be changed while this runs: {err:#}"))
        .ok();
    let outlets = Outlets::start(config)?;
    let mut audience = Audience::default();
    let done = run_again(config, control.as_ref(), &outlets, &mut audience, stop);
    audience.dismiss();
    done
}

/// Schedule until `stop` is set or something fails.
fn run_again(
    config: &Config,
    control: Option<&Server>,
    outlets: &Outlets,
    audience: &mut Audience,
    stop: &AtomicBool,
) -> Result<()> {
    let mut before = None;
    loop {
        let mut object = MaybeUninit::uninit();
        let mut sched = Scheduler::start(config, before, &mut object)?;
        let ended = sched.watch(config, (control, outlets), audience, stop);
        before = Some(sched.in_force()?);
        let exit = sched.finish(config, audience);
        let restart = exit?.should_restart() || ended? == Followed::NewShape;
        if !restart || stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        info!("the CPUs changed: starting anew");
    }
}

/// The penalty table that `source` names for `topo`, the `machine` with virtual LLCs, and the source
/// in words.
fn penalty_table(
    source: &PenaltySource,
    machine: &Topology,
    topo: &Topology,
) -> Result<(PenaltyTable, String)> {
    match source {
        PenaltySource::Default => Ok((PenaltyTable::default(), "default".into())),
        PenaltySource::Measure => {
            Ok((command::measured_penalty(machine, topo), learning::KEPT_SOURCE.into()))
        }
        PenaltySource::File(path) => Ok((file::read(path, topo)?, path.display().to_string())),
    }
}

/// The policy that the settings and the `machine`, `topo` with virtual LLCs, add up to.
///
/// # Errors
/// When the penalty file cannot be read or makes no sense.
pub fn make_policy(config: &Config, machine: &Topology, topo: &Topology) -> Result<Policy> {
    let (table, source) = penalty_table(&config.penalty, machine, topo)?;
    let mut policy = Policy {
        slice: config.slice,
        migrate: config.migrate,
        fixed: config.fixed,
        hysteresis: config.hysteresis,
        learn: config.learn,
        ..Policy::new(table, source, topo)
    };
    policy.set_learned(learning::restore(&config.penalty, topo), topo);
    log_table(&policy);
    Ok(policy)
}

/// Say what moves cost now.
fn log_table(policy: &Policy) {
    for line in policy.table.describe() {
        info!("{line}");
    }
    for note in &policy.matrix.notes {
        warn!("{note}");
    }
}

/// A loaded and attached scheduler.
struct Scheduler<'obj> {
    topo: Topology,
    policy: Policy,
    /// The policy writer's memory.
    settled: bool,
    learning: Learning,
    counting: Counting,
    check: PolicyCheck,
    cpus: hotplug::Memory,
    loaded_at: Instant,
    meter: Meter,
    ear: Ear,
    following: Option<Following>,
    skel: MainSkel<'obj>,
    link: Option<Link>,
}

impl<'obj> Scheduler<'obj> {
    /// Open, configure, load and attach. After a restart the policy that was in
    /// force `before` goes on, and so does its version.
    fn start(
        config: &Config,
        before: Option<(Policy, u64)>,
        object: &'obj mut MaybeUninit<OpenObject>,
    ) -> Result<Scheduler<'obj>> {
        let builder = MainSkelBuilder::default();
        let open_opts = config.libbpf.clone().into_bpf_open_opts();
        // Opening notes the hotplug sequence, so what the topology misses later is noticed.
        let mut open = scx_ops_open!(builder, object, toll_ops, open_opts)?;
        let machine = Topology::from_sysfs(None)?;
        let topo = machine.split(config.split)?;
        for warning in &topo.warnings {
            warn!("{warning}");
        }
        let (policy, version) = match before {
            Some((policy, version)) => (policy.on(&topo), version),
            None => (make_policy(config, &machine, &topo)?, 0),
        };
        open.struct_ops.toll_ops_mut().exit_dump_len = config.exit_dump_len;
        fit_cgroups(open.struct_ops.toll_ops_mut());
        let rodata = open
            .maps
            .rodata_data
            .as_mut()
            .ok_or_else(|| anyhow!("the BPF object has no rodata"))?;
        set_machine(rodata, &topo);
        rodata.toll_tgid = std::process::id() as i32;
        rodata.toll_nr_cpu_ids = nr_cpu_ids();
        // A task that may use all CPUs has all possible ones in its mask, offline ones too.
        rodata.toll_nr_cpus = *scx_utils::NR_CPUS_POSSIBLE as u32;
        rodata.toll_check_policy = config.check != PolicyCheck::Off;
        set_injected(rodata, config);
        rodata.toll_no_push = config.moments == Moments::Pull;
        rodata.toll_no_pull = config.moments == Moments::Push;
        rodata.toll_follow = config.memory_follow != Mode::Off && topo.nodes.len() > 1;
        rodata.toll_memory_comes = config.memory_follow == Mode::On && topo.nodes.len() > 1;
        rodata.toll_follow_hold_ns = following::hold(&policy, &topo).get();
        let bss =
            open.maps.bss_data.as_mut().ok_or_else(|| anyhow!("the BPF object has no bss"))?;
        bss.toll_policy_version = version;
        set_cpus(bss, &topo);
        if config.partial {
            open.struct_ops.toll_ops_mut().flags |= *scx_utils::compat::SCX_OPS_SWITCH_PARTIAL;
        }
        if config.log >= log::LevelFilter::Trace {
            ask_for_verifier_figures(&mut open);
        }
        let counting = Counting::prepare(config.counters, &topo, nr_cpu_ids(), &mut open)?;
        let nr_llcs = topo.llcs.len() as u32;
        open.maps.toll_cpus.set_max_entries(nr_cpu_ids())?;
        open.maps.toll_llcs.set_max_entries(nr_llcs)?;
        open.maps.toll_masks.set_max_entries(nr_llcs + 1)?;
        open.maps.toll_gates.set_max_entries(nr_llcs * nr_llcs)?;
        open.maps.toll_pairs.set_max_entries(nr_llcs * nr_llcs)?;
        let skel = scx_ops_load!(open, toll_ops, uei)?;
        write_machine(&skel, &topo)?;
        let check = config.check;
        let learning = Learning::new(config.learn_test.every, &policy);
        let ear = Ear::new(&skel.maps.toll_ring)?;
        let following = Following::start(config.memory_follow, &topo)?;
        let mut sched = Scheduler {
            topo,
            policy,
            settled: false,
            learning,
            counting,
            check,
            cpus: hotplug::Memory::default(),
            loaded_at: Instant::now(),
            meter: Meter::new()?,
            ear,
            following,
            skel,
            link: None,
        };
        sched.write_policy()?;
        sched.attach()?;
        info!("scheduling {} CPUs in {nr_llcs} LLCs", sched.topo.cpus.len());
        Ok(sched)
    }

    fn attach(&mut self) -> Result<()> {
        let skel = &mut self.skel;
        self.link = Some(scx_ops_attach!(skel, toll_ops)?);
        Ok(())
    }

    /// Put the policy in force, and return its version.
    fn write_policy(&mut self) -> Result<u64> {
        let maps = &mut self.skel.maps;
        let version = policy_version(&mut maps.bss_data)?;
        let torn = self.check == PolicyCheck::Torn && self.settled;
        let mut writer = PolicyWriter::new(&maps.toll_policies, version, &mut self.settled);
        match torn {
            true => writer.write_in_place(&self.policy, &self.topo),
            false => writer.write(&self.policy, &self.topo),
        }
    }

    fn version(&mut self) -> Result<u64> {
        Ok(policy_version(&mut self.skel.maps.bss_data)?.load(Ordering::Acquire))
    }

    /// The policy in force and its version.
    fn in_force(&mut self) -> Result<(Policy, u64)> {
        Ok((self.policy.clone(), self.version()?))
    }

    /// Do what a client of the control socket asks for.
    fn serve(&mut self, wish: Wish, audience: &mut Audience) -> Result<Answer> {
        match wish {
            Wish::Get => {
                let version = self.version()?;
                Ok(Answer::Policy(Box::new(PolicyView::new(&self.policy, &self.topo, version))))
            }
            Wish::Set(changes) => match change::apply(&changes, &self.policy, &self.topo) {
                Err(error) => Ok(Answer::Refused { error }),
                Ok((policy, changes)) => {
                    self.replace_policy(policy).map(|version| Answer::Changed { version, changes })
                }
            },
            Wish::Watch(listener) => Ok(match audience.join(listener) {
                Ok(()) => Answer::Watching { places: self.places() },
                Err(error) => Answer::Failed { error },
            }),
        }
    }

    /// The machine as a listener needs to know it.
    fn places(&self) -> Places {
        let mut cpu_llc = vec![None; self.topo.nr_cpu_ids()];
        for cpu in &self.topo.cpus {
            cpu_llc[cpu.id.index()] = Some(cpu.llc.0);
        }
        Places {
            cpu_llc,
            llc_node: self.topo.llcs.iter().map(|llc| llc.node.0).collect(),
            llc_cache: self.topo.llcs.iter().map(|llc| llc.cache).collect(),
            distance: self.topo.nodes.iter().map(|node| node.distance.clone()).collect(),
        }
    }

    /// Wait at most `wait` for a client of the control socket, and serve it.
    fn attend(&mut self, control: Option<&Server>, audience: &mut Audience, wait: Duration) {
        let Some(control) = control else {
            std::thread::sleep(wait);
            return;
        };
        if let Some(job) = control.next(wait) {
            job.carry_out(|wish| {
                self.serve(wish, audience)
                    .unwrap_or_else(|err| Answer::Failed { error: format!("{err:#}") })
            });
        }
    }

    /// Record what the audience wants, and hand on what was recorded.
    fn listen(&mut self, audience: &mut Audience) -> Result<()> {
        let maps = &mut self.skel.maps;
        self.ear.pass_on(audience, &maps.toll_recorders)?;
        self.ear.tune(audience.wants(), &mut maps.bss_data)
    }

    /// Put `policy` in force in place of the one before, which stays if that fails.
    fn replace_policy(&mut self, policy: Policy) -> Result<u64> {
        let before = std::mem::replace(&mut self.policy, policy);
        match self.write_policy() {
            Ok(version) => {
                if self.policy.table != before.table {
                    log_table(&self.policy);
                }
                info!("policy version {version} is in force");
                Ok(version)
            }
            Err(err) => {
                self.policy = before;
                Err(err)
            }
        }
    }

    /// Learn from what moves took, now and then.
    fn learn(&mut self) -> Result<()> {
        if !self.learning.is_due() {
            return Ok(());
        }
        let hotplugs = self.skel.maps.bss_data.as_ref().map_or(0, |bss| bss.toll_hotplugs);
        self.counting.follow(self.policy.learn, hotplugs, &self.topo, &self.skel);
        let maps = &self.skel.maps;
        let seen = Seen {
            delays: stats::delays::read(&maps.toll_delays)?,
            refills: stats::delays::read_refills(&maps.toll_refills)?,
        };
        if let Some(next) = self.learning.look(seen, &self.policy, &self.topo) {
            let before = std::mem::replace(&mut self.policy, next);
            if let Err(err) = self.write_policy() {
                self.policy = before;
                return Err(err);
            }
        }
        self.learning.store(&self.policy, &self.topo, false);
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Snapshot> {
        // W is in terms of the kernel's clock, so the kernel computes it. Once the scheduler is
        // detached there is nothing to compute, and a kernel may refuse to run the program.
        if self.link.is_some() {
            self.skel.progs.toll_read_waits.test_run(ProgramInput::default())?;
        }
        let about = About { loaded_at: self.loaded_at, policy_version: self.version()? };
        let overhead = self.meter.read(self.skel.object().progs())?;
        let maps = &self.skel.maps;
        let maps = Maps { cpus: &maps.toll_cpus, llcs: &maps.toll_llcs, pairs: &maps.toll_pairs };
        stats::read(&self.topo, &maps, about, overhead)
    }

    /// Print statistics and follow what comes and goes until a signal comes, the kernel ends the
    /// scheduler, or the machine has a new shape.
    fn watch(
        &mut self,
        config: &Config,
        (control, outlets): (Option<&Server>, &Outlets),
        audience: &mut Audience,
        stop: &AtomicBool,
    ) -> Result<Followed> {
        let mut last = self.snapshot()?;
        while !stop.load(Ordering::Relaxed) && !uei_exited!(&self.skel, uei) {
            let poll = if audience.is_empty() { POLL } else { POLL_RING };
            let wait = match config.stats {
                Some(every) => (last.at + every).saturating_duration_since(Instant::now()),
                None => poll,
            };
            self.attend(control, audience, wait.min(poll));
            self.listen(audience)?;
            if self.follow_hotplug()? == Followed::NewShape {
                return Ok(Followed::NewShape);
            }
            self.learn()?;
            self.follow_memory(config)?;
            outlets.serve(|| self.snapshot())?;
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
        Ok(Followed::InPlace)
    }

    /// Detach, print the exit report, and say why it ended.
    fn finish(mut self, config: &Config, audience: &mut Audience) -> Result<UserExitInfo> {
        drop(self.link.take());
        self.learning.store(&self.policy, &self.topo, true);
        if let Err(err) = self.listen(audience) {
            warn!("the last records: {err:#}");
        }
        let exit = uei_report!(&self.skel, uei);
        let last = self.snapshot()?;
        if config.json {
            print_json(&JsonLine::report(&last), config.run_id);
        } else {
            print_text(&text::exit_report(&last.counters, &last.llcs), config.run_id);
        }
        exit
    }
}

/// Let libbpf log what verifying each program took; `tools/veristat` reads it.
fn ask_for_verifier_figures(open: &mut OpenMainSkel) {
    for mut program in open.open_object_mut().progs_mut() {
        program.set_log_level(BPF_LOG_STATS);
    }
}

/// The version variable that BPF reads, as an atomic.
fn policy_version<'a>(bss: &'a mut Option<&mut types::bss>) -> Result<&'a AtomicU64> {
    let bss = bss.as_mut().ok_or_else(|| anyhow!("the BPF object has no bss"))?;
    // SAFETY: the variable is 8-byte aligned in memory that the kernel maps for
    // as long as the skeleton lives, and BPF only reads it.
    Ok(unsafe { AtomicU64::from_ptr(&raw mut bss.toll_policy_version) })
}

/// Leave out what this kernel does not tell a scheduler of cgroups, and say so.
fn fit_cgroups(ops: &mut types::sched_ext_ops) {
    let known = |field| compat::struct_has_field("sched_ext_ops", field).unwrap_or(false);
    if !known("cgroup_init") {
        warn!(
            "this kernel schedules without cgroups (CONFIG_EXT_GROUP_SCHED is not set): cpu.weight and cpu.max have no effect"
        );
        ops.cgroup_init = std::ptr::null_mut();
        ops.cgroup_exit = std::ptr::null_mut();
        ops.cgroup_move = std::ptr::null_mut();
        ops.cgroup_set_weight = std::ptr::null_mut();
        ops.cgroup_set_bandwidth = std::ptr::null_mut();
    } else if !known("cgroup_set_bandwidth") {
        warn!(
            "this kernel does not tell a scheduler about cpu.max (6.17 and later do): limits of cgroups are not enforced"
        );
        ops.cgroup_set_bandwidth = std::ptr::null_mut();
    }
}

/// The machine as constants of the BPF object, but for numbers of CPUs that are not online.
pub fn set_machine(rodata: &mut types::rodata, topo: &Topology) {
    rodata.toll_nr_llcs = topo.llcs.len() as u32;
    if let Some(little) = capacity::little(topo) {
        rodata.toll_little_q10 = little;
        rodata.toll_slower_pm = capacity::slower_pm(little);
    }
    rodata.toll_has_smt = topo.cpus.iter().any(|cpu| hotplug::next_sibling(topo, cpu).is_some());
    for llc in &topo.llcs {
        rodata.toll_llc_node[llc.id.index()] = llc.node.0 as u8;
        rodata.toll_llc_cache[llc.id.index()] = llc.cache as u8;
        rodata.toll_llc_q10[llc.id.index()] = capacity::of_core(topo, llc) as u16;
        for (rank, to) in topo.outward(llc.id).into_iter().enumerate() {
            rodata.toll_outward[llc.id.index()][rank] = to.0 as u8;
        }
    }
}

/// What moved tasks are made to pay; nothing except in a test of learning.
fn set_injected(rodata: &mut types::rodata, config: &Config) {
    let inject = config.learn_test.inject;
    rodata.toll_inject = inject.iter().any(|extra| *extra > Ns::ZERO);
    for (to, extra) in rodata.toll_inject_ns[1..].iter_mut().zip(inject) {
        *to = extra.get();
    }
}

/// One more than the highest number of a CPU that may ever come.
fn nr_cpu_ids() -> u32 {
    (*scx_utils::NR_CPU_IDS).min(MAX_CPUS) as u32
}

/// Which LLC each CPU belongs to, and its capacity; the rest are not known.
pub fn set_cpus(bss: &mut types::bss, topo: &Topology) {
    bss.toll_cpu_llc.fill(types::toll_limits::TOLL_MAX_LLCS.0 as u16);
    bss.toll_cpu_sibling.fill(types::toll_limits::TOLL_MAX_CPUS.0 as u16);
    for cpu in &topo.cpus {
        hotplug::set_cpu(bss, topo, cpu);
    }
}

/// What of the machine stands in maps: each LLC's size, each CPU's LLC.
fn write_machine(skel: &MainSkel, topo: &Topology) -> Result<()> {
    for llc in &topo.llcs {
        stats::write_llc(&skel.maps.toll_llcs, llc.id, llc_entry(topo, llc))?;
    }
    for cpu in &topo.cpus {
        stats::write_cpu(&skel.maps.toll_cpus, cpu.id, cpu_entry(cpu))?;
    }
    Ok(())
}

/// The state of `llc` at the start.
pub fn llc_entry(topo: &Topology, llc: &Llc) -> types::toll_llc {
    let cpus = llc.cpus.len() as u32;
    types::toll_llc {
        share_kib: u64::from(llc.cache_kib / cpus.max(1)),
        cache_kib: llc.cache_kib,
        nr_cpus: cpus,
        capacity_q10: capacity::of_llc(topo, llc),
        node: llc.node.0,
        ..types::toll_llc::default()
    }
}

/// The state of `cpu` at the start.
pub fn cpu_entry(cpu: &Cpu) -> types::toll_cpu {
    types::toll_cpu { llc: cpu.llc.0, online: 1, ..types::toll_cpu::default() }
}
