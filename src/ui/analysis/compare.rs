// SPDX-License-Identifier: GPL-2.0-only
//! Two traces beside each other.

use super::printable;
use crate::analysis::infer::Kind;
use crate::analysis::report::Report;
use crate::ui::text::time;
use serde::Serialize;
use std::fmt::Write;

/// One figure of both.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What it is.
    pub what: String,
    /// Its unit: "" for a number, "ns", "%", "1/s".
    pub unit: &'static str,
    /// Of the first trace.
    pub a: f64,
    /// Of the second.
    pub b: f64,
}

/// The figures that can be compared between traces of unequal length.
pub fn rows(a: &Report, b: &Report) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |what: &str, unit: &'static str, of: &dyn Fn(&Report) -> f64| {
        rows.push(Row { what: what.into(), unit, a: of(a), b: of(b) });
    };
    let per_second =
        |count: u64, report: &Report| count as f64 / (report.span_ns as f64 / 1e9).max(1e-9);
    for kind in Kind::ALL {
        let count = |report: &Report| {
            report.moves.iter().find(|row| row.kind == kind).map_or(0, |row| row.count)
        };
        if count(a) + count(b) > 0 {
            add(&format!("{} moves", kind.name()), "1/s", &|report| {
                per_second(count(report), report)
            });
        }
    }
    add("pulls among pushes and pulls", "%", &|report| {
        report.policy.last().map_or(0.0, |row| row.pull_share.share * 100.0)
    });
    add("ping-pong", "1/s", &|report| per_second(report.ping_pong.count, report));
    add("mean wait", "ns", &|report| report.waits.mean_ns as f64);
    add("p99 wait", "ns", &|report| report.waits.p99_ns as f64);
    add("longest wait", "ns", &|report| report.waits.max_ns as f64);
    add("idle beside waiting", "%", &|report| {
        let whole = report.span_ns as f64 * report.cpus as f64;
        report.waste.as_ref().map_or(0.0, |waste| 100.0 * waste.total_ns as f64 / whole.max(1.0))
    });
    add("moves that paid", "%", &|report| {
        let (paid, all) =
            report.prices.iter().fold((0, 0), |(p, n), row| (p + row.paid, n + row.count));
        100.0 * paid as f64 / all.max(1) as f64
    });
    add("cost of moves, of the CPU time", "%", &|report| {
        let cost: i64 = report.prices.iter().map(|row| row.penalty_ns).fold(0, i64::saturating_add);
        100.0 * cost as f64 / (report.span_ns as f64 * report.cpus as f64).max(1.0)
    });
    rows
}

/// The comparison for a terminal.
pub fn text(a: &Report, b: &Report) -> String {
    let mut out = format!("A: {}\nB: {}\n", printable(&a.trace), printable(&b.trace));
    let _ = writeln!(out, "{:<32}{:>12}{:>12}{:>9}", "", "A", "B", "B ÷ A");
    for row in rows(a, b) {
        let ratio = if row.a == 0.0 { "-".to_string() } else { format!("{:.2}", row.b / row.a) };
        let (a, b) = (value(row.a, row.unit), value(row.b, row.unit));
        let _ = writeln!(out, "{:<32}{a:>12}{b:>12}{ratio:>9}", row.what);
    }
    out
}

/// A figure with its unit.
pub fn value(value: f64, unit: &str) -> String {
    match unit {
        "ns" => time(value as u64),
        "%" => format!("{value:.2} %"),
        _ => format!("{value:.1} {unit}"),
    }
}
