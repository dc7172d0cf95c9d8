// SPDX-License-Identifier: GPL-2.0-only
//! Strips of figures below a map, by the same time from left to right.

use super::map::{Map, WIDTH};
use super::svg::{Anchor, Svg, short};
use crate::trace::machine::Level;
use crate::trace::waste;

const HEIGHT: f64 = 38.0;
/// Width of the bars of moves, in pixels.
const BAR: f64 = 6.0;

/// Moves between LLCs and between nodes. Returns the strip's lower edge.
pub fn moves(map: &Map, svg: &mut Svg, top: f64) -> f64 {
    let bars = (WIDTH / BAR) as usize;
    let mut counts = vec![(0u64, 0u64); bars];
    for (moved, level) in map.moves() {
        let at = (map.column(moved.at_ns, BAR) as usize).min(bars - 1);
        match level {
            Level::Node => counts[at].1 += 1,
            _ => counts[at].0 += 1,
        }
    }
    let most = counts.iter().map(|(llc, node)| llc + node).max().unwrap_or(0);
    let per_bar = (map.options.window.end - map.options.window.start) as f64 / bars as f64 / 1e6;
    frame(map, svg, top, "moves", &format!("in {} ms", short(per_bar)), most as f64);
    let scale = HEIGHT / most.max(1) as f64;
    for (at, (llc, node)) in counts.into_iter().enumerate() {
        let x = map.x(map.options.window.start) + at as f64 * BAR;
        let (llc, node) = (llc as f64 * scale, node as f64 * scale);
        if llc > 0.0 {
            svg.rect("llc", x, top + HEIGHT - llc, BAR - 1.0, llc);
        }
        if node > 0.0 {
            svg.rect("node", x, top + HEIGHT - llc - node, BAR - 1.0, node);
        }
    }
    top + HEIGHT
}

/// CPUs that are idle beside a waiting task, as a mean for each column of pixels. Returns the strip's
/// lower edge.
pub fn waste(map: &Map, svg: &mut Svg, top: f64) -> f64 {
    let window = &map.options.window;
    let free = |_, _| u64::MAX;
    let found = waste::find(map.line, map.machine, &free, window, |task| map.chosen[task]);
    let mut mean = vec![0.0; WIDTH as usize];
    let ends = found.steps.iter().skip(1).map(|(at_ns, _)| *at_ns).chain([window.end]);
    for ((from_ns, wasted), to_ns) in found.steps.iter().zip(ends) {
        let (from, to) = (map.column(*from_ns, 1.0), map.column(to_ns, 1.0));
        let mut at = from.floor();
        while at < to && *wasted > 0 && (at as usize) < mean.len() {
            mean[at as usize] += f64::from(*wasted) * ((at + 1.0).min(to) - at.max(from));
            at += 1.0;
        }
    }
    let most = mean.iter().copied().fold(0.0, f64::max).ceil();
    frame(map, svg, top, "idle CPUs", "beside a wait", most);
    let left = map.x(window.start);
    let height = |mean: f64| (mean * HEIGHT / most.max(1.0) * 10.0).round() / 10.0;
    let mut d = format!("M{} {}", short(left), short(top + HEIGHT));
    let mut before = 0.0;
    for (at, mean) in mean.iter().map(|mean| height(*mean)).enumerate() {
        if mean != before {
            d += &format!("H{}V{}", short(left + at as f64), short(top + HEIGHT - mean));
            before = mean;
        }
    }
    d += &format!("H{}V{}Z", short(left + WIDTH), short(top + HEIGHT));
    svg.path("waste", "", &d);
    top + HEIGHT
}

/// The strip's frame, its name in two lines, and its scale.
fn frame(map: &Map, svg: &mut Svg, top: f64, name: &str, more: &str, most: f64) {
    let left = map.x(map.options.window.start);
    svg.rect("idle", left, top, WIDTH, HEIGHT);
    svg.rect("frame", left, top, WIDTH, HEIGHT);
    svg.text("", Anchor::Start, 8.0, top + 16.0, name);
    svg.text("quiet", Anchor::Start, 8.0, top + 30.0, more);
    svg.text("quiet", Anchor::End, left - 5.0, top + 9.0, &short(most));
    svg.text("quiet", Anchor::End, left - 5.0, top + HEIGHT, "0");
}
