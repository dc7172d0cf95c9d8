// SPDX-License-Identifier: GPL-2.0-only
//! The drawings of the page: loads of CPUs over time with moves, a correlation by lag, and moves
//! from LLC to LLC.

use super::svg::Svg;
use crate::analysis::correlate::{Correlation, LAG_MAX};
use crate::analysis::infer::Kind;
use crate::analysis::report::{Correlations, Report};
use crate::ui::text::time;

const LEFT: f64 = 70.0;
const WIDTH: f64 = 900.0;
const TOP: f64 = 10.0;
const AXIS: f64 = 24.0;
/// The map is at most so high, however many CPUs there are.
const MAP_HEIGHT_MAX: f64 = 1400.0;
/// Rows of the map; with more CPUs each is the mean of several.
const ROWS_MAX: usize = 512;
/// More moves than this cover the map.
pub const LINES_MAX: usize = 500;
/// The load that is drawn darkest.
const LOAD_FULL: f32 = 4.0;

/// Loads of CPUs from above to below, time from left to right, moves as lines.
pub fn map(report: &Report) -> String {
    let cpus = &report.map.cpus;
    let mut svg = Svg::default();
    let per_row = cpus.len().div_ceil(ROWS_MAX).max(1);
    let rows = cpus.len().div_ceil(per_row);
    let row = (MAP_HEIGHT_MAX / rows.max(1) as f64).min(26.0);
    let y_of = |cpu: u32| {
        let at = cpus.partition_point(|(other, _)| *other < cpu);
        TOP + (at / per_row) as f64 * row
    };
    for (at, cpus) in cpus.chunks(per_row).enumerate() {
        let y = TOP + at as f64 * row;
        if row >= 9.0 || at % 16 == 0 {
            let name = format!("CPU {}", cpus[0].0);
            svg.text((LEFT - 6.0, y + row.min(12.0) - 1.0), "end", &name);
        }
        draw_row(&mut svg, &mean(cpus), y, row);
    }
    let bottom = TOP + rows as f64 * row;
    let x_of = |at_ns: u64| {
        let share = at_ns.saturating_sub(report.start_ns) as f64 / report.span_ns.max(1) as f64;
        LEFT + share.min(1.0) * WIDTH
    };
    let step = report.map.moves.len().div_ceil(LINES_MAX).max(1);
    for &(at_ns, from, to, kind) in report.map.moves.iter().step_by(step) {
        let x = x_of(at_ns);
        let class = format!("move {}", kind.name());
        svg.line((x, y_of(from) + row / 2.0), (x, y_of(to) + row / 2.0), &class);
    }
    for part in 0..=4 {
        let at_ns = (report.span_ns as f64 * f64::from(part) / 4.0) as u64;
        let x = LEFT + WIDTH * f64::from(part) / 4.0;
        svg.text((x, bottom + AXIS - 8.0), "middle", &time(at_ns));
    }
    svg.finish("map", (LEFT + WIDTH + 40.0, bottom + AXIS), "Load of each CPU over time, and moves")
}

/// The mean load of CPUs.
fn mean(cpus: &[(u32, Vec<f32>)]) -> Vec<f32> {
    let mut sum = cpus[0].1.clone();
    for (_, loads) in &cpus[1..] {
        sum.iter_mut().zip(loads).for_each(|(sum, load)| *sum += load);
    }
    sum.iter_mut().for_each(|sum| *sum /= cpus.len() as f32);
    sum
}

/// Neighbours of the same shade become one rectangle.
fn draw_row(svg: &mut Svg, loads: &[f32], y: f64, height: f64) {
    let shade = |load: f32| ((load / LOAD_FULL).min(1.0) * 20.0).round() as u32;
    let column = WIDTH / loads.len().max(1) as f64;
    let mut from = 0;
    while from < loads.len() {
        let own = shade(loads[from]);
        let same = loads[from..].iter().take_while(|load| shade(**load) == own).count();
        if own > 0 {
            let x = LEFT + from as f64 * column;
            let size = (same as f64 * column, (height - 1.0).max(0.8));
            svg.rect((x, y), size, "load", f64::from(own) / 20.0, "");
        }
        from += same;
    }
}

/// A correlation at every lag, with the lines beyond which a single one is no chance.
pub fn correlogram(level: &Correlations, found: &Correlation) -> String {
    const HEIGHT: f64 = 180.0;
    let mut svg = Svg::default();
    let middle = TOP + HEIGHT / 2.0;
    let most = found.by_lag.iter().fold(0.1f64, |most, r| most.max(r.abs()));
    let y_of = |r: f64| middle - r / most * (HEIGHT / 2.0 - 6.0);
    let step = WIDTH / found.by_lag.len().max(1) as f64;
    for (at, &r) in found.by_lag.iter().enumerate() {
        let x = LEFT + at as f64 * step;
        let lag = at as i64 - LAG_MAX as i64;
        let best = lag == i64::from(found.lag);
        let (top, bottom) = (y_of(r).min(middle), y_of(r).max(middle));
        let size = (step * 0.7, (bottom - top).max(0.5));
        svg.rect(
            (x, top),
            size,
            if best { "best" } else { "bar" },
            1.0,
            &format!("lag {lag}: {r:+.3}"),
        );
        if lag % 5 == 0 {
            svg.text((x + step * 0.35, TOP + HEIGHT + 14.0), "middle", &lag.to_string());
        }
    }
    let limit = 1.96 / (found.n as f64).sqrt();
    for r in [limit, -limit] {
        svg.line((LEFT, y_of(r)), (LEFT + WIDTH, y_of(r)), "limit");
    }
    svg.line((LEFT, middle), (LEFT + WIDTH, middle), "zero");
    svg.text((LEFT - 6.0, y_of(most) + 4.0), "end", &format!("{most:+.2}"));
    svg.text((LEFT - 6.0, y_of(-most) + 4.0), "end", &format!("{:+.2}", -most));
    let title = format!("Correlation by lag, in bins of {}", time(level.width_ns));
    svg.finish("correlogram", (LEFT + WIDTH + 40.0, TOP + HEIGHT + AXIS), &title)
}

/// Moves from LLC (rows) to LLC (columns).
pub fn heat(report: &Report) -> String {
    let mut svg = Svg::default();
    let n = report.heat.len().max(1) as f64;
    let cell = (560.0 / n).clamp(4.0, 44.0);
    let most = report.heat.iter().flatten().copied().max().unwrap_or(0).max(1);
    for (from, row) in report.heat.iter().enumerate() {
        let y = TOP + 16.0 + from as f64 * cell;
        if cell >= 12.0 {
            svg.text((LEFT - 6.0, y + cell / 2.0 + 4.0), "end", &format!("LLC {from}"));
            svg.text(
                (LEFT + from as f64 * cell + cell / 2.0, TOP + 10.0),
                "middle",
                &from.to_string(),
            );
        }
        for (to, &count) in row.iter().enumerate() {
            let place = (LEFT + to as f64 * cell, y);
            let tip = format!("LLC {from} to LLC {to}: {count} moves");
            // Shades by the logarithm: a few pairs often have nearly all moves.
            let shade = ((count + 1) as f64).ln() / ((most + 1) as f64).ln();
            svg.rect(place, (cell - 1.0, cell - 1.0), "heat", 0.05 + 0.95 * shade, &tip);
            if cell >= 30.0 {
                svg.text((place.0 + cell / 2.0, y + cell / 2.0 + 4.0), "middle", &short(count));
            }
        }
    }
    let side = n * cell;
    svg.finish("heat", (LEFT + side + 40.0, TOP + side + 30.0), "Moves from LLC to LLC")
}

/// A count in at most four characters.
fn short(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..1_000_000 => format!("{}k", count / 1000),
        _ => format!("{}M", count / 1_000_000),
    }
}

/// Classes of the lines of moves, with their colours.
pub fn colours() -> impl Iterator<Item = (&'static str, &'static str)> {
    let colours = ["#0b84a5", "#d1495b", "#6f4e7c", "#9dd866", "#f6c85f", "#ca472f", "#999999"];
    Kind::ALL.iter().map(|kind| kind.name()).zip(colours)
}
