// SPDX-License-Identifier: GPL-2.0-only
//! What kind of failure an error is, and the exit code that says so.

use std::fmt;

/// Everything was done as asked.
pub const EXIT_DONE: u8 = 0;
/// It failed.
pub const EXIT_FAILED: u8 = 1;
/// What was typed, or the file that it names, makes no sense.
pub const EXIT_USAGE: u8 = 2;
/// This kernel cannot run the scheduler.
pub const EXIT_KERNEL: u8 = 3;

/// A replay found a record that does not follow from its own numbers.
pub const EXIT_DIFFERS: u8 = 4;

/// An error whose exit code is not the ordinary [`EXIT_FAILED`].
#[derive(Debug)]
pub enum Fault {
    /// Bad usage; the sentence names the value and what was expected.
    Usage(String),
    /// An unsuitable kernel; the sentence says what is missing.
    Kernel(String),
    /// Records that differ from what is computed; the sentence says how many.
    Differs(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Usage(sentence) | Fault::Kernel(sentence) | Fault::Differs(sentence) => {
                f.write_str(sentence)
            }
        }
    }
}

impl std::error::Error for Fault {}

/// The exit code for `error`, from the first [`Fault`] in its chain.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Fault>() {
        Some(Fault::Usage(_)) => EXIT_USAGE,
        Some(Fault::Kernel(_)) => EXIT_KERNEL,
        Some(Fault::Differs(_)) => EXIT_DIFFERS,
        None => EXIT_FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn context_does_not_hide_the_kind_of_failure() {
        let error = Err::<(), _>(Fault::Kernel("no BTF".into())).context("loading").err();
        assert_eq!(error.map(|e| exit_code(&e)), Some(EXIT_KERNEL));
        assert_eq!(exit_code(&anyhow!("disk full")), EXIT_FAILED);
    }
}
