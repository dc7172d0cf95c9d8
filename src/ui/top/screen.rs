// SPDX-License-Identifier: GPL-2.0-only
//! What goes where, on a screen of any size.
//!
//! A wide screen has the tree on the left and map and decisions on the right. Others have the
//! tree above them: both panels if they fit, else the one that Tab has chosen. Who moves has the
//! place of both.

use super::{App, Panel, decisions, head, heat, help, movers, tree};
use crate::stats::exported::TollStats;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::widgets::{Paragraph, Wrap};
use std::time::Instant;

/// Columns from which there is room for two halves.
const WIDE: u16 = 130;
/// Rows of the tree that panels leave to it, if it has as many.
const TREE_MIN: u16 = 6;

/// Draw everything.
pub fn draw(app: &App, frame: &mut Frame, now: Instant) {
    let [top, body, keys] = Layout::vertical([
        Constraint::Length(head_height(app, now)),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let mut lines = Vec::new();
    lines.extend(head::alarm(app, now));
    match &app.stats {
        Some(stats) => {
            lines.extend([
                head::machine(app, stats),
                head::waits(app, stats),
                head::overhead(app, stats),
            ]);
            draw_body(app, stats, frame, body);
        }
        None if app.gone.is_none() => lines.push("scx_toll: asking the scheduler".into()),
        None => {
            let text = "top shows it as soon as it runs. To start it: sudo scx_toll";
            let text = Paragraph::new(text).wrap(Wrap { trim: true }).style(app.palette.dim());
            frame.render_widget(text, body);
        }
    }
    frame.render_widget(Paragraph::new(lines), top);
    frame.render_widget(Paragraph::new(head::keys(app)), keys);
    if app.help {
        help::draw(app, frame, frame.area());
    }
}

fn head_height(app: &App, now: Instant) -> u16 {
    let lines = if app.stats.is_some() { head::HEIGHT } else { 1 };
    lines + u16::from(head::alarm(app, now).is_some()) + 1
}

fn draw_body(app: &App, stats: &TollStats, frame: &mut Frame, area: Rect) {
    if area.width >= WIDE {
        let [left, _, right] = Layout::horizontal([
            Constraint::Percentage(50),
            Constraint::Length(2),
            Constraint::Min(0),
        ])
        .areas(area);
        tree::draw(app, stats, frame, left);
        draw_panels(app, stats, frame, right);
        return;
    }
    let panels = panels_height(app, stats, area);
    let tree = tree::height(app).min(area.height.saturating_sub(panels + 1));
    let [above, _, below] =
        Layout::vertical([Constraint::Length(tree), Constraint::Length(1), Constraint::Min(0)])
            .areas(area);
    tree::draw(app, stats, frame, above);
    draw_panels(app, stats, frame, below);
}

/// Rows that the panels below the tree get.
fn panels_height(app: &App, stats: &TollStats, area: Rect) -> u16 {
    let (map, ends) = (heat::height(stats), decisions::HEIGHT);
    let room = area.height.saturating_sub(TREE_MIN.min(tree::height(app)) + 1);
    let wanted = match app.panel {
        Panel::Heat | Panel::Decisions if map + 1 + ends <= room => map + 1 + ends,
        Panel::Heat => map,
        Panel::Decisions => ends,
        Panel::Movers => room,
    };
    wanted.min(room)
}

/// Both panels, or the chosen one where both do not fit.
fn draw_panels(app: &App, stats: &TollStats, frame: &mut Frame, area: Rect) {
    let (map, ends) = (heat::height(stats), decisions::HEIGHT);
    if app.panel != Panel::Movers && map + 1 + ends <= area.height {
        let [upper, _, lower] =
            Layout::vertical([Constraint::Length(map), Constraint::Length(1), Constraint::Min(0)])
                .areas(area);
        heat::draw(app, stats, frame, upper);
        decisions::draw(app, stats, frame, lower);
        return;
    }
    match app.panel {
        Panel::Heat => heat::draw(app, stats, frame, area),
        Panel::Decisions => decisions::draw(app, stats, frame, area),
        Panel::Movers => movers::draw(app, frame, area),
    }
}
