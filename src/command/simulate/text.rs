// SPDX-License-Identifier: GPL-2.0-only
//! A simulation's result for a person.

use crate::sim::run::Outcome;
use std::fmt::Write;

/// Lines of text.
pub fn text(topology: &str, scheduler: &str, outcome: &Outcome, cpu_s: f64) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut out, topology, scheduler, outcome, cpu_s);
    out
}

fn write(
    out: &mut String,
    topology: &str,
    scheduler: &str,
    o: &Outcome,
    cpu_s: f64,
) -> std::fmt::Result {
    let span_s = (o.found.until_ns - o.found.from_ns) as f64 / 1e9;
    writeln!(out, "{} on {topology} under {scheduler}, {span_s:.3} s", o.found.scenario)?;
    for figure in &o.found.figures {
        write!(out, "  {:<16}{:>12.3} {:<6}", figure.name, figure.value, figure.unit)?;
        match figure.bound.zip(figure.ratio()) {
            Some((bound, ratio)) => writeln!(out, " bound {bound:.3}, ratio {ratio:.3}")?,
            None => writeln!(out)?,
        }
    }
    let paid = &o.found.paid;
    let ms = |ns: u64| ns as f64 / 1e6;
    writeln!(
        out,
        "  work {:.1} ms, refill {:.1} ms, remote {:.1} ms",
        ms(paid.work_ns),
        ms(paid.refill_ns),
        ms(paid.remote_ns)
    )?;
    writeln!(
        out,
        "  wait for a CPU: mean {:.3} ms, longest {:.1} ms",
        o.wait_mean_ms, o.wait_longest_ms
    )?;
    writeln!(
        out,
        "  idle while tasks waited: {:.2} % of the CPU time, {:.3} % beside a queue that paid",
        o.wasted_pct, o.wasted_paying_pct
    )?;
    writeln!(
        out,
        "  {} switches, {} wakeups; moves: {} in the LLC, {} in the node, {} between nodes",
        o.switches, o.wakeups, o.migrations[0], o.migrations[1], o.migrations[2]
    )?;
    if let Some(d) = &o.decisions {
        for (kind, name) in ["place", "push", "pull"].iter().enumerate() {
            writeln!(
                out,
                "  {name:<6}{:>10} asked, {:>8} moved in the node, {:>8} between nodes",
                d.asked[kind], d.llc_moves[kind], d.node_moves[kind]
            )?;
        }
    }
    for (invariant, looks) in &o.looks {
        let broken = o.findings.iter().find(|finding| finding.invariant == *invariant);
        match broken {
            None => writeln!(out, "  holds: {invariant} ({looks} looks)")?,
            Some(found) => writeln!(
                out,
                "  BROKEN {} times: {invariant}: at {:.6} s {}",
                found.count,
                found.at_ns as f64 / 1e9,
                found.what
            )?,
        }
    }
    let per = cpu_s * 1e9 / o.callbacks.max(1) as f64;
    writeln!(
        out,
        "  hash {}; {cpu_s:.2} s of CPU here, {per:.0} ns for each of {} callbacks",
        o.hash, o.callbacks
    )
}
