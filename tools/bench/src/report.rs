// SPDX-License-Identifier: GPL-2.0-only
//! Results as `key=value` lines, printed in one go at the end of a run.

use std::fmt::{Display, Write as _};
use std::io::Write as _;

use anyhow::Context;

use crate::clock::NS_PER_MS;

/// The value that stands for "never" or "not measured".
pub const NEVER: i32 = -1;

/// The lines of one run, in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub struct Report {
    lines: String,
}

impl Report {
    /// An empty report.
    pub fn new() -> Self {
        Self::default()
    }

    /// Add `key=value`.
    pub fn add(&mut self, key: &str, value: impl Display) -> &mut Self {
        // Writing to a String cannot fail.
        let _ = writeln!(self.lines, "{key}={value}");
        self
    }

    /// Add a line as it is.
    pub fn add_line(&mut self, line: &str) -> &mut Self {
        self.lines.push_str(line);
        self.lines.push('\n');
        self
    }

    /// Add a time as milliseconds with one decimal.
    pub fn add_ms(&mut self, key: &str, ns: u64) -> &mut Self {
        self.add(key, ms(ns))
    }

    /// Add a time as milliseconds, or [`NEVER`].
    pub fn add_ms_or_never(&mut self, key: &str, ns: Option<u64>) -> &mut Self {
        match ns {
            Some(ns) => self.add_ms(key, ns),
            None => self.add(key, NEVER),
        }
    }

    /// Add values with commas between them.
    pub fn add_list(&mut self, key: &str, values: impl IntoIterator<Item = String>) -> &mut Self {
        let values: Vec<String> = values.into_iter().collect();
        self.add(key, values.join(","))
    }

    /// The lines as they will be printed.
    pub fn as_str(&self) -> &str {
        &self.lines
    }

    /// Print all lines to stdout.
    pub fn print(&self) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(self.lines.as_bytes())
            .and_then(|()| out.flush())
            .context("stdout: the results could not be written")
    }
}

/// A time as milliseconds with one decimal.
pub fn ms(ns: u64) -> String {
    format!("{:.1}", ns as f64 / NS_PER_MS as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_in_order_and_in_one_format() {
        let mut report = Report::new();
        report
            .add("n", 9)
            .add_ms("spread_ms", 37_249_000)
            .add_ms_or_never("spread_cpus_ms", None)
            .add_list("cpu_ms", [1_000_000, 2_500_000].map(ms));
        assert_eq!(report.as_str(), "n=9\nspread_ms=37.2\nspread_cpus_ms=-1\ncpu_ms=1.0,2.5\n");
    }
}
