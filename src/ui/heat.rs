// SPDX-License-Identifier: GPL-2.0-only
//! The measured table in the terminal: a heat map of hand-offs, refills, memory, fixed costs.
//!
//! At most 80 columns. Figures in brackets are defaults; colours go from green (near) to red.

use crate::measure::plan::Distance;
use crate::measure::table::{Cell, Origin, PairRow, Table};
use crate::topology::{Level, Topology};
use crate::ui::text::time;
use crate::units::{CpuId, LlcId};
use std::fmt::Write;

/// Columns of the terminal that everything fits into.
const WIDTH: usize = 80;
/// Columns of one entry of a matrix.
const ENTRY: usize = 6;
/// Columns of the names on the left.
const MARGIN: usize = 8;
/// Most rows and columns of a matrix.
const SIDE_MAX: usize = (WIDTH - MARGIN) / ENTRY;
/// Background colours of the 256-colour palette, cheap to dear, all readable under black.
const COLOURS: [u8; 6] = [114, 150, 186, 222, 216, 210];

/// The whole table as text; colours if `colour`.
pub fn table(table: &Table, topo: &Topology, colour: bool) -> String {
    let mut out = String::new();
    let machine = &table.machine;
    let _ = writeln!(
        out,
        "{}, microcode {}: {} CPUs, {} LLCs, {} nodes",
        machine.model,
        machine.microcode,
        topo.cpus.len(),
        topo.llcs.len(),
        topo.nodes.len()
    );
    if let Some(why) = &table.meaningless {
        let _ = writeln!(out, "not measured, all figures are defaults: {why}");
    }
    let _ = writeln!(out, "figures in (brackets) are defaults, not measured here\n");
    hand_offs(&mut out, table);
    heat_map(&mut out, table, topo, colour);
    refills(&mut out, table);
    memory(&mut out, table, colour);
    for note in &table.notes {
        let _ = writeln!(out, "note: {note}");
    }
    let _ = writeln!(out, "measured in {:.1} s", table.wall_ms as f64 / 1e3);
    out
}

/// A figure, in brackets if it is a default.
fn figure(cell: &Cell) -> String {
    let digits = usize::from(cell.value < 9.95);
    match cell.from {
        Origin::Default => format!("({:.digits$})", cell.value),
        Origin::Measured => format!("{:.digits$}", cell.value),
        Origin::Learned => format!("{:.digits$}*", cell.value),
    }
}

/// One line per distance: hand-off, clean and dirty line, move without working set.
fn hand_offs(out: &mut String, table: &Table) {
    let _ = writeln!(out, "one cache line, ns   hand-off      read  modified   spread  samples");
    for row in &table.handoff {
        let _ = writeln!(
            out,
            "  {:<16}{:>11}{:>10}{:>10}{:>7.0} %{:>9}",
            row.distance.to_string(),
            figure(&row.handoff),
            figure(&row.read),
            figure(&row.modified),
            row.handoff.spread * 100.0,
            row.handoff.samples
        );
    }
    let _ = writeln!(out, "  coherence: {}\n", coherence(table));
    let _ = writeln!(out, "a move without a working set      spread  samples");
    for row in &table.fixed {
        let ns = time(row.ns.value as u64);
        let shown = if row.ns.known().is_some() { ns } else { format!("({ns})") };
        let (spread, samples) = (row.ns.spread * 100.0, row.ns.samples);
        let _ = writeln!(
            out,
            "  {:<16}{shown:>11}{spread:>9.0} %{samples:>9}",
            row.distance.to_string()
        );
    }
    out.push('\n');
}

fn coherence(table: &Table) -> String {
    use crate::measure::coherence::Likeness;
    let found = &table.coherence;
    let name = match found.resembles {
        Likeness::Mesi => "MESI (written back)",
        Likeness::Moesi => "MOESI (handed from cache to cache)",
        Likeness::Unknown => return found.because.clone(),
    };
    format!("resembles {name}, confidence {:.0} %: {}", found.confidence * 100.0, found.because)
}

/// `text` in `ENTRY` columns on a colour for `ns`.
fn entry(text: &str, ns: f64, colour: bool) -> String {
    if !colour {
        return format!("{text:>ENTRY$}");
    }
    // One step for each factor of two from 20 ns on.
    let step = (ns.max(1.0) / 20.0).log2().max(0.0) as usize;
    let background = COLOURS[step.min(COLOURS.len() - 1)];
    format!("\x1b[48;5;{background}m\x1b[30m{text:>ENTRY$}\x1b[0m")
}

/// Hand-offs between CPUs, or between LLCs where there are more CPUs than fit.
fn heat_map(out: &mut String, table: &Table, topo: &Topology, colour: bool) {
    let by_cpu = topo.cpus.len() <= SIDE_MAX;
    let (word, count) = if by_cpu { ("CPU", topo.cpus.len()) } else { ("LLC", topo.llcs.len()) };
    let shown = count.min(SIDE_MAX);
    let _ = writeln!(out, "hand-off between {word}s, ns");
    let id = |i: usize| if by_cpu { topo.cpus[i].id.0 } else { topo.llcs[i].id.0 };
    let _ = write!(out, "{:MARGIN$}", "");
    for column in 0..shown {
        let _ = write!(out, "{:>ENTRY$}", id(column));
    }
    out.push('\n');
    for row in 0..shown {
        let _ = write!(out, "  {word}{:>3}", id(row));
        for column in 0..shown {
            match cell_between(table, topo, by_cpu, row, column) {
                Some(cell) => out.push_str(&entry(&figure(&cell), cell.value, colour)),
                None => {
                    let _ = write!(out, "{:>ENTRY$}", "-");
                }
            }
        }
        out.push('\n');
    }
    if shown < count {
        let _ = writeln!(out, "  and {} more, in --json", count - shown);
    }
    out.push('\n');
}

/// The hand-off of entry (row, column): the pair's own, else that of its distance, which then
/// counts as a default.
fn cell_between(
    table: &Table,
    topo: &Topology,
    by_cpu: bool,
    row: usize,
    column: usize,
) -> Option<Cell> {
    let llc_of = |cpu: CpuId| topo.cpu(cpu).map(|cpu| cpu.llc);
    let (own, distance) = if by_cpu {
        let (a, b) = (topo.cpus.get(row)?, topo.cpus.get(column)?);
        let key = (a.id.min(b.id), a.id.max(b.id));
        let own = table.pair.iter().find(|pair| pair.cpus() == key);
        (own, Distance::between(topo, a, b))
    } else {
        let (a, b) = (LlcId(row as u32), LlcId(column as u32));
        let distance = match topo.level(a, b) {
            Level::Core => Distance::Core,
            Level::Llc => Distance::Llc,
            Level::Node => Distance::Node,
        };
        let joins = |pair: &&PairRow| {
            let ends = (llc_of(pair.cpus().0), llc_of(pair.cpus().1));
            let wanted = ends == (Some(a), Some(b)) || ends == (Some(b), Some(a));
            wanted && pair.distance == distance
        };
        (table.pair.iter().find(joins), distance)
    };
    let own = own.map(|pair| pair.handoff.clone());
    let like_it = || {
        let row = table.handoff(distance)?;
        Some(Cell { from: Origin::Default, ..row.handoff.clone() })
    };
    own.or_else(like_it)
}

/// Extra ns per line by working set and distance.
fn refills(out: &mut String, table: &Table) {
    let mut sizes: Vec<u32> = table.refill.iter().map(|row| row.kib).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let _ = writeln!(out, "refill after a move, extra ns per line by working set");
    let _ = write!(out, "  {:<8}", "");
    for kib in &sizes {
        let size = if *kib < 1024 { format!("{kib} KiB") } else { format!("{} MiB", kib / 1024) };
        let _ = write!(out, "{size:>9}");
    }
    out.push('\n');
    for distance in Distance::ALL {
        let _ = write!(out, "  {:<8}", distance.to_string());
        for kib in &sizes {
            let row = table.refill.iter().find(|row| (row.distance, row.kib) == (distance, *kib));
            let text = row.map_or_else(|| "-".into(), |row| figure(&row.ns_per_line));
            let _ = write!(out, "{text:>9}");
        }
        out.push('\n');
    }
    out.push('\n');
}

/// Latency and bandwidth, memory node by CPU node.
fn memory(out: &mut String, table: &Table, colour: bool) {
    let side = table.machine.nodes.len().min(SIDE_MAX);
    for (title, latency) in [("memory latency, ns", true), ("one thread's stream, GiB/s", false)] {
        let _ = writeln!(out, "{title} (rows: where the memory is; columns: who reads)");
        let _ = write!(out, "{:MARGIN$}", "");
        for cpu in 0..side {
            let _ = write!(out, "{cpu:>ENTRY$}");
        }
        out.push('\n');
        for memory in 0..side as u32 {
            let _ = write!(out, "  node{memory:>2}");
            for cpu in 0..side as u32 {
                let row = table.memory.iter().find(|row| (row.memory, row.cpu) == (memory, cpu));
                match row {
                    Some(row) if latency => {
                        let cell = &row.latency_ns;
                        out.push_str(&entry(&figure(cell), cell.value, colour));
                    }
                    Some(row) => {
                        let value = row.mib_per_s.value / 1024.0;
                        let cell = Cell { value, ..row.mib_per_s.clone() };
                        let _ = write!(out, "{:>ENTRY$}", figure(&cell));
                    }
                    None => {
                        let _ = write!(out, "{:>ENTRY$}", "-");
                    }
                }
            }
            out.push('\n');
        }
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Options, defaults};

    #[test]
    fn every_machine_fits_into_eighty_columns() {
        for (nodes, llcs, cpus) in [(1, 1, 1), (1, 1, 2), (2, 2, 2), (2, 8, 16), (8, 16, 8)] {
            let topo = Topology::synthetic(nodes, llcs, cpus).expect("a machine");
            let mut measured = defaults(&topo, Options { thorough: false });
            measured.machine.model = "CPU".into();
            let text = table(&measured, &topo, false);
            for line in text.lines() {
                assert!(line.chars().count() <= WIDTH, "{line}");
            }
            assert!(!text.contains('\x1b'), "no colour was asked for");
            assert!(table(&measured, &topo, true).contains('\x1b'));
        }
    }

    #[test]
    fn a_default_stands_in_brackets_and_a_measured_figure_does_not() {
        let mut cell = Cell::default_value(83.0);
        assert_eq!(figure(&cell), "(83)");
        cell.from = Origin::Measured;
        assert_eq!(figure(&cell), "83");
        cell.value = 3.25;
        assert_eq!(figure(&cell), "3.2");
    }
}
