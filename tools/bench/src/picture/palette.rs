// SPDX-License-Identifier: GPL-2.0-only
//! A colour for each task: tasks whose names differ only in their number get related colours.

use crate::trace::timeline::{Task, TaskId};

/// Hue of the first family, in degrees: blue.
const FIRST_HUE: f64 = 215.0;
/// The part of its share of the circle that a family uses, so that families stay apart.
const USED: f64 = 0.7;
/// Lightness in per cent, in turn, so that neighbours within a family differ by more than hue. All can
/// be told from a white and from a black page.
const LIGHTNESS: [f64; 3] = [52.0, 42.0, 62.0];
const SATURATION: f64 = 62.0;
/// More colours cannot be told apart; tasks then share them.
const MAX_COLOURS: usize = 36;

/// Tasks of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Their names without the number.
    pub name: String,
    /// How many there are.
    pub tasks: usize,
    /// Their colours, each once.
    pub colours: Vec<String>,
}

/// The colours of all tasks.
#[derive(Clone, Debug, Default)]
pub struct Palette {
    /// By task; `None` for those that do not count.
    colours: Vec<Option<String>>,
    /// The families, in the order of their first task.
    pub families: Vec<Family>,
}

impl Palette {
    /// Give a colour to each of `tasks` that is shown.
    pub fn of(tasks: &[Task], shown: &[bool]) -> Self {
        let mut names: Vec<String> = Vec::new();
        let mut members: Vec<Vec<TaskId>> = Vec::new();
        for (id, task) in tasks.iter().enumerate().filter(|(id, _)| shown[*id]) {
            let name = stem(&task.comm.text());
            match names.iter().position(|known| *known == name) {
                Some(at) => members[at].push(id),
                None => {
                    names.push(name);
                    members.push(vec![id]);
                }
            }
        }
        let mut palette = Self { colours: vec![None; tasks.len()], families: Vec::new() };
        let share = 360.0 / names.len().max(1) as f64;
        for (at, (name, members)) in names.into_iter().zip(members).enumerate() {
            let count = members.len().min(MAX_COLOURS);
            let from = FIRST_HUE + at as f64 * share;
            let colours: Vec<String> = (0..count)
                .map(|nr| {
                    let hue = from + share * USED * nr as f64 / count as f64;
                    hex(hue % 360.0, SATURATION, LIGHTNESS[nr % LIGHTNESS.len()])
                })
                .collect();
            for (nr, id) in members.iter().enumerate() {
                palette.colours[*id] = Some(colours[nr % count].clone());
            }
            palette.families.push(Family { name, tasks: members.len(), colours });
        }
        palette
    }

    /// The colour of a task, if it has one.
    pub fn of_task(&self, task: TaskId) -> Option<&str> {
        self.colours.get(task)?.as_deref()
    }
}

/// A name without the number at its end.
fn stem(name: &str) -> String {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let stem = stem.trim_end_matches(['-', '_', '/', ':', '.']);
    if stem.is_empty() { name.to_string() } else { stem.to_string() }
}

/// `#rrggbb` of a hue in degrees, and saturation and lightness in per cent.
fn hex(hue: f64, saturation: f64, lightness: f64) -> String {
    let (saturation, lightness) = (saturation / 100.0, lightness / 100.0);
    let chroma = saturation * lightness.min(1.0 - lightness);
    let part = |offset: f64| {
        let at = (offset + hue / 30.0) % 12.0;
        let value = lightness - chroma * (at - 3.0).min(9.0 - at).clamp(-1.0, 1.0);
        (value * 255.0).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", part(0.0), part(8.0), part(4.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::event::Comm;

    #[test]
    fn colours_are_what_css_would_make_of_them() {
        assert_eq!(hex(0.0, 100.0, 50.0), "#ff0000");
        assert_eq!(hex(120.0, 100.0, 25.0), "#008000");
        assert_eq!(hex(210.0, 50.0, 50.0), "#4080bf");
    }

    #[test]
    fn families_are_names_without_numbers() {
        let task = |name: &str| Task { pid: 1, comm: Comm::new(name.as_bytes()), kernel: false };
        let tasks = ["lw-hog0", "lw-hog12", "sh", "lw-pair/3", "77"].map(task);
        let palette = Palette::of(&tasks, &[true, true, false, true, true]);
        let names: Vec<_> = palette.families.iter().map(|f| (f.name.as_str(), f.tasks)).collect();
        assert_eq!(names, [("lw-hog", 2), ("lw-pair", 1), ("77", 1)]);
        assert_eq!(palette.of_task(2), None);
        let own: Vec<_> = [0, 1, 3, 4].iter().filter_map(|&id| palette.of_task(id)).collect();
        assert!((1..4).all(|at| !own[..at].contains(&own[at])), "{own:?}");
    }
}
