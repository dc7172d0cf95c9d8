// SPDX-License-Identifier: GPL-2.0-only
//! `scx_toll explain --from`: what of a recording is wanted, as if it were made now.

use super::explain::Printer;
use super::record::complain;
use crate::cgroups::is_at_or_below;
use crate::control::wire::Frame;
use crate::events::filter::{Filter, Sieve};
use crate::events::{Event, Who};
use crate::fault::Fault;
use crate::recording::{Entry, Recording};
use anyhow::Result;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// What of a recording is told.
struct Choice {
    sieve: Sieve,
    /// Path of the cgroup that a task has to be in or below.
    cgroup: Option<String>,
    /// Names of cgroups, as far as they have been told.
    names: HashMap<u64, String>,
    /// Moves that were told and whose outcome was not.
    open_moves: HashSet<u64>,
}

impl Choice {
    fn new(filter: &Filter) -> Result<Choice> {
        // Which cgroup has which id now says nothing of then.
        let whole = Filter { cgroup: None, ..filter.clone() };
        let sieve = Sieve::new(&whole, None).map_err(Fault::Usage)?;
        let cgroup = filter.cgroup.as_ref().map(|path| {
            let path = path.strip_prefix("/sys/fs/cgroup").unwrap_or(path);
            format!("/{}", path.trim_matches('/'))
        });
        Ok(Choice { sieve, cgroup, names: HashMap::new(), open_moves: HashSet::new() })
    }

    fn is_below(&self, who: &Who) -> bool {
        let Some(cgroup) = &self.cgroup else { return true };
        self.names.get(&who.cgroup).is_some_and(|found| is_at_or_below(found, cgroup))
    }

    fn passes(&mut self, event: &Event) -> bool {
        match event {
            Event::Decision(decision) => {
                let of = match &decision.who {
                    Some(who) => self.is_below(who),
                    None => self.cgroup.is_none(),
                };
                let passes = of && self.sieve.passes(event);
                if passes && decision.verdict.is_applied() {
                    self.open_moves.insert(decision.seq);
                }
                passes
            }
            Event::Outcome(outcome) => self.open_moves.remove(&outcome.seq),
            Event::Slice(_) => false,
        }
    }
}

/// Tell what `filter` lets through of the recording at `path`, then what is missing of it.
///
/// # Errors
/// When it is no recording, and when nothing can be written.
pub fn tell(path: &Path, filter: &Filter, printer: &mut Printer) -> Result<()> {
    let mut choice = Choice::new(filter)?;
    let recording = Recording::open(path)?;
    let missing = recording.replay(&mut |entry| {
        let frame = match entry {
            Entry::Frame(frame) => frame,
            Entry::Cgroup(cgroup) => {
                choice.names.insert(cgroup.id, cgroup.path);
                return Ok(());
            }
            Entry::Load(_) | Entry::End => return Ok(()),
        };
        let event = match frame {
            Frame::Decision(decision) => Event::Decision(decision),
            Frame::Outcome(outcome) => Event::Outcome(outcome),
            Frame::Slice(_) | Frame::Ended {} => return Ok(()),
            lost @ Frame::Lost { .. } => return printer.replay(lost),
        };
        if choice.passes(&event) { printer.replay(Frame::from(event)) } else { Ok(()) }
    })?;
    complain(&missing);
    Ok(())
}
