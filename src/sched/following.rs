// SPDX-License-Identifier: GPL-2.0-only
//! Memory that follows its task, carried round the loop: who has settled → the judge's thread →
//! a record, or another home for some threads.

use super::{JsonLine, Scheduler, print_json};
use crate::config::Config;
use crate::memory::away::{self, Rehome};
use crate::memory::judge::{Heard, Judge, NodeScene, Record, Scene, Told};
use crate::model::follow::Mode;
use crate::policy::Policy;
use crate::stats::LlcSnapshot;
use crate::topology::{Level, Topology};
use crate::units::{Ns, PerMille};
use anyhow::{Context, Result};
use libbpf_rs::ProgramInput;
use log::info;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// How often the loop looks for who has settled.
const EVERY: Duration = Duration::from_secs(1);
/// The hold time is so many times P of a move between nodes ...
const HOLD_TIMES: u64 = 10;
/// ... and at least this: within it the page histogram hardly pays for itself. A guess.
const LEAST_HOLD: Ns = Ns::from_ms(1000);

/// P of a move between nodes for a task that fills its share of the largest cache.
pub fn way(policy: &Policy, topo: &Topology) -> Ns {
    let matrix = &policy.matrix;
    let hops = topo.llcs.iter().flat_map(|from| topo.llcs.iter().map(move |to| (from, to)));
    let far = hops.filter(|(from, to)| from.node != to.node);
    let hop = far.map(|(from, to)| matrix.hop(from.id, to.id)).max().unwrap_or(Ns::ZERO);
    let share =
        |llc: &crate::topology::Llc| u64::from(llc.cache_kib) / llc.cpus.len().max(1) as u64;
    let kib = topo.llcs.iter().map(share).max().unwrap_or(0);
    let warm = Ns::new(kib.saturating_mul(policy.warm_ns_per_kib.into()));
    let refill = warm.times(matrix.refill[Level::Node.index()].as_f64());
    hop.plus(refill).times(matrix.price.as_f64())
}

/// How long a task has to stay on a node before it has settled.
pub fn hold(policy: &Policy, topo: &Topology) -> Ns {
    Ns::new(way(policy, topo).get().saturating_mul(HOLD_TIMES)).max(LEAST_HOLD)
}

/// The judge, and when it was last asked. One for each attached scheduler.
pub struct Following {
    looked: Instant,
    /// The busy clocks of the LLCs at that look, in ns; empty before the first.
    busy: Vec<u64>,
    send: Sender<Heard>,
    told: Receiver<Told>,
    ended: Arc<AtomicBool>,
}

impl Following {
    /// Start the judge, unless `mode` says that nobody is wanted or there is one node only.
    pub fn start(mode: Mode, topo: &Topology) -> Result<Option<Following>> {
        if mode == Mode::Off || topo.nodes.len() < 2 {
            return Ok(None);
        }
        let (send, hear) = channel();
        let (tell, told) = channel();
        let judge = Judge::new(topo.nodes.len(), mode == Mode::Advise, tell, send.clone());
        let ended = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&ended);
        let thread = std::thread::Builder::new().name("toll-memory".into());
        thread
            .spawn(move || judge.run(&hear, || stop.load(Ordering::Relaxed)))
            .context("no thread for memory that follows")?;
        Ok(Some(Following { looked: Instant::now(), busy: Vec::new(), send, told, ended }))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// The machine as the judge needs it; `busy`: the LLCs' busy clocks `span_ns` ago.
fn scene(
    policy: &Policy,
    topo: &Topology,
    llcs: &[LlcSnapshot],
    busy: &[u64],
    span_ns: u64,
) -> Scene {
    let spare = |node: &crate::topology::Node| {
        let used: u64 = node
            .llcs
            .iter()
            .filter_map(|llc| llcs.get(llc.index()).zip(busy.get(llc.index())))
            .map(|(llc, before)| llc.busy_ns.saturating_sub(*before))
            .sum();
        let cpus: u64 = node
            .llcs
            .iter()
            .filter_map(|llc| llcs.get(llc.index()))
            .map(|llc| u64::from(llc.cpus))
            .sum();
        let free = (cpus * span_ns).saturating_sub(used);
        PerMille::clamped_from_ratio(free as f64 / span_ns.max(1) as f64)
    };
    let node = |node: &crate::topology::Node| NodeScene {
        kernel_id: node.kernel_id,
        cpus: topo.cpus.iter().filter(|cpu| cpu.node == node.id).map(|cpu| cpu.id.0).collect(),
        wait: {
            let waits = node.llcs.iter().filter_map(|llc| llcs.get(llc.index()));
            Ns::new(waits.map(|llc| llc.wait_ns).min().unwrap_or(Ns::MAX.get()))
        },
        spare: spare(node),
    };
    Scene {
        nodes: topo.nodes.iter().map(node).collect(),
        remote: policy.matrix.remote.clone(),
        way: way(policy, topo),
        turn: policy.slice,
        away: Vec::new(),
    }
}

impl Scheduler<'_> {
    /// Hand over who has settled, and do what was decided.
    pub(super) fn follow_memory(&mut self, config: &Config) -> Result<()> {
        let Some(following) = &mut self.following else { return Ok(()) };
        let told: Vec<Told> = following.told.try_iter().collect();
        let span = following.looked.elapsed();
        let due = span >= EVERY;
        if due {
            following.looked = Instant::now();
        }
        for told in told {
            match told {
                Told::Record(record) => tell(&record, config),
                Told::Moved(tids, node) => {
                    for tid in tids {
                        self.rehome(Rehome::moved_to(tid, node))?;
                    }
                }
                Told::Push(tids) => {
                    for tid in tids {
                        self.rehome(Rehome::go_home(tid))?;
                    }
                }
            }
        }
        if !due {
            return Ok(());
        }
        let away = away::take(&self.skel.maps.toll_away)?;
        let llcs = self.snapshot()?.llcs;
        let clocks = llcs.iter().map(|llc| llc.busy_ns).collect();
        let Some(following) = &mut self.following else { return Ok(()) };
        let before = std::mem::replace(&mut following.busy, clocks);
        if away.is_empty() {
            return Ok(());
        }
        let span_ns = span.as_nanos() as u64;
        let scene = Scene { away, ..scene(&self.policy, &self.topo, &llcs, &before, span_ns) };
        // A judge that has ended is missed by nobody else.
        let _ = following.send.send(Heard::Scene(scene));
        Ok(())
    }

    /// Tell the BPF half about one thread, which may have ended.
    fn rehome(&mut self, mut how: Rehome) -> Result<()> {
        // SAFETY: `Rehome: Plain`.
        let context = unsafe { plain::as_mut_bytes(&mut how) };
        let input = ProgramInput { context_in: Some(context), ..ProgramInput::default() };
        self.skel.progs.toll_rehome_task.test_run(input)?;
        Ok(())
    }
}

/// Print the record of a decision.
fn tell(record: &Record, config: &Config) {
    if config.json {
        print_json(&JsonLine::Memory(record), config.run_id);
    }
    let time = |ns: u64| Ns::new(ns).to_string();
    let home = match record.home_saves_ns.zip(record.home_costs_ns) {
        Some((saves, costs)) => format!("saves {} costs {}", time(saves), time(costs)),
        None => "not allowed".into(),
    };
    info!(
        "memory of {} on node {}, task on {}: {}{}; bring: saves {} costs {}; go home: {home}; {} KiB moved{}",
        record.pid,
        record.from,
        record.to,
        record.choice,
        if record.advice { " (advice)" } else { "" },
        time(record.bring_saves_ns),
        time(record.bring_costs_ns),
        record.moved_bytes / 1024,
        record.refused.map(|why| format!("; refused: {why}")).unwrap_or_default(),
    );
}
