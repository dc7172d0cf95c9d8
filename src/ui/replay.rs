// SPDX-License-Identifier: GPL-2.0-only
//! What came of a replay, as text.
//!
//! ```text
//! 48211 decisions (5160 of them with a price) and 913 outcomes: each follows from its own numbers
//! by the other policy 402 decisions end otherwise; moves between LLCs 913 -> 518
//!   kind   level  recorded      other         decisions
//!   place  llc    applied       not_worth           398
//!   pull   node   hysteresis    not_worth             4
//! ```

use super::explain::line;
use crate::analysis::replay::{Changed, Found, Replayed};
use crate::events::Outcome;
use std::fmt::Write;

/// `replayed` in some lines.
pub fn summary(replayed: &Replayed) -> String {
    let Replayed { decisions, priced, outcomes, differences, .. } = replayed;
    let result = match differences {
        0 => "each follows from its own numbers".into(),
        1 => "1 does not follow from its own numbers".into(),
        _ => format!("{differences} do not follow from their own numbers"),
    };
    let mut text = format!(
        "{decisions} decisions ({priced} of them with a price) and {outcomes} outcomes: {result}\n"
    );
    for found in &replayed.first {
        text += &told(found);
    }
    if let Some(changed) = &replayed.other {
        text += &changes(changed);
    }
    text
}

fn told(found: &Found) -> String {
    let words = match (&found.decision, &found.outcome) {
        (Some(decision), _) => line(decision, None),
        (None, Some(outcome)) => ran(outcome),
        (None, None) => String::new(),
    };
    format!("record {} (seq {}): {}\n  {words}\n", found.number, found.seq, found.difference)
}

fn ran(outcome: &Outcome) -> String {
    let Outcome { at_ns, who, cpu, waited_ns, .. } = outcome;
    let seconds = *at_ns as f64 / 1e9;
    let waited_ms = *waited_ns as f64 / 1e6;
    format!("{seconds:.6} {}/{} ran on cpu{cpu} after {waited_ms:.2} ms", who.comm, who.pid)
}

fn changes(changed: &Changed) -> String {
    let Changed { decisions, moves_recorded, moves_other, .. } = changed;
    let mut text = format!(
        "by the other policy {decisions} decisions end otherwise; moves between LLCs \
         {moves_recorded} -> {moves_other}\n"
    );
    if !changed.changes.is_empty() {
        text += "  kind   level  recorded      other         decisions\n";
    }
    for change in &changed.changes {
        let (kind, level) = (change.kind.name(), change.level.name());
        let (recorded, other) = (change.recorded.name(), change.other.name());
        let count = change.decisions;
        let _ = writeln!(text, "  {kind:<5}  {level:<5}  {recorded:<12}  {other:<12}  {count:>9}");
    }
    for pair in &changed.first {
        text += &format!(
            "recorded {}\n   other {}\n",
            line(&pair.recorded, None),
            line(&pair.other, None)
        );
    }
    text
}
