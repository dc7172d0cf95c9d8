// SPDX-License-Identifier: GPL-2.0-only
//! Plain text: the block of statistics and the exit report.

use crate::stats::exported::{self, LlcStats, MoveStats, TollStats};
use crate::stats::{Counters, KINDS, LlcSnapshot, NR_APPLIED, NR_ASKING, VERDICTS};
use crate::topology::Level;
use std::collections::BTreeMap;
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

fn llc_line(out: &mut String, index: u32, llc: &LlcStats) {
    let _ = writeln!(
        out,
        "  llc{index:<3} node{:<2} load {:>3.0} %  wait {:>8}  queue {:>3} ({:>8})  running {:>2}  idle {:>2} of {}",
        llc.node,
        llc.load_pct,
        time(llc.wait_ns),
        llc.queued,
        time(llc.queued_ns),
        llc.running,
        llc.idle,
        llc.cpus
    );
}

/// Moves that really happened, kind by level, with what was decided beside it.
fn moves_table(out: &mut String, moves: &BTreeMap<String, MoveStats>) {
    let _ = writeln!(out, "  moves   within llc   between llcs   between nodes");
    for name in KINDS {
        let _ = write!(out, "  {name:<7}");
        let landed = moves.get(name).copied().unwrap_or_default();
        for (count, width) in landed.levels().into_iter().zip([11, 15, 16]) {
            let _ = write!(out, "{count:>width$}");
        }
        out.push('\n');
    }
}

/// Why nothing moved between LLCs, most frequent first.
fn refusals(sums: &[u64; VERDICTS.len()]) -> String {
    let asked: u64 = sums.iter().sum();
    let mut line = format!("asked {asked}, applied {}", exported::applied(sums));
    let aged = sums[NR_APPLIED - 1];
    if aged > 0 {
        let _ = write!(line, " ({aged} for age)");
    }
    line.push_str("; refused:");
    for (verdict, count) in refused(sums) {
        let _ = write!(line, " {verdict} {count}");
    }
    line
}

/// The refusals among counts by verdict, most frequent first, in words.
pub fn refused(sums: &[u64; VERDICTS.len()]) -> Vec<(String, u64)> {
    let named = VERDICTS.iter().map(|verdict| verdict.replace('_', " ")).zip(*sums);
    let mut refused: Vec<_> = named.skip(NR_APPLIED).collect();
    refused.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    refused
}

/// How many of the moves paid, by the wait that followed.
fn precision(judged: u64, paid: u64) -> String {
    match judged {
        0 => "no move for a gain was judged".into(),
        _ => {
            let share = paid as f64 / judged as f64;
            format!("{:.0} % of {judged} moves for a gain paid", share * 100.0)
        }
    }
}

/// One block of `--stats` and `--monitor`.
pub fn stats_block(stats: &TollStats) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "scx_toll  {} CPUs {} LLCs  load {:.0} %  {:.0} wakeups/s  {:.0} turns/s  mean wait {}  {} kicks  policy {}",
        stats.cpus,
        stats.llcs.len(),
        stats.load_pct,
        stats.per_second(stats.wakes),
        stats.per_second(stats.turns),
        time(stats.mean_wait_ns()),
        stats.kicks,
        stats.policy_version,
    );
    for (index, llc) in &stats.llcs {
        llc_line(&mut out, *index, llc);
    }
    moves_table(&mut out, &stats.moves);
    let precision = precision(stats.judged, stats.paid);
    let _ = writeln!(out, "  {}; {precision}", refusals(&stats.by_verdict()));
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
    moves_table(&mut out, &exported::moves(counters));
    let _ = writeln!(out, "  {}", precision(counters.judged, counters.paid));
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
        let line = refusals(&[1, 0, 2, 0, 0, 0, 1]);
        assert!(line.starts_with("asked 4, applied 1; refused: not worth 2 raced 1"), "{line}");
    }
}
