// SPDX-License-Identifier: GPL-2.0-only
//! What a trace tells, as typed values, whatever it was written by.

use super::infer::Kind;
use std::fmt;

/// The kernel's number of a thread; 0 is the idle task of any CPU.
pub type Pid = u32;

/// The highest number that the kernel gives (`PID_MAX_LIMIT`).
pub const PID_MAX: Pid = 4_194_304;

/// The name of a task: up to 15 bytes, of any value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Comm([u8; 15]);

impl Comm {
    /// The first 15 bytes of `name`.
    pub fn new(name: &[u8]) -> Comm {
        let mut bytes = [0; 15];
        bytes.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
        Comm(bytes)
    }

    /// The bytes of the name.
    pub fn bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|&byte| byte == 0).unwrap_or(self.0.len());
        &self.0[..end]
    }

    /// The name as text; what is not UTF-8 in it is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }
}

impl fmt::Debug for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text())
    }
}

/// How a task left its CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It could go on: its turn was over, it was preempted, or it yielded.
    Runnable,
    /// It waits for something else than a CPU.
    Asleep,
    /// It has ended; its number may be given to another.
    Dead,
    /// The trace does not tell.
    Untold,
}

impl Left {
    /// From the bits as the kernel keeps them.
    pub const fn from_bits(bits: u64) -> Left {
        match bits {
            0 => Left::Runnable,
            _ if bits & 0x100 != 0 => Left::Runnable,
            _ if bits & 0x30 != 0 => Left::Dead,
            _ => Left::Asleep,
        }
    }

    /// From the letters that the kernel prints, such as `R`, `R+`, `S`, `D|K`, `X`.
    pub fn from_letters(letters: &[u8]) -> Option<Left> {
        match letters.first()? {
            b'R' => Some(Left::Runnable),
            b'X' | b'Z' | b'x' => Some(Left::Dead),
            // Older kernels mark a preempted task that had begun to sleep.
            _ if letters.contains(&b'+') => Some(Left::Runnable),
            b'S' | b'D' | b'T' | b't' | b'P' | b'I' | b'K' | b'W' | b'N' | b'p' => {
                Some(Left::Asleep)
            }
            // A number: the bits as the kernel keeps them.
            b'0'..=b'9' => {
                let bits: u32 = std::str::from_utf8(letters).ok()?.parse().ok()?;
                Some(Left::from_bits(u64::from(bits)))
            }
            _ => None,
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// A task was given another CPU.
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
    /// A task was given another CPU, as the scheduler itself recorded it.
    Told {
        /// Which.
        pid: Pid,
        /// Its name.
        comm: Comm,
        /// The CPU before.
        from: u32,
        /// The CPU from now on.
        to: u32,
        /// What it recorded.
        told: Told,
    },
    /// A task was made by the one that runs.
    Fork {
        /// The new one.
        child: Pid,
        /// Its name.
        comm: Comm,
    },
    /// The task that runs became another program, and may have been given a CPU for that.
    Exec {
        /// Which.
        pid: Pid,
    },
    /// A task ends.
    Exit {
        /// Which.
        pid: Pid,
    },
    /// NUMA balancing moves a task to its memory; the move follows.
    Numa {
        /// Which.
        pid: Pid,
        /// The one that it changes places with, else 0.
        other: Pid,
    },
    /// Events are missing here: how many, where that is known. They may be of the event's CPU
    /// only, but any task may be in them.
    Lost(Option<u64>),
}

/// What a scheduler recorded of a move that it made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// What it was; undetermined where the decision was not recorded.
    pub kind: Kind,
    /// Id of the task's cgroup.
    pub cgroup: u64,
    /// ΔL and P in ns, if the question was put.
    pub price: Option<(i64, i64)>,
}

/// The kind of code that was running when something happened, where the trace tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Context {
    /// The trace does not tell.
    #[default]
    Unknown,
    /// A system call, or the scheduler itself in the middle of a switch.
    Task,
    /// A soft interrupt: periodic load balancing runs there.
    SoftIrq,
    /// A hard interrupt.
    HardIrq,
}

/// Something that happened on a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in ns of the trace's clock.
    pub at_ns: u64,
    /// The CPU that executed it.
    pub cpu: u32,
    /// Who ran there.
    pub current: Pid,
    /// The name of who ran there.
    pub current_comm: Comm,
    /// In which kind of code.
    pub context: Context,
    /// What.
    pub what: What,
}

/// One value of a load series: tasks that run or wait on a CPU at an instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When, in ns.
    pub at_ns: u64,
    /// The CPU.
    pub cpu: u32,
    /// Tasks that run or wait there.
    pub runnable: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_left_is_runnable_asleep_or_dead() {
        for (letters, left) in [
            ("R", Some(Left::Runnable)),
            ("R+", Some(Left::Runnable)),
            ("S", Some(Left::Asleep)),
            ("D|K", Some(Left::Asleep)),
            ("I", Some(Left::Asleep)),
            ("X", Some(Left::Dead)),
            ("Z", Some(Left::Dead)),
            ("0", Some(Left::Runnable)),
            ("256", Some(Left::Runnable)),
            ("1", Some(Left::Asleep)),
            ("32", Some(Left::Dead)),
            ("?", None),
            ("", None),
        ] {
            assert_eq!(Left::from_letters(letters.as_bytes()), left, "{letters}");
        }
    }

    #[test]
    fn names_are_cut_like_the_kernel_cuts_them() {
        assert_eq!(Comm::new(b"a name that is too long").text(), "a name that is ");
        assert_eq!(Comm::new(b"\xffx").text(), "\u{fffd}x");
        assert_eq!(Comm::default().text(), "");
    }
}
