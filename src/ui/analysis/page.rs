// SPDX-License-Identifier: GPL-2.0-only
//! The page for a browser: one file, no script, nothing from the network.

use super::svg::escape;
use super::{compare, finding, plots, signed, summary};
use crate::analysis::report::{Report, WorstMove};
use crate::ui::text::time;
use std::fmt::Write;

const STYLE: &str = "
body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:1040px;padding:0 1em;color:#222;background:#fff}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}
svg{max-width:100%;height:auto;display:block}svg text{font:11px system-ui,sans-serif;fill:#555}
.load{fill:#345995}.bar{fill:#9bb1d0}.best{fill:#d1495b}.heat{fill:#e07a1f}
.limit{stroke:#d1495b;stroke-dasharray:4 3}.zero{stroke:#555}.move{stroke-width:1.2;stroke-opacity:.75}
table{border-collapse:collapse;width:100%}th,td{text-align:right;padding:.15em .6em;border-bottom:1px solid #ddd}
th:first-child,td:first-child{text-align:left}pre{overflow-x:auto;background:#f6f6f6;padding:1em;font-size:12px}
.key span{display:inline-block;margin-right:1.2em}.key i{display:inline-block;width:1.2em;height:.7em;margin-right:.4em}
";

/// The page of one trace, or of two.
pub fn page(reports: &[Report]) -> String {
    let mut out =
        String::from("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    let names: Vec<String> = reports.iter().map(|report| escape(&report.trace)).collect();
    let _ = writeln!(out, "<title>scx_toll analyze: {}</title>", names.join(" and "));
    // The empty icon keeps a browser from asking for one.
    out.push_str("<link rel=\"icon\" href=\"data:,\">\n<style>");
    out.push_str(STYLE);
    for (kind, colour) in plots::colours() {
        let _ = writeln!(out, ".{kind}{{stroke:{colour};background:{colour}}}");
    }
    out.push_str("</style></head><body>\n");
    if let [a, b] = reports {
        comparison(&mut out, a, b);
    }
    for report in reports {
        one(&mut out, report);
    }
    out.push_str("</body></html>\n");
    out
}

fn one(out: &mut String, report: &Report) {
    let _ = writeln!(out, "<h1>{}</h1>", escape(&report.trace));
    let verdict = report.policy.last().map_or("", |row| row.verdict);
    let _ = writeln!(
        out,
        "<p>{} events in {}, {} CPUs: {verdict}. {}</p>",
        report.intake.events,
        time(report.span_ns),
        report.cpus,
        escape(&report.machine)
    );
    for note in &report.notes {
        let _ = writeln!(out, "<p><b>Note:</b> {}</p>", escape(note));
    }
    out.push_str("<h2>Load of each CPU over time, and moves</h2>\n<p class=\"key\">");
    for (kind, _) in plots::colours() {
        let _ = write!(out, "<span><i class=\"{kind}\"></i>{kind}</span>");
    }
    let drawn = match report.map.one_in {
        1 => "All moves are drawn".to_string(),
        one_in => format!("One in {one_in} moves is drawn"),
    };
    let _ = writeln!(
        out,
        "</p>\n<p>The darker, the more tasks run or wait there; full from four on. {drawn}, of these at most {}.</p>",
        plots::LINES_MAX
    );
    out.push_str(&plots::map(report));
    correlations(out, report);
    out.push_str("\n<h2>Moves from LLC (row) to LLC (column)</h2>\n");
    out.push_str(&plots::heat(report));
    offenders(out, report);
    let _ = writeln!(out, "<h2>Summary</h2>\n<pre>{}</pre>", lines(&summary(report)));
}

/// Escaped, but with its lines.
fn lines(text: &str) -> String {
    text.lines().map(|line| escape(line) + "\n").collect()
}

fn correlations(out: &mut String, report: &Report) {
    out.push_str("\n<h2>Do loads follow each other?</h2>\n");
    let strongest =
        report.correlations.iter().filter_map(|level| Some((level, level.strongest.first()?)));
    let best = strongest.min_by(|(_, one), (_, other)| one.p_family.total_cmp(&other.p_family));
    let Some((level, found)) = best else {
        out.push_str("<p>Too few bins to tell.</p>\n");
        return;
    };
    let verdict =
        if found.significant() { "The strongest" } else { "The strongest, which may be chance" };
    let _ = writeln!(
        out,
        "<p>{verdict}: {}. Bars beyond the dashed lines would be significant if there were only one lag and one \
         pair.</p>",
        escape(&finding(level, found))
    );
    out.push_str(&plots::correlogram(level, found));
    out.push_str("\n<table id=\"correlations\"><tr><th>pair</th><th>significant</th></tr>\n");
    for level in &report.correlations {
        for found in level.strongest.iter().take(8) {
            let verdict = if found.significant() { "yes" } else { "no" };
            let _ = writeln!(
                out,
                "<tr><td>{}</td><td>{verdict}</td></tr>",
                escape(&finding(level, found))
            );
        }
    }
    out.push_str("</table>\n");
}

fn offenders(out: &mut String, report: &Report) {
    out.push_str(
        "\n<h2>Worst offenders</h2>\n<table id=\"offenders\"><tr><th>task or cgroup</th><th>moves</th>",
    );
    out.push_str("<th>back</th><th>saved</th><th>cost</th><th>waited</th></tr>\n");
    for row in report.tasks.iter().chain(&report.cgroups) {
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&row.name),
            row.sum.moves,
            row.sum.ping_pong,
            signed(row.sum.gain_ns),
            signed(row.sum.penalty_ns),
            time(row.sum.waited_ns)
        );
    }
    out.push_str(
        "</table>\n<h2>Moves that cost most beyond what they saved</h2>\n<table id=\"worst\">",
    );
    out.push_str("<tr><th>task</th><th>at</th><th>from → to</th><th>tasks there</th><th>kind</th>");
    out.push_str("<th>saved</th><th>cost</th><th>ran after</th></tr>\n");
    report.worst.iter().for_each(|worst| worst_row(out, worst));
    out.push_str("</table>\n");
}

fn worst_row(out: &mut String, worst: &WorstMove) {
    let load = |load: Option<u32>| load.map_or("?".to_string(), |load| load.to_string());
    let _ = writeln!(
        out,
        "<tr><td>{} ({})</td><td>{:.6} s</td><td>{} → {}</td><td>{} → {}</td><td>{} ({:.2})</td><td>{}</td>\
         <td>{}</td><td>{}</td></tr>",
        escape(&worst.name),
        worst.pid,
        worst.at_ns as f64 / 1e9,
        worst.from,
        worst.to,
        load(worst.source),
        load(worst.target),
        worst.kind.name(),
        worst.confidence,
        signed(worst.gain_ns),
        signed(worst.penalty_ns),
        worst.ran_after_ns.map_or("?".to_string(), time)
    );
}

fn comparison(out: &mut String, a: &Report, b: &Report) {
    let (name_a, name_b) = (escape(&a.trace), escape(&b.trace));
    let _ = writeln!(
        out,
        "<h1>A and B</h1><p>A: {name_a}<br>B: {name_b}</p>\n<table id=\"comparison\"><tr><th></th><th>A</th>\
         <th>B</th><th>B ÷ A</th></tr>"
    );
    for row in compare::rows(a, b) {
        let ratio = if row.a == 0.0 { "-".to_string() } else { format!("{:.2}", row.b / row.a) };
        let (a, b) = (compare::value(row.a, row.unit), compare::value(row.b, row.unit));
        let _ =
            writeln!(out, "<tr><td>{}</td><td>{a}</td><td>{b}</td><td>{ratio}</td></tr>", row.what);
    }
    out.push_str("</table>\n");
}
