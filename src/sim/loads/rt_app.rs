// SPDX-License-Identifier: GPL-2.0-only
//! Loads in the format of rt-app: tasks that run, sleep, wait for timers, and wake each other.
//!
//! ```json
//! {
//!   "tasks": {
//!     "worker": { "instance": 4, "loop": -1, "run": 2000, "timer": { "ref": "t", "period": 10000 } },
//!     "burst":  { "delay": 50000, "priority": 5, "cpus": [0, 1],
//!                 "phases": { "busy": { "loop": 10, "run": 5000, "sleep": 1000 }, "rest": { "sleep": 100000 } } }
//!   }
//! }
//! ```
//!
//! Times are microseconds, as there. Known are `instance`, `delay`, `loop` (-1: without end), `priority`
//! (nice), `cpus`, `policy` (SCHED_OTHER), `phases`, and of events `run`, `runtime`, `sleep`, `timer`,
//! `suspend` and `resume`, each with anything behind its name (`run1`, `run_b`). Whatever else is there
//! is refused, so that no load is another than what is written; `global` and comments in strings are
//! ignored.

use crate::sim::abi::CpuMask;
use crate::sim::load::{Cx, Ends, Hire, Load, StaffView, Step};
use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;
use toll_bench::lab::Setting;
use toll_bench::lab::figures::{Figure, mean, quantile};

const NS_PER_US: u64 = 1000;
const STREAM_SETS: u64 = 2;
/// Most tasks of a load.
const TASKS_MAX: usize = 100_000;
/// Longest time in a file, in microseconds: an hour.
const US_MAX: u64 = 3_600_000_000;
/// Events that take no time, one after the other, after which a task is taken to be in an endless loop.
const IDLE_EVENTS_MAX: usize = 10_000;

/// An object whose keys keep their order, and may occur twice.
struct Ordered(Vec<(String, Node)>);

/// A value in a file.
enum Node {
    Object(Ordered),
    Plain(Value),
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Ordered, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Ordered;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut all = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    let raw: Box<serde_json::value::RawValue> = map.next_value()?;
                    all.push((key, node(raw.get()).map_err(serde::de::Error::custom)?));
                }
                Ok(Ordered(all))
            }
        }
        from.deserialize_map(Keys)
    }
}

fn node(text: &str) -> serde_json::Result<Node> {
    match text.trim_start().starts_with('{') {
        true => serde_json::from_str(text).map(Node::Object),
        false => serde_json::from_str(text).map(Node::Plain),
    }
}

/// What a task does at one point.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    Run(u64),
    Sleep(u64),
    /// Wait for the next multiple of the period.
    Timer(u64),
    Suspend,
    Resume(String),
}

/// Events that are repeated; `None`: without end.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Phase {
    times: Option<u64>,
    events: Vec<Event>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Program {
    name: String,
    instances: usize,
    delay_ns: u64,
    nice: i64,
    cpus: Option<Vec<usize>>,
    times: Option<u64>,
    phases: Vec<Phase>,
}

/// Where a task is in its program.
#[derive(Clone, Default)]
struct At {
    program: usize,
    begun: bool,
    round: u64,
    phase: usize,
    turn: u64,
    event: usize,
    /// When its timer is due next.
    timer: Option<u64>,
    /// When the work at hand should have begun.
    due: u64,
    works: bool,
    /// Wakeups that came before it waited for one.
    resumed: bool,
    waits: bool,
}

/// See the module.
pub struct RtApp {
    setting: Setting,
    programs: Vec<Program>,
    at: Vec<At>,
    response: Vec<u64>,
}

impl RtApp {
    /// The load that `text` describes.
    ///
    /// # Errors
    /// One sentence that names the task and the key, for what is not known or makes no sense.
    pub fn parse(text: &str, setting: &Setting) -> Result<RtApp> {
        let Ordered(top) = serde_json::from_str(text).context("no load of rt-app")?;
        let mut programs = Vec::new();
        for (key, value) in top {
            match (key.as_str(), value) {
                ("global", _) => {}
                ("tasks", Node::Object(Ordered(tasks))) => {
                    for (name, task) in tasks {
                        let Node::Object(task) = task else { bail!("task {name} is no object") };
                        let made = program(&name, task);
                        programs.push(made.with_context(|| format!("task {name}"))?);
                    }
                }
                (key, _) => bail!("{key}: expected global or tasks"),
            }
        }
        let mut at = Vec::new();
        for (program, of) in programs.iter().enumerate() {
            at.extend(std::iter::repeat_n(At { program, ..At::default() }, of.instances));
        }
        if at.is_empty() || at.len() > TASKS_MAX {
            bail!("{} tasks: expected 1 to {TASKS_MAX}", at.len());
        }
        Ok(RtApp { setting: *setting, programs, at, response: Vec::new() })
    }

    /// The next event of `task`, none when its program is over.
    fn advance(&mut self, task: usize) -> Option<Event> {
        let at = &mut self.at[task];
        let program = &self.programs[at.program];
        for _ in 0..IDLE_EVENTS_MAX {
            if program.times.is_some_and(|times| at.round >= times) {
                return None;
            }
            let Some(phase) = program.phases.get(at.phase) else {
                (at.phase, at.turn, at.event) = (0, 0, 0);
                at.round += 1;
                continue;
            };
            if phase.times.is_some_and(|times| at.turn >= times) {
                (at.phase, at.turn, at.event) = (at.phase + 1, 0, 0);
                continue;
            }
            match phase.events.get(at.event) {
                Some(event) => {
                    at.event += 1;
                    return Some(event.clone());
                }
                None => (at.turn, at.event) = (at.turn + 1, 0),
            }
        }
        None
    }
}

fn program(name: &str, Ordered(task): Ordered) -> Result<Program> {
    let mut made = Program {
        name: name.into(),
        instances: 1,
        delay_ns: 0,
        nice: 0,
        cpus: None,
        times: Some(1),
        phases: Vec::new(),
    };
    let mut own = Vec::new();
    let mut has_loop = false;
    for (key, value) in task {
        match (key.as_str(), value) {
            ("instance", value) => {
                made.instances = number(value, "instance", TASKS_MAX as u64)? as usize
            }
            ("delay", value) => made.delay_ns = number(value, "delay", US_MAX)? * NS_PER_US,
            ("loop", value) => (made.times, has_loop) = (times(value)?, true),
            ("priority", Node::Plain(value)) => {
                let nice = value.as_i64().filter(|nice| (-20..20).contains(nice));
                made.nice =
                    nice.with_context(|| format!("priority {value}: expected -20 to 19"))?;
            }
            ("policy", Node::Plain(value)) if value == "SCHED_OTHER" => {}
            ("policy", _) => bail!("policy: only SCHED_OTHER can be simulated"),
            ("cpus", Node::Plain(value)) => {
                let cpus: Result<Vec<usize>, _> = serde_json::from_value(value);
                made.cpus = Some(cpus.context("cpus: expected a list of numbers")?);
            }
            ("phases", Node::Object(Ordered(phases))) => {
                for (name, value) in phases {
                    let Node::Object(Ordered(events)) = value else {
                        bail!("phase {name} is no object")
                    };
                    made.phases.push(phase(events).with_context(|| format!("phase {name}"))?);
                }
            }
            (_, value) => own.push((key, value)),
        }
    }
    if !own.is_empty() {
        made.phases.push(phase(own)?);
    }
    // As in rt-app: what has no loop of its own is repeated for ever.
    if !has_loop {
        made.times = None;
    }
    if made.phases.iter().all(|phase| phase.events.is_empty()) {
        bail!("it does nothing");
    }
    Ok(made)
}

fn phase(keys: Vec<(String, Node)>) -> Result<Phase> {
    let mut made = Phase { times: Some(1), events: Vec::new() };
    for (key, value) in keys {
        let is = |name: &str| {
            key.strip_prefix(name)
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_lowercase()))
        };
        let event = match value {
            value if key == "loop" => {
                made.times = times(value)?;
                continue;
            }
            value if is("run") || is("runtime") => {
                Event::Run(number(value, &key, US_MAX)? * NS_PER_US)
            }
            value if is("sleep") => Event::Sleep(number(value, &key, US_MAX)? * NS_PER_US),
            Node::Object(Ordered(timer)) if is("timer") => {
                let period = timer.into_iter().find(|(key, _)| key == "period");
                let (_, period) = period.ok_or_else(|| anyhow!("{key}: it has no period"))?;
                Event::Timer(number(period, "period", US_MAX)?.max(1) * NS_PER_US)
            }
            Node::Plain(_) if is("suspend") => Event::Suspend,
            Node::Plain(Value::String(name)) if is("resume") => Event::Resume(name),
            _ => bail!("{key}: expected run, runtime, sleep, timer, suspend, resume or loop"),
        };
        made.events.push(event);
    }
    Ok(made)
}

fn times(value: Node) -> Result<Option<u64>> {
    match value {
        Node::Plain(Value::Number(number)) if number.as_i64() == Some(-1) => Ok(None),
        value => number(value, "loop", u64::MAX).map(Some),
    }
}

fn number(value: Node, key: &str, most: u64) -> Result<u64> {
    match value {
        Node::Plain(value) => value
            .as_u64()
            .filter(|number| *number <= most)
            .with_context(|| format!("{key}: {value}, expected a number from 0 to {most}")),
        Node::Object(_) => bail!("{key}: expected a number"),
    }
}

/// The weight of a nice level, 100 for 0: a level is a quarter more or less.
fn weight(nice: i64) -> u32 {
    (100.0 * 1.25f64.powi(-(nice as i32))).round().clamp(1.0, 10_000.0) as u32
}

impl Load for RtApp {
    fn staff(&mut self) -> Vec<Hire> {
        let mut rng = self.setting.rng(STREAM_SETS);
        let hire = |(nr, at): (usize, &At)| {
            let program = &self.programs[at.program];
            let set_kib = self.setting.draw_footprint(&mut rng).set_kib;
            Hire {
                cpus: program.cpus.as_ref().map(|cpus| CpuMask::of(cpus.iter().copied())),
                weight: weight(program.nice),
                ..Hire::new(&format!("{}-{nr}", program.name), set_kib)
            }
        };
        self.at.iter().enumerate().map(hire).collect()
    }

    fn ends(&self) -> Ends {
        Ends::After(self.setting.span_ns)
    }

    fn next(&mut self, task: u32, cx: &mut Cx) -> Step {
        let nr = task as usize;
        if !std::mem::replace(&mut self.at[nr].begun, true) {
            let begin = cx.released + self.programs[self.at[nr].program].delay_ns;
            self.at[nr].due = begin;
            if begin > cx.now {
                return Step::Until(begin);
            }
        }
        if std::mem::take(&mut self.at[nr].works) {
            self.response.push(cx.now - self.at[nr].due.min(cx.now));
            self.at[nr].due = cx.now;
        }
        if self.at[nr].waits {
            if !std::mem::take(&mut self.at[nr].resumed) {
                return Step::Block;
            }
            self.at[nr].waits = false;
            self.at[nr].due = cx.now;
        }
        for _ in 0..IDLE_EVENTS_MAX {
            let Some(event) = self.advance(nr) else { return Step::End };
            let at = &mut self.at[nr];
            match event {
                Event::Run(ns) => {
                    at.works = true;
                    return Step::Work(ns);
                }
                Event::Sleep(ns) => {
                    at.due = cx.now + ns;
                    return Step::Until(at.due);
                }
                Event::Timer(period) => {
                    let due = at.timer.unwrap_or(cx.now) + period;
                    at.timer = Some(due.max(cx.now));
                    at.due = due.max(cx.now);
                    if due > cx.now {
                        return Step::Until(due);
                    }
                }
                Event::Suspend if std::mem::take(&mut at.resumed) => {}
                Event::Suspend => {
                    at.waits = true;
                    return Step::Block;
                }
                Event::Resume(name) => {
                    for (other, at) in self.at.iter_mut().enumerate() {
                        if self.programs[at.program].name == name {
                            at.resumed = true;
                            cx.wake(other as u32, false);
                        }
                    }
                }
            }
        }
        Step::End
    }

    fn figures(&self, staff: &StaffView, elapsed: u64) -> Vec<Figure> {
        let per_s = self.response.len() as f64 * 1e9 / elapsed.max(1) as f64;
        let work = staff.all_paid().work_ns as f64 / elapsed.max(1) as f64;
        vec![
            Figure::lower("response_mean", mean(&self.response) / 1e6, "ms"),
            Figure::lower("response_p99", quantile(&self.response, 990) as f64 / 1e6, "ms"),
            Figure::higher("runs", per_s, "per_s"),
            Figure::higher("busy_cpus", work, ""),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting() -> Setting {
        Setting {
            seed: 1,
            span_ns: 1,
            set_kib: 850,
            memory_mib: None,
            load_pct: 70,
            apart: false,
            kept: false,
        }
    }

    fn refused(text: &str) -> String {
        format!("{:#}", RtApp::parse(text, &setting()).err().unwrap())
    }

    #[test]
    fn events_keep_the_order_of_the_file() {
        let text =
            r#"{"tasks": {"t": {"instance": 2, "loop": 3, "sleep1": 5, "run1": 7, "sleep0": 1}}}"#;
        let load = RtApp::parse(text, &setting()).unwrap();
        assert_eq!(load.at.len(), 2);
        let events = vec![Event::Sleep(5000), Event::Run(7000), Event::Sleep(1000)];
        assert_eq!(load.programs[0].phases, [Phase { times: Some(1), events }]);
        assert_eq!(load.programs[0].times, Some(3));
    }

    #[test]
    fn phases_are_repeated_within_rounds() {
        let text = r#"{"tasks": {"t": {"loop": 2, "phases":
            {"a": {"loop": 2, "run": 1}, "b": {"sleep": 2}}}}}"#;
        let mut load = RtApp::parse(text, &setting()).unwrap();
        let round = [Event::Run(1000), Event::Run(1000), Event::Sleep(2000)];
        let events: Vec<Event> = std::iter::from_fn(|| load.advance(0)).collect();
        assert_eq!(events, [round.clone(), round].concat());
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (text, sentence) in [
            ("[]", "no load of rt-app"),
            (r#"{"tasks": {}}"#, "0 tasks: expected 1 to 100000"),
            (r#"{"tasks": {"t": {"mem": 5}}}"#, "task t: mem: expected run"),
            (r#"{"tasks": {"t": {"run": -1}}}"#, "task t: run: -1, expected a number from 0"),
            (r#"{"tasks": {"t": {"policy": "SCHED_FIFO", "run": 1}}}"#, "only SCHED_OTHER"),
            (r#"{"tasks": {"t": {"timer": {"ref": "x"}}}}"#, "timer: it has no period"),
            (r#"{"tasks": {"t": {"priority": 30, "run": 1}}}"#, "priority 30: expected -20 to 19"),
            (r#"{"tasks": {"t": {"instance": 2}}}"#, "task t: it does nothing"),
        ] {
            let said = refused(text);
            assert!(said.contains(sentence), "{text}: {said}");
        }
    }
}
