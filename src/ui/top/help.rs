// SPDX-License-Identifier: GPL-2.0-only
//! The page of keys and words.

use super::App;
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

const KEYS: [(&str, &str); 9] = [
    ("q, Ctrl-C", "quit"),
    ("h, ?", "this page; any key closes it"),
    ("space, p", "pause: the picture stays as it is"),
    ("s", "sort: as a tree, by load, wait, queue, idle CPUs; or movers"),
    ("m", "map of moves, of P, of mean ΔL"),
    ("Tab", "map and decisions (one, if there is no room), top movers"),
    ("/", "filter: node1 or llc3; movers: 4711 or rustc; Esc drops it"),
    ("up down PgUp PgDn", "scroll; also j k Home End"),
    ("+, -", "longer or shorter interval"),
];

const WORDS: [(&str, &str); 6] = [
    ("own time", "in our BPF programs; share of all CPUs; per context switch"),
    ("wait", "of an LLC: W, how long a task added now would wait"),
    ("ΔL", "the wait that a move saves"),
    ("P", "what it costs; (in brackets): that of a task with nothing warm"),
    ("(not worth)", "ΔL does not exceed P"),
    ("(hysteresis)", "it does, but has not for long enough"),
];

/// Draw it in the middle of the screen.
pub fn draw(app: &App, frame: &mut Frame, area: Rect) {
    let line = |(key, what): &(&'static str, &'static str)| {
        Line::from(vec![Span::styled(format!(" {key:<19}"), app.palette.key()), Span::raw(*what)])
    };
    let mut lines: Vec<Line> = KEYS.iter().map(line).collect();
    lines.push(Line::default());
    lines.extend(WORDS.iter().map(line));
    let height = lines.len() as u16 + 2;
    let width = lines.iter().map(Line::width).max().unwrap_or(0) as u16 + 3;
    let at = area.centered(Constraint::Length(width), Constraint::Length(height));
    frame.render_widget(Clear, at);
    let block = Block::bordered().title(" keys and words ").title_style(app.palette.title());
    frame.render_widget(Paragraph::new(lines).block(block), at);
}
