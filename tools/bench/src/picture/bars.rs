// SPDX-License-Identifier: GPL-2.0-only
//! Schedulers beside each other: a panel for each figure, a bar for each scheduler.

use std::cmp::Ordering;

use super::svg::{Anchor, Svg, round_step};

const PANELS: usize = 3;
const PANEL: f64 = 352.0;
const GAP: f64 = 18.0;
const NAME: f64 = 104.0;
const VALUE: f64 = 62.0;
const ROW: f64 = 17.0;
const HEAD: f64 = 40.0;
const FOOT: f64 = 26.0;
const TOP: f64 = 46.0;
const LEFT: f64 = 14.0;
/// A bar that is this many times as long as the best is cut off, or nothing else could be read.
const LONGEST: f64 = 6.0;

/// A figure of a scheduler over all seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Value {
    /// The middle one.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Value {
    /// Of `values`; none of no values.
    pub fn of(values: &[f64]) -> Option<Value> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            1 => sorted[middle],
            _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
        };
        Some(Value { median, min, max })
    }
}

/// One scheduler in a panel.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Its name.
    pub scheduler: String,
    /// Its figure, or in a word why it has none.
    pub value: Result<Value, String>,
    /// Drawn in another colour than the rest.
    pub own: bool,
}

/// One figure of one scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// The scenario.
    pub scenario: String,
    /// The figure, with its unit if it has one.
    pub figure: String,
    /// Less is worse.
    pub higher_is_better: bool,
    /// Where to draw the bound: 1 for ratios to it.
    pub bound: Option<f64>,
    /// The schedulers, from top to bottom.
    pub bars: Vec<Bar>,
}

impl Panel {
    /// The best median.
    fn best(&self) -> Option<f64> {
        let order = |a: &f64, b: &f64| match self.higher_is_better {
            true => a.total_cmp(b),
            false => b.total_cmp(a),
        };
        self.medians().max_by(order)
    }

    fn medians(&self) -> impl Iterator<Item = f64> {
        self.bars.iter().filter_map(|bar| bar.value.as_ref().ok()).map(|value| value.median)
    }

    fn height(&self) -> f64 {
        HEAD + self.bars.len() as f64 * ROW + FOOT
    }

    /// The value at the right end.
    fn end(&self) -> f64 {
        let values = self.bars.iter().filter_map(|bar| bar.value.as_ref().ok());
        let most = values.map(|value| value.max).chain(self.bound).fold(0.0, f64::max);
        let shortest = self.medians().filter(|median| *median > 0.0).min_by(f64::total_cmp);
        let cut = match (self.higher_is_better, shortest) {
            (false, Some(shortest)) => (LONGEST * shortest).max(self.bound.unwrap_or(0.0)),
            _ => f64::INFINITY,
        };
        match most.min(cut) {
            end if end > 0.0 => end,
            _ => 1.0,
        }
    }
}

/// Draw `panels`, three in a row, in their order.
pub fn bars(title: &str, panels: &[Panel]) -> String {
    let mut svg = Svg::default();
    svg.text("title", Anchor::Start, LEFT, 22.0, title);
    svg.text(
        "quiet",
        Anchor::Start,
        LEFT,
        38.0,
        "bars: median over seeds, whiskers: least and most, dashed: bound, bold: best",
    );
    let mut y = TOP;
    for row in panels.chunks(PANELS) {
        for (column, panel) in row.iter().enumerate() {
            draw(panel, &mut svg, LEFT + column as f64 * (PANEL + GAP), y);
        }
        y += row.iter().map(Panel::height).fold(0.0, f64::max);
    }
    let columns = panels.len().clamp(1, PANELS) as f64;
    svg.finish(2.0 * LEFT + columns * (PANEL + GAP) - GAP, y + 6.0, title)
}

fn draw(panel: &Panel, svg: &mut Svg, left: f64, top: f64) {
    let direction = if panel.higher_is_better { "more is better" } else { "less is better" };
    svg.text("strong", Anchor::Start, left, top + 18.0, &panel.scenario);
    svg.text("", Anchor::Start, left, top + 33.0, &panel.figure);
    svg.text("quiet", Anchor::End, left + PANEL, top + 33.0, direction);
    let (zero, width, end) = (left + NAME, PANEL - NAME - VALUE, panel.end());
    let x = |value: f64| zero + width * (value / end).clamp(0.0, 1.0);
    let (first, last) = (top + HEAD, top + HEAD + panel.bars.len() as f64 * ROW);
    draw_axis(svg, end, first, last, x);
    let best = panel.best();
    for (row, bar) in panel.bars.iter().enumerate() {
        let y = first + row as f64 * ROW;
        let base = y + ROW / 2.0 + 4.0;
        let name = if bar.own { "strong" } else { "" };
        svg.text(name, Anchor::End, zero - 6.0, base, &short_name(&bar.scheduler));
        let value = match &bar.value {
            Ok(value) => value,
            Err(why) => {
                svg.text("quiet", Anchor::Start, zero + 4.0, base, why);
                continue;
            }
        };
        let class = if bar.own { "own" } else { "bar" };
        svg.rect(class, zero, y + 3.0, x(value.median) - zero, ROW - 6.0);
        draw_whisker(svg, (x(value.min), x(value.max)), y + ROW / 2.0);
        let is_best = best.is_some_and(|best| best.total_cmp(&value.median) == Ordering::Equal);
        let class = if is_best { "strong" } else { "" };
        let more = if value.median > end { "▸ " } else { "" };
        let words = format!("{more}{}", number(value.median));
        svg.text(class, Anchor::End, left + PANEL, base, &words);
    }
    if let Some(bound) = panel.bound {
        svg.line("bound", (x(bound), first - 2.0), (x(bound), last + 2.0));
    }
}

fn draw_axis(svg: &mut Svg, end: f64, first: f64, last: f64, x: impl Fn(f64) -> f64) {
    let step = round_step(end, 5.0);
    let digits = (-step.log10().floor()).max(0.0) as usize;
    let mut at = 0.0;
    while at <= end * 1.0001 {
        svg.line("grid", (x(at), first), (x(at), last + 3.0));
        svg.text("quiet", Anchor::Middle, x(at), last + 14.0, &format!("{at:.digits$}"));
        at += step;
    }
}

fn draw_whisker(svg: &mut Svg, (from, to): (f64, f64), y: f64) {
    const CAP: f64 = 3.0;
    if to - from < 0.5 {
        return;
    }
    svg.line("whisker", (from, y), (to, y));
    for x in [from, to] {
        svg.line("whisker", (x, y - CAP), (x, y + CAP));
    }
}

/// A name that fits before its bar.
fn short_name(name: &str) -> String {
    const LETTERS: usize = 17;
    match name.chars().count() {
        0..=LETTERS => name.to_string(),
        _ => name.chars().take(LETTERS - 1).chain(['…']).collect(),
    }
}

/// With three digits that matter.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(higher_is_better: bool, medians: &[f64]) -> Panel {
        let bar = |&median: &f64| Bar {
            scheduler: format!("s{median}"),
            value: Ok(Value { median, min: median, max: median }),
            own: false,
        };
        Panel {
            scenario: "open".into(),
            figure: "mean".into(),
            higher_is_better,
            bound: Some(1.0),
            bars: medians.iter().map(bar).collect(),
        }
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(Value::of(&[4.0, 1.0]), Some(Value { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(Value::of(&[3.0, 9.0, 1.0]).map(|s| s.median), Some(3.0));
        assert_eq!(Value::of(&[]), None);
    }

    #[test]
    fn the_best_is_told_by_the_direction_and_outliers_are_cut() {
        let less = panel(false, &[1.5, 1.2, 40.0]);
        assert_eq!(less.best(), Some(1.2));
        assert_eq!(less.end(), LONGEST * 1.2);
        let more = panel(true, &[0.7, 0.9]);
        assert_eq!((more.best(), more.end()), (Some(0.9), 1.0));
        let text = bars("t", &[less]);
        assert!(text.contains("▸ 40"), "{text}");
        assert!(
            text.contains("class=\"strong\" text-anchor=\"end\" x=\"366\" y=\"115.5\">1.20<"),
            "{text}"
        );
    }

    #[test]
    fn a_scheduler_without_a_figure_says_why() {
        let mut panel = panel(false, &[1.5]);
        panel.bars[0].value = Err("thrown out".into());
        let text = bars("t", &[panel]);
        assert!(text.contains("thrown out") && !text.contains("NaN"), "{text}");
    }
}
