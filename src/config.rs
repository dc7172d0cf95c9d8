// SPDX-License-Identifier: GPL-2.0-only
//! Settings: what was typed, checked once and in the units used from here on.

use crate::cli::Cli;
use crate::fault::Fault;
use crate::model::decide::Migrate;
use crate::units::Ns;
use anyhow::{Context, Result};
use scx_utils::libbpf_clap_opts::LibbpfOpts;
use std::path::PathBuf;
use std::time::Duration;

/// Shortest and longest turn that `--slice-us` accepts.
const SLICE_US: std::ops::RangeInclusive<u64> = 100..=1_000_000;
/// Longest interval between two blocks of statistics, in seconds.
const MAX_STATS_S: f64 = 86_400.0;

/// Where the penalty table comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PenaltySource {
    /// The built-in table.
    Default,
    /// What was measured on this machine; measured now if it never was.
    Measure,
    /// A file given by the user.
    File(PathBuf),
}

/// The environment variable that switches [`PolicyCheck`] on, for tests.
pub const CHECK_VARIABLE: &str = "TOLL_CHECK_POLICY";

/// Whether BPF decisions check that they saw one whole policy. It costs time and
/// is not for production, so an environment variable asks for it and no flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PolicyCheck {
    /// Not at all.
    #[default]
    Off,
    /// Every decision compares the seal (`TOLL_CHECK_POLICY=whole`).
    Whole,
    /// The same, and the writer does without its double buffer, so that the
    /// check has something to find (`TOLL_CHECK_POLICY=torn`).
    Torn,
}

impl PolicyCheck {
    fn from_env() -> Result<PolicyCheck> {
        match std::env::var(CHECK_VARIABLE).as_deref() {
            Err(_) | Ok("") => Ok(PolicyCheck::Off),
            Ok("whole") => Ok(PolicyCheck::Whole),
            Ok("torn") => Ok(PolicyCheck::Torn),
            Ok(text) => Err(usage(format!("{CHECK_VARIABLE}={text}: expected whole or torn"))),
        }
    }
}

/// The environment variable that sets [`LearnTest`], for tests.
pub const LEARN_VARIABLE: &str = "TOLL_LEARN_TEST";

/// How often learning takes a step, and what moved tasks pay for it to find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearnTest {
    /// Time between two looks at what moves took.
    pub every: Duration,
    /// Extra time before a moved task runs, by level: a cost with a known answer.
    pub inject: [Ns; 3],
}

impl LearnTest {
    /// What it is without the variable. Seldom enough to cost nothing.
    pub const NONE: LearnTest = LearnTest { every: Duration::from_secs(4), inject: [Ns::ZERO; 3] };

    /// `MS,CORE,LLC,NODE`: milliseconds between two looks, microseconds of extra time by level.
    fn from_env() -> Result<LearnTest> {
        let Ok(text) = std::env::var(LEARN_VARIABLE) else { return Ok(LearnTest::NONE) };
        if text.is_empty() {
            return Ok(LearnTest::NONE);
        }
        let numbers: Vec<u64> = text.split(',').filter_map(|word| word.parse().ok()).collect();
        match numbers[..] {
            [every @ 1..=3_600_000, core, llc, node] if core.max(llc).max(node) <= 10_000 => {
                Ok(LearnTest {
                    every: Duration::from_millis(every),
                    inject: [core, llc, node].map(Ns::from_us),
                })
            }
            _ => Err(usage(format!(
                "{LEARN_VARIABLE}={text}: expected MS,CORE,LLC,NODE with at most 10000 µs each"
            ))),
        }
    }
}

/// Validated settings of a run.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the penalty table comes from.
    pub penalty: PenaltySource,
    /// Refine what moves cost while the scheduler runs.
    pub learn: bool,
    /// What decides about a move.
    pub migrate: Migrate,
    /// Price of every move between LLCs under [`Migrate::Fixed`]; else 0.
    pub fixed: Ns,
    /// Length of one turn.
    pub slice: Ns,
    /// Interval between blocks of statistics, if any are wanted.
    pub stats: Option<Duration>,
    /// Statistics and report as JSON lines.
    pub json: bool,
    /// Bytes of debug dump to keep; 0: the kernel's default.
    pub exit_dump_len: u32,
    /// 0: warnings; 1: what is done; 2: also libbpf's messages; 3: also the verifier's figures.
    pub verbose: u8,
    /// Options handed through to libbpf.
    pub libbpf: LibbpfOpts,
    /// What of the policy's integrity is checked; a test's business.
    pub check: PolicyCheck,
    /// How learning is hastened and deceived; a test's business.
    pub learn_test: LearnTest,
}

impl Config {
    /// Check what was typed.
    ///
    /// # Errors
    /// [`Fault::Usage`] naming the flag, the value and what was expected.
    pub fn new(cli: Cli) -> Result<Config> {
        let (migrate, fixed) = migrate_value(&cli.migrate)
            .map_err(|why| usage(format!("--migrate {}: {why}", cli.migrate)))?;
        let slice = slice_value(cli.slice_us)
            .map_err(|why| usage(format!("--slice-us {}: {why}", cli.slice_us)))?;
        let learn = learn_value(&cli.learn)
            .map_err(|why| usage(format!("--learn {}: {why}", cli.learn)))?;
        Ok(Config {
            penalty: match cli.penalty.to_str() {
                Some("default") => PenaltySource::Default,
                Some("measure") => PenaltySource::Measure,
                _ => PenaltySource::File(cli.penalty),
            },
            learn,
            migrate,
            fixed,
            slice,
            stats: cli.stats.map(parse_stats).transpose()?,
            json: cli.json,
            exit_dump_len: cli.exit_dump_len,
            verbose: cli.verbose,
            libbpf: cli.libbpf,
            check: PolicyCheck::from_env()?,
            learn_test: LearnTest::from_env()?,
        })
    }

    /// Send the log to standard error, libbpf's messages included: without a
    /// logger, what the verifier says would be lost.
    ///
    /// # Errors
    /// When a logger is set already.
    pub fn init_log(&self) -> Result<()> {
        use simplelog::{ColorChoice, ConfigBuilder, LevelFilter, TermLogger, TerminalMode};
        let level = match self.verbose {
            0 => LevelFilter::Warn,
            1 => LevelFilter::Info,
            _ => LevelFilter::Debug,
        };
        let format = ConfigBuilder::new()
            .set_time_level(LevelFilter::Off)
            .set_thread_level(LevelFilter::Off)
            .set_target_level(LevelFilter::Off)
            .set_location_level(LevelFilter::Off)
            .build();
        TermLogger::init(level, format, TerminalMode::Stderr, ColorChoice::Auto)
            .context("the log cannot be set up")?;
        libbpf_rs::set_print(Some((libbpf_rs::PrintLevel::Debug, log_libbpf)));
        Ok(())
    }
}

/// What libbpf says goes into the log. Attaching a skeleton that holds a
/// struct_ops map makes it warn of a link that scx_utils attaches by itself.
fn log_libbpf(level: libbpf_rs::PrintLevel, message: String) {
    use libbpf_rs::PrintLevel;
    let message = message.trim_end();
    let harmless = message.ends_with("BPF map skeleton link is uninitialized");
    match level {
        PrintLevel::Warn if !harmless => log::warn!("{message}"),
        _ => log::debug!("{message}"),
    }
}

fn usage(sentence: String) -> anyhow::Error {
    Fault::Usage(sentence).into()
}

/// What decides about a move, and the price under `fixed`: `toll`, `always`, `never` or `fixed:US`.
///
/// # Errors
/// What is wrong with `text` and what was expected; the caller names the setting and the value.
pub fn migrate_value(text: &str) -> Result<(Migrate, Ns), String> {
    match text {
        "toll" => Ok((Migrate::Toll, Ns::ZERO)),
        "always" => Ok((Migrate::Always, Ns::ZERO)),
        "never" => Ok((Migrate::Never, Ns::ZERO)),
        _ => {
            let us = text
                .strip_prefix("fixed:")
                .ok_or_else(|| "expected toll, always, never or fixed:US".to_string())?;
            let us: f64 =
                us.parse().map_err(|_| format!("{us:?} is not a number of microseconds"))?;
            let ns = Ns::try_from_us(us).map_err(|why| format!("{us} {why}"))?;
            Ok((Migrate::Fixed, ns))
        }
    }
}

/// Whether to learn: `on` or `off`.
///
/// # Errors
/// As [`migrate_value`].
pub fn learn_value(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("expected on or off".into()),
    }
}

/// The length of a turn.
///
/// # Errors
/// As [`migrate_value`].
pub fn slice_value(us: u64) -> Result<Ns, String> {
    if !SLICE_US.contains(&us) {
        let (least, most) = (SLICE_US.start(), SLICE_US.end());
        return Err(format!("a turn lasts from {least} to {most} microseconds"));
    }
    Ok(Ns::from_us(us))
}

/// A number of seconds between one millisecond and a day.
fn parse_stats(seconds: f64) -> Result<Duration> {
    if !(0.001..=MAX_STATS_S).contains(&seconds) {
        return Err(usage(format!(
            "--stats {seconds}: expected a number of seconds from 0.001 to {MAX_STATS_S}"
        )));
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{EXIT_USAGE, exit_code};
    use clap::Parser;

    fn config(args: &[&str]) -> Result<Config> {
        let args = std::iter::once("scx_toll").chain(args.iter().copied());
        Config::new(Cli::try_parse_from(args).expect("clap takes it"))
    }

    fn refused(args: &[&str], words: &str) {
        let error = config(args).expect_err("a refusal");
        assert_eq!(exit_code(&error), EXIT_USAGE);
        assert!(error.to_string().contains(words), "{error}");
    }

    #[test]
    fn the_modes_of_migrate_are_read() {
        assert_eq!(config(&[]).expect("defaults").migrate, Migrate::Toll);
        assert_eq!(config(&["--migrate", "never"]).expect("never").migrate, Migrate::Never);
        let fixed = config(&["--migrate", "fixed:500"]).expect("fixed");
        assert_eq!((fixed.migrate, fixed.fixed), (Migrate::Fixed, Ns::from_us(500)));
    }

    #[test]
    fn nonsense_is_refused_with_the_value_and_what_was_expected() {
        refused(&["--migrate", "sometimes"], "sometimes: expected toll, always, never");
        refused(&["--migrate", "fixed:soon"], "\"soon\" is not a number");
        refused(&["--migrate", "fixed:-1"], "negative");
        refused(&["--migrate", "fixed:NaN"], "not a finite number");
        refused(&["--learn", "yes"], "yes: expected on or off");
        refused(&["--slice-us", "5"], "from 100 to 1000000");
        refused(&["--stats", "0"], "--stats 0");
        refused(&["--stats", "NaN"], "--stats NaN");
    }

    #[test]
    fn a_file_named_on_the_command_line_is_the_penalty_source() {
        let source = config(&["--penalty", "p.toml"]).expect("a file").penalty;
        assert_eq!(source, PenaltySource::File("p.toml".into()));
        assert_eq!(config(&[]).expect("defaults").penalty, PenaltySource::Measure);
        let source = config(&["--penalty", "default"]).expect("a word").penalty;
        assert_eq!(source, PenaltySource::Default);
    }
}
