// SPDX-License-Identifier: GPL-2.0-only
//! `scx_toll simulate`: the BPF half on a machine that is not there.

use crate::cli::SimulateArgs;
use crate::config::{migrate_value, named_gates, slice_value};
use crate::fault::Fault;
use crate::model::{Hysteresis, PenaltyTable, file};
use crate::policy::Policy;
use crate::sim::abi::MAX_CPUS;
use crate::sim::load::Load;
use crate::sim::loads::{self, Open, RtApp};
use crate::sim::object::Object;
use crate::sim::run::{self, Outcome, Settings};
use crate::sim::timing::Timing;
use crate::topology::sysfs::ROOT_VARIABLE;
use crate::topology::{Level, Topology};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use toll_bench::lab::Setting;
use toll_bench::lab::costs::Costs;

mod text;

/// What moves cost in the lab.
const LAB_COSTS: &str = include_str!("../../tools/bench/costs/default.toml");
/// A machine on which they cost nothing.
const FREE_COSTS: &str = "[class.core]\nhop_us = 0\nrefill = 0\n[class.llc]\nhop_us = 0\nrefill = 0\n\
    [class.node]\nhop_us = 0\nrefill = 0\n[memory]\nremote_pct = 0\n[warmth]\nfill_pct = 0\nns_per_kib = 0\n";
/// Mean working set, KiB, as the lab's.
const SET_KIB: u64 = 850;
/// Most tasks per CPU.
const MOST_PER_CPU: usize = 1000;
/// Longest load, in simulated seconds.
const SECONDS_MAX: f64 = 3600.0;
/// How often progress is shown.
const SHOW_EVERY: Duration = Duration::from_millis(200);

/// What `--json` prints.
#[derive(Serialize)]
#[serde(tag = "what", rename = "simulation")]
struct Report<'a> {
    topology: &'a str,
    scheduler: &'a str,
    seed: u64,
    seconds: f64,
    #[serde(flatten)]
    outcome: &'a Outcome,
    host: Host,
}

/// What depends on the host and the hour.
#[derive(Serialize)]
struct Host {
    cpu_s: f64,
    callback_ns: f64,
}

/// Simulate, and print what came of it.
///
/// # Errors
/// When the flags make no sense, when the scheduler would have been thrown out, and when an invariant
/// does not hold; by then everything is printed.
pub fn run(args: &SimulateArgs) -> Result<()> {
    let topo = topology(&args.topology, args.scheduler.is_some())?;
    let setting = setting(args)?;
    let costs_text = costs_text(&args.costs)?;
    let (text, name) = &costs_text;
    let costs = Costs::parse(text, name).map_err(|why| Fault::Usage(format!("{why:#}")))?;
    let (policy, object, scheduler) = match &args.scheduler {
        Some(path) => (None, Object::open(path)?, path.display().to_string()),
        None => {
            let policy = policy(args, &topo, &costs_text)?;
            (Some(policy), Object::toll()?, format!("toll --migrate {}", args.migrate))
        }
    };
    let load = load(&args.scenario, &setting, topo.cpus.len())?;
    let settings = Settings {
        topo: &topo,
        policy: policy.as_ref(),
        costs,
        timing: Timing::USUAL,
        seed: args.seed,
    };
    let began = cpu_time();
    let outcome = run::run(&settings, object, &args.scenario, load, bar(setting.span_ns))?;
    let cpu_s = (cpu_time() - began).as_secs_f64();
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
    let callback_ns = cpu_s * 1e9 / outcome.callbacks.max(1) as f64;
    let host = Host { cpu_s, callback_ns };
    let text = if args.json {
        let report = Report {
            topology: &args.topology,
            scheduler: &scheduler,
            seed: args.seed,
            seconds: args.seconds,
            outcome: &outcome,
            host,
        };
        serde_json::to_string(&report).context("the result as JSON")? + "\n"
    } else {
        text::text(&args.topology, &scheduler, &outcome, cpu_s)
    };
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(err) if err.kind() != ErrorKind::BrokenPipe => {
            return Err(err).context("standard output");
        }
        _ => {}
    }
    if let Some(why) = &outcome.failure {
        bail!("the kernel would have thrown the scheduler out: {why}");
    }
    if let Some(first) = outcome.findings.first() {
        bail!("{} does not hold: {}", first.invariant, first.what);
    }
    Ok(())
}

/// The load that `--scenario` names: a scenario of the lab, `open:N` with N tasks per CPU, or a file.
fn load(name: &str, setting: &Setting, cpus: usize) -> Result<Box<dyn Load>> {
    if let Some(tasks) = name.strip_prefix("open:").and_then(|tasks| tasks.parse::<usize>().ok())
        && (1..=MOST_PER_CPU).contains(&tasks)
    {
        return Ok(Box::new(Open::with_tasks(setting, cpus, tasks * cpus)));
    }
    if name.ends_with(".json") {
        let text =
            file::read_text(Path::new(name)).map_err(|why| Fault::Usage(format!("{why:#}")))?;
        let load = RtApp::parse(&text, setting);
        return Ok(Box::new(load.map_err(|why| Fault::Usage(format!("{name}: {why:#}")))?));
    }
    let known = loads::SCENARIOS;
    let found = known.into_iter().find(|scenario| scenario.name() == name);
    let load = found.and_then(|scenario| loads::of(scenario, setting, cpus));
    Ok(load.ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|scenario| scenario.name()).collect();
        Fault::Usage(format!(
            "--scenario {name}: expected {}, open:N with N tasks per CPU, or a file of rt-app (.json)",
            names.join(", ")
        ))
    })?)
}

/// The machine that `--topology` names: three numbers, or a saved sysfs. That of another scheduler may
/// have more CPUs than scx_toll knows.
fn topology(text: &str, other: bool) -> Result<Topology> {
    let numbers: Option<Vec<usize>> = text.split('x').map(|word| word.parse().ok()).collect();
    if let Some([nodes, llcs, cpus]) = numbers.as_deref() {
        let topo = match other {
            true => Topology::regular(*nodes, *llcs, *cpus, MAX_CPUS),
            false => Topology::synthetic(*nodes, *llcs, *cpus),
        };
        return Ok(topo.map_err(|why| Fault::Usage(format!("--topology {text}: {why:#}")))?);
    }
    if !Path::new(text).is_dir() {
        bail!(Fault::Usage(format!(
            "--topology {text}: expected three numbers such as 2x4x8, or a directory with a saved sysfs"
        )));
    }
    let root = std::path::absolute(text).context("the directory of the saved sysfs")?;
    // SAFETY: this process has one thread until the simulation begins, and nothing has read it yet.
    unsafe { std::env::set_var(ROOT_VARIABLE, &root) };
    Topology::from_sysfs(Some(&root)).with_context(|| format!("--topology {text}"))
}

fn setting(args: &SimulateArgs) -> Result<Setting> {
    let usage = |text: String| Err(Fault::Usage(text).into());
    let SimulateArgs { seconds, load, .. } = *args;
    if !(0.001..=SECONDS_MAX).contains(&seconds) {
        return usage(format!("--seconds {seconds}: expected 0.001 to {SECONDS_MAX}"));
    }
    if !(1..=1000).contains(&load) {
        return usage(format!("--load {load}: expected 1 to 1000 per cent"));
    }
    Ok(Setting {
        seed: args.seed,
        span_ns: (seconds * 1e9) as u64,
        set_kib: SET_KIB,
        memory_mib: None,
        load_pct: load,
        apart: false,
        kept: false,
    })
}

/// The table of costs as text, with its name.
fn costs_text(path: &Path) -> Result<(String, String)> {
    match path.to_str() {
        Some("free") => Ok((FREE_COSTS.into(), "free".into())),
        Some("default") => Ok((LAB_COSTS.into(), "the lab's costs".into())),
        _ => {
            let name = path.display().to_string();
            let text = file::read_text(path).map_err(|why| Fault::Usage(format!("{why:#}")))?;
            Ok((text, name))
        }
    }
}

/// scx_toll's policy, as its own flags would have made it.
fn policy(args: &SimulateArgs, topo: &Topology, (text, name): &(String, String)) -> Result<Policy> {
    let (table, source) = match args.penalty.to_str() {
        Some("default") => (PenaltyTable::default(), "default".to_string()),
        Some("costs") => (file::parse(text, name, topo)?, name.clone()),
        _ => (file::read(&args.penalty, topo)?, args.penalty.display().to_string()),
    };
    let usage =
        |flag: &str, value: &str, why: String| Fault::Usage(format!("{flag} {value}: {why}"));
    let (migrate, fixed) =
        migrate_value(&args.migrate).map_err(|why| usage("--migrate", &args.migrate, why))?;
    let slice = slice_value(args.slice_us)
        .map_err(|why| usage("--slice-us", &args.slice_us.to_string(), why))?;
    let named = named_gates(&args.hysteresis)?;
    let gate = |level: Level| named[level.index()].unwrap_or(Hysteresis::default_for(level));
    Ok(Policy {
        slice,
        migrate,
        fixed,
        hysteresis: Level::ALL.map(gate),
        learn: false,
        ..Policy::new(table, source, topo)
    })
}

/// How far it is, on standard error if that is a terminal.
fn bar(span_ns: u64) -> impl FnMut(u64, Option<u64>) {
    const WIDTH: usize = 30;
    let terminal = std::io::stderr().is_terminal();
    let mut shown = Instant::now();
    move |now, released| {
        if !terminal || shown.elapsed() < SHOW_EVERY {
            return;
        }
        shown = Instant::now();
        match released {
            None => eprint!("\r\x1b[Ktasks are born ({:.1} s)", now as f64 / 1e9),
            Some(at) => {
                let done = (now - at) as f64 / span_ns.max(1) as f64;
                let full = ((done * WIDTH as f64) as usize).min(WIDTH);
                let seconds = (now - at) as f64 / 1e9;
                eprint!(
                    "\r\x1b[K[{}{}] {seconds:.1} s",
                    "=".repeat(full),
                    " ".repeat(WIDTH - full)
                );
            }
        }
    }
}

/// CPU time of this process.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct is ours and is filled in.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
