// SPDX-License-Identifier: GPL-2.0-only
//! A load under which pushes and pulls are bound to happen on a machine with several LLCs and nodes.
//!
//! A light mixed load runs all the time. Every two seconds a crowd of hogs starts confined to one LLC
//! or one node, by turns, and is released after half a second: the place is then crowded and the rest
//! of the machine nearly idle. One line per phase on stderr says what was done.
//!
//! | key | meaning |
//! |---|---|
//! | `phases` | crowds released |
//! | `llc_changes`, `node_changes` | by the looks of the crowds' hogs after their release |
//! | the others | as of `mixed` |

use std::io::Write;
use std::sync::Arc;

use anyhow::Result;

use crate::cli::DemoArgs;
use crate::clock::{NS_PER_MS, duration_ns, now_ns};
use crate::cpus::CpuSet;
use crate::report::Report;
use crate::run::{Deadline, wait_until};
use crate::scenario::Outcome;
use crate::scenario::crew::{Crew, CrewPlan, CrewResult};
use crate::scenario::mixed::{Load, Plan};
use crate::topology::Topology;

const PHASE_NS: u64 = 2_000 * NS_PER_MS;
const CONFINED_NS: u64 = 500 * NS_PER_MS;

/// Run the demo.
pub fn run(args: &DemoArgs) -> Result<Outcome> {
    let topology = Topology::probe()?;
    if topology.llcs().len() == 1 {
        say("this machine has only one LLC: nothing can move between LLCs or nodes");
    }
    let deadline = Arc::new(Deadline::after(duration_ns(args.seconds)));
    let plan = Plan::light(topology.cpus().len());
    let load = Load::start(&plan, args.seed, Arc::clone(&deadline))?;

    let (mut phases, mut llc_changes, mut node_changes) = (0, 0, 0);
    for phase in 0.. {
        if deadline.over() {
            break;
        }
        let seen = play(phase, &topology, &deadline)?;
        phases += usize::from(seen.t0_ns.is_some());
        llc_changes += seen.hogs.iter().map(|hog| hog.llc_changes).sum::<u64>();
        node_changes += seen.hogs.iter().map(|hog| hog.node_changes).sum::<u64>();
    }

    let mut report = Report::new();
    report.add("phases", phases).add("llc_changes", llc_changes).add("node_changes", node_changes);
    load.finish(&mut report)?;
    Ok(report.into())
}

/// Crowd a place, release the crowd, and let it run until the phase is over.
fn play(phase: usize, topology: &Topology, deadline: &Deadline) -> Result<CrewResult> {
    let start_ns = now_ns();
    let crowd = Crowd::of_phase(phase, topology);
    let plan = CrewPlan { nr: crowd.nr, confine: Some(crowd.cpus), processes: false };
    let mut crew = Crew::start(&plan, topology.clone())?;
    crew.let_run();
    crew.wait_until_all_ran(deadline)?;
    if wait_until(start_ns + CONFINED_NS, deadline) {
        crew.release(PHASE_NS)?;
        let (nr, place) = (crowd.nr, &crowd.place);
        say(&format!("phase {}: {nr} hogs started on {place} and released", phase + 1));
        wait_until(start_ns + PHASE_NS, deadline);
    }
    crew.finish()
}

/// More hogs than the place where they start can hold.
#[derive(Debug, PartialEq, Eq)]
struct Crowd {
    place: String,
    cpus: CpuSet,
    nr: usize,
}

impl Crowd {
    /// LLCs and nodes by turns: LLC 0, node 0, LLC 1, node 1, …
    fn of_phase(phase: usize, topology: &Topology) -> Self {
        let turn = phase / 2;
        if phase.is_multiple_of(2) {
            let llc = turn % topology.llcs().len();
            let cpus = topology.llcs()[llc];
            Self { place: format!("LLC {llc} (CPU {cpus})"), cpus, nr: 2 * cpus.len() + 1 }
        } else {
            let node = &topology.nodes()[turn % topology.nodes().len()];
            Self {
                place: format!("node {} (CPU {})", node.number, node.cpus),
                cpus: node.cpus,
                nr: 2 * node.cpus.len(),
            }
        }
    }
}

/// Tell the user; that nobody listens is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llcs_and_nodes_take_turns_for_ever() {
        let topology = Topology::probe().expect("topology");
        for phase in 0..20 {
            let crowd = Crowd::of_phase(phase, &topology);
            assert_eq!(crowd.place.starts_with("LLC"), phase % 2 == 0);
            assert!(crowd.nr >= 2 * crowd.cpus.len());
        }
    }
}
