// SPDX-License-Identifier: GPL-2.0-only
//! The policy in force, as text.

use crate::policy::view::{LevelView, PolicyView, Sourced};
use std::fmt::Write;

/// Most LLCs whose matrix is shown in full; beyond, the classes have to do.
const MATRIX_LLCS: usize = 16;

fn sourced(number: &Sourced, unit: &str) -> String {
    format!("{}{unit} ({})", trimmed(number.value), number.from)
}

/// A number without needless decimals.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// The page that `scx_toll get` prints.
pub fn policy_page(view: &PolicyView) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "policy version {}", view.version);
    let _ = writeln!(out, "  slice_us    {}", trimmed(view.slice_us));
    let _ = writeln!(out, "  migrate     {}", view.migrate);
    let _ =
        writeln!(out, "  age         {} us, then moved whatever it costs", trimmed(view.age_us));
    let _ = writeln!(out, "  turns       at most {} are counted in a gain", view.max_turns);
    let _ = writeln!(out, "  others pay  {}", sourced(&view.others_pay, ""));
    let _ = writeln!(out, "  penalty     {}", view.penalty);
    let _ = writeln!(out, "  learn       {}", view.learn);
    let warmth = &view.warmth;
    let _ = writeln!(
        out,
        "  warmth      fill {}, {} per KiB, 1/e left after {}",
        sourced(&warmth.fill_pct, " %"),
        sourced(&warmth.ns_per_kib, " ns"),
        sourced(&warmth.wear_ms, " ms")
    );
    let head = ["hop us", "refill", "hysteresis us: open,close,hold"];
    let _ = writeln!(out, "  {:<6}{:>20}{:>20}  {}", "level", head[0], head[1], head[2]);
    for level in &view.levels {
        let mut refill = sourced(&level.refill, "");
        if level.refill.value != level.refill_in_force {
            let _ = write!(refill, " -> {}", trimmed(level.refill_in_force));
        }
        let _ = writeln!(
            out,
            "  {:<6}{:>20}{refill:>20}  {},{},{}",
            level.level,
            sourced(&level.hop_us, ""),
            trimmed(level.open_us),
            trimmed(level.close_us),
            trimmed(level.hold_us)
        );
    }
    view.levels.iter().for_each(|level| learned(&mut out, level));
    if view.hop_us.len() <= MATRIX_LLCS {
        matrix(&mut out, "hop in force, us, from LLC (row) to LLC", &view.hop_us);
    }
    if view.remote_pct.len() > 1 && view.remote_pct.len() <= MATRIX_LLCS {
        matrix(
            &mut out,
            "remote memory, % of run time, memory on node (row), CPU on node",
            &view.remote_pct,
        );
    }
    for note in &view.notes {
        let _ = writeln!(out, "  note: {note}");
    }
    out
}

/// What a learned price rests on.
fn learned(out: &mut String, level: &LevelView) {
    if let Some(learned) = &level.refill_learned {
        let _ = writeln!(
            out,
            "  {} refill began with {}; learned from {} moves, spread {:.2}, at {}",
            level.level,
            trimmed(learned.base),
            learned.samples,
            learned.spread,
            learned.date
        );
    }
    let Some(learned) = &level.learned else { return };
    let _ = writeln!(
        out,
        "  {} began with {} us; learned from {} moves, spread {:.2}, at {}",
        level.level,
        trimmed(learned.base_us),
        learned.samples,
        learned.spread,
        learned.date
    );
}

fn matrix(out: &mut String, title: &str, rows: &[Vec<f64>]) {
    let _ = writeln!(out, "  {title}");
    for (index, row) in rows.iter().enumerate() {
        let _ = write!(out, "  {index:>4}");
        for value in row {
            let _ = write!(out, " {:>8}", trimmed(*value));
        }
        let _ = writeln!(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PenaltyTable;
    use crate::policy::Policy;
    use crate::topology::Topology;

    #[test]
    fn every_part_of_the_policy_is_on_the_page() {
        let topo = Topology::synthetic(2, 2, 2).unwrap();
        let policy = Policy::new(PenaltyTable::default(), "default".into(), &topo);
        let page = policy_page(&PolicyView::new(&policy, &topo, 7));
        for words in [
            "policy version 7",
            "slice_us    20000",
            "migrate     toll",
            "age         500000 us",
            "at most 4",
            "others pay  3 (default)",
            "penalty     default",
            "learn       on",
            "fill 25 % (default), 340 ns (default) per KiB",
            "25 (default)       1.6 (default)  2000,500,4000",
            "     0        0       10       25       25",
            "     1       25        0",
        ] {
            assert!(page.contains(words), "{words:?} is not in:\n{page}");
        }
    }
}
