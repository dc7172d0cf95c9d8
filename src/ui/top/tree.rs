// SPDX-License-Identifier: GPL-2.0-only
//! Nodes and their LLCs, or the LLCs by load, wait, queue or idle CPUs.

use super::{App, Sort};
use crate::stats::exported::{LlcStats, TollStats};
use crate::ui::text::time;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Columns of all figures of a row.
const FIGURES: usize = 42;
/// Least columns in which a line of bars says anything.
const BARS_MIN: usize = 8;

/// One row of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// A node: its LLCs together.
    Node(u32),
    /// An LLC.
    Llc(u32),
}

/// The rows that the filter lets through, in their order. A node stands above its LLCs where they
/// are ordered by number, and nowhere else.
pub fn rows(app: &App) -> Vec<Row> {
    let Some(stats) = &app.stats else { return Vec::new() };
    let passes = |id: u32, llc: &LlcStats| {
        app.filter.split_whitespace().all(|word| name_of(id, llc.node).contains(word))
    };
    let mut llcs: Vec<(u32, &LlcStats)> = stats
        .llcs
        .iter()
        .map(|(id, llc)| (*id, llc))
        .filter(|(id, llc)| passes(*id, llc))
        .collect();
    if app.sort != Sort::Number {
        // The sort is stable: equals stay in the order of their numbers.
        llcs.sort_by(|(_, a), (_, b)| key(app.sort, b).total_cmp(&key(app.sort, a)));
        return llcs.into_iter().map(|(id, _)| Row::Llc(id)).collect();
    }
    llcs.sort_by_key(|(id, llc)| (llc.node, *id));
    let mut rows = Vec::new();
    for (id, llc) in llcs {
        if !rows.contains(&Row::Node(llc.node)) {
            rows.push(Row::Node(llc.node));
        }
        rows.push(Row::Llc(id));
    }
    rows
}

fn name_of(id: u32, node: u32) -> String {
    format!("node{node} llc{id}")
}

fn key(sort: Sort, llc: &LlcStats) -> f64 {
    match sort {
        Sort::Number => 0.0,
        Sort::Load => llc.load_pct,
        Sort::Wait => llc.wait_ns as f64,
        Sort::Queue => llc.queued as f64,
        Sort::Idle => llc.idle as f64,
    }
}

/// A node as if it were one LLC; its wait is the longest of theirs.
fn together(stats: &TollStats, node: u32) -> LlcStats {
    let mut sum = LlcStats { node, ..LlcStats::default() };
    for llc in stats.llcs.values().filter(|llc| llc.node == node) {
        sum.load_pct += llc.load_pct * f64::from(llc.cpus);
        sum.wait_ns = sum.wait_ns.max(llc.wait_ns);
        sum.cpus += llc.cpus;
        sum.queued += llc.queued;
        sum.queued_ns += llc.queued_ns;
        sum.running += llc.running;
        sum.idle += llc.idle;
    }
    sum.load_pct /= f64::from(sum.cpus.max(1));
    sum
}

/// Rows of the screen that the whole tree takes, its heading included.
pub fn height(app: &App) -> u16 {
    (rows(app).len() + 1) as u16
}

/// Draw as many rows as fit, from the scroll position on.
pub fn draw(app: &App, stats: &TollStats, frame: &mut Frame, area: Rect) {
    let rows = rows(app);
    let fit = usize::from(area.height.saturating_sub(1));
    let first = app.scroll.min(rows.len().saturating_sub(fit));
    let shown = &rows[first..rows.len().min(first + fit)];
    let width = usize::from(area.width);
    let mut lines = vec![heading(app, first, shown.len(), rows.len())];
    lines.extend(shown.iter().map(|row| line(app, stats, *row, width)));
    frame.render_widget(Paragraph::new(lines), area);
}

fn heading(app: &App, first: usize, shown: usize, all: usize) -> Line<'static> {
    let head =
        format!("{:<10}{:>6}{:>9}{:>7}{:>4}{:>6}", "", "load", "wait", "queue", "run", "idle");
    let more = if shown < all {
        format!("  rows {} to {} of {all}", first + 1, first + shown)
    } else if all == 0 {
        "  no LLC passes the filter".into()
    } else {
        String::new()
    };
    let order = match app.sort {
        Sort::Number => String::new(),
        sort => format!("  by {}", sort.name()),
    };
    Line::from(vec![
        Span::styled(head, app.palette.title()),
        Span::styled(format!("{order}{more}"), app.palette.dim()),
    ])
}

fn line(app: &App, stats: &TollStats, row: Row, width: usize) -> Line<'static> {
    let node;
    let (name, llc) = match row {
        Row::Node(id) => {
            node = together(stats, id);
            (format!("node{id}"), &node)
        }
        Row::Llc(id) => {
            let Some(llc) = stats.llcs.get(&id) else { return Line::default() };
            let flat = app.sort != Sort::Number;
            (if flat { format!("n{} llc{id}", llc.node) } else { format!("  llc{id}") }, llc)
        }
    };
    let weights: Vec<(u32, f64)> = match row {
        Row::Node(node) => {
            let own = stats.llcs.iter().filter(|(_, llc)| llc.node == node);
            own.map(|(id, llc)| (*id, f64::from(llc.cpus))).collect()
        }
        Row::Llc(id) => vec![(id, 1.0)],
    };
    let name_style = match row {
        Row::Node(_) => app.palette.title(),
        Row::Llc(_) => ratatui::style::Style::new(),
    };
    let load = app.palette.load(llc.load_pct);
    // Of these a recording says nothing.
    let count = |count: u64| match app.replayed {
        Some(_) => "-".into(),
        None => count.to_string(),
    };
    let (queued, running) = (count(llc.queued), count(llc.running));
    let idle = format!("{}/{}", count(llc.idle), llc.cpus);
    let mut spans = vec![
        Span::styled(format!("{name:<10}"), name_style),
        Span::styled(format!("{:>4.0} %", llc.load_pct), load),
        Span::raw(format!("{:>9}{queued:>7}{running:>4}{idle:>6}", time(llc.wait_ns))),
    ];
    let room = width.saturating_sub(FIGURES + 2);
    if room >= BARS_MIN {
        spans.push(Span::styled(format!("  {}", app.history.bars(&weights, room)), load));
    }
    Line::from(spans)
}
