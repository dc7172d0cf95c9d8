// SPDX-License-Identifier: GPL-2.0-only
//! The full-screen view: what it knows ([`App`]), what keys do to it, and how it is drawn.
//!
//! ```text
//!   scx_toll  8 CPUs  4 LLCs  2 nodes   load 63 %   wait …          head.rs
//!   what scheduling itself takes
//!   node0      61 %   1.2 ms    3   ▁▃▅▇                            tree.rs, history.rs
//!    llc0      …
//!   LLC × LLC: moves, P or mean ΔL     moves by kind, refusals      heat.rs, decisions.rs
//!     or: who moves                                                 movers.rs
//!   keys
//! ```
//!
//! It reads no clock and no terminal: `command/top.rs` does.

mod decisions;
mod head;
mod heat;
mod help;
mod history;
mod movers;
mod palette;
mod screen;
mod tree;

pub use movers::{SAMPLE, moved};
pub use screen::draw;

use crate::events::Decision;
use crate::policy::view::PolicyView;
use crate::stats::exported::TollStats;
use history::History;
use movers::Movers;
use palette::Palette;
use ratatui::crossterm::event::KeyCode;
use std::time::{Duration, Instant};

/// What the intervals between two pictures can be, in ms.
const INTERVALS_MS: [u64; 6] = [200, 500, 1_000, 2_000, 5_000, 10_000];
/// Which of them it is at first.
const FIRST_INTERVAL: usize = 2;
/// Longest filter.
const FILTER_CHARS_MAX: usize = 40;
/// Rows that PgUp and PgDn go.
const PAGE: usize = 10;

/// What the caller has to do after a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Nothing but draw.
    None,
    /// End.
    Quit,
    /// Ask for statistics this often.
    Interval(Duration),
}

/// What the rows are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Number,
    Load,
    Wait,
    Queue,
    Idle,
}

impl Sort {
    const ALL: [Sort; 5] = [Sort::Number, Sort::Load, Sort::Wait, Sort::Queue, Sort::Idle];

    fn name(self) -> &'static str {
        match self {
            Sort::Number => "tree",
            Sort::Load => "load",
            Sort::Wait => "wait",
            Sort::Queue => "queue",
            Sort::Idle => "idle",
        }
    }
}

/// What the heat map shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heat {
    Moves,
    Penalty,
    Gain,
}

impl Heat {
    const ALL: [Heat; 3] = [Heat::Moves, Heat::Penalty, Heat::Gain];

    fn name(self) -> &'static str {
        match self {
            Heat::Moves => "moves",
            Heat::Penalty => "P",
            Heat::Gain => "ΔL",
        }
    }
}

/// What is below the tree: the first two together, where there is room for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Panel {
    Heat,
    Decisions,
    Movers,
}

impl Panel {
    const ALL: [Panel; 3] = [Panel::Heat, Panel::Decisions, Panel::Movers];
}

/// How far a recording has been played.
#[derive(Debug, Clone)]
struct Replayed {
    until: Duration,
    length: Duration,
    /// It is over, and what of it was missing.
    over: Option<String>,
}

fn after<T: Copy + PartialEq>(all: &[T], this: T) -> T {
    let at = all.iter().position(|one| *one == this).map_or(0, |at| (at + 1) % all.len());
    all.get(at).copied().unwrap_or(this)
}

/// Everything that the screen shows.
#[derive(Debug)]
pub struct App {
    palette: Palette,
    stats: Option<TollStats>,
    /// When `stats` came.
    taken_at: Option<Instant>,
    policy: Option<PolicyView>,
    history: History,
    /// Why there is no scheduler, while there is none.
    gone: Option<String>,
    paused: bool,
    help: bool,
    typing: bool,
    filter: String,
    sort: Sort,
    heat: Heat,
    panel: Panel,
    movers: Movers,
    /// The screen shows a recording.
    replayed: Option<Replayed>,
    /// Rows of the tree above the first that is shown; [`tree::rows`] bounds it.
    scroll: usize,
    interval: usize,
}

impl App {
    /// An empty screen, in colour or not.
    pub fn new(colour: bool) -> App {
        App {
            palette: Palette { colour },
            stats: None,
            taken_at: None,
            policy: None,
            history: History::default(),
            gone: None,
            paused: false,
            help: false,
            typing: false,
            filter: String::new(),
            sort: Sort::Number,
            heat: Heat::Moves,
            panel: Panel::Heat,
            movers: Movers::default(),
            replayed: None,
            scroll: 0,
            interval: FIRST_INTERVAL,
        }
    }

    /// How often statistics are wanted.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(INTERVALS_MS[self.interval.min(INTERVALS_MS.len() - 1)])
    }

    /// The statistics of one interval, which ended `now`. A paused picture stays as it is.
    pub fn take(&mut self, stats: TollStats, now: Instant) {
        if self.gone.take().is_some() {
            self.history = History::default();
        }
        if self.paused {
            return;
        }
        self.history.push(&stats);
        self.taken_at = Some(now);
        self.stats = Some(stats);
    }

    /// The policy that is in force from now on.
    pub fn take_policy(&mut self, policy: PolicyView) {
        self.policy = Some(policy);
    }

    /// There is no scheduler, and `why` that is believed.
    pub fn lose(&mut self, why: String) {
        self.gone = Some(why);
    }

    /// What follows is a recording of this length.
    pub fn replay(&mut self, length: Duration) {
        self.replayed = Some(Replayed { until: Duration::ZERO, length, over: None });
    }

    /// The recording has been played so far.
    pub fn take_progress(&mut self, played: Duration) {
        if let Some(replayed) = &mut self.replayed {
            replayed.until = played;
        }
    }

    /// The recording is over, and `what` of it was missing.
    pub fn end(&mut self, what: String) {
        if let Some(replayed) = &mut self.replayed {
            replayed.over = Some(what);
        }
    }

    /// True while nothing new is wanted: a recording goes on later where it is.
    pub fn holds(&self) -> bool {
        self.paused && self.replayed.is_some()
    }

    /// True while moves that are decided now are shown.
    pub fn wants_moves(&self) -> bool {
        self.panel == Panel::Movers && self.replayed.is_none() && self.gone.is_none()
    }

    /// Moves are heard from now on.
    pub fn forget_moves(&mut self) {
        self.movers.begin();
    }

    /// A decision was made. A paused picture stays as it is.
    pub fn take_move(&mut self, decision: &Decision) {
        if !self.paused {
            self.movers.add(decision);
        }
    }

    /// No moves are heard, and why.
    pub fn lose_moves(&mut self, why: String) {
        self.movers.cannot_hear(why);
    }

    /// True while the screen shows how long ago something was.
    pub fn counts_time(&self) -> bool {
        self.taken_at.is_some() && (self.gone.is_some() || self.paused)
    }

    /// Do what a key is for.
    pub fn press(&mut self, key: KeyCode) -> Wish {
        if self.typing {
            self.type_filter(key);
            return Wish::None;
        }
        if self.help {
            self.help = false;
            return if key == KeyCode::Char('q') { Wish::Quit } else { Wish::None };
        }
        match key {
            KeyCode::Char('q') => return Wish::Quit,
            KeyCode::Char('h' | '?') | KeyCode::F(1) => self.help = true,
            KeyCode::Char(' ' | 'p') => self.paused = !self.paused,
            KeyCode::Char('s') if self.panel == Panel::Movers => self.movers.sort_next(),
            KeyCode::Char('s') => self.sort = after(&Sort::ALL, self.sort),
            KeyCode::Char('m') => self.heat = after(&Heat::ALL, self.heat),
            KeyCode::Tab => self.panel = after(&Panel::ALL, self.panel),
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Esc => self.filter_mut().clear(),
            KeyCode::Char('+') => return self.set_interval(self.interval + 1),
            KeyCode::Char('-') => return self.set_interval(self.interval.saturating_sub(1)),
            key => self.scroll_by(key),
        }
        Wish::None
    }

    fn set_interval(&mut self, interval: usize) -> Wish {
        let interval = interval.min(INTERVALS_MS.len() - 1);
        if interval == self.interval {
            return Wish::None;
        }
        self.interval = interval;
        Wish::Interval(self.interval())
    }

    fn scroll_by(&mut self, key: KeyCode) {
        // A row above the last one at most; how many are seen is the screen's business.
        let last = self.stats.as_ref().map_or(0, |_| tree::rows(self).len().saturating_sub(1));
        let to = match key {
            KeyCode::Down | KeyCode::Char('j') => self.scroll + 1,
            KeyCode::Up | KeyCode::Char('k') => self.scroll.saturating_sub(1),
            KeyCode::PageDown => self.scroll + PAGE,
            KeyCode::PageUp => self.scroll.saturating_sub(PAGE),
            KeyCode::Home => 0,
            KeyCode::End => last,
            _ => self.scroll,
        };
        self.scroll = to.min(last);
    }

    /// The filter of what is looked at: LLCs, or who moves.
    fn filter(&self) -> &str {
        if self.panel == Panel::Movers { &self.movers.filter } else { &self.filter }
    }

    fn filter_mut(&mut self) -> &mut String {
        if self.panel == Panel::Movers { &mut self.movers.filter } else { &mut self.filter }
    }

    /// What is looked at is ordered by this.
    fn sorted_by(&self) -> &'static str {
        if self.panel == Panel::Movers { self.movers.by().name() } else { self.sort.name() }
    }

    fn type_filter(&mut self, key: KeyCode) {
        let filter = self.filter_mut();
        match key {
            KeyCode::Esc => filter.clear(),
            KeyCode::Backspace => {
                filter.pop();
            }
            KeyCode::Char(c) if filter.chars().count() < FILTER_CHARS_MAX => {
                filter.extend(c.to_lowercase());
            }
            _ => {}
        }
        if matches!(key, KeyCode::Enter | KeyCode::Esc) {
            self.typing = false;
        }
        self.scroll = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(app: &mut App, keys: &str) -> Wish {
        keys.chars().map(|c| app.press(KeyCode::Char(c))).last().unwrap_or(Wish::None)
    }

    #[test]
    fn every_key_does_what_help_says() {
        let mut app = App::new(false);
        assert_eq!(press(&mut app, "ssm"), Wish::None);
        assert_eq!((app.sort, app.heat), (Sort::Wait, Heat::Penalty));
        press(&mut app, "sssmm");
        assert_eq!((app.sort, app.heat), (Sort::Number, Heat::Moves), "both go round");
        app.press(KeyCode::Tab);
        assert_eq!((app.panel, app.wants_moves()), (Panel::Decisions, false));
        app.press(KeyCode::Tab);
        assert_eq!((app.panel, app.wants_moves()), (Panel::Movers, true));
        press(&mut app, "ss/7");
        app.press(KeyCode::Enter);
        assert_eq!((app.sort, app.movers.by().name()), (Sort::Number, "refill"));
        assert_eq!((app.filter.as_str(), app.filter()), ("", "7"), "each has a filter of its own");
        app.press(KeyCode::Tab);
        assert_eq!((app.panel, app.wants_moves(), app.filter()), (Panel::Heat, false, ""));
        assert_eq!(press(&mut app, "+"), Wish::Interval(Duration::from_secs(2)));
        assert_eq!(press(&mut app, "--"), Wish::Interval(Duration::from_millis(500)));
        press(&mut app, "-----");
        assert_eq!(press(&mut app, "-"), Wish::None, "there is no shorter one");
        assert_eq!(press(&mut app, "h"), Wish::None);
        assert!(app.help);
        press(&mut app, "s");
        assert_eq!((app.help, app.sort), (false, Sort::Number), "any key closes the help");
        assert_eq!(press(&mut app, "q"), Wish::Quit);
    }

    #[test]
    fn while_a_filter_is_typed_keys_are_letters() {
        let mut app = App::new(false);
        press(&mut app, "/Node1q");
        assert_eq!((app.filter.as_str(), app.typing), ("node1q", true));
        app.press(KeyCode::Backspace);
        app.press(KeyCode::Enter);
        assert_eq!((app.filter.as_str(), app.typing), ("node1", false));
        app.press(KeyCode::Esc);
        assert_eq!(app.filter, "");
        press(&mut app, &format!("/{}", "x".repeat(100)));
        assert_eq!(app.filter.len(), FILTER_CHARS_MAX);
    }

    #[test]
    fn a_recording_waits_while_the_picture_stands_still_and_asks_no_scheduler() {
        let mut app = App::new(false);
        press(&mut app, " ");
        assert!(!app.holds(), "a scheduler does not wait");
        app.replay(Duration::from_secs(60));
        assert!(app.holds());
        press(&mut app, " ");
        app.panel = Panel::Movers;
        assert!(!app.holds() && !app.wants_moves());
    }

    #[test]
    fn a_pause_keeps_the_picture_but_not_a_lost_scheduler_hidden() {
        let mut app = App::new(false);
        let turns = |turns| TollStats { turns, ..TollStats::default() };
        app.take(turns(1), Instant::now());
        press(&mut app, " ");
        app.take(turns(2), Instant::now());
        assert_eq!(app.stats.as_ref().map(|stats| stats.turns), Some(1));
        app.lose("killed".into());
        assert_eq!(app.gone.as_deref(), Some("killed"));
        press(&mut app, " ");
        app.take(turns(3), Instant::now());
        assert_eq!((app.stats.map(|stats| stats.turns), app.gone), (Some(3), None));
    }
}
