// SPDX-License-Identifier: GPL-2.0-only
//! `scx_toll top`: the terminal and the loop; what is on the screen is [`crate::ui::top`]'s.

use super::link::{News, follow};
use super::listen::{Heard, Listening, listen};
use super::no_colour;
use super::playback::{Playback, play};
use crate::cli::TopArgs;
use crate::ui::top::{App, SAMPLE, Wish, draw};
use anyhow::{Context, Result, bail};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

/// How often news and signals are looked for while no key is pressed.
const POLL: Duration = Duration::from_millis(50);

/// How often the screen is drawn while it shows how long ago something was.
const CLOCK: Duration = Duration::from_millis(500);

/// Show the scheduler, or a recording, until the user has seen enough. The terminal is as it was
/// before, however this ends.
///
/// # Errors
/// When there is no terminal, or it fails; when what is to be shown is no recording.
pub fn run(args: &TopArgs, stop: &AtomicBool) -> Result<()> {
    let playback = args.from.as_deref().map(Playback::open).transpose()?;
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        bail!("top needs a terminal; --monitor 1 prints the same figures into a file or a pipe");
    }
    let mut app = App::new(!no_colour());
    let (intervals, news) = match playback {
        Some(playback) => {
            app.replay(playback.length());
            play(playback, app.interval())?
        }
        None => follow(app.interval())?,
    };
    on_screen(|terminal| watch(terminal, &mut app, &intervals, &news, stop))
}

/// Run `show` on the terminal's other screen. A panic inside is shown on the one that was there
/// before, and leaves it fit for use.
///
/// # Errors
/// When the terminal cannot be set up, and those of `show`.
pub fn on_screen(show: impl FnOnce(&mut DefaultTerminal) -> Result<()>) -> Result<()> {
    let mut terminal = ratatui::try_init()
        .inspect_err(|_| ratatui::restore())
        .context("the terminal cannot be set up")?;
    let _restore = Restore;
    show(&mut terminal)
}

/// Gives the terminal back when dropped. In a panic ratatui's hook has done that already, and to
/// do it twice would put the cursor where the message stands.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            ratatui::restore();
        }
    }
}

fn watch(
    terminal: &mut DefaultTerminal,
    app: &mut App,
    intervals: &Sender<Duration>,
    news: &Receiver<News>,
    stop: &AtomicBool,
) -> Result<()> {
    let mut changed = true;
    let mut drawn = Instant::now();
    let mut moves = None;
    while !stop.load(Ordering::Relaxed) {
        // A recording waits where it is while the picture stands still.
        while !app.holds()
            && let Ok(news) = news.try_recv()
        {
            hear_news(app, news);
            changed = true;
        }
        changed |= hear_moves(app, &mut moves)?;
        if changed || (app.counts_time() && drawn.elapsed() >= CLOCK) {
            drawn = Instant::now();
            terminal
                .draw(|frame| draw(app, frame, drawn))
                .context("the terminal cannot be written to")?;
        }
        // What has been read already is not announced by the terminal once more.
        wait_for_terminal(if changed { Duration::ZERO } else { POLL })?;
        changed = event::poll(Duration::ZERO).context("the keyboard cannot be read")?;
        if !changed {
            continue;
        }
        match on_event(app, &event::read().context("the keyboard cannot be read")?) {
            Wish::None => {}
            Wish::Quit => return Ok(()),
            Wish::Interval(every) => {
                // Without a listener there are no more statistics either: the screen says so.
                let _ = intervals.send(every);
            }
        }
    }
    Ok(())
}

fn hear_news(app: &mut App, news: News) {
    match news {
        News::Stats(stats) => app.take(*stats, Instant::now()),
        News::Policy(policy) => app.take_policy(*policy),
        News::Gone(why) => app.lose(why),
        News::Scene(scene) => {
            app.take(scene.stats, Instant::now());
            scene.moves.iter().for_each(|decision| app.take_move(decision));
            app.take_progress(scene.until);
        }
        News::Over(what) => app.end(what),
    }
}

/// Listen to moves while they are shown, and only then; true when something was heard.
fn hear_moves(app: &mut App, moves: &mut Option<Listening>) -> Result<bool> {
    if !app.wants_moves() {
        *moves = None;
        return Ok(false);
    }
    let listening = match moves {
        Some(listening) => listening,
        None => {
            app.forget_moves();
            moves.insert(listen(SAMPLE)?)
        }
    };
    let mut any = false;
    for heard in listening.heard.try_iter() {
        any = true;
        match heard {
            Heard::Move(decision) => app.take_move(&decision),
            Heard::Nothing(why) => app.lose_moves(why),
        }
    }
    Ok(any)
}

/// Wait until there is something to read from the terminal, a signal comes, or `most` has passed.
/// crossterm by itself reads the end of a terminal that is gone over and over.
///
/// # Errors
/// When the terminal is gone.
fn wait_for_terminal(most: Duration) -> Result<()> {
    let mut terminal = libc::pollfd { fd: libc::STDIN_FILENO, events: libc::POLLIN, revents: 0 };
    let most = i32::try_from(most.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the pointer is to one initialised struct, as the count says, for the call alone.
    unsafe { libc::poll(&raw mut terminal, 1, most) };
    if terminal.revents & (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) != 0 {
        bail!("the terminal is gone");
    }
    Ok(())
}

fn on_event(app: &mut App, event: &Event) -> Wish {
    let Event::Key(key) = event else { return Wish::None };
    if key.kind == KeyEventKind::Release {
        return Wish::None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        let quits = matches!(key.code, KeyCode::Char('c' | 'd'));
        return if quits { Wish::Quit } else { Wish::None };
    }
    app.press(key.code)
}
