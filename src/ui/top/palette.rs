// SPDX-License-Identifier: GPL-2.0-only
//! Styles by what they mean. Without colour everything is said by characters and by bold, dim and
//! reversed text, which every terminal has.

use ratatui::style::{Color, Modifier, Style};

/// Steps of a heat map, 0 being the coolest.
pub const STEPS: usize = 5;
/// Backgrounds of the 256-colour palette, cool to hot, all readable under black.
const HEAT: [u8; STEPS] = [114, 150, 222, 216, 210];
/// What stands for them where there is no colour.
const SHADES: [char; STEPS] = [' ', '░', '▒', '▓', '█'];

/// Load in per cent from which an LLC is busy, and from which it is full.
const BUSY_PCT: f64 = 60.0;
const FULL_PCT: f64 = 90.0;

/// The styles of a screen.
#[derive(Debug, Clone, Copy)]
pub struct Palette {
    /// Colours are wanted.
    pub colour: bool,
}

impl Palette {
    fn fg(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// Titles.
    pub fn title(self) -> Style {
        self.fg(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// What is there to be found when looked for.
    pub fn dim(self) -> Style {
        self.fg(Color::DarkGray).add_modifier(if self.colour {
            Modifier::empty()
        } else {
            Modifier::DIM
        })
    }

    /// What nobody may overlook.
    pub fn alarm(self) -> Style {
        self.fg(Color::Yellow).add_modifier(Modifier::REVERSED | Modifier::BOLD)
    }

    /// A key that may be pressed.
    pub fn key(self) -> Style {
        self.fg(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    /// A load in per cent.
    pub fn load(self, pct: f64) -> Style {
        match pct {
            pct if pct >= FULL_PCT => self.fg(Color::Red).add_modifier(Modifier::BOLD),
            pct if pct >= BUSY_PCT => self.fg(Color::Yellow),
            _ => self.fg(Color::Green),
        }
    }

    /// A cell of a heat map.
    pub fn heat(self, step: usize) -> Style {
        match self.colour {
            true => {
                Style::new().bg(Color::Indexed(HEAT[step.min(STEPS - 1)])).fg(Color::Indexed(16))
            }
            false => Style::new(),
        }
    }

    /// The character before the figure of such a cell.
    pub fn shade(self, step: usize) -> char {
        if self.colour { ' ' } else { SHADES[step.min(STEPS - 1)] }
    }
}
