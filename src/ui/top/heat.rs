// SPDX-License-Identifier: GPL-2.0-only
//! The map LLC × LLC: how much moves, what it costs, what it saves.

use super::head::short;
use super::palette::STEPS;
use super::{App, Heat};
use crate::stats::exported::TollStats;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Columns of the numbers on the left.
const MARGIN: usize = 4;
/// Columns of a cell with its figure, of one without, and of a mere dot of colour.
const CELLS: [usize; 3] = [7, 2, 1];

/// One cell.
#[derive(Debug, Clone, Copy)]
struct Cell {
    value: f64,
    /// Not of moves that were made.
    expected: bool,
}

/// Rows that the whole map takes, its title and the numbers of its columns included.
pub fn height(stats: &TollStats) -> u16 {
    stats.llcs.len() as u16 + 2
}

/// Draw as much of it as fits.
pub fn draw(app: &App, stats: &TollStats, frame: &mut Frame, area: Rect) {
    let nr_llcs = stats.llcs.len();
    let room = usize::from(area.width).saturating_sub(MARGIN);
    let cell = CELLS.into_iter().find(|cell| cell * nr_llcs <= room).unwrap_or(1);
    let columns = nr_llcs.min(room / cell);
    let fit = usize::from(area.height.saturating_sub(2));
    let first = app.scroll.min(nr_llcs.saturating_sub(fit));
    let rows = first..nr_llcs.min(first + fit);
    let cells = cells(app, stats);
    let scale = Scale::new(cells.iter().flatten().flatten());
    let mut lines =
        vec![title(app, rows.len() < nr_llcs || columns < nr_llcs), numbers(app, cell, columns)];
    for row in rows {
        let mut spans = vec![Span::styled(format!("{row:>3} "), app.palette.dim())];
        for column in 0..columns {
            spans.push(if row == column {
                Span::styled(format!("{:>cell$}", "-"), app.palette.dim())
            } else {
                let value = cells.get(row).and_then(|row| *row.get(column)?);
                span(app, value, &scale, cell)
            });
        }
        lines.push(Line::from(spans));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn title(app: &App, part: bool) -> Line<'static> {
    let what = match app.heat {
        Heat::Moves => "moves per second",
        Heat::Penalty => "P, mean of the moves made (of a task with nothing warm)",
        Heat::Gain => "mean ΔL of the moves made",
    };
    let part = if part { "; part of it" } else { "" };
    Line::from(vec![
        Span::styled(format!("{what}, "), app.palette.title()),
        Span::styled(format!("from LLC (row) to LLC{part}"), app.palette.dim()),
    ])
}

fn numbers(app: &App, cell: usize, columns: usize) -> Line<'static> {
    let mut text = " ".repeat(MARGIN);
    for column in 0..columns {
        let number = column.to_string();
        // Where there is no room for all digits the last ones have to do.
        let digits = &number[number.len().saturating_sub(cell)..];
        text += &format!("{digits:>cell$}");
    }
    Line::styled(text, app.palette.dim())
}

/// The map as numbers; `None` where nothing is known.
fn cells(app: &App, stats: &TollStats) -> Vec<Vec<Option<Cell>>> {
    let side = stats.llcs.len();
    let mut cells = vec![vec![None; side]; side];
    if app.heat == Heat::Penalty {
        expect(app, &mut cells);
    }
    for pair in stats.pairs.values() {
        let mean = |sum: i64| sum as f64 / pair.judged.max(1) as f64;
        let value = match app.heat {
            Heat::Moves => Some(stats.per_second(pair.moves)).filter(|_| pair.moves > 0),
            Heat::Penalty => Some(mean(pair.penalty_ns)).filter(|_| pair.judged > 0),
            Heat::Gain => Some(mean(pair.gain_ns)).filter(|_| pair.judged > 0),
        };
        let cell = cells.get_mut(pair.from as usize).and_then(|row| row.get_mut(pair.to as usize));
        if let (Some(value), Some(cell)) = (value, cell) {
            *cell = Some(Cell { value, expected: false });
        }
    }
    cells
}

/// P of a task that has nothing warm and no memory, by the policy.
fn expect(app: &App, cells: &mut [Vec<Option<Cell>>]) {
    let Some(policy) = &app.policy else { return };
    for (row, hops) in cells.iter_mut().zip(&policy.hop_us) {
        for (cell, hop) in row.iter_mut().zip(hops) {
            let value = hop * 1e3 * policy.others_pay.value;
            *cell = Some(Cell { value, expected: true });
        }
    }
}

/// From what to what the colours go, on a logarithmic scale.
struct Scale {
    least: f64,
    most: f64,
}

impl Scale {
    fn new<'a>(cells: impl Iterator<Item = &'a Cell>) -> Scale {
        let mut scale = Scale { least: f64::MAX, most: 0.0 };
        for value in cells.map(|cell| cell.value).filter(|value| *value > 0.0) {
            scale.least = scale.least.min(value);
            scale.most = scale.most.max(value);
        }
        scale
    }

    fn step(&self, value: f64) -> usize {
        let span = (self.most / self.least).ln();
        if value <= self.least || span <= 0.0 {
            return 0;
        }
        ((value / self.least).ln() / span * (STEPS - 1) as f64).round() as usize
    }
}

fn span(app: &App, cell: Option<Cell>, scale: &Scale, width: usize) -> Span<'static> {
    let Some(Cell { value, expected }) = cell else {
        return Span::styled(format!("{:>width$}", "."), app.palette.dim());
    };
    let step = scale.step(value);
    let style = if expected { app.palette.dim() } else { app.palette.heat(step) };
    if width < CELLS[0] {
        let shade = if app.palette.colour || expected { ' ' } else { app.palette.shade(step) };
        return Span::styled(shade.to_string().repeat(width), style);
    }
    let figure = match app.heat {
        Heat::Moves => short(value),
        Heat::Penalty | Heat::Gain => brief_time(value),
    };
    let figure = if expected { format!("({figure})") } else { figure };
    let shade = if expected { ' ' } else { app.palette.shade(step) };
    Span::styled(format!("{:>width$}", format!("{shade}{figure}")), style)
}

/// A time that may be negative, in at most five characters.
fn brief_time(ns: f64) -> String {
    let (value, unit) = match ns.abs() {
        ns if ns < 1e3 => (1.0, 'n'),
        ns if ns < 1e6 => (1e3, 'µ'),
        ns if ns < 1e9 => (1e6, 'm'),
        _ => (1e9, 's'),
    };
    let value_in_unit = ns / value;
    let digits = usize::from(value_in_unit.abs() < 9.95 && unit != 'n');
    format!("{value_in_unit:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_rates_fit_their_cells() {
        for (ns, text) in [
            (0.0, "0n"),
            (850.0, "850n"),
            (-12_345.0, "-12µ"),
            (1_234_000.0, "1.2m"),
            (250e6, "250m"),
            (3e9, "3.0s"),
        ] {
            assert_eq!(brief_time(ns), text);
        }
        for value in [0.0, 0.04, 9.99, 99_999.0, 1e5, 999_949.0, 12e6] {
            assert!(short(value).chars().count() <= 5, "{}", short(value));
        }
    }

    #[test]
    fn the_scale_goes_from_the_least_to_the_most() {
        let cells = [1.0, 10.0, 10_000.0, -5.0].map(|value| Cell { value, expected: false });
        let scale = Scale::new(cells.iter());
        assert_eq!([1.0, 10.0, 100.0, 10_000.0, -5.0].map(|v| scale.step(v)), [0, 1, 2, 4, 0]);
        let one = Scale::new(cells[..1].iter());
        assert_eq!(one.step(1.0), 0);
        assert_eq!(Scale::new([].iter()).step(0.0), 0);
    }
}
