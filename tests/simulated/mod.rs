// SPDX-License-Identifier: GPL-2.0-only
//! What tests of the simulator share.

// Each test crate uses its part of it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod crowd;

use scx_toll::model::PenaltyTable;
use scx_toll::model::decide::Migrate;
use scx_toll::model::file;
use scx_toll::policy::Policy;
use scx_toll::sim::load::Load;
use scx_toll::sim::object::Object;
use scx_toll::sim::run::{self, Outcome, Settings};
use scx_toll::sim::timing::Timing;
use scx_toll::topology::Topology;
use std::path::{Path, PathBuf};
use std::process::Command;
use toll_bench::lab::Setting;
use toll_bench::lab::costs::Costs;

/// What moves cost in the lab.
pub const LAB_COSTS: &str = include_str!("../../tools/bench/costs/default.toml");

/// A setting of the lab: `ms` of load.
pub fn setting(seed: u64, ms: u64, load_pct: u64) -> Setting {
    Setting {
        seed,
        span_ns: ms * 1_000_000,
        set_kib: 850,
        memory_mib: None,
        load_pct,
        apart: false,
        kept: false,
    }
}

/// A simulation to be.
pub struct Simulated {
    pub topo: Topology,
    pub policy: Policy,
    pub costs: Costs,
    pub timing: Timing,
    pub seed: u64,
}

impl Simulated {
    /// A machine on which moves cost what they cost in the lab, and the policy knows it.
    pub fn like_the_lab(nodes: usize, llcs: usize, cpus: usize, seed: u64) -> Simulated {
        let topo = Topology::synthetic(nodes, llcs, cpus).unwrap();
        let table = file::parse(LAB_COSTS, "costs", &topo).unwrap();
        Simulated {
            policy: policy(table, &topo),
            topo,
            costs: Costs::parse(LAB_COSTS, "costs").unwrap(),
            timing: Timing::USUAL,
            seed,
        }
    }

    /// A machine on which nothing costs anything, and the policy does not believe so either.
    pub fn without_costs(nodes: usize, llcs: usize, cpus: usize, seed: u64) -> Simulated {
        let topo = Topology::synthetic(nodes, llcs, cpus).unwrap();
        let policy = policy(PenaltyTable::default(), &topo);
        Simulated { policy, topo, costs: Costs::FREE, timing: Timing::NONE, seed }
    }

    /// The same under another rule.
    pub fn migrate(mut self, migrate: Migrate) -> Simulated {
        self.policy.migrate = migrate;
        self
    }

    /// Run scx_toll as it is.
    pub fn run<'a>(&'a self, load: Box<dyn Load + 'a>) -> Outcome {
        self.run_object(Object::toll().unwrap(), load)
    }

    /// Run scx_toll as `object`.
    pub fn run_object<'a>(&'a self, object: Object, load: Box<dyn Load + 'a>) -> Outcome {
        let Simulated { topo, policy, costs, timing, seed } = self;
        let policy = Some(policy);
        let settings = Settings { topo, policy, costs: *costs, timing: *timing, seed: *seed };
        run::run(&settings, object, "test", load, |_, _| {}).unwrap()
    }
}

/// Run another scheduler, the shared object `path`, on a machine on which nothing costs anything.
pub fn run_other<'a>(
    topo: &'a Topology,
    path: &Path,
    seed: u64,
    load: Box<dyn Load + 'a>,
) -> Outcome {
    let (costs, timing) = (Costs::FREE, Timing::NONE);
    let settings = Settings { topo, policy: None, costs, timing, seed };
    run::run(&settings, Object::open(path).unwrap(), "test", load, |_, _| {}).unwrap()
}

fn policy(table: PenaltyTable, topo: &Topology) -> Policy {
    Policy { learn: false, ..Policy::new(table, "test".into(), topo) }
}

/// The sources of the BPF half, and what stands in for the kernel.
pub fn sources() -> (PathBuf, PathBuf) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    (root.join("src/bpf"), root.join("src/sim/stand_in"))
}

/// Compile the BPF half in the directory `bpf` with `compiler` into `to`.
pub fn compile(compiler: &str, bpf: &Path, to: &Path) -> Result<(), String> {
    compile_source(compiler, bpf, "toll.c", to)
}

/// Compile `source`, a file beside the stand-in, with the headers of the directory `bpf`.
pub fn compile_source(compiler: &str, bpf: &Path, source: &str, to: &Path) -> Result<(), String> {
    let (_, stand_in) = sources();
    let output = Command::new(compiler)
        .args(["-std=gnu11", "-O2", "-shared", "-fPIC", "-fvisibility=hidden"])
        .args(["-fno-strict-aliasing", "-w", "-I"])
        .arg(bpf)
        .arg("-I")
        .arg(&stand_in)
        .arg("-o")
        .arg(to)
        .arg(stand_in.join(source))
        .output()
        .map_err(|why| format!("{compiler}: {why}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// The clang that compiles the BPF half, as tools/clang finds it.
pub fn clang() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::env::var("BPF_CLANG").unwrap_or_else(|_| root.join("tools/clang").display().to_string())
}
