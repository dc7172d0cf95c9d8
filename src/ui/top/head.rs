// SPDX-License-Identifier: GPL-2.0-only
//! The lines above the tree: the machine, what happens per second, what scheduling takes; and
//! the line of keys below everything.

use super::{App, Panel, Replayed};
use crate::stats::exported::TollStats;
use crate::ui::text::time;
use ratatui::text::{Line, Span};
use std::collections::BTreeSet;
use std::time::Instant;

/// Rows of the head without an alarm.
pub const HEIGHT: u16 = 3;

/// The machine, its load, and the policy.
pub fn machine(app: &App, stats: &TollStats) -> Line<'static> {
    let nodes: BTreeSet<u32> = stats.llcs.values().map(|llc| llc.node).collect();
    let shape = format!(
        "  {}, {}, {}  load ",
        count(u64::from(stats.cpus), "CPU"),
        count(stats.llcs.len() as u64, "LLC"),
        count(nodes.len() as u64, "node")
    );
    let migrate = app.policy.as_ref().map_or(String::new(), |policy| {
        format!(", {}, slice {}", policy.migrate, time((policy.slice_us * 1e3) as u64))
    });
    Line::from(vec![
        Span::styled("scx_toll", app.palette.title()),
        Span::raw(shape),
        Span::styled(format!("{:.0} %", stats.load_pct), app.palette.load(stats.load_pct)),
        Span::styled(format!("  policy {}{migrate}", stats.policy_version), app.palette.dim()),
    ])
}

/// "1 CPU", "8 CPUs".
fn count(number: u64, name: &str) -> String {
    format!("{number} {name}{}", if number == 1 { "" } else { "s" })
}

/// How far a recording has been played.
fn progress(replayed: &Replayed, stats: &TollStats) -> Line<'static> {
    Line::raw(format!(
        "recording: {:.1} of {:.1} s  {} turns/s  wait: as the last decision saw it; queues were \
         not recorded",
        replayed.until.min(replayed.length).as_secs_f64(),
        replayed.length.as_secs_f64(),
        short(stats.per_second(stats.turns))
    ))
}

/// How long tasks wait, and how many; or how far a recording has been played.
pub fn waits(app: &App, stats: &TollStats) -> Line<'static> {
    if let Some(replayed) = &app.replayed {
        return progress(replayed, stats);
    }
    let quantile = |share| stats.wait_quantile_ns(share).map_or("-".into(), time);
    let rate = |count: u64| short(stats.per_second(count));
    Line::raw(format!(
        "wait mean {}, p50 < {}, p99 < {}  {} turns/s  {} wakeups/s",
        time(stats.mean_wait_ns()),
        quantile(0.5),
        quantile(0.99),
        rate(stats.turns),
        rate(stats.wakes)
    ))
}

/// What scheduling takes, if the kernel measures it; of a recording, whether moves paid.
pub fn overhead(app: &App, stats: &TollStats) -> Line<'static> {
    if app.replayed.is_some() {
        let decided = short(stats.per_second(stats.moves_between_llcs()));
        let (judged, paid) = (stats.judged, stats.paid);
        return Line::raw(format!(
            "{decided} moves/s between LLCs; {paid} of {judged} judged paid"
        ));
    }
    let rate = |count: u64| short(stats.per_second(count));
    let (switches, moves) = (rate(stats.switches), rate(stats.moves_between_llcs()));
    let own = if stats.bpf_runs == 0 {
        "see sysctl kernel.bpf_stats_enabled".into()
    } else {
        let per_second = stats.per_second(stats.bpf_ns);
        let share = per_second / 1e9 / f64::from(stats.cpus.max(1)) * 100.0;
        format!(
            "{}/s ({share:.2} %), {} a switch, {} a run",
            time(per_second as u64),
            time(stats.bpf_ns.checked_div(stats.switches).unwrap_or(0)),
            time(stats.bpf_ns.checked_div(stats.bpf_runs).unwrap_or(0))
        )
    };
    Line::raw(format!("{switches} switches/s  {moves} moves/s  own time: {own}"))
}

/// What nobody may overlook: the scheduler is gone, or the picture stands still.
pub fn alarm(app: &App, now: Instant) -> Option<Line<'static>> {
    let age = app.taken_at.map(|at| now.saturating_duration_since(at).as_secs());
    let age = age.map_or(String::new(), |seconds| format!("; shown as it was {seconds} s ago"));
    let over = app.replayed.as_ref().and_then(|replayed| replayed.over.as_ref());
    if let Some(over) = over {
        return Some(Line::styled(format!(" {over}; q quits "), app.palette.alarm()));
    }
    let text = match (&app.gone, app.paused) {
        (Some(why), _) => format!(" {why}: waiting for it{age} "),
        (None, true) => format!(" paused{age}; space goes on "),
        (None, false) => return None,
    };
    Some(Line::styled(text, app.palette.alarm()))
}

/// The last line: keys, and what they are set to; or the filter while it is typed.
pub fn keys(app: &App) -> Line<'static> {
    let key = |key: &'static str| Span::styled(key, app.palette.key());
    if app.typing {
        let like = if app.panel == Panel::Movers { "4711, rustc" } else { "node1, llc3" };
        let rest = format!("  as in: {like}; Enter keeps it, Esc drops it");
        let rest = Span::styled(rest, app.palette.dim());
        return Line::from(vec![key("/"), Span::raw(format!("{}_", app.filter())), rest]);
    }
    let filter = if app.filter().is_empty() { "filter" } else { app.filter() };
    Line::from(vec![
        key("q"),
        Span::raw(" quit  "),
        key("h"),
        Span::raw(" help  "),
        key("space"),
        Span::raw(" pause  "),
        key("s"),
        Span::raw(format!("ort:{}  ", app.sorted_by())),
        key("m"),
        Span::raw(format!("ap:{}  ", app.heat.name())),
        key("Tab"),
        Span::raw(" more  "),
        key("/"),
        Span::raw(format!("{filter}  ")),
        key("+-"),
        Span::raw(format!(" {}", time(app.interval().as_nanos() as u64))),
    ])
}

/// A rate in at most five characters.
pub fn short(value: f64) -> String {
    match value {
        value if value >= 999_500.0 => format!("{:.1}M", value / 1e6),
        value if value >= 99_950.0 => format!("{:.0}k", value / 1e3),
        value if value >= 1e4 => format!("{:.1}k", value / 1e3),
        value if value >= 10.0 || value == 0.0 => format!("{value:.0}"),
        value => format!("{value:.1}"),
    }
}
