// SPDX-License-Identifier: GPL-2.0-only
//! Producers and consumers that hand data to each other, as many pairs as two CPUs each can serve,
//! the two of each pair in LLCs of different nodes at first.
//! Nobody waits for a CPU, so only the hand-overs themselves can make a move pay.

use std::collections::BTreeMap;

use toll_bench::trace::{Machine, Timeline, Trace, split};

use crate::vm::Vm;

/// Of the producers and consumers that ran in the second half of a recording: how many pairs there
/// are, and of how many both were in one LLC for most of it.
fn together(trace: &Trace) -> (usize, usize) {
    let timeline = Timeline::of(trace);
    let machine = Machine::regular(2, 2, 2);
    let half = timeline.start_ns + (timeline.end_ns - timeline.start_ns) / 2;
    // By pid: where it ran, in ns by LLC. A consumer is forked right after its producer.
    let mut ran: BTreeMap<u32, [u64; 4]> = BTreeMap::new();
    for run in timeline.runs.iter().filter(|run| run.to_ns > half) {
        let Some(task) = run.task.map(|id| &timeline.tasks[id]) else { continue };
        if ["lw-prod", "lw-cons"].iter().any(|name| task.comm.starts_with(name)) {
            let llc = machine.llc(run.cpu) as usize;
            let pid = u32::try_from(task.pid).expect("a pid");
            ran.entry(pid).or_default()[llc] += run.to_ns - run.from_ns.max(half);
        }
    }
    let home = |llcs: &[u64; 4]| {
        let most = *llcs.iter().max().expect("four");
        (most * 10 > llcs.iter().sum::<u64>() * 8).then(|| llcs.iter().position(|&ns| ns == most))
    };
    let tasks: Vec<_> = ran.into_values().collect();
    let both = |pair: &[[u64; 4]]| home(&pair[0]).is_some() && home(&pair[0]) == home(&pair[1]);
    (tasks.len() / 2, tasks.chunks_exact(2).filter(|pair| both(pair)).count())
}

fn exchanges(section: &str) -> f64 {
    let found = section.lines().find_map(|line| {
        let found: serde_json::Value = serde_json::from_str(line).ok()?;
        found["figures"][0]["value"].as_f64()
    });
    found.unwrap_or_else(|| panic!("no figures in {section}"))
}

#[test]
fn pairs_that_are_apart_come_together_unless_nothing_may_move() {
    let options = [
        "--add",
        concat!(env!("CARGO_MANIFEST_DIR"), "/tools/bench/costs/default.toml:/root/costs.toml"),
    ];
    let flags = ["1", "toll", "--penalty /root/costs.toml", "never", "--migrate never"];
    let Some(ran) = Vm::counted().with(&options).run("partners.sh", &flags) else { return };
    let ran = ran.expect_ok();
    let (_, traces) = split(&ran.bytes).expect("recordings");
    let [toll, never] = traces.as_slice() else { panic!("two recordings: {}", ran.err) };
    let (pairs, beside) = together(toll);
    let (_, by_chance) = together(never);
    let (more, less) = (exchanges(ran.section("toll")), exchanges(ran.section("never")));
    eprintln!(
        "{beside} of {pairs} pairs are together, {by_chance} where nothing may move; \
         exchanges per second {more:.0} and {less:.0}"
    );
    assert_eq!(pairs, 4);
    // One pair may be on its way: an idle CPU has taken one of two that were in each other's way.
    assert!(beside + 1 >= pairs, "{beside} of {pairs} are together");
    assert!(beside > by_chance, "{beside} are together, {by_chance} where nothing may move");
    assert!(more > 1.1 * less, "{more} exchanges a second, {less} where nothing may move");
}
