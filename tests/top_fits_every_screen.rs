// SPDX-License-Identifier: GPL-2.0-only
//! The full-screen view on screens and machines of any size, in colour and without.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)]
mod fake_scheduler;

use fake_scheduler::recorded;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::KeyCode;
use ratatui::style::Color;
use scx_toll::stats::exported::{LlcStats, PairStats, TollStats};
use scx_toll::ui::top::{App, draw};
use std::time::Instant;

fn screen(app: &App, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(app, frame, Instant::now())).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let rows = buffer.content.chunks(width);
    rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>() + "\n").collect()
}

fn press(app: &mut App, keys: &str) {
    keys.chars().for_each(|c| {
        app.press(KeyCode::Char(c));
    });
}

/// The app after the recorded run.
fn app(colour: bool) -> App {
    let mut app = App::new(colour);
    let recorded = recorded();
    app.take_policy(recorded.policy);
    for stats in recorded.stats {
        app.take(stats, Instant::now());
    }
    app
}

/// A machine of so many LLCs with 8 CPUs each, 4 LLCs to the node, all exchanging tasks.
fn machine(nr_llcs: u32) -> TollStats {
    let llc = |id: u32| LlcStats {
        node: id / 4,
        cpus: 8,
        load_pct: f64::from(id * 37 % 101),
        wait_ns: u64::from(id) * 100_000,
        ..LlcStats::default()
    };
    let pairs = (0..nr_llcs).flat_map(|from| (0..nr_llcs).map(move |to| (from, to)));
    let pair = |(from, to): (u32, u32)| {
        let moves = u64::from(from * to % 17);
        let stats = PairStats { from, to, moves, judged: moves, gain_ns: 5, penalty_ns: -3 };
        (format!("{from}:{to}"), stats)
    };
    TollStats {
        seconds: 1.0,
        cpus: nr_llcs * 8,
        llcs: (0..nr_llcs).map(|id| (id, llc(id))).collect(),
        pairs: pairs.filter(|(from, to)| from != to).map(pair).collect(),
        ..TollStats::default()
    }
}

#[test]
fn no_size_of_screen_or_machine_is_too_much() {
    let mut apps = vec![App::new(true), app(true), app(false)];
    for nr_llcs in [1, 2, 32, 128] {
        let mut app = App::new(nr_llcs % 2 == 0);
        app.take(machine(nr_llcs), Instant::now());
        apps.push(app);
    }
    for app in &mut apps {
        for keys in ["", "m", "ms", "/llc1", "h", "x "] {
            press(app, keys);
            app.press(KeyCode::Enter);
            app.press(KeyCode::Tab);
            app.press(KeyCode::PageDown);
            for (width, height) in
                [(1, 1), (7, 3), (20, 5), (40, 12), (80, 24), (200, 60), (400, 100)]
            {
                screen(app, width, height);
            }
        }
        app.lose("killed".into());
        screen(app, 80, 24);
    }
}

#[test]
fn at_80_by_24_nothing_that_matters_is_cut_off() {
    let screen = text(&screen(&app(false), 80, 24));
    for words in ["16 CPUs, 8 LLCs, 2 nodes", "p99 <", "switches/s", "llc0", "moves per second"] {
        assert!(screen.contains(words), "{words} is not in:\n{screen}");
    }
    let keys = screen.lines().last().unwrap().trim_end();
    assert!(keys.ends_with("+- 1.00 s"), "the keys are cut off: {keys}");
}

#[test]
fn a_machine_of_256_cpus_is_scrolled_and_its_map_is_whole() {
    let mut app = App::new(false);
    app.take(machine(32), Instant::now());
    let top = text(&screen(&app, 80, 24));
    assert!(top.contains("256 CPUs, 32 LLCs, 8 nodes") && top.contains("of 40"), "{top}");
    assert!(top.contains("llc0 ") && !top.contains("llc31 "), "{top}");
    app.press(KeyCode::End);
    let end = text(&screen(&app, 80, 24));
    assert!(end.contains("llc31 ") && !end.contains("llc0 "), "{end}");
    // Every row of the map fits on a large screen, and every column on a small one.
    app.press(KeyCode::Home);
    let large = text(&screen(&app, 200, 60));
    let rows = large.lines().filter(|line| line.contains(['░', '▒', '▓', '█'])).count();
    assert!(rows >= 31, "{rows} rows:\n{large}");
    assert!(!top.contains("part of it") || top.contains("moves per second"), "{top}");
}

#[test]
fn the_order_and_the_filter_are_those_asked_for() {
    let mut app = App::new(false);
    app.take(machine(8), Instant::now());
    let llcs = |app: &App| -> Vec<u32> {
        let text = text(&screen(app, 80, 40));
        let names = text.lines().filter_map(|line| line.get(..10)?.split("llc").nth(1));
        names.filter_map(|number| number.trim().parse().ok()).collect()
    };
    assert_eq!(llcs(&app), [0, 1, 2, 3, 4, 5, 6, 7]);
    press(&mut app, "s");
    // Loads are 37 n modulo 101.
    assert_eq!(llcs(&app), [5, 2, 7, 4, 1, 6, 3, 0]);
    press(&mut app, "s");
    assert_eq!(llcs(&app), [7, 6, 5, 4, 3, 2, 1, 0], "by wait");
    press(&mut app, "/node1");
    assert_eq!(llcs(&app), [7, 6, 5, 4]);
    press(&mut app, " llc6");
    assert_eq!(llcs(&app), [6]);
    app.press(KeyCode::Esc);
    assert_eq!(llcs(&app).len(), 8);
}

#[test]
fn the_map_shows_what_it_is_asked_for() {
    let mut app = App::new(false);
    let recorded = recorded();
    let stats = recorded.stats[0].clone();
    app.take(stats.clone(), Instant::now());
    press(&mut app, "m");
    let bare = text(&screen(&app, 80, 40));
    app.take_policy(recorded.policy);
    let known = text(&screen(&app, 80, 40));
    assert!(!bare.contains("(7") && known.contains('('), "without a policy nothing is expected");
    press(&mut app, "m");
    let gains = text(&screen(&app, 80, 40));
    assert!(gains.contains("mean ΔL") && !gains.contains("(3"), "{gains}");
}

#[test]
fn the_own_time_is_shown_where_the_kernel_measures_it() {
    let mut stats = TollStats { seconds: 2.0, cpus: 8, ..TollStats::default() };
    stats.switches = 4_000;
    let line = |stats: &TollStats| {
        let mut app = App::new(false);
        app.take(stats.clone(), Instant::now());
        text(&screen(&app, 100, 10)).lines().nth(2).unwrap().trim_end().to_string()
    };
    assert_eq!(
        line(&stats),
        "2000 switches/s  0 moves/s  own time: see sysctl kernel.bpf_stats_enabled"
    );
    stats.bpf_ns = 8_000_000;
    stats.bpf_runs = 16_000;
    assert_eq!(
        line(&stats),
        "2000 switches/s  0 moves/s  own time: 4.00 ms/s (0.05 %), 2.00 µs a switch, 500 ns a run"
    );
}

#[test]
fn without_colour_no_cell_has_any() {
    let coloured = |colour| {
        let mut app = app(colour);
        press(&mut app, "m");
        let buffer = screen(&app, 200, 60);
        let has =
            |cell: &&ratatui::buffer::Cell| (cell.fg, cell.bg) != (Color::Reset, Color::Reset);
        buffer.content.iter().filter(has).count()
    };
    assert_eq!(coloured(false), 0);
    assert!(coloured(true) > 100);
}
