// SPDX-License-Identifier: GPL-2.0-only
//! Moves by how far they go, and those that were soon taken back.

use std::collections::HashMap;
use std::ops::Range;

use super::machine::{ByLevel, Level, Machine};
use super::timeline::{Move, TaskId, Timeline};

/// Moves in `window` of tasks that `takes` says count. A move from a CPU to itself is none.
pub fn by_level(
    line: &Timeline,
    machine: &Machine,
    window: &Range<u64>,
    takes: impl Fn(TaskId) -> bool,
) -> ByLevel {
    let mut moves = ByLevel::default();
    for moved in within(line, window).filter(|moved| takes(moved.task)) {
        *moves.at(machine.level(moved.from, moved.to)) += 1;
    }
    moves
}

/// Moves in `window` of a task back into the LLC that it had left by its last move between LLCs,
/// within twice the price of that move: neither of the two can have paid for itself.
pub fn ping_pong(
    line: &Timeline,
    machine: &Machine,
    price_ns: &dyn Fn(u32, u32) -> u64,
    window: &Range<u64>,
    takes: impl Fn(TaskId) -> bool,
) -> u64 {
    let mut last_away: HashMap<TaskId, &Move> = HashMap::new();
    let mut back = 0;
    let away = |moved: &&Move| machine.level(moved.from, moved.to) != Level::Core;
    for moved in line.moves.iter().filter(|moved| takes(moved.task)).filter(away) {
        let Some(last) = last_away.insert(moved.task, moved) else { continue };
        let soon_ns = price_ns(last.from, last.to).saturating_mul(2);
        let home = machine.llc(last.from) == machine.llc(moved.to);
        if home && moved.at_ns - last.at_ns <= soon_ns && window.contains(&moved.at_ns) {
            back += 1;
        }
    }
    back
}

fn within<'a>(line: &'a Timeline, window: &'a Range<u64>) -> impl Iterator<Item = &'a Move> {
    line.moves.iter().filter(|moved| moved.from != moved.to && window.contains(&moved.at_ns))
}
