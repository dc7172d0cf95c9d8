// SPDX-License-Identifier: GPL-2.0-only
//! A trace as a map: a row for each CPU, time from left to right, a colour for each task.
//!
//! A column of pixels holds many turns of short tasks; it shows who ran longest in it, the paler the
//! more of it was idle. Moves between LLCs are lines from the CPU before to the CPU after, with a dot
//! there; if there are too many to tell apart, only the strip below counts them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use super::palette::Palette;
use super::strips;
use super::svg::{Anchor, Svg, round_step, short};
use crate::trace::machine::{Level, Machine};
use crate::trace::timeline::{Choice, Move, TaskId, Timeline};

/// Files stay below this; the map gets coarser where that is needed.
pub const MAX_BYTES: usize = 480 << 10;
/// More moves than this are not drawn one by one.
const MAX_LINES: usize = 400;

const LEFT: f64 = 118.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 54.0;
/// Width of the map itself.
pub(super) const WIDTH: f64 = 960.0;
const LLC_GAP: f64 = 3.0;
const NODE_GAP: f64 = 9.0;
const AXIS: f64 = 30.0;
const LEGEND: f64 = 18.0;
/// Widths of a column in pixels that are tried in turn.
const COLUMNS: [f64; 5] = [1.0, 2.0, 3.0, 5.0, 8.0];
/// How a column's part of busy time is shown: no paler than a quarter.
const SHADES: [&str; 4] = [".3", ".55", ".8", "1"];

/// What to draw.
#[derive(Clone, Debug)]
pub struct MapOptions {
    /// Written above the map.
    pub title: String,
    /// The part of the trace to draw, in ns of its clock.
    pub window: Range<u64>,
    /// Tasks that get colours; all others are grey.
    pub choice: Choice,
}

/// Draw `line`. The file is smaller than [`MAX_BYTES`].
pub fn map(line: &Timeline, machine: &Machine, options: &MapOptions) -> String {
    let map = Map::new(line, machine, options);
    let mut drawn = String::new();
    for column in COLUMNS {
        drawn = map.draw(column);
        if drawn.len() < MAX_BYTES {
            break;
        }
    }
    drawn
}

/// What a drawing needs to know.
pub(super) struct Map<'a> {
    pub(super) line: &'a Timeline,
    pub(super) machine: &'a Machine,
    pub(super) options: &'a MapOptions,
    pub(super) chosen: Vec<bool>,
    palette: Palette,
    /// Upper edge of each CPU's row.
    rows: Vec<f64>,
    row_height: f64,
    bottom: f64,
}

impl<'a> Map<'a> {
    fn new(line: &'a Timeline, machine: &'a Machine, options: &'a MapOptions) -> Self {
        let chosen = line.chosen(&options.choice);
        // Tasks that never run in the window need no colour.
        let mut shown = vec![false; chosen.len()];
        for run in &line.runs {
            let within = run.from_ns < options.window.end && run.to_ns > options.window.start;
            if let Some(task) = run.task.filter(|_| within) {
                shown[task] = chosen[task];
            }
        }
        let palette = Palette::of(&line.tasks, &shown);
        let row_height = match machine.cpus() {
            0..=16 => 18.0,
            17..=32 => 12.0,
            _ => 8.0,
        };
        let (mut rows, mut y) = (Vec::new(), TOP);
        for cpu in 0..machine.cpus() {
            if let Some(before) = cpu.checked_sub(1) {
                y += match machine.level(before, cpu) {
                    Level::Core => 0.0,
                    Level::Llc => LLC_GAP,
                    Level::Node => NODE_GAP,
                };
            }
            rows.push(y);
            y += row_height;
        }
        Self { line, machine, options, chosen, palette, rows, row_height, bottom: y }
    }

    fn draw(&self, column: f64) -> String {
        let mut svg = Svg::default();
        self.draw_rows(&mut svg);
        self.draw_runs(&mut svg, column);
        let drawn = self.draw_moves(&mut svg);
        let mut y = self.bottom;
        y = strips::moves(self, &mut svg, y + 14.0);
        y = strips::waste(self, &mut svg, y + 12.0);
        y = self.draw_axis(&mut svg, y);
        y = self.draw_legend(&mut svg, y);
        self.draw_head(&mut svg, drawn);
        svg.finish(LEFT + WIDTH + RIGHT, y + 8.0, &self.options.title)
    }

    /// Where an instant is, from left to right.
    pub(super) fn x(&self, at_ns: u64) -> f64 {
        LEFT + self.column(at_ns, 1.0)
    }

    /// The same as a number of columns from the map's left edge.
    pub(super) fn column(&self, at_ns: u64, width: f64) -> f64 {
        let Range { start, end } = self.options.window;
        let part = at_ns.clamp(start, end) - start;
        WIDTH / width * part as f64 / (end - start).max(1) as f64
    }

    /// Moves between LLCs of tasks that count.
    pub(super) fn moves(&self) -> impl Iterator<Item = (&Move, Level)> {
        let moves =
            self.line.moves.iter().filter(|moved| {
                self.chosen[moved.task] && self.options.window.contains(&moved.at_ns)
            });
        let moves = moves.map(|moved| (moved, self.machine.level(moved.from, moved.to)));
        moves.filter(|(_, level)| *level != Level::Core)
    }

    fn draw_head(&self, svg: &mut Svg, drawn: bool) {
        svg.text("title", Anchor::Start, LEFT, 20.0, &self.options.title);
        let count = |level| self.moves().filter(|(_, far)| *far == level).count();
        let (llc, node) = (count(Level::Llc), count(Level::Node));
        let mut words = format!("{llc} moves between LLCs of a node, {node} between nodes");
        if !drawn {
            words += " (too many to draw one by one)";
        }
        if self.line.lost > 0 {
            let _ = write!(words, "; incomplete: {} events were lost", self.line.lost);
        }
        svg.text("quiet", Anchor::Start, LEFT, 38.0, &words);
    }

    /// The idle ground of each row, and what the rows are.
    fn draw_rows(&self, svg: &mut Svg) {
        let label_every = if self.row_height < 10.0 { 2 } else { 1 };
        let groups = |of: &dyn Fn(u32) -> u32| -> Vec<Range<usize>> {
            let mut groups: Vec<Range<usize>> = Vec::new();
            for cpu in 0..self.rows.len() {
                match groups.last_mut() {
                    Some(last) if of(last.start as u32) == of(cpu as u32) => last.end = cpu + 1,
                    _ => groups.push(cpu..cpu + 1),
                }
            }
            groups
        };
        for llc in groups(&|cpu| self.machine.llc(cpu)) {
            let (top, height) = self.extent(&llc);
            svg.rect("idle", LEFT, top, WIDTH, height);
            svg.rect("frame", LEFT, top, WIDTH, height);
            let name = format!("LLC {}", self.machine.llc(llc.start as u32));
            svg.text("quiet", Anchor::End, LEFT - 26.0, top + height / 2.0 + 4.0, &name);
        }
        for node in groups(&|cpu| self.machine.node(cpu)) {
            let (top, height) = self.extent(&node);
            let name = format!("node {}", self.machine.node(node.start as u32));
            svg.text("strong", Anchor::Start, 8.0, top + height / 2.0 + 4.0, &name);
            svg.line("frame", (LEFT - 64.0, top), (LEFT - 64.0, top + height));
        }
        for (cpu, top) in self.rows.iter().enumerate().step_by(label_every) {
            let y = top + self.row_height / 2.0 + 4.0;
            svg.text("quiet", Anchor::End, LEFT - 5.0, y, &cpu.to_string());
        }
    }

    /// Upper edge and height of some rows.
    fn extent(&self, rows: &Range<usize>) -> (f64, f64) {
        let (top, last) = (self.rows[rows.start], self.rows[rows.end - 1]);
        (top, last + self.row_height - top)
    }

    fn draw_runs(&self, svg: &mut Svg, column: f64) {
        let count = (WIDTH / column).ceil() as usize;
        let mut paths: BTreeMap<(Option<&str>, usize), Pen> = BTreeMap::new();
        for (cpu, columns) in self.columns(column, count).iter().enumerate() {
            let y = self.rows[cpu] + self.row_height / 2.0;
            let mut from = 0;
            while from < columns.len() {
                let look = columns[from];
                let same = columns[from..].iter().take_while(|other| **other == look).count();
                if let Some(look) = look {
                    let x = LEFT + from as f64 * column;
                    paths.entry(look).or_default().stroke(x, y, same as f64 * column);
                }
                from += same;
            }
        }
        for ((colour, shade), pen) in paths {
            let width = short(self.row_height - 2.0);
            let opacity = SHADES[shade];
            let (class, stroke) = match colour {
                Some(colour) => ("", format!(r#"stroke="{colour}" "#)),
                None => ("other", String::new()),
            };
            let more = format!(r#"{stroke}stroke-width="{width}" stroke-opacity="{opacity}""#);
            svg.path(class, &more, &pen.d);
        }
    }

    /// How each column of each row looks: colour and shade, or nothing if the CPU was idle.
    #[expect(clippy::type_complexity)]
    fn columns(&self, width: f64, count: usize) -> Vec<Vec<Option<(Option<&str>, usize)>>> {
        // How long each task ran in each column; a column has few tasks, in the order of time.
        let mut ran: Vec<Vec<Vec<(TaskId, f64)>>> = vec![vec![Vec::new(); count]; self.rows.len()];
        for run in &self.line.runs {
            let (Some(task), Some(row)) = (run.task, ran.get_mut(run.cpu as usize)) else {
                continue;
            };
            let (from, to) = (self.column(run.from_ns, width), self.column(run.to_ns, width));
            let mut at = from.floor();
            while at < to && (at as usize) < count {
                let part = (at + 1.0).min(to) - at.max(from);
                let column = &mut row[at as usize];
                match column.iter_mut().find(|(other, _)| *other == task) {
                    Some((_, sum)) => *sum += part,
                    None => column.push((task, part)),
                }
                at += 1.0;
            }
        }
        let look = |column: Vec<(TaskId, f64)>| {
            let busy: f64 = column.iter().map(|(_, part)| part).sum();
            let longest = column.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
            let shade = (busy * SHADES.len() as f64).ceil() as usize;
            let shade = shade.clamp(1, SHADES.len()) - 1;
            Some((self.palette.of_task(longest.0), shade))
        };
        ran.into_iter().map(|row| row.into_iter().map(look).collect()).collect()
    }

    /// True if the moves could be drawn one by one.
    fn draw_moves(&self, svg: &mut Svg) -> bool {
        if self.moves().count() > MAX_LINES {
            return false;
        }
        for (level, class) in [(Level::Llc, "llc"), (Level::Node, "node")] {
            let (mut lines, mut dots) = (String::new(), String::new());
            for (moved, _) in self.moves().filter(|(_, far)| *far == level) {
                let middle =
                    |cpu: u32| self.rows.get(cpu as usize).map(|y| y + self.row_height / 2.0);
                let (Some(from), Some(to)) = (middle(moved.from), middle(moved.to)) else {
                    continue;
                };
                let x = short(self.x(moved.at_ns));
                let _ = write!(lines, "M{x} {}V{}", short(from), short(to));
                let _ = write!(dots, "M{x} {}h0", short(to));
            }
            svg.path("halo", r#"stroke-width="2.6" stroke-opacity=".7""#, &lines);
            svg.path(class, r#"stroke-width=".9" fill-opacity="0""#, &lines);
            svg.path(class, r#"stroke-width="4.5" stroke-linecap="round""#, &dots);
        }
        true
    }

    fn draw_axis(&self, svg: &mut Svg, bottom: f64) -> f64 {
        let Range { start, end } = self.options.window;
        let span_ms = (end - start) as f64 / 1e6;
        let step = round_step(span_ms, 10.0);
        let digits = (-step.log10().floor()).max(0.0) as usize;
        let mut at = 0.0;
        while at <= span_ms * 1.0001 {
            let x = LEFT + WIDTH * at / span_ms;
            svg.line("grid", (x, self.bottom + 2.0), (x, bottom + 4.0));
            svg.text("quiet", Anchor::Middle, x, bottom + 16.0, &format!("{at:.digits$}"));
            at += step;
        }
        svg.text("quiet", Anchor::End, LEFT - 8.0, bottom + 16.0, "ms");
        bottom + AXIS
    }

    fn draw_legend(&self, svg: &mut Svg, top: f64) -> f64 {
        const SWATCH: f64 = 9.0;
        const SWATCHES: usize = 6;
        const LETTER: f64 = 6.2;
        let (mut x, mut y) = (LEFT, top + 10.0);
        let mut place = |width: f64| {
            if x + width > LEFT + WIDTH {
                (x, y) = (LEFT, y + LEGEND);
            }
            x += width;
            (x - width, y)
        };
        for family in &self.palette.families {
            let words = match family.tasks {
                1 => family.name.clone(),
                many => format!("{} ({many})", family.name),
            };
            let swatches = family.colours.len().min(SWATCHES);
            let wide = swatches as f64 * SWATCH;
            let (x, y) = place(wide + 20.0 + LETTER * words.chars().count() as f64);
            let every = family.colours.len().div_ceil(SWATCHES).max(1);
            for (nr, colour) in family.colours.iter().step_by(every).enumerate() {
                svg.swatch(colour, x + nr as f64 * SWATCH, y - SWATCH, SWATCH);
            }
            svg.text("", Anchor::Start, x + wide + 4.0, y, &words);
        }
        for (class, words) in
            [("bar", "other tasks"), ("llc", "move between LLCs"), ("node", "move between nodes")]
        {
            let (x, y) = place(32.0 + LETTER * words.len() as f64);
            svg.rect(class, x, y - SWATCH, SWATCH, SWATCH);
            svg.text("", Anchor::Start, x + SWATCH + 4.0, y, words);
        }
        y
    }
}

/// Horizontal strokes of one path, each relative to the end of the one before.
#[derive(Debug, Default)]
struct Pen {
    d: String,
    at: (f64, f64),
}

impl Pen {
    fn stroke(&mut self, x: f64, y: f64, width: f64) {
        let (dx, dy) = (short(x - self.at.0), short(y - self.at.1));
        // A negative number needs no space before it. Writing to a String cannot fail.
        let space = if dy.starts_with('-') { "" } else { " " };
        let _ = write!(self.d, "m{dx}{space}{dy}h{}", short(width));
        self.at = (x + width, y);
    }
}
