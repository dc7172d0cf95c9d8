// SPDX-License-Identifier: GPL-2.0-only
//! `scx_toll top` on a terminal, as a person uses it: tmux presses the keys and reads the screen.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fake_scheduler;

use fake_scheduler::Fake;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long the screen may take to show something. The machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
#[ignore = "it is the scheduler that the other tests look at"]
fn the_scheduler() {
    fake_scheduler::be_the_scheduler();
}

#[test]
#[ignore = "it is what a_panic_leaves_the_terminal_fit_for_use looks at"]
fn panics_on_the_screen() {
    let shown = scx_toll::command::top::on_screen(|terminal| {
        terminal.draw(|frame| frame.render_widget("about to panic", frame.area()))?;
        std::thread::sleep(Duration::from_secs(1));
        panic!("a made-up panic")
    });
    unreachable!("{shown:?}");
}

/// A terminal with a shell in it.
struct Tmux {
    dir: TempDir,
}

impl Tmux {
    /// `None` where there is no tmux, which this says; never where `CI` is set.
    fn start(width: u16, height: u16) -> Option<Tmux> {
        if Command::new("tmux").arg("-V").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "tmux is not installed");
            eprintln!("skipped: tmux is not installed");
            return None;
        }
        let tmux = Tmux { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(tmux.run_dir()).unwrap();
        let size = [width.to_string(), height.to_string()];
        let run_dir = format!("SCX_TOLL_RUN_DIR={}", tmux.run_dir().display());
        tmux.ask(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &size[0],
            "-y",
            &size[1],
            "-e",
            &run_dir,
            "-e",
            "NO_COLOR=",
            "sh",
        ]);
        tmux.line("PS1='ready> '; clear");
        tmux.wait("the prompt alone", |screen| screen.trim() == "ready>");
        Some(tmux)
    }

    fn run_dir(&self) -> std::path::PathBuf {
        self.dir.path().join("run")
    }

    /// Start a scheduler for this terminal.
    fn scheduler(&self) -> Fake {
        Fake::start(&self.run_dir())
    }

    fn ask(&self, args: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-u", "-S", &self.dir.path().join("tmux").display().to_string()])
            .args(args)
            .env_remove("TMUX")
            .output()
            .unwrap();
        assert!(output.status.success(), "tmux {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Type a line into the shell.
    fn line(&self, text: &str) {
        self.ask(&["send-keys", "-l", text]);
        self.ask(&["send-keys", "Enter"]);
    }

    fn key(&self, key: &str) {
        self.ask(&["send-keys", key]);
    }

    fn screen(&self) -> String {
        self.ask(&["capture-pane", "-p"])
    }

    fn top(&self) {
        self.line(&format!("clear; echo before; {} top", env!("CARGO_BIN_EXE_scx_toll")));
    }

    /// Wait until `is_there` is true of the screen, and return that.
    fn wait(&self, what: &str, is_there: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if is_there(&screen) {
                return screen;
            }
            assert!(Instant::now() < until, "{what} is not on the screen:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn see(&self, words: &str) -> String {
        self.wait(words, |screen| screen.contains(words))
    }

    fn see_no(&self, words: &str) -> String {
        self.wait(&format!("anything but {words}"), |screen| !screen.contains(words))
    }

    /// What was on the screen before is there again, and what is typed is shown and edited.
    fn expect_restored(&self) {
        let screen = self.see("before");
        assert!(!screen.contains("quit  h help"), "the picture is still there:\n{screen}");
        let path = self.dir.path().join("stty");
        self.line(&format!("stty -a > {}; echo aft'er'", path.display()));
        self.see("after");
        let modes = std::fs::read_to_string(path).unwrap();
        for mode in ["icanon", "echo", "isig", "opost"] {
            let words: Vec<_> = modes.split([' ', ';', '\n']).collect();
            assert!(words.contains(&mode), "{mode} is off: {modes}");
        }
        let flags = self.ask(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(flags.trim(), "0 1", "the other screen is left, and the cursor is seen");
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = Command::new("tmux")
            .args(["-S", &self.dir.path().join("tmux").display().to_string(), "kill-server"])
            .output();
    }
}

fn width_of(screen: &str) -> usize {
    screen.lines().map(|line| line.trim_end().chars().count()).max().unwrap_or(0)
}

#[test]
fn keys_work_at_80_by_24_and_quit_restores_the_terminal() {
    let Some(tmux) = Tmux::start(80, 24) else { return };
    let _scheduler = tmux.scheduler();
    tmux.top();
    let screen = tmux.see("16 CPUs, 8 LLCs, 2 nodes");
    for words in ["wakeups/s", "node0", "  llc0", "moves per second", "q quit"] {
        assert!(screen.contains(words), "{words} is not on the screen:\n{screen}");
    }
    // The policy comes over the other socket.
    tmux.see(", toll, slice");

    tmux.key("m");
    tmux.see("P, mean of the moves made");
    tmux.key("m");
    tmux.see("mean ΔL of the moves made");
    tmux.key("Tab");
    assert!(tmux.see("refused between LLCs").contains("not worth"));
    tmux.key("s");
    let screen = tmux.see("by load");
    let loads: Vec<f64> = screen
        .lines()
        .filter(|line| line.starts_with(['n']) && line.contains(" llc"))
        .map(|line| line[10..14].trim().parse().unwrap())
        .collect();
    assert!(loads.len() >= 4 && loads.is_sorted_by(|a, b| a >= b), "{loads:?}:\n{screen}");
    for key in ["s", "s", "s", "s"] {
        tmux.key(key);
    }
    tmux.see("node0");
    tmux.key("/");
    tmux.ask(&["send-keys", "-l", "node1 llc5"]);
    tmux.see("/node1 llc5_");
    tmux.key("Enter");
    let screen = tmux.see_no("node0");
    assert!(screen.contains("  llc5") && !screen.contains("  llc4"), "{screen}");
    tmux.key("Escape");
    tmux.see("node0");
    tmux.key("+");
    tmux.see("+- 2.00 s");
    tmux.key("-");
    tmux.key("h");
    tmux.see("keys and words");
    tmux.key("x");
    tmux.see_no("keys and words");
    tmux.key("Space");
    tmux.see("paused");
    tmux.key("Space");
    tmux.see_no("paused");

    tmux.key("q");
    tmux.expect_restored();
}

#[test]
fn it_follows_the_size_of_the_terminal_and_ctrl_c_ends_it() {
    let Some(tmux) = Tmux::start(100, 30) else { return };
    let _scheduler = tmux.scheduler();
    tmux.top();
    tmux.see("16 CPUs, 8 LLCs");
    tmux.ask(&["resize-window", "-x", "80", "-y", "24"]);
    let screen = tmux.wait("80 columns", |screen| {
        width_of(screen) <= 80 && screen.lines().count() <= 24 && screen.contains("q quit")
    });
    assert!(screen.contains("moves per second") && !screen.contains("refused"), "{screen}");
    tmux.ask(&["resize-window", "-x", "200", "-y", "60"]);
    let screen = tmux.wait("200 columns", |screen| width_of(screen) > 100);
    for words in ["moves per second", "refused between LLCs", "llc7"] {
        assert!(screen.contains(words), "{words} is not on the screen:\n{screen}");
    }
    tmux.key("C-c");
    tmux.expect_restored();
}

#[test]
fn a_killed_scheduler_is_missed_and_waited_for() {
    let Some(tmux) = Tmux::start(80, 24) else { return };
    tmux.top();
    tmux.see("no scx_toll is running");
    let scheduler = tmux.scheduler();
    tmux.see("16 CPUs, 8 LLCs");
    drop(scheduler);
    let screen = tmux.see("waiting for it");
    assert!(screen.contains("scx_toll has ended") || screen.contains("no scx_toll"), "{screen}");
    let screen = tmux.see("shown as it was");
    assert!(screen.contains("node0"), "the last picture stays:\n{screen}");
    let _scheduler = tmux.scheduler();
    tmux.see_no("waiting for it");
    tmux.key("q");
    tmux.expect_restored();
}

#[test]
fn without_colours_it_says_the_same_in_characters() {
    let Some(tmux) = Tmux::start(80, 24) else { return };
    let _scheduler = tmux.scheduler();
    let program = env!("CARGO_BIN_EXE_scx_toll");
    tmux.line(&format!("clear; {program} top"));
    tmux.see("16 CPUs");
    let colours = |tmux: &Tmux| {
        let screen = tmux.ask(&["capture-pane", "-p", "-e"]);
        let codes =
            screen.split('\x1b').filter_map(|part| part.strip_prefix('[')?.split('m').next());
        codes
            .flat_map(|codes| codes.split(';').map(String::from).collect::<Vec<_>>())
            .filter(|code| matches!(code.parse(), Ok(30..=38 | 40..=48 | 90..=107)))
            .count()
    };
    assert!(colours(&tmux) > 20, "in colour");
    tmux.key("q");
    tmux.see("ready>");
    tmux.line(&format!("clear; NO_COLOR=1 {program} top"));
    tmux.see("16 CPUs");
    assert_eq!(colours(&tmux), 0);
    tmux.wait("a shade", |screen| screen.contains(['░', '▒', '▓']));
}

#[test]
fn a_panic_leaves_the_terminal_fit_for_use() {
    let Some(tmux) = Tmux::start(100, 24) else { return };
    let program = std::env::current_exe().unwrap();
    let program = Path::new(&program).display().to_string();
    let args = "--ignored --exact panics_on_the_screen --nocapture";
    tmux.line(&format!("clear; echo before; {program} {args}"));
    tmux.see("about to panic");
    tmux.see("a made-up panic");
    tmux.expect_restored();
}

#[test]
fn without_a_terminal_it_says_what_else_to_do() {
    let output = Command::new(env!("CARGO_BIN_EXE_scx_toll")).arg("top").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("top needs a terminal; --monitor 1 prints"), "{error}");
}
