// SPDX-License-Identifier: GPL-2.0-only
//! Settings: what was typed, checked once and in the units used from here on.

use crate::cli::Cli;
use crate::fault::Fault;
use crate::model::Hysteresis;
use crate::model::decide::Migrate;
use crate::model::follow::Mode;
use crate::topology::Level;
use crate::topology::split::SplitRule;
use crate::units::Ns;
use anyhow::{Context, Result};
use scx_utils::libbpf_clap_opts::LibbpfOpts;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Shortest and longest turn that `--slice-us` accepts.
const SLICE_US: std::ops::RangeInclusive<u64> = 100..=1_000_000;
/// Largest threshold or hold time of a gate, in microseconds.
const HYSTERESIS_US_MAX: f64 = 60e6;
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

/// The environment variable that sets [`Counters`], for tests.
pub const COUNTERS_VARIABLE: &str = "TOLL_COUNTERS";

/// What refill factors are learned from (`TOLL_COUNTERS=hardware|software`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Counters {
    /// Cycles and instructions, where the CPUs count them.
    #[default]
    Hardware,
    /// The clock and page faults, for a test on a machine without counters.
    Software,
}

impl Counters {
    fn from_env() -> Result<Counters> {
        match std::env::var(COUNTERS_VARIABLE).as_deref() {
            Err(_) | Ok("" | "hardware") => Ok(Counters::Hardware),
            Ok("software") => Ok(Counters::Software),
            Ok(text) => {
                Err(usage(format!("{COUNTERS_VARIABLE}={text}: expected hardware or software")))
            }
        }
    }
}

/// The environment variable that sets [`Moments`], for tests.
pub const MOMENTS_VARIABLE: &str = "TOLL_MOMENTS";

/// Which of its moments the scheduler uses to move waiting tasks between LLCs. A scheduler that does
/// without one of them is for tests that have to know what made a move (`TOLL_MOMENTS=push|pull`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Moments {
    /// Both.
    #[default]
    All,
    /// Only when a task is enqueued.
    Push,
    /// Only when a CPU has nothing to run.
    Pull,
}

impl Moments {
    fn from_env() -> Result<Moments> {
        match std::env::var(MOMENTS_VARIABLE).as_deref() {
            Err(_) | Ok("") => Ok(Moments::All),
            Ok("push") => Ok(Moments::Push),
            Ok("pull") => Ok(Moments::Pull),
            Ok(text) => Err(usage(format!("{MOMENTS_VARIABLE}={text}: expected push or pull"))),
        }
    }
}

/// Where decisions are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// In the kernel, by the BPF half.
    #[default]
    Bpf,
    /// In user space.
    User,
}

/// Validated settings of a run.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where decisions are made.
    pub place: Place,
    /// Where the penalty table comes from.
    pub penalty: PenaltySource,
    /// Refine what moves cost while the scheduler runs.
    pub learn: bool,
    /// Whether memory follows its task.
    pub memory_follow: Mode,
    /// What decides about a move.
    pub migrate: Migrate,
    /// Price of every move between LLCs under [`Migrate::Fixed`]; else 0.
    pub fixed: Ns,
    /// Length of one turn.
    pub slice: Ns,
    /// The gate of each level, by [`Level`].
    pub hysteresis: [Hysteresis; 3],
    /// Into how many virtual LLCs an LLC is split.
    pub split: SplitRule,
    /// Only tasks of policy SCHED_EXT.
    pub partial: bool,
    /// A number that the user knows this run by.
    pub run_id: Option<u64>,
    /// Interval between blocks of statistics, if any are wanted.
    pub stats: Option<Duration>,
    /// Statistics and report as JSON lines.
    pub json: bool,
    /// Where to serve metrics, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// Bytes of debug dump to keep; 0: the kernel's default.
    pub exit_dump_len: u32,
    /// Warnings; what is done (`info`); also libbpf's messages (`debug`); also the verifier's
    /// figures (`trace`).
    pub log: log::LevelFilter,
    /// Options handed through to libbpf.
    pub libbpf: LibbpfOpts,
    /// What of the policy's integrity is checked; a test's business.
    pub check: PolicyCheck,
    /// How learning is hastened and deceived; a test's business.
    pub learn_test: LearnTest,
    /// What refill factors are learned from.
    pub counters: Counters,
    /// For tests: which moments move waiting tasks between LLCs.
    pub moments: Moments,
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
            place: place(&cli)?,
            penalty: match cli.penalty.to_str() {
                Some("default") => PenaltySource::Default,
                Some("measure") => PenaltySource::Measure,
                _ => PenaltySource::File(cli.penalty),
            },
            learn,
            memory_follow: follow_value(&cli.memory_follow)
                .map_err(|why| usage(format!("--memory-follow {}: {why}", cli.memory_follow)))?,
            migrate,
            fixed,
            slice,
            hysteresis: parse_hysteresis(&cli.hysteresis)?,
            split: parse_split(cli.virt_llc.as_deref())?,
            partial: cli.partial,
            run_id: cli.run_id,
            stats: cli.stats.map(|seconds| interval("--stats", seconds)).transpose()?,
            json: cli.json,
            metrics: cli.metrics.as_deref().map(parse_metrics).transpose()?,
            exit_dump_len: cli.exit_dump_len,
            log: cli.log_level.unwrap_or(match cli.verbose {
                0 => log::LevelFilter::Warn,
                1 => log::LevelFilter::Info,
                2 => log::LevelFilter::Debug,
                _ => log::LevelFilter::Trace,
            }),
            libbpf: cli.libbpf,
            check: PolicyCheck::from_env()?,
            learn_test: LearnTest::from_env()?,
            counters: Counters::from_env()?,
            moments: Moments::from_env()?,
        })
    }

    /// Send the log to standard error, libbpf's messages included: without a
    /// logger, what the verifier says would be lost.
    ///
    /// # Errors
    /// When a logger is set already.
    pub fn init_log(&self) -> Result<()> {
        use simplelog::{ColorChoice, ConfigBuilder, LevelFilter, TermLogger, TerminalMode};
        let format = ConfigBuilder::new()
            .set_time_level(LevelFilter::Off)
            .set_thread_level(LevelFilter::Off)
            .set_target_level(LevelFilter::Off)
            .set_location_level(LevelFilter::Off)
            .build();
        TermLogger::init(self.log, format, TerminalMode::Stderr, ColorChoice::Auto)
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

/// Where decisions are made; refused with flags that only the BPF half can honour.
fn place(cli: &Cli) -> Result<Place> {
    match cli.policy.as_str() {
        "bpf" => return Ok(Place::Bpf),
        "user" => {}
        text => return Err(usage(format!("--policy {text}: expected bpf or user"))),
    }
    let refused =
        [(cli.memory_follow != "off", "--memory-follow"), (cli.metrics.is_some(), "--metrics")];
    match refused.into_iter().find(|(given, _)| *given) {
        Some((_, flag)) => Err(usage(format!("{flag}: not with --policy user, only with bpf"))),
        None => Ok(Place::User),
    }
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

/// Whether memory follows its task: `on`, `off` or `advise`.
///
/// # Errors
/// As [`migrate_value`].
pub fn follow_value(text: &str) -> Result<Mode, String> {
    match text {
        "on" => Ok(Mode::On),
        "off" => Ok(Mode::Off),
        "advise" => Ok(Mode::Advise),
        _ => Err("expected on, off or advise".into()),
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

/// The thresholds and the hold time of a gate, `OPEN[,CLOSE[,HOLD]]` in microseconds; `None` for
/// what is left as it is.
///
/// # Errors
/// As [`migrate_value`].
pub fn gate_value(text: &str) -> Result<[Option<Ns>; 3], String> {
    let mut gate = [None; 3];
    let numbers: Vec<&str> = text.split(',').collect();
    if numbers.len() > gate.len() {
        return Err("expected OPEN[,CLOSE[,HOLD]] in microseconds".into());
    }
    for (to, text) in gate.iter_mut().zip(numbers) {
        let us: Option<f64> = text.parse().ok();
        let us = us.filter(|us| (0.0..=HYSTERESIS_US_MAX).contains(us)).ok_or_else(|| {
            let shown: String = text.chars().take(20).collect();
            format!(
                "{shown:?} is no time, expected OPEN[,CLOSE[,HOLD]], each microseconds from 0 to \
                 {HYSTERESIS_US_MAX}"
            )
        })?;
        *to = Some(Ns::try_from_us(us).map_err(|why| format!("{us} {why}"))?);
    }
    Ok(gate)
}

/// The gates by level, the defaults where nothing is given.
fn parse_hysteresis(given: &[String]) -> Result<[Hysteresis; 3]> {
    let named = named_gates(given)?;
    Ok(Level::ALL.map(|level| named[level.index()].unwrap_or(Hysteresis::default_for(level))))
}

/// The gates by level that `--hysteresis` names, once for each level.
///
/// # Errors
/// [`Fault::Usage`] naming the value and what was expected.
pub fn named_gates(given: &[String]) -> Result<[Option<Hysteresis>; 3]> {
    let mut gates = [None; 3];
    for text in given {
        let refuse = |why: String| usage(format!("--hysteresis {text}: {why}"));
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| refuse("expected LEVEL=OPEN[,CLOSE[,HOLD]]".into()))?;
        let level = Level::ALL.into_iter().find(|level| level.name() == name);
        let level = level.ok_or_else(|| refuse("the level is core, llc or node".into()))?;
        let named = &mut gates[level.index()];
        let gate = named.unwrap_or(Hysteresis::default_for(level));
        let [open, close, hold] = gate_value(value).map_err(refuse)?;
        let open = open.unwrap_or(gate.open);
        // A threshold that was not named follows the one that was.
        let close = close.unwrap_or(gate.close.min(open));
        let new = Hysteresis::new(open, close, hold.unwrap_or(gate.hold))
            .map_err(|why| refuse(format!("{why:#}")))?;
        *named = Some(new);
    }
    Ok(gates)
}

/// How LLCs are split, `MIN-MAX` cores.
fn parse_split(text: Option<&str>) -> Result<SplitRule> {
    let Some(text) = text else { return Ok(SplitRule::default()) };
    let refuse = |why: String| usage(format!("--virt-llc={text}: {why}"));
    let numbers = text
        .split_once('-')
        .and_then(|(min, max)| Some((min.parse::<usize>().ok()?, max.parse::<usize>().ok()?)));
    let (min, max) =
        numbers.ok_or_else(|| refuse("expected MIN-MAX, two numbers of cores".into()))?;
    SplitRule::new(min, max).map_err(refuse)
}

/// The value of `flag`, a number of seconds between one millisecond and a day.
///
/// # Errors
/// [`Fault::Usage`] when it is another.
pub fn interval(flag: &str, seconds: f64) -> Result<Duration> {
    if !(0.001..=MAX_STATS_S).contains(&seconds) {
        return Err(usage(format!(
            "{flag} {seconds}: expected a number of seconds from 0.001 to {MAX_STATS_S}"
        )));
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// `PORT`, of this machine alone, or `HOST:PORT` with the IP address of an interface.
fn parse_metrics(text: &str) -> Result<SocketAddr> {
    let port = text.parse().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    port.or_else(|_| text.parse()).map_err(|_| {
        usage(format!(
            "--metrics {text}: expected a port, or an IP address and a port as in 127.0.0.1:9464 \
             or [::1]:9464"
        ))
    })
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
        refused(&["--memory-follow", "yes"], "yes: expected on, off or advise");
        refused(&["--slice-us", "5"], "from 100 to 1000000");
        refused(&["--stats", "0"], "--stats 0");
        refused(&["--stats", "NaN"], "--stats NaN");
        refused(&["--virt-llc=8"], "--virt-llc=8: expected MIN-MAX");
        refused(&["--virt-llc=8-2"], "8 is more than 2");
        refused(&["--virt-llc=0-2"], "at least 1 core");
        refused(&["--hysteresis", "socket=1"], "socket=1: the level is core, llc or node");
        refused(&["--hysteresis", "node"], "expected LEVEL=OPEN");
        refused(&["--hysteresis", "node=1,2"], "close <= open");
        refused(&["--hysteresis", "llc=soon"], "\"soon\" is no time");
        for address in ["", "host", "localhost:80", "65536", "127.0.0.1", "1.2.3.4.5:80", ":80"] {
            refused(&["--metrics", address], &format!("--metrics {address}: expected a port"));
        }
    }

    #[test]
    fn gates_are_read_by_level_and_the_others_keep_their_defaults() {
        let gates = config(&["--hysteresis", "llc=30,20,10", "--hysteresis", "node=100"]);
        let gates = gates.expect("two gates").hysteresis;
        let us = |gate: Hysteresis| [gate.open, gate.close, gate.hold].map(Ns::as_us);
        assert_eq!(us(gates[0]), [0.0; 3]);
        assert_eq!(us(gates[1]), [30.0, 20.0, 10.0]);
        assert_eq!(us(gates[2]), [100.0, 100.0, 4000.0], "closes no higher than it opens");
    }

    #[test]
    fn virtual_llcs_have_the_range_of_the_family() {
        let rule = |args: &[&str]| config(args).expect("a rule").split;
        assert_eq!(rule(&[]), SplitRule::default());
        assert_eq!(rule(&["--virt-llc"]), SplitRule { min_cores: 2, max_cores: 8 });
        assert_eq!(rule(&["--virt-llc=4-16"]), SplitRule { min_cores: 4, max_cores: 16 });
    }

    #[test]
    fn a_log_level_is_a_number_of_v() {
        let log = |args: &[&str]| config(args).expect("a level").log;
        assert_eq!(log(&["-vv"]), log(&["--log-level", "debug"]));
        assert_eq!(log(&[]), log(&["--log-level", "warn"]));
    }

    #[test]
    fn metrics_are_for_this_machine_alone_unless_an_address_is_given() {
        let address = |text| config(&["--metrics", text]).expect("an address").metrics;
        assert_eq!(config(&[]).expect("defaults").metrics, None);
        for (text, expected) in
            [("9464", "127.0.0.1:9464"), ("0.0.0.0:9464", "0.0.0.0:9464"), ("[::1]:80", "[::1]:80")]
        {
            assert_eq!(address(text).map(|address| address.to_string()), Some(expected.into()));
        }
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
