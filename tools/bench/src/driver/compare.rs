// SPDX-License-Identifier: GPL-2.0-only
//! Two results beside each other: ratios, and which of them are within noise.
//!
//! Noise is what seeds make of a figure: where the ranges of the two over their seeds overlap, the
//! difference is not one. With one seed on a side nothing is known of noise, and that is said.

use comfy_table::{Cell as Field, CellAlignment, ContentArrangement, Table, presets};

use crate::driver::result::Run;
use crate::driver::table::{Row, rows};
use crate::lab::figures::Better;
use crate::picture::bars::Value as Spread;

/// What to make of a ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The ranges over the seeds overlap.
    WithinNoise,
    /// The second is better beyond that.
    Better,
    /// The second is worse beyond that.
    Worse,
    /// There is one seed only on a side.
    OneSeed,
}

impl Verdict {
    /// Of a figure before and after.
    pub fn of(before: &Spread, after: &Spread, better: Better) -> Verdict {
        let one = |spread: &Spread| spread.min == spread.max;
        if before.min <= after.max && after.min <= before.max {
            return Verdict::WithinNoise;
        }
        if one(before) || one(after) {
            return Verdict::OneSeed;
        }
        match (after.median < before.median, better) {
            (true, Better::Lower) | (false, Better::Higher) => Verdict::Better,
            _ => Verdict::Worse,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Verdict::WithinNoise => "within noise",
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::OneSeed => "differs (one seed: noise unknown)",
        }
    }
}

/// The figures that both have, as text.
pub fn render(before: &Run, after: &Run) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["machine", "scenario", "figure", "scheduler", "A", "B", "B ÷ A", ""]);
    let others = rows(after);
    for row in rows(before) {
        let Some(other) = others.iter().find(|other| other.key == row.key) else { continue };
        for (name, a) in before.schedulers().iter().zip(&row.values) {
            let index = after.schedulers().iter().position(|other| other == name);
            let b = index.and_then(|index| other.values[index]);
            if let Some((a, b)) = a.zip(b) {
                table.add_row(line(&row, name, &a, &b));
            }
        }
    }
    match table.row_count() {
        0 => "the two have no figure in common\n".into(),
        _ => format!("{table}\n"),
    }
}

fn line(row: &Row, scheduler: &str, a: &Spread, b: &Spread) -> Vec<Field> {
    let number = |value: String| Field::new(value).set_alignment(CellAlignment::Right);
    let ratio = if a.median == 0.0 { "-".into() } else { format!("{:.3}", b.median / a.median) };
    vec![
        Field::new(&row.key.machine),
        Field::new(row.key.scenario.name()),
        Field::new(row.key.figure.replace('_', " ")),
        Field::new(scheduler),
        number(format!("{:.3}", a.median)),
        number(format!("{:.3}", b.median)),
        number(ratio),
        Field::new(Verdict::of(a, b, row.better).words()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(min: f64, median: f64, max: f64) -> Spread {
        Spread { median, min, max }
    }

    #[test]
    fn overlapping_ranges_are_noise() {
        let (a, b) = (spread(1.0, 2.0, 3.0), spread(2.5, 4.0, 5.0));
        assert_eq!(Verdict::of(&a, &b, Better::Lower), Verdict::WithinNoise);
    }

    #[test]
    fn what_lies_apart_is_judged_by_the_direction_of_the_figure() {
        let (a, b) = (spread(1.0, 2.0, 3.0), spread(4.0, 4.5, 5.0));
        assert_eq!(Verdict::of(&a, &b, Better::Lower), Verdict::Worse);
        assert_eq!(Verdict::of(&a, &b, Better::Higher), Verdict::Better);
        assert_eq!(Verdict::of(&b, &a, Better::Lower), Verdict::Better);
    }

    #[test]
    fn one_seed_says_nothing_of_noise() {
        let (a, b) = (spread(2.0, 2.0, 2.0), spread(3.0, 3.0, 3.0));
        assert_eq!(Verdict::of(&a, &b, Better::Lower), Verdict::OneSeed);
        assert_eq!(Verdict::of(&a, &a, Better::Lower), Verdict::WithinNoise);
    }
}
