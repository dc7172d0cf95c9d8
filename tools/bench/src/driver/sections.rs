// SPDX-License-Identifier: GPL-2.0-only
//! What a guest script prints: sections that begin with a line `== name`.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::driver::machine::Machine;

/// The sections of one output.
#[derive(Clone, Debug, Default)]
pub struct Sections {
    /// (name, text), in order.
    parts: Vec<(String, String)>,
}

impl Sections {
    /// Cut an output into its sections; what comes before the first belongs to none.
    pub fn parse(output: &str) -> Sections {
        let mut parts: Vec<(String, String)> = Vec::new();
        for line in output.lines() {
            if let Some(name) = line.strip_prefix("== ") {
                parts.push((name.to_string(), String::new()));
            } else if let Some((_, text)) = parts.last_mut() {
                text.push_str(line);
                text.push('\n');
            }
        }
        Sections { parts }
    }

    /// The text of a section.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.parts.iter().find(|part| part.0 == name).map(|part| part.1.as_str())
    }

    /// `value` of a line `key=value`.
    ///
    /// # Errors
    /// When there is no such section or line.
    pub fn value(&self, name: &str, key: &str) -> Result<&str> {
        let text = self.text(name).with_context(|| format!("no section {name}"))?;
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .with_context(|| format!("section {name} has no {key}"))
    }
}

/// Moves that the kernel counted, by level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moves {
    /// Within an LLC.
    pub core: u64,
    /// To another LLC of the node.
    pub llc: u64,
    /// To another node.
    pub node: u64,
}

impl Moves {
    /// From a histogram by orig_cpu and dest_cpu, lines such as
    /// `{ orig_cpu: 0, dest_cpu: 4 } hitcount: 3`.
    pub fn from_hist(text: &str, machine: &Machine) -> Moves {
        let mut moves = [0; 3];
        for line in text.lines().filter(|line| line.contains("orig_cpu:")) {
            let numbers: Vec<u64> = line
                .split(|c: char| !c.is_ascii_digit())
                .filter_map(|word| word.parse().ok())
                .collect();
            if let [from, to, count] = numbers[..] {
                moves[machine.level(from as usize, to as usize).index()] += count;
            }
        }
        let [core, llc, node] = moves;
        Moves { core, llc, node }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_cut_at_their_headings() {
        let sections = Sections::parse("noise\n== a\nx=1\ny=2\n== b c\n\n== d");
        assert_eq!(sections.text("a"), Some("x=1\ny=2\n"));
        assert_eq!(sections.value("a", "y").ok(), Some("2"));
        assert_eq!(sections.text("b c"), Some("\n"));
        assert!(sections.value("d", "z").expect_err("none").to_string().contains("has no z"));
        assert!(sections.text("noise").is_none());
    }

    #[test]
    fn a_histogram_is_summed_by_level() {
        let machine = Machine::named("2x2x2").expect("a machine");
        let text = "# event histogram\n{ orig_cpu:          0, dest_cpu:          1 } hitcount:          5\n\
                    { orig_cpu: 1, dest_cpu: 2 } hitcount: 3\n{ orig_cpu: 3, dest_cpu: 7 } hitcount: 2\n\
                    Totals:\n    Hits: 10\n";
        assert_eq!(Moves::from_hist(text, &machine), Moves { core: 5, llc: 3, node: 2 });
    }
}
