// SPDX-License-Identifier: GPL-2.0-only
//! Figures that the lab takes from a trace, for loads of which the answer is known.

use toll_bench::callbacks::{Callback, callbacks};
use toll_bench::trace::timeline::Choice;
use toll_bench::trace::{ByLevel, Machine, Options, Summary, Timeline, Trace, split};

use crate::vm::{Moves, Ran, Vm};

const MS: u64 = 1_000_000;
/// Long before and after the instants at which the hogs are released and stopped.
const EDGE_NS: u64 = 50 * MS;

/// The text of a run, and its recordings.
fn parts(ran: Ran) -> (Ran, Vec<Trace>) {
    let (out, traces) = split(&ran.bytes).expect("recordings");
    (Ran { out, ..ran }, traces)
}

fn summary(trace: &Trace, from: (&str, u64), to: (&str, u64), price_ns: u64) -> Summary {
    let start = trace.mark(from.0).expect("first mark") + from.1;
    let end = trace.mark(to.0).expect("last mark") - to.1;
    let options = Options {
        window: start..end,
        choice: Choice::prefix("hog"),
        wait_prefixes: Vec::new(),
        price_ns: &|_, _| price_ns,
        settle: None,
    };
    Timeline::of(trace).summary(&Machine::regular(2, 2, 2), &options).expect("summary")
}

/// While two hogs share a CPU, one of them waits and seven CPUs are idle, at every instant.
fn one_cpu_is_wasted_all_the_time(trace: &Trace) {
    let (from, to) = (("tollwork: released", EDGE_NS), ("tollwork: ended", EDGE_NS));
    let found = summary(trace, from, to, 0);
    assert!(found.complete && found.repairs == 0, "{found:#?}");
    assert!(found.length_ns > 350 * MS, "{found:#?}");
    // Exactly, whatever the events' times: one hog leaves in the same event by which the other comes.
    // More only while a third task has that CPU and both wait: less than 1 %.
    let more = found.waste.total_ns.checked_sub(found.length_ns).expect("less than one CPU");
    assert!(more < found.length_ns / 100, "{found:#?}");
    assert_eq!(found.waste.longest_ns, found.length_ns);
    // If moves are free all of it would have paid; if they cost a second, none.
    assert_eq!(found.waste.paying_ns, found.waste.total_ns);
    assert_eq!(summary(trace, from, to, 1000 * MS).waste.paying_ns, 0);
    assert_eq!((found.chosen.moves, found.ping_pong), (ByLevel::default(), 0));
}

/// Every move that the kernel's histogram counted is in the trace, and no other: those between the
/// marks inside its time at least, those between the marks outside at most.
fn moves_agree(trace: &Trace, ran: &Ran) {
    let inside = summary(trace, ("hist begun", 0), ("hist ending", 0), 0);
    let outside = summary(trace, ("before hist", 0), ("after hist", 0), 0);
    assert!(inside.complete && outside.complete, "{}", ran.all());
    let kernel = Moves::from_hist(ran.section("hist"));
    let (least, most) = (inside.all.moves, outside.all.moves);
    eprintln!("moves by the histogram: {kernel:?}, by the trace {least:?} to {most:?}");
    assert!(kernel.away() > 20, "{}", ran.all());
    for (least, kernel, most) in [
        (least.core, kernel.core, most.core),
        (least.llc, kernel.llc, most.llc),
        (least.node, kernel.node, most.node),
    ] {
        assert!((least..=most).contains(&kernel) && most - least <= 2, "{}", ran.all());
    }
}

/// The scheduler's callback `running` is called for each task that gets a CPU, and for no other: the
/// turns between the looks at the callbacks at least, those around the looks at most.
fn turns_agree(trace: &Trace, ran: &Ran) {
    let costs = callbacks(ran.section("before"), ran.section("after")).expect("callbacks");
    let running = costs.iter().find(|cost| cost.name == "toll_running").expect("toll_running");
    let line = Timeline::of(trace);
    assert_eq!((line.lost, line.repairs), (0, 0));
    let turns = |from: &str, to: &str| {
        let window = trace.mark(from).expect("first mark")..trace.mark(to).expect("last mark");
        let begun = line.runs.iter().filter(|run| run.switched && window.contains(&run.from_ns));
        // The kernel's migration threads are of a class above every scheduler's.
        let ours = |task: usize| !line.tasks[task].comm.starts_with("migration/");
        begun.filter(|run| run.task.is_some_and(ours)).count() as u64
    };
    let least = turns("after first look", "before last look");
    let most = turns("before first look", "after last look");
    eprintln!("{} turns by the callback, {least} to {most} by the trace", running.runs);
    // Every switch to a task begins a turn. The kernel also begins one anew without a switch, when it
    // picks the same task again or changes its class, mask or weight: some, but not many.
    let within = least..=most + most / 4;
    assert!(within.contains(&running.runs) && most < least * 3 / 2, "{costs:?}");
    // No callback takes no time, and none takes a millisecond.
    let ran_some = |cost: &&Callback| cost.runs > 0;
    let plausible = |ns: f64| (10.0..1e6).contains(&ns);
    let mut times = costs.iter().filter(ran_some).filter_map(Callback::ns_per_run);
    assert!(times.all(plausible), "{costs:?}");
}

#[test]
fn waste_moves_callbacks_and_losses_are_what_they_must_be() {
    let Some(ran) = Vm::counted().with(&["--with", "bpftool"]).run("trace.sh", &[]) else { return };
    let (ran, traces) = parts(ran.expect_ok());
    let [pinned, mixed, never, turns, small] = &traces[..] else {
        panic!("{} recordings: {}", traces.len(), ran.all());
    };
    one_cpu_is_wasted_all_the_time(pinned);

    moves_agree(mixed, &ran);

    // Nobody leaves the LLC, although the others are idle; within it they may.
    let stay = summary(never, ("tollwork: released", 0), ("tollwork: ended", 0), 0);
    assert!(stay.complete && stay.repairs == 0, "{stay:#?}");
    assert_eq!(stay.chosen.moves.away(), 0, "{stay:#?}");
    assert!(stay.waste.total_ns > 3 * stay.length_ns, "four wait: {stay:#?}");

    turns_agree(turns, &ran);

    assert!(small.lost() > 0 && Timeline::of(small).lost == small.lost());
}
