// SPDX-License-Identifier: GPL-2.0-only
//! The same input gives the same run, down to every switch, whichever compiler made the scheduler.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod simulated;

use scx_toll::sim::loads;
use scx_toll::sim::object::Object;
use scx_toll::sim::run::Outcome;
use simulated::{Simulated, clang, compile, setting, sources};
use toll_bench::lab::Scenario;

fn run(scenario: Scenario, seed: u64, object: Object) -> Outcome {
    let machine = Simulated::like_the_lab(2, 2, 2, seed);
    let load = loads::of(scenario, &setting(seed, 300, 70), 8).unwrap();
    machine.run_object(object, load)
}

#[test]
fn twice_the_same() {
    for scenario in loads::SCENARIOS {
        let first = run(scenario, 1, Object::toll().unwrap());
        assert_eq!(first.failure, None);
        assert!(first.switches > 20, "{scenario:?}: {first:?}");
        assert_eq!(first, run(scenario, 1, Object::toll().unwrap()), "{scenario:?}");
    }
}

#[test]
fn another_seed_is_another_run() {
    for scenario in loads::SCENARIOS {
        let [one, two] = [1, 2].map(|seed| run(scenario, seed, Object::toll().unwrap()).hash);
        assert_ne!(one, two, "{scenario:?}");
    }
}

#[test]
fn gcc_and_clang_make_the_same_scheduler() {
    let dir = tempfile::tempdir().unwrap();
    let (bpf, _) = sources();
    let mut hashes = Vec::new();
    for (name, compiler) in [("gcc", "gcc".to_string()), ("clang", clang())] {
        let object = dir.path().join(name);
        compile(&compiler, &bpf, &object).unwrap();
        let open = || Object::open(&object).unwrap();
        hashes.push(loads::SCENARIOS.map(|scenario| run(scenario, 1, open())));
    }
    assert_eq!(hashes[0], hashes[1]);
    assert_eq!(hashes[0], loads::SCENARIOS.map(|s| run(s, 1, Object::toll().unwrap())));
}
