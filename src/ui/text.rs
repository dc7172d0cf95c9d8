// SPDX-License-Identifier: GPL-2.0-only
//! Plain text: the block of statistics and the exit report.

use crate::stats::{Counters, Delta, KINDS, LlcSnapshot, NR_APPLIED, NR_ASKING, VERDICTS};
use crate::topology::Level;
use std::fmt::Write;

/// A length of time with three significant digits: `850 ns`, `12.3 µs`, `4.05 ms`.
pub fn time(ns: u64) -> String {
    let value = ns as f64;
    let (value, unit) = match ns {
        0..=999 => return format!("{ns} ns"),
        1_000..=999_999 => (value / 1e3, "µs"),
        1_000_000..=999_999_999 => (value / 1e6, "ms"),
        _ => (value / 1e9, "s"),
    };
    let digits = if value < 10.0 {
        2
    } else if value < 100.0 {
        1
    } else {
        0
    };
    format!("{value:.digits$} {unit}")
}

fn llc_line(out: &mut String, index: usize, llc: &LlcSnapshot, load: f64) {
    let _ = writeln!(
        out,
        "  llc{index:<3} node{:<2} load {:>3.0} %  wait {:>8}  queue {:>3} ({:>8})  running {:>2}  idle {:>2} of {}",
        llc.node,
        load * 100.0,
        time(llc.wait_ns),
        llc.queued,
        time(llc.queued_ns),
        llc.running,
        llc.idle,
        llc.cpus
    );
}

/// Moves that really happened, kind by level, with what was decided beside it.
fn moves_table(out: &mut String, counters: &Counters) {
    let _ = writeln!(out, "  moves   within llc   between llcs   between nodes");
    for (kind, name) in KINDS.iter().enumerate() {
        let _ = write!(out, "  {name:<7}");
        for (level, width) in Level::ALL.iter().zip([11, 15, 16]) {
            let _ = write!(out, "{:>width$}", counters.landed[kind][level.index()]);
        }
        out.push('\n');
    }
}

/// Why nothing moved between LLCs, most frequent first.
fn refusals(counters: &Counters) -> String {
    let sums = counters.by_verdict();
    let mut refused: Vec<_> = VERDICTS[NR_APPLIED..].iter().map(|v| (sums[v], *v)).collect();
    refused.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let asked: u64 = sums.values().sum();
    let applied: u64 = VERDICTS[..NR_APPLIED].iter().map(|v| sums[v]).sum();
    let mut line = format!("asked {asked}, applied {applied}");
    if sums["applied_aged"] > 0 {
        let _ = write!(line, " ({} for age)", sums["applied_aged"]);
    }
    line.push_str("; refused:");
    for (count, verdict) in refused {
        let _ = write!(line, " {} {count}", verdict.replace('_', " "));
    }
    line
}

/// How many of the moves paid, by the wait that followed.
fn precision(counters: &Counters) -> String {
    match counters.precision() {
        Some(share) => {
            format!("{:.0} % of {} moves for a gain paid", share * 100.0, counters.judged)
        }
        None => "no move for a gain was judged".into(),
    }
}

/// One block of `--stats`.
pub fn stats_block(delta: &Delta) -> String {
    let counters = &delta.counters;
    let per_second = |count: u64| count as f64 / delta.seconds.max(1e-9);
    let cpus: u32 = delta.llcs.iter().map(|llc| llc.cpus).sum();
    let used: f64 =
        delta.llcs.iter().zip(&delta.load).map(|(llc, load)| load * f64::from(llc.cpus)).sum();
    let mut out = String::new();
    let _ = writeln!(
        out,
        "scx_toll  {cpus} CPUs {} LLCs  load {:.0} %  {:.0} wakeups/s  {:.0} turns/s  mean wait {}  {} kicks  policy {}",
        delta.llcs.len(),
        used / f64::from(cpus.max(1)) * 100.0,
        per_second(counters.wakes),
        per_second(counters.waits),
        time(counters.mean_wait_ns()),
        counters.kicks,
        delta.policy_version,
    );
    for (index, (llc, load)) in delta.llcs.iter().zip(&delta.load).enumerate() {
        llc_line(&mut out, index, llc, *load);
    }
    moves_table(&mut out, counters);
    let _ = writeln!(out, "  {}; {}", refusals(counters), precision(counters));
    out
}

/// The exit report: everything since the start, and whether the books balance.
pub fn exit_report(counters: &Counters, llcs: &[LlcSnapshot]) -> String {
    let mut out = String::from("scx_toll: report\n");
    let _ = writeln!(
        out,
        "  {} wakeups, {} turns, mean wait {}, {} turns in a CPU's own queue, {} kicks, {} preemptions, {} hand-offs",
        counters.wakes,
        counters.waits,
        time(counters.mean_wait_ns()),
        counters.pinned,
        counters.kicks,
        counters.preempts,
        counters.handoffs
    );
    let _ = writeln!(
        out,
        "  {} births with no idle CPU at home, {} of them in another LLC",
        counters.births, counters.births_away
    );
    moves_table(&mut out, counters);
    let _ = writeln!(out, "  {}", precision(counters));
    let _ = writeln!(out, "  decisions  {:<14}{:>10}  how they ended", "level", "asked");
    for (kind, name) in KINDS.iter().enumerate().take(NR_ASKING) {
        for level in Level::ALL {
            let asked = counters.asked[kind][level.index()];
            if asked == 0 {
                continue;
            }
            let ends = VERDICTS
                .iter()
                .zip(counters.verdicts[kind][level.index()])
                .filter(|(_, count)| *count > 0)
                .map(|(verdict, count)| format!("{} {count}", verdict.replace('_', " ")))
                .collect::<Vec<_>>()
                .join(", ");
            let _ = writeln!(out, "  {name:<9}  {:<14}{asked:>10}  {ends}", level.name());
        }
    }
    let queued: u64 = llcs.iter().map(|llc| llc.queued).sum();
    let queued_ns: u64 = llcs.iter().map(|llc| llc.queued_ns).sum();
    let _ = writeln!(
        out,
        "  books: asked - answered = {}, left in queues: {queued} tasks, {queued_ns} ns",
        counters.unanswered()
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_and_have_a_unit() {
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (12_345, "12.3 µs"),
            (4_050_000, "4.05 ms"),
            (250_000_000, "250 ms"),
            (7_000_000_000, "7.00 s"),
        ] {
            assert_eq!(time(ns), text);
        }
    }

    #[test]
    fn refusals_name_every_reason_and_balance() {
        let mut counters = Counters::default();
        counters.asked[2][1] = 4;
        counters.verdicts[2][1] = [1, 0, 2, 0, 0, 0, 1];
        let line = refusals(&counters);
        assert!(line.starts_with("asked 4, applied 1; refused: not worth 2 raced 1"), "{line}");
    }
}
