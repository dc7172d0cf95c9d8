// SPDX-License-Identifier: GPL-2.0-only
//! What moved, by what moved it and how far, and why the rest did not.

use super::App;
use super::head::short;
use crate::stats::exported::{TollStats, applied};
use crate::stats::{KINDS, NR_APPLIED};
use crate::ui::text::refused;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Rows of the panel.
pub const HEIGHT: u16 = 7;
/// Columns of the table of moves.
const MOVES: u16 = 30;
/// Longest bar of a refusal.
const BAR_MAX: usize = 24;

/// Draw both side by side, or the moves above the refusals where it is narrow.
pub fn draw(app: &App, stats: &TollStats, frame: &mut Frame, area: Rect) {
    let [left, right] =
        Layout::horizontal([Constraint::Length(MOVES), Constraint::Min(0)]).areas(area);
    frame.render_widget(Paragraph::new(moves(app, stats)), left);
    frame.render_widget(Paragraph::new(refusals(app, stats, right.width)), right);
}

fn moves(app: &App, stats: &TollStats) -> Vec<Line<'static>> {
    let head = format!("{:<8}{:>6}{:>6}{:>6}", "moves/s", "core", "llc", "node");
    let mut lines = vec![Line::styled(head, app.palette.title())];
    for kind in KINDS {
        let landed = stats.moves.get(kind).copied().unwrap_or_default();
        let mut text = format!("{kind:<8}");
        for count in landed.levels() {
            text += &format!("{:>6}", short(stats.per_second(count)));
        }
        lines.push(Line::raw(text));
    }
    let rate = |count: u64| short(stats.per_second(count));
    let others = format!("{} preempts, {} hand-offs", rate(stats.preempts), rate(stats.handoffs));
    lines.push(Line::styled(others, app.palette.dim()));
    lines
}

fn refusals(app: &App, stats: &TollStats, width: u16) -> Vec<Line<'static>> {
    let sums = stats.by_verdict();
    let asked: u64 = sums.iter().sum();
    let aged = sums[NR_APPLIED - 1];
    let rate = |count: u64| short(stats.per_second(count));
    let mut head = format!("asked {}/s, moved {}/s", rate(asked), rate(applied(&sums)));
    if aged > 0 {
        head += &format!(" ({}/s for age)", rate(aged));
    }
    let mut lines = vec![
        Line::styled(head, app.palette.title()),
        Line::styled("refused between LLCs, per second", app.palette.dim()),
    ];
    let refused = refused(&sums);
    let most = refused.first().map_or(0, |(_, count)| *count).max(1);
    let room = usize::from(width).saturating_sub(20).min(BAR_MAX);
    for (reason, count) in refused {
        let length = (count as f64 / most as f64 * room as f64).ceil() as usize;
        let bar = Span::styled("▆".repeat(length), app.palette.title());
        lines.push(Line::from(vec![Span::raw(format!("{reason:<11}{:>6} ", rate(count))), bar]));
    }
    lines
}
