// SPDX-License-Identifier: GPL-2.0-only
//! Which records somebody wants, and what has to be recorded for all who want some.

use super::{Decision, Event, Kind, Verdict, Who};
use crate::topology::Level;
use serde::{Deserialize, Serialize};

/// Bits of a sequence number that count the decisions of a CPU, as `TOLL_SEQ_BITS`.
const SEQ_BITS: u32 = 40;
/// How sampling spreads, as `TOLL_SPREAD`.
const SPREAD: u32 = 2_654_435_769;

/// What one listener wants. Everything that is left out does not restrict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Only this thread, or the threads of this process.
    pub pid: Option<u32>,
    /// Only this cgroup and those below it: a path from the root of the hierarchy.
    pub cgroup: Option<String>,
    /// Questions: "place", "push", "pull" for moves between LLCs; "pull.node" for one level;
    /// "all" for all levels. Empty: all between LLCs.
    pub kinds: Vec<String>,
    /// Only decisions that ended so. Empty: all.
    pub verdicts: Vec<Verdict>,
    /// Share of the decisions, above 0 to 1.
    pub rate: f64,
    /// Also what ran from when to when.
    pub slices: bool,
}

impl Default for Filter {
    fn default() -> Filter {
        Filter {
            pid: None,
            cgroup: None,
            kinds: Vec::new(),
            verdicts: Vec::new(),
            rate: 1.0,
            slices: false,
        }
    }
}

/// A set of (kind, level).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Questions(u16);

impl Questions {
    fn add(&mut self, kind: Kind, level: Level) {
        self.0 |= 1 << (kind as usize * Level::ALL.len() + level.index());
    }

    fn has(self, kind: Kind, level: Level) -> bool {
        self.0 >> (kind as usize * Level::ALL.len() + level.index()) & 1 != 0
    }

    /// One word of the flag.
    fn add_word(&mut self, word: &str) -> Result<(), String> {
        let expected = || {
            format!(
                "{}: expected all, place, push or pull, the last three also with .core, .llc or \
                 .node",
                word.escape_debug()
            )
        };
        let (kind, level) = match word.split_once('.') {
            Some((kind, level)) => (kind, Some(level)),
            None => (word, None),
        };
        let kinds: Vec<Kind> = match (kind, level) {
            ("all", None) => Kind::ALL.to_vec(),
            _ => Kind::ALL.into_iter().filter(|k| k.name() == kind).collect(),
        };
        let levels: Vec<Level> = match (kind, level) {
            ("all", None) => Level::ALL.to_vec(),
            (_, None) => vec![Level::Llc, Level::Node],
            (_, Some(level)) => Level::ALL.into_iter().filter(|l| l.name() == level).collect(),
        };
        if kinds.is_empty() || levels.is_empty() {
            return Err(expected());
        }
        for kind in kinds {
            for &level in &levels {
                self.add(kind, level);
            }
        }
        Ok(())
    }
}

/// A [`Filter`] that was checked, except for its cgroup, which needs the file system.
#[derive(Debug, Clone, PartialEq)]
pub struct Sieve {
    pid: Option<u32>,
    questions: Questions,
    verdicts: Vec<Verdict>,
    threshold: u32,
    slices: bool,
    /// The cgroup's id and depth, for the BPF half.
    pub cgroup: Option<(u64, u32)>,
}

impl Sieve {
    /// Check `filter`, whose cgroup has this id and depth.
    ///
    /// # Errors
    /// One sentence that names the value and what was expected.
    pub fn new(filter: &Filter, cgroup: Option<(u64, u32)>) -> Result<Sieve, String> {
        if !(filter.rate > 0.0 && filter.rate <= 1.0) {
            return Err(format!("rate {}: expected a share above 0, at most 1", filter.rate));
        }
        if filter.pid == Some(0) {
            return Err("pid 0: expected the number of a thread or process".into());
        }
        let mut questions = Questions::default();
        for word in &filter.kinds {
            questions.add_word(word).map_err(|why| format!("kind {why}"))?;
        }
        if filter.kinds.is_empty() {
            for kind in Kind::ALL {
                questions.add(kind, Level::Llc);
                questions.add(kind, Level::Node);
            }
        }
        Ok(Sieve {
            pid: filter.pid,
            questions,
            verdicts: filter.verdicts.clone(),
            threshold: (filter.rate * f64::from(u32::MAX)) as u32,
            slices: filter.slices,
            cgroup,
        })
    }

    /// True when `event` is wanted. That an outcome belongs to a wanted decision is for whoever
    /// keeps those to find out, and so is what cgroup a task is in.
    pub fn passes(&self, event: &Event) -> bool {
        match event {
            Event::Decision(decision) => self.passes_decision(decision),
            Event::Outcome(outcome) => self.is_sampled(outcome.seq) && self.is_of(&outcome.who),
            Event::Slice(slice) => self.slices && self.is_of(&slice.who),
        }
    }

    fn passes_decision(&self, decision: &Decision) -> bool {
        self.questions.has(decision.kind, decision.level)
            && (self.verdicts.is_empty() || self.verdicts.contains(&decision.verdict))
            && self.is_sampled(decision.seq)
            && match &decision.who {
                Some(who) => self.is_of(who),
                None => self.pid.is_none() && self.cgroup.is_none(),
            }
    }

    fn is_of(&self, who: &Who) -> bool {
        self.pid.is_none_or(|pid| who.pid == pid || who.tgid == pid)
    }

    /// The same sample that the BPF half would take at this rate.
    fn is_sampled(&self, seq: u64) -> bool {
        let number = (seq & ((1 << SEQ_BITS) - 1)) as u32;
        number.wrapping_mul(SPREAD) <= self.threshold
    }
}

/// What has to be recorded, as `struct toll_listen`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Listen {
    /// Is there anybody?
    pub decisions: bool,
    /// Does anybody want what ran?
    pub slices: bool,
    /// Bit i: decisions of level i.
    pub levels: u32,
    /// Share of the decisions; `u32::MAX`: all.
    pub rate: u32,
    /// Only this thread or process; 0: all.
    pub pid: u32,
    /// Only this cgroup, by id; 0: all.
    pub cgroup: u64,
    /// How deep it lies.
    pub cgroup_level: u32,
}

impl Listen {
    /// The least that serves all `sieves`.
    pub fn to_all<'a>(sieves: impl Iterator<Item = &'a Sieve> + Clone) -> Listen {
        /// What all have in common, if they do.
        fn common<T: PartialEq + Default>(mut all: impl Iterator<Item = Option<T>>) -> T {
            let first = all.next().flatten();
            match first {
                Some(first) if all.all(|other| other.as_ref() == Some(&first)) => first,
                _ => T::default(),
            }
        }
        let (cgroup, cgroup_level) = common(sieves.clone().map(|sieve| sieve.cgroup));
        let mut listen = Listen {
            pid: common(sieves.clone().map(|sieve| sieve.pid)),
            cgroup,
            cgroup_level,
            ..Listen::default()
        };
        for sieve in sieves {
            listen.decisions = true;
            listen.slices |= sieve.slices;
            listen.rate = listen.rate.max(sieve.threshold);
            for level in Level::ALL {
                if Kind::ALL.into_iter().any(|kind| sieve.questions.has(kind, level)) {
                    listen.levels |= 1 << level.index();
                }
            }
        }
        listen
    }
}
