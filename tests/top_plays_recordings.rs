// SPDX-License-Identifier: GPL-2.0-only
//! `scx_toll top --from`: what is shown of a recording is what is in it, interval by interval.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::KeyCode;
use scx_toll::command::playback::Playback;
use scx_toll::control::wire::{Frame, Places};
use scx_toll::events::{Decision, Kind, Outcome, Question, Slice, Verdict, Who};
use scx_toll::model::decide::Migrate;
use scx_toll::recording::{Head, Recorder, Recording};
use scx_toll::stats::exported::TollStats;
use scx_toll::topology::Level;
use scx_toll::ui::top::{App, draw};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
/// When the recording begins, in ms.
const BEGAN_MS: u64 = 5_000;

fn who(pid: u32) -> Who {
    Who { pid, tgid: pid, cgroup: 1, comm: format!("task{pid}") }
}

fn decision(ms: u64, pid: u32, to: u32, verdict: Verdict) -> Frame {
    let question = Question {
        gain_ns: 900_000,
        penalty_ns: 200_000,
        refill_ns: 150_000,
        wait_from_ns: 3_000_000,
        ..Question::default()
    };
    Frame::Decision(Box::new(Decision {
        seq: ms,
        at_ns: (BEGAN_MS + ms) * 1_000_000,
        count: 1,
        policy_version: 3,
        who: Some(who(pid)),
        kind: Kind::Push,
        level: if to == 1 { Level::Llc } else { Level::Node },
        verdict,
        cpu: 0,
        from_llc: Some(0),
        to_llc: Some(to),
        from_cpu: Some(0),
        to_cpu: None,
        waited_ns: 0,
        age_ns: 0,
        migrate: Migrate::Toll,
        fixed_ns: 0,
        for_class: false,
        question: Some(question),
    }))
}

fn slice(cpu: u32, from_ms: u64, to_ms: u64) -> Frame {
    let ns = |ms| (BEGAN_MS + ms) * 1_000_000;
    Frame::Slice(Slice { cpu, from_ns: ns(from_ms), to_ns: ns(to_ms), who: who(1), more: false })
}

/// Two seconds on three LLCs, the last of another node, of two CPUs each.
fn recording() -> Vec<u8> {
    let cpu_llc = [0, 0, 1, 1, 2, 2].map(Some).to_vec();
    let places = Places { cpu_llc, llc_node: vec![0, 0, 1], ..Places::default() };
    let head = Head { program: "0.0.0".into(), began_unix: 1, places, ..Head::default() };
    let mut file = Vec::new();
    let mut recorder = Recorder::new(&mut file, &head, Box::new(|_| None)).unwrap();
    let outcome = Outcome {
        seq: 100,
        at_ns: (BEGAN_MS + 150) * 1_000_000,
        waited_ns: 50_000_000,
        wait_from_ns: 1,
        wait_to_ns: 0,
        penalty_ns: 1,
        turns: 1,
        paid: Some(true),
        who: who(7),
        cpu: 2,
    };
    let mut frames = vec![
        slice(0, 0, 100),
        decision(100, 7, 1, Verdict::Applied),
        Frame::Outcome(outcome),
        decision(200, 7, 2, Verdict::Applied),
        decision(300, 8, 1, Verdict::NotWorth),
        decision(400, 9, 1, Verdict::AppliedAged),
    ];
    // The first CPU is busy in the first second, both of the LLC in the next.
    frames.extend((1..10).map(|i| slice(0, i * 100, i * 100 + 100)));
    frames.extend((10..20).flat_map(|i| [0, 1].map(|cpu| slice(cpu, i * 100, i * 100 + 100))));
    frames.push(decision(1_950, 8, 1, Verdict::Hysteresis));
    for frame in frames {
        recorder.add(frame).unwrap();
    }
    recorder.finish().unwrap();
    file
}

fn playback(file: &[u8]) -> Playback {
    Playback::new(&Recording::new(file.to_vec()).unwrap()).unwrap()
}

fn screen(app: &App) -> String {
    let mut terminal = Terminal::new(TestBackend::new(100, 30)).unwrap();
    terminal.draw(|frame| draw(app, frame, Instant::now())).unwrap();
    let rows = terminal.backend().buffer().content.chunks(100);
    rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>() + "\n").collect()
}

#[test]
fn each_interval_has_what_happened_in_it() {
    let mut playback = playback(&recording());
    assert_eq!(playback.length(), Duration::from_millis(2_000));
    assert!(!playback.missing.cut);
    let first = playback.next(SECOND).unwrap();
    let stats = &first.stats;
    assert_eq!((stats.cpus, stats.llcs.len(), stats.llcs[&2].node), (6, 3, 1));
    let loads: Vec<f64> = stats.llcs.values().map(|llc| llc.load_pct.round()).collect();
    assert_eq!(loads, [50.0, 0.0, 0.0]);
    assert_eq!(stats.llcs[&0].wait_ns, 3_000_000);
    assert_eq!((stats.judged, stats.paid, stats.moves_between_llcs()), (1, 1, 3));
    let push = stats.decisions["push_llc"];
    assert_eq!((push.asked, push.applied, push.applied_aged, push.not_worth), (3, 1, 1, 1));
    assert_eq!(stats.decisions["push_node"].applied, 1);
    let pair = stats.pairs["0:1"];
    assert_eq!((pair.moves, pair.judged, pair.gain_ns), (2, 1, 900_000));
    assert_eq!(first.moves.len(), 3);

    let second = playback.next(SECOND).unwrap();
    assert_eq!(second.stats.llcs[&0].load_pct.round(), 100.0);
    assert_eq!(second.stats.decisions["push_llc"].hysteresis, 1);
    assert!(second.moves.is_empty() && second.stats.pairs.is_empty());
    let rest = std::iter::from_fn(|| playback.next(SECOND)).count();
    assert!(rest <= 1, "the last slices end with the second interval");
}

#[test]
fn no_entry_is_lost_or_shown_twice_whatever_the_interval() {
    let file = recording();
    for ms in [1, 70, 333, 5_000] {
        let mut playback = playback(&file);
        let scenes: Vec<TollStats> =
            std::iter::from_fn(|| playback.next(Duration::from_millis(ms)))
                .map(|scene| scene.stats)
                .collect();
        let sum = |of: fn(&TollStats) -> u64| scenes.iter().map(of).sum::<u64>();
        assert_eq!(sum(|stats| stats.turns), 30, "{ms} ms");
        assert_eq!(sum(|stats| stats.decisions.values().map(|ends| ends.asked).sum()), 5);
    }
}

#[test]
fn the_screen_shows_who_moved_and_that_it_is_a_recording() {
    let mut playback = playback(&recording());
    let mut app = App::new(false);
    app.replay(playback.length());
    let scene = playback.next(SECOND).unwrap();
    app.take(scene.stats, Instant::now());
    scene.moves.iter().for_each(|decision| app.take_move(decision));
    app.take_progress(scene.until);
    let shown = screen(&app);
    for words in ["6 CPUs, 3 LLCs, 2 nodes", "1.0 of 2.0 s", "1 of 1 judged paid", "-/2"] {
        assert!(shown.contains(words), "{words} is not in:\n{shown}");
    }
    app.press(KeyCode::Tab);
    app.press(KeyCode::Tab);
    let shown = screen(&app);
    let movers: Vec<Vec<&str>> = shown
        .lines()
        .filter(|line| line.contains(" task"))
        .map(|line| line.split_whitespace().collect())
        .collect();
    let refill = ["300", "µs", "400", "µs", "1.80", "ms"];
    assert_eq!(movers[0][..5], ["7", "task7", "0", "1", "1"], "{shown}");
    assert_eq!(movers[0][5..], refill, "{shown}");
    assert_eq!(movers[1][..5], ["9", "task9", "0", "1", "0"], "{shown}");
    app.end("the recording is over".into());
    assert!(screen(&app).contains("the recording is over; q quits"));
}
