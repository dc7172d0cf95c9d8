// SPDX-License-Identifier: GPL-2.0-only
//! Each rule broken on purpose is found by an invariant, and nothing is found where none is broken.
//!
//! A mutant is a copy of the BPF source with one place changed, compiled for the host. The same loads
//! run under all of them and under the source as it is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod simulated;

use scx_toll::model::decide::Migrate;
use scx_toll::sim::audit::{AGE, BOOKS, FAIR, PAYS, REACH, RULE};
use scx_toll::sim::loads::Open;
use scx_toll::sim::object::Object;
use scx_toll::sim::run::Outcome;
use scx_toll::units::Ns;
use simulated::crowd::{Bound, Crowd};
use simulated::{Simulated, compile, setting, sources};
use std::fs;
use std::path::Path;

/// A place of the source that is changed, and the invariant that finds it.
struct Mutant {
    name: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
    caught_by: &'static str,
}

const MUTANTS: [Mutant; 11] = [
    Mutant {
        name: "no age escape",
        file: "move.bpf.h",
        from: "return pol->migrate != TOLL_MIGRATE_NEVER && t->enqueued_at &&",
        to: "return false && t->enqueued_at &&",
        caught_by: AGE,
    },
    Mutant {
        name: "idle CPUs steal without asking for the price",
        file: "pull.bpf.h",
        from: "\treturn worth_moving(a, t, to, 0, pol);\n}\n\n/*\n * Look at the first",
        to: "\treturn TOLL_APPLIED;\n}\n\n/*\n * Look at the first",
        caught_by: RULE,
    },
    Mutant {
        name: "a tick finds the queue that pays, and kicks nobody",
        file: "pull.bpf.h",
        from: "\t\tme->nr_kicks++;\n\t\tkick(cpu, SCX_KICK_IDLE);",
        to: "\t\tme->nr_kicks++;",
        caught_by: PAYS,
    },
    Mutant {
        name: "a task is charged by its slice",
        file: "account.bpf.h",
        from: "u64 used = time_delta(now, t->started_at);",
        to: "u64 used = t->turn_ns > p->scx.slice ? t->turn_ns - p->scx.slice : 0;",
        caught_by: BOOKS,
    },
    Mutant {
        name: "a push does not look at the affinity",
        file: "push.bpf.h",
        from: "\t\tif (!may_use(p, to)) {\n\t\t\tverdict = TOLL_AFFINITY;\n\t\t\tcontinue;\n\t\t}\n\t\tleast = wait;",
        to: "\t\tleast = wait;",
        caught_by: REACH,
    },
    Mutant {
        name: "no gate holds a move",
        file: "move.bpf.h",
        from: "\tif (pol->migrate != TOLL_MIGRATE_ALWAYS)\n\t\theld = pass_gate",
        to: "\tif (pol->version == 0)\n\t\theld = pass_gate",
        caught_by: RULE,
    },
    Mutant {
        name: "the way home costs as much as the way out",
        file: "move.bpf.h",
        from: "a->remote_ns = toll_remote(a->span_ns, pol->remote_pm[home][there],\n\t\t\t\t\t   pol->remote_pm[home][here]);",
        to: "a->remote_ns = toll_remote(a->span_ns, pol->remote_pm[here][there], 0);",
        caught_by: RULE,
    },
    Mutant {
        name: "who leaves a queue stays in its account",
        file: "account.bpf.h",
        from: "\t\tif (t->queued_shared)\n\t\t\t__sync_fetch_and_sub(&llc->nr_queued, 1);",
        to: "",
        caught_by: BOOKS,
    },
    Mutant {
        name: "a pull that found nothing is not counted",
        file: "pull.bpf.h",
        from: "\tif (level == TOLL_LEVEL_CORE)\n\t\treturn false;\n\tpull_end(",
        to: "\tif (level == TOLL_LEVEL_CORE || verdict == TOLL_NOTHING)\n\t\treturn false;\n\tpull_end(",
        caught_by: BOOKS,
    },
    Mutant {
        name: "a CPU that goes idle counts as busy",
        file: "main.bpf.c",
        from: "\tidle_set(me, idle);\n\tif (!idle)",
        to: "\tidle_set(me, 0);\n\tif (!idle)",
        caught_by: BOOKS,
    },
    Mutant {
        name: "run time costs some tasks no virtual time",
        file: "fair.bpf.h",
        from: "\tt->vtime += vtime_of(p, t, llc, used);",
        to: "\tt->vtime += p->pid % 2 ? vtime_of(p, t, llc, used) : 0;",
        caught_by: FAIR,
    },
];

/// What runs under each: requests, a crowd that only its age moves, one that a price keeps for a while,
/// and tasks that are bound to LLCs.
fn outcomes(object: impl Fn() -> Object) -> Vec<Outcome> {
    let lab = |seed| Simulated::like_the_lab(2, 2, 2, seed);
    let open = lab(1).run_object(object(), Box::new(Open::new(&setting(1, 1000, 90), 8)));
    // Nothing pays: 250 tasks wait for two CPUs, and only their age brings some to the other six.
    let mut aged = lab(2).migrate(Migrate::Fixed);
    aged.policy.fixed = Ns::from_ms(600_000);
    let born_on = 0..2;
    let crowd = Crowd { tasks: 250, set_kib: 400, born_on, span_ns: 2_500_000_000 };
    let aged = aged.run_object(object(), Box::new(crowd));
    // A price that only a long queue exceeds, and turns so long that no push comes in between.
    let mut priced = lab(3).migrate(Migrate::Fixed);
    priced.policy.fixed = Ns::from_ms(60);
    priced.policy.slice = Ns::from_ms(200);
    let crowd = Crowd { tasks: 5, set_kib: 400, born_on: 0..2, span_ns: 2_000_000_000 };
    let priced = priced.run_object(object(), Box::new(crowd));
    let fair = lab(4).migrate(Migrate::Never);
    let crowd = Crowd { tasks: 9, set_kib: 400, born_on: 0..2, span_ns: 2_500_000_000 };
    let fair = fair.run_object(object(), Box::new(crowd));
    let llcs = (0..4).map(|llc| 2 * llc..2 * llc + 2).collect();
    let bound = lab(5).run_object(object(), Box::new(Bound::new(40, llcs, 0.8, 5)));
    // All in two LLCs of four: the others look tempting.
    let crowded = lab(6).run_object(object(), Box::new(Bound::new(40, vec![0..2, 4..6], 1.1, 6)));
    vec![open, aged, priced, fair, bound, crowded]
}

/// A copy of the source with `mutant` in it, compiled.
fn make(mutant: &Mutant, dir: &Path) -> std::path::PathBuf {
    let (bpf, _) = sources();
    for entry in fs::read_dir(bpf).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.join(entry.file_name())).unwrap();
    }
    let path = dir.join(mutant.file);
    let source = fs::read_to_string(&path).unwrap();
    assert_eq!(source.matches(mutant.from).count(), 1, "{}: the place is gone", mutant.name);
    fs::write(&path, source.replace(mutant.from, mutant.to)).unwrap();
    let object = dir.join("mutant.so");
    compile("gcc", dir, &object).unwrap();
    object
}

#[test]
fn nothing_is_found_where_nothing_is_broken() {
    for (nr, outcome) in outcomes(|| Object::toll().unwrap()).iter().enumerate() {
        assert!(outcome.is_sound(), "load {nr}: {:?} {:#?}", outcome.failure, outcome.findings);
        assert!(outcome.looks.len() >= 6, "load {nr}: {:?}", outcome.looks);
    }
}

#[test]
fn every_mutant_is_caught() {
    let mut escaped = Vec::new();
    for mutant in &MUTANTS {
        let dir = tempfile::tempdir().unwrap();
        let object = make(mutant, dir.path());
        let outcomes = outcomes(|| Object::open(&object).unwrap());
        let found = outcomes.iter().enumerate().flat_map(|(nr, outcome)| {
            let findings = outcome.findings.iter();
            let findings = findings.map(move |f| (nr, f.invariant.clone(), f.what.clone()));
            let failure = outcome.failure.iter();
            findings.chain(failure.map(move |why| (nr, "thrown out".to_string(), why.clone())))
        });
        let found: Vec<_> = found.collect();
        println!("{}: {found:#?}", mutant.name);
        if !found.iter().any(|(_, invariant, _)| invariant == mutant.caught_by) {
            escaped.push(mutant.name);
        }
    }
    assert!(escaped.is_empty(), "{escaped:?}");
}
