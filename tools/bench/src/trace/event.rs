// SPDX-License-Identifier: GPL-2.0-only
//! The events that are traced, as typed values.

use std::fmt;

use anyhow::{Context, Result};

use super::format::{Field, Format};

/// The kernel's number of a thread; 0 is the idle task of any CPU.
pub type Pid = i32;

/// The events that a trace has to describe, by their folder below `events`.
pub const NEEDED: [&str; 5] = [
    "sched/sched_switch",
    "sched/sched_wakeup",
    "sched/sched_wakeup_new",
    "sched/sched_migrate_task",
    "ftrace/print",
];

/// States of a task that left its CPU, as `sched_switch` reports them.
const STATE_PREEMPTED: i64 = 0x100;
const STATE_DEAD: i64 = 0x10 | 0x20;

/// The name of a task: up to 15 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Comm([u8; 16]);

/// How a task left its CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It could go on: its turn was over, it was preempted, or it yielded.
    Runnable,
    /// It waits for something else than a CPU.
    Asleep,
    /// It has ended; its number may be given to another.
    Dead,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The event's CPU went from one task to another.
    Switch {
        /// Who left.
        prev: Pid,
        /// Its name.
        prev_comm: Comm,
        /// How.
        left: Left,
        /// Who runs now.
        next: Pid,
        /// Its name.
        next_comm: Comm,
    },
    /// A task became runnable.
    Wakeup {
        /// Which.
        pid: Pid,
        /// Its name.
        comm: Comm,
        /// The CPU that it is on.
        cpu: u32,
        /// It was just born.
        new: bool,
    },
    /// A task that does not run was given another CPU.
    Migrate {
        /// Which.
        pid: Pid,
        /// Its name.
        comm: Comm,
        /// The CPU before.
        from: u32,
        /// The CPU from now on.
        to: u32,
    },
    /// A line was written to `trace_marker`.
    Mark(String),
}

/// Something that happened on a CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in ns of the trace's clock.
    pub at_ns: u64,
    /// The CPU that recorded it.
    pub cpu: u32,
    /// What.
    pub what: What,
}

impl Comm {
    /// The first 15 bytes of `name`.
    pub fn new(name: &[u8]) -> Self {
        let mut bytes = [0; 16];
        bytes.iter_mut().take(15).zip(name).for_each(|(to, from)| *to = *from);
        Self(bytes)
    }

    /// The name as text.
    pub fn text(&self) -> String {
        let end = self.0.iter().position(|&byte| byte == 0).unwrap_or(self.0.len());
        String::from_utf8_lossy(&self.0[..end]).into_owned()
    }

    /// True if the name begins with `prefix`.
    pub fn starts_with(&self, prefix: &str) -> bool {
        self.0.starts_with(prefix.as_bytes())
    }
}

impl fmt::Debug for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text())
    }
}

impl Left {
    fn from_state(state: i64) -> Self {
        match state {
            0 => Self::Runnable,
            _ if state & STATE_PREEMPTED != 0 => Self::Runnable,
            _ if state & STATE_DEAD != 0 => Self::Dead,
            _ => Self::Asleep,
        }
    }
}

/// Reads records by the kernel's descriptions of them.
#[derive(Debug)]
pub struct Decoder {
    /// Where the number of the kind stands, in every record.
    kind: Field,
    switch: (u16, [Field; 5]),
    wakeup: (u16, [Field; 3]),
    wakeup_new: (u16, [Field; 3]),
    migrate: (u16, [Field; 4]),
    mark: (u16, [Field; 1]),
}

impl Decoder {
    /// From the format of each event in [`NEEDED`].
    pub fn new<'a>(format_of: impl Fn(&str) -> Result<&'a str>) -> Result<Self> {
        let [switch, wakeup, wakeup_new, migrate, print] = NEEDED;
        let format = |event: &str| {
            Format::parse(format_of(event)?).with_context(|| format!("the format of {event}"))
        };
        let kind = format(switch)?.field("common_type")?.clone();
        let woken = ["pid", "comm", "target_cpu"];
        let moved = ["pid", "comm", "orig_cpu", "dest_cpu"];
        let switched = ["prev_pid", "prev_comm", "prev_state", "next_pid", "next_comm"];
        Ok(Self {
            kind,
            switch: fields(&format(switch)?, switch, switched)?,
            wakeup: fields(&format(wakeup)?, wakeup, woken)?,
            wakeup_new: fields(&format(wakeup_new)?, wakeup_new, woken)?,
            migrate: fields(&format(migrate)?, migrate, moved)?,
            mark: fields(&format(print)?, print, ["buf"])?,
        })
    }

    /// What `record` says, or `None` if it is of another kind.
    pub fn decode(&self, record: &[u8]) -> Result<Option<What>> {
        let kind = self.kind.number(record)? as u16;
        let pid = |field: &Field| Ok::<_, anyhow::Error>(field.number(record)? as Pid);
        let comm = |field: &Field| Ok::<_, anyhow::Error>(Comm::new(field.text(record)?));
        let cpu = |field: &Field| Ok::<_, anyhow::Error>(field.number(record)? as u32);
        if kind == self.switch.0 {
            let [prev, prev_comm, prev_state, next, next_comm] = &self.switch.1;
            return Ok(Some(What::Switch {
                prev: pid(prev)?,
                prev_comm: comm(prev_comm)?,
                left: Left::from_state(prev_state.number(record)?),
                next: pid(next)?,
                next_comm: comm(next_comm)?,
            }));
        }
        for (woken, new) in [(&self.wakeup, false), (&self.wakeup_new, true)] {
            if kind == woken.0 {
                let [task, name, target] = &woken.1;
                let (pid, comm, cpu) = (pid(task)?, comm(name)?, cpu(target)?);
                return Ok(Some(What::Wakeup { pid, comm, cpu, new }));
            }
        }
        if kind == self.migrate.0 {
            let [task, name, from, to] = &self.migrate.1;
            let (pid, comm) = (pid(task)?, comm(name)?);
            return Ok(Some(What::Migrate { pid, comm, from: cpu(from)?, to: cpu(to)? }));
        }
        if kind == self.mark.0 {
            let text = String::from_utf8_lossy(self.mark.1[0].text(record)?);
            return Ok(Some(What::Mark(text.trim_end().to_string())));
        }
        Ok(None)
    }
}

/// The number of a kind of record, and the named fields of it.
fn fields<const N: usize>(
    format: &Format,
    event: &str,
    names: [&str; N],
) -> Result<(u16, [Field; N])> {
    let id = format.id.with_context(|| format!("the format of {event} has no ID"))?;
    let found: Vec<Field> = names
        .iter()
        .map(|name| format.field(name).cloned())
        .collect::<Result<_>>()
        .with_context(|| event.to_string())?;
    // As many as there are names.
    let found = <[Field; N]>::try_from(found).ok().context("a field is missing")?;
    Ok((id, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_left_is_runnable_asleep_or_dead() {
        for (state, left) in [
            (0, Left::Runnable),
            (0x100, Left::Runnable),
            (0x101, Left::Runnable),
            (1, Left::Asleep),
            (2, Left::Asleep),
            (0x80, Left::Asleep),
            (0x10, Left::Dead),
            (0x20, Left::Dead),
        ] {
            assert_eq!(Left::from_state(state), left, "{state:#x}");
        }
    }

    #[test]
    fn names_are_cut_like_the_kernel_cuts_them() {
        let comm = Comm::new(b"a name that is too long");
        assert_eq!(comm.text(), "a name that is ");
        assert!(comm.starts_with("a name") && !comm.starts_with("name"));
        assert_eq!(Comm::new(b"").text(), "");
    }
}
