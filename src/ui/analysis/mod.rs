// SPDX-License-Identifier: GPL-2.0-only
//! The report of a trace: text for a terminal, and a page for a browser.

pub mod compare;
pub mod page;
pub mod plots;
pub mod svg;
pub mod words;

use super::text::time;
use crate::analysis::correlate::Correlation;
use crate::analysis::report::{Correlations, DISTANCES, Report, TaskRow};
use std::fmt::Write;

/// Findings that the terminal shows of each level.
const FINDINGS: usize = 3;
/// Tasks that the terminal shows.
const TASKS: usize = 5;

/// A signed time.
pub fn signed(ns: i64) -> String {
    format!("{}{}", if ns < 0 { "−" } else { "" }, time(ns.unsigned_abs()))
}

/// The summary for a terminal.
pub fn summary(report: &Report) -> String {
    let mut out = String::new();
    head(&mut out, report);
    moves(&mut out, report);
    policy(&mut out, report);
    waits(&mut out, report);
    prices(&mut out, report);
    for level in &report.correlations {
        correlations(&mut out, level);
    }
    for note in &report.notes {
        let _ = writeln!(out, "note: {note}");
    }
    out
}

fn head(out: &mut String, report: &Report) {
    let intake = &report.intake;
    let format = intake.format.map_or("unknown", |format| format.name());
    let _ = writeln!(
        out,
        "{}: {format}, {} events in {}, {} CPUs, at most {} tasks at a time",
        printable(&report.trace),
        intake.events,
        time(report.span_ns),
        report.cpus,
        report.tasks_max
    );
    let _ = writeln!(out, "  machine  {}", report.machine);
    let _ = writeln!(
        out,
        "  intake   {} other events, {} broken lines, {} gaps ({} events lost), {} steps back of the clock (at \
         most {}), {} repairs, {} numbers reused",
        intake.other,
        intake.broken,
        intake.gaps,
        intake.lost,
        intake.steps_back,
        time(intake.step_back_max_ns),
        report.repairs,
        report.reused
    );
    for (number, line) in &intake.broken_lines {
        let _ = writeln!(out, "  broken   line {number}: {line}");
    }
}

fn moves(out: &mut String, report: &Report) {
    let _ = write!(out, "moves              count");
    for name in DISTANCES {
        let _ = write!(out, "{name:>15}");
    }
    let _ = writeln!(out, "   sure  by context");
    for row in &report.moves {
        let _ = write!(out, "  {:<14}{:>8}", row.kind.name(), row.count);
        for count in row.by_distance {
            let _ = write!(out, "{count:>15}");
        }
        let context = 100.0 * row.by_context as f64 / row.count.max(1) as f64;
        let _ = writeln!(out, "{:>7.2}{context:>10.0} %", row.confidence);
    }
    if report.moves.is_empty() {
        let _ = writeln!(out, "  none");
    }
}

fn policy(out: &mut String, report: &Report) {
    let _ = writeln!(out, "policy: pulls among pushes and pulls, with 95 % interval");
    for row in &report.policy {
        let share = row.pull_share;
        let percent = |share: f64| share * 100.0;
        let _ = writeln!(
            out,
            "  {:<14}{:>8} pushes {:>8} pulls  {:>5.1} % ({:.1} to {:.1})  {}",
            row.distance,
            row.pushes,
            row.pulls,
            percent(share.share),
            percent(share.low),
            percent(share.high),
            row.verdict
        );
    }
}

fn waits(out: &mut String, report: &Report) {
    let waits = &report.waits;
    if waits.count > 0 {
        let _ = writeln!(
            out,
            "waits: {}, mean {}, p50 {}, p99 {}, p99.9 {}, longest {} ({} until {:.6} s)",
            waits.count,
            time(waits.mean_ns),
            time(waits.p50_ns),
            time(waits.p99_ns),
            time(waits.p999_ns),
            time(waits.max_ns),
            printable(&waits.max_task),
            waits.max_at_ns as f64 / 1e9
        );
    }
    if let Some(waste) = &report.waste {
        let whole = report.span_ns as f64 * report.cpus as f64;
        let _ = writeln!(
            out,
            "idle CPUs beside waiting tasks: {} of CPU time ({:.2} %), longest {} at {:.6} s",
            time(waste.total_ns),
            100.0 * waste.total_ns as f64 / whole.max(1.0),
            time(waste.longest_ns),
            waste.longest_at_ns as f64 / 1e9
        );
    }
    let ping_pong = &report.ping_pong;
    if ping_pong.count > 0 {
        let _ = writeln!(
            out,
            "ping-pong: {} moves back within 10 ms, longest chain {} ({})",
            ping_pong.count,
            ping_pong.longest,
            printable(&ping_pong.longest_task)
        );
    }
}

fn prices(out: &mut String, report: &Report) {
    if report.prices.is_empty() {
        return;
    }
    let _ = writeln!(out, "price             priced      paid        saved ΔL         cost P");
    for row in &report.prices {
        let _ = writeln!(
            out,
            "  {:<14}{:>8}{:>8.1} %{:>16}{:>15}",
            row.distance,
            row.sum.count,
            100.0 * row.sum.paid as f64 / row.sum.count.max(1) as f64,
            signed(row.sum.gain_ns),
            signed(row.sum.penalty_ns)
        );
    }
    dearest(out, "tasks by what their moves cost", &report.tasks);
    if !report.cgroups.is_empty() {
        dearest(out, "cgroups by what their moves cost", &report.cgroups);
    }
}

fn dearest(out: &mut String, title: &str, rows: &[TaskRow]) {
    let _ = writeln!(out, "{title}");
    for row in rows.iter().take(TASKS) {
        let _ = writeln!(
            out,
            "  {:<16}{:>8} moves, {:>5} back, saved {:>9}, cost {:>9}, waited {:>9}",
            printable(&row.name),
            row.sum.moves,
            row.sum.ping_pong,
            signed(row.sum.gain_ns),
            signed(row.sum.penalty_ns),
            time(row.sum.waited_ns)
        );
    }
}

fn correlations(out: &mut String, level: &Correlations) {
    let _ = writeln!(
        out,
        "loads by {}: {} of {} pairs are no chance (5 % for all together), {} bins of {}",
        level.level,
        level.significant,
        level.pairs,
        level.bins,
        time(level.width_ns)
    );
    for found in level.strongest.iter().filter(|found| found.significant()).take(FINDINGS) {
        let _ = writeln!(out, "  {}", finding(level, found));
    }
}

/// One correlation in words.
pub fn finding(level: &Correlations, found: &Correlation) -> String {
    let name = |at: usize| level.names.get(at).copied().unwrap_or_default();
    let (lead, follow) = match found.lag >= 0 {
        true => (name(found.a), name(found.b)),
        false => (name(found.b), name(found.a)),
    };
    let lag = time(u64::from(found.lag.unsigned_abs()) * level.width_ns);
    format!(
        "{0} {lead} {1} {0} {follow}: lag {lag}, r {2:+.2}, p {3:.1e}, N {4}, {5}",
        level.level,
        if found.lag == 0 { "with" } else { "before" },
        found.r,
        found.p_family,
        found.n,
        words::effect(found.effect)
    )
}

/// Text of a trace without anything that a terminal would obey.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
