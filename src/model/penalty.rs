// SPDX-License-Identifier: GPL-2.0-only
//! What a move costs: a small table by distance level, and the matrix for one machine made of it.
//!
//! The table is what people write, tools measure and logs print; every number in it carries its
//! [`Provenance`]. The matrix is what the BPF half needs. Between the two lie three rules:
//!
//! 1. A farther level is never cheaper than a nearer one: a search that goes outward and stops at
//!    the first level that pays would otherwise overlook the cheaper, farther one. Where the table
//!    says otherwise, the number of the lesser origin gives way (a default to one that was given or
//!    measured), or the farther one is raised where the origins are equal, and a note says so.
//! 2. A node that is farther than its neighbour (SLIT distance above 20) costs proportionally
//!    more to reach: `hop × (distance − 10) / 10`.
//! 3. A pair that is named explicitly keeps its number, whatever the rules say: somebody measured
//!    it.
//!
//! # Where the default numbers come from
//!
//! Reference points, in nanoseconds per cache line fetched from another core: 17–25 within an
//! LLC, 85–115 between the LLCs of a socket, 108–197 between sockets; memory 81 near and 140 far.
//! Refilling 128 KiB costs some 14 µs from the LLC's own L3 and some 170 µs from another LLC.
//!
//! | number | default | reasoning |
//! |---|---|---|
//! | hop core | 2 µs | an interrupt to an idle core and its exit from a shallow idle state; guess |
//! | hop llc | 10 µs | the kernel's own working set of a switch (task, stack, run queue: about a hundred lines at 85–115 ns); guess |
//! | hop node | 25 µs | the same lines at 108–197 ns, and page-table walks that go to far memory; guess |
//! | refill core | 0.1 | 14 / 170: within an LLC only the private L2 is lost |
//! | refill llc | 1.0 | the unit: `ns_per_kib` is a refill across LLCs |
//! | refill node | 1.6 | a line from another socket against one from another LLC: 150–160 / 100 |
//! | ns per KiB | 340 | 85 ns a line, four misses in flight, 16 lines: 85 × 16 / 4 |
//! | fill share | 0.25 | share of run time that loads lines; guess |
//! | remote | 250 ‰ at distance 20 | a quarter of run time is taken to wait for memory, which takes twice as long; guess (140 / 81 ns alone would give 180 ‰) |
//! | others pay | 3 | best constant factor of the prototype at 70 % load; above 90 % more would be better |
//!
//! A move within an LLC is not charged its hop: the matrix has zeros on its diagonal. The hop of
//! class core only keeps the farther classes from being cheaper.

use crate::topology::{LOCAL_DISTANCE, Level, Topology};
use crate::units::{LlcId, NodeId, Ns, PerMille, Q10};
use std::collections::BTreeMap;
use std::fmt;

/// Share of run time that waits for memory; the default remote rate is this times how much
/// longer far memory takes. A guess.
pub const MEMORY_SHARE: f64 = 0.25;

/// Where a number comes from; later ones are better founded than earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provenance {
    /// Built in.
    Default,
    /// Written in a penalty file or on the command line.
    Given,
    /// Measured on this machine before the scheduler was attached.
    Measured,
    /// Refined while the scheduler ran.
    Learned,
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Provenance::Default => "default",
            Provenance::Given => "given",
            Provenance::Measured => "measured",
            Provenance::Learned => "learned",
        })
    }
}

/// One number of the table and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell<T> {
    /// The number.
    pub value: T,
    /// Its origin.
    pub from: Provenance,
}

impl<T> Cell<T> {
    /// `value` with the origin `from`.
    pub const fn new(value: T, from: Provenance) -> Cell<T> {
        Cell { value, from }
    }

    const fn default_value(value: T) -> Cell<T> {
        Cell::new(value, Provenance::Default)
    }
}

impl<T: fmt::Display> fmt::Display for Cell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.value, self.from)
    }
}

/// What a move across one level costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Class {
    /// Fixed cost of the move.
    pub hop: Cell<Ns>,
    /// Factor on the time that warm lines take to load again; 1.0 is across LLCs of a node.
    pub refill: Cell<Q10>,
}

/// How cache lines become warm and fade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warmth {
    /// Share of run time that loads cache lines, 0 to 1; 0: no task is ever warm.
    pub fill_share: Cell<Q10>,
    /// Time to load one KiB from another LLC, in ns; 0: a refill costs nothing.
    pub ns_per_kib: Cell<u32>,
    /// Busy time of others after which 1/e of the warmth is left; `None`: from the cache size
    /// (see [`crate::model::warmth`]).
    pub wear: Option<Cell<Ns>>,
}

/// Everything that is known about the cost of moves, before it is applied to a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PenaltyTable {
    /// Costs by [`Level`].
    pub classes: [Class; 3],
    /// Hops of single pairs (from, to), which replace the class's. Both directions are listed.
    pub pairs: BTreeMap<(LlcId, LlcId), Cell<Ns>>,
    /// Extra run time when the memory is on another node, the same for all pairs of nodes;
    /// `None`: from the SLIT distance.
    pub remote_all: Option<Cell<PerMille>>,
    /// The same for single pairs (memory node, CPU node), which win over `remote_all`.
    pub remote: BTreeMap<(NodeId, NodeId), Cell<PerMille>>,
    /// How cache lines become warm and fade.
    pub warmth: Warmth,
    /// What the whole system pays for each nanosecond that the mover pays, at least 1 (only the
    /// mover counts); others wait behind its refill too. It multiplies costs and not benefits, so
    /// that below 1 a way there and back would earn something.
    pub others_pay: Cell<Q10>,
}

impl Default for PenaltyTable {
    /// The built-in table; see the module's page for the reasoning.
    fn default() -> PenaltyTable {
        let class = |hop_us, refill| Class {
            hop: Cell::default_value(Ns::from_us(hop_us)),
            refill: Cell::default_value(Q10::clamped_from_f64(refill)),
        };
        PenaltyTable {
            classes: [class(2, 0.1), class(10, 1.0), class(25, 1.6)],
            pairs: BTreeMap::new(),
            remote_all: None,
            remote: BTreeMap::new(),
            warmth: Warmth {
                fill_share: Cell::default_value(Q10::clamped_from_f64(0.25)),
                ns_per_kib: Cell::default_value(340),
                wear: None,
            },
            others_pay: Cell::default_value(Q10::clamped_from_f64(3.0)),
        }
    }
}

impl PenaltyTable {
    /// Costs of a move across `level`.
    pub fn class(&self, level: Level) -> &Class {
        &self.classes[level.index()]
    }

    /// The same, to be changed.
    pub fn class_mut(&mut self, level: Level) -> &mut Class {
        &mut self.classes[level.index()]
    }

    /// The table in words for the log, one line per subject, with the origin of each number.
    pub fn describe(&self) -> Vec<String> {
        let mut lines: Vec<String> = Level::ALL
            .iter()
            .map(|&level| {
                let class = self.class(level);
                format!("class {level}: hop {}, refill factor {}", class.hop, class.refill)
            })
            .collect();
        for ((from, to), hop) in &self.pairs {
            lines.push(format!("pair {from} -> {to}: hop {hop}"));
        }
        lines.push(match self.remote_all {
            Some(rate) => format!("remote memory: {rate} more run time"),
            None => "remote memory: by node distance (default)".to_string(),
        });
        for ((memory, cpu), rate) in &self.remote {
            lines.push(format!("memory on {memory}, CPU on {cpu}: {rate} more run time"));
        }
        let Warmth { fill_share, ns_per_kib, wear } = &self.warmth;
        let wear = match wear {
            Some(wear) => format!("1/e left after {wear}"),
            None => "fades by cache size (default)".to_string(),
        };
        lines.push(format!(
            "warmth: fill share {fill_share}, {} ns per KiB ({}), {wear}",
            ns_per_kib.value, ns_per_kib.from
        ));
        lines.push(format!("rule: others pay {}", self.others_pay));
        lines
    }
}

/// The costs of all moves on one machine, ready for the policy writer.
///
/// Promises, tested in `tests/penalty_matrix.rs`: zero on the diagonal; every number within the
/// bounds of its type; by level, a farther class is never cheaper than a nearer one; symmetric
/// except where single pairs were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PenaltyMatrix {
    /// Fixed cost of a move, `[from][to]` by [`LlcId`]; zero on the diagonal.
    pub hop: Vec<Vec<Ns>>,
    /// Factor on the time to load warm lines again, by [`Level`].
    pub refill: [Q10; 3],
    /// Extra run time, `[memory node][CPU node]` by [`NodeId`].
    pub remote: Vec<Vec<PerMille>>,
    /// What the whole system pays for each nanosecond that the mover pays; at least 1.0.
    pub price: Q10,
    /// What was changed against the table and why, one sentence each.
    pub notes: Vec<String>,
}

impl PenaltyMatrix {
    /// Apply `table` to the machine `topo`. Pairs that name an LLC or node which the machine
    /// does not have are left out, with a note.
    pub fn new(table: &PenaltyTable, topo: &Topology) -> PenaltyMatrix {
        let mut notes = Vec::new();
        let (hops, refill) = monotone_classes(table, &mut notes);
        let mut hop: Vec<Vec<Ns>> = topo
            .llcs
            .iter()
            .map(|from| topo.llcs.iter().map(|to| class_hop(&hops, topo, from.id, to.id)).collect())
            .collect();
        for (&(from, to), cell) in &table.pairs {
            match hop.get_mut(from.index()).and_then(|row| row.get_mut(to.index())) {
                Some(entry) if from != to => *entry = cell.value,
                _ => notes.push(format!("pair {from} -> {to} is no pair of this machine: ignored")),
            }
        }
        let remote = remote_matrix(table, topo, &mut notes);
        let price = table.others_pay.value.max(Q10::ONE);
        if price != table.others_pay.value {
            notes.push(format!("others pay raised from {} to 1", table.others_pay.value));
        }
        PenaltyMatrix { hop, refill, remote, price, notes }
    }

    /// Fixed cost of a move between two LLCs; the longest time for an LLC that is unknown.
    pub fn hop(&self, from: LlcId, to: LlcId) -> Ns {
        let row = self.hop.get(from.index());
        row.and_then(|row| row.get(to.index())).copied().unwrap_or(Ns::MAX)
    }
}

/// Hops and refill factors by level, made monotone (rule 1).
fn monotone_classes(table: &PenaltyTable, notes: &mut Vec<String>) -> ([Ns; 3], [Q10; 3]) {
    let hops = monotone("hop", table.classes.map(|class| class.hop), notes);
    let refill = monotone("refill factor", table.classes.map(|class| class.refill), notes);
    (hops, refill)
}

/// The values of `cells` by level, never falling outward: of two that contradict each other the
/// one of the lesser origin gives way, and the farther one where the origins are equal.
fn monotone<T: Copy + Ord + fmt::Display>(
    what: &str,
    cells: [Cell<T>; 3],
    notes: &mut Vec<String>,
) -> [T; 3] {
    let mut values = cells.map(|cell| cell.value);
    let mut change = |values: &mut [T; 3], level: usize, like: usize, how: &str| {
        let (from, to) = (values[level], values[like]);
        let (level_name, like_name) = (Level::ALL[level], Level::ALL[like]);
        notes.push(format!(
            "{what} of class {level_name} {how} from {from} to {to}, that of class {like_name}"
        ));
        values[level] = to;
    };
    for far in 1..values.len() {
        for near in 0..far {
            if values[near] > values[far] && cells[near].from >= cells[far].from {
                change(&mut values, far, near, "raised");
            }
        }
        // What is still dearer is of lesser origin.
        for near in 0..far {
            if values[near] > values[far] {
                change(&mut values, near, far, "lowered");
            }
        }
    }
    values
}

/// Hop between two LLCs by their level; nodes farther than the usual 20 in proportion (rule 2).
///
/// A distance table may differ by direction; the larger figure counts both ways.
fn class_hop(hops: &[Ns; 3], topo: &Topology, from: LlcId, to: LlcId) -> Ns {
    let level = topo.price_level(from, to);
    let hop = hops[level.index()];
    let nodes = topo.llc(from).zip(topo.llc(to)).map(|(from, to)| (from.node, to.node));
    match (level, nodes) {
        _ if from == to => Ns::ZERO,
        (Level::Node, Some((a, b))) => {
            let distance = topo.distance(a, b).max(topo.distance(b, a));
            let beyond = distance.saturating_sub(LOCAL_DISTANCE);
            hop.times((f64::from(beyond) / f64::from(LOCAL_DISTANCE)).max(1.0))
        }
        _ => hop,
    }
}

/// Extra run time for each (memory node, CPU node).
fn remote_matrix(
    table: &PenaltyTable,
    topo: &Topology,
    notes: &mut Vec<String>,
) -> Vec<Vec<PerMille>> {
    let rate = |memory: NodeId, cpu: NodeId| match table.remote_all {
        _ if memory == cpu => PerMille::ZERO,
        Some(cell) => cell.value,
        None => remote_by_distance(topo.distance(cpu, cpu), topo.distance(cpu, memory)),
    };
    let mut remote: Vec<Vec<PerMille>> = topo
        .nodes
        .iter()
        .map(|memory| topo.nodes.iter().map(|cpu| rate(memory.id, cpu.id)).collect())
        .collect();
    for (&(memory, cpu), cell) in &table.remote {
        match remote.get_mut(memory.index()).and_then(|row| row.get_mut(cpu.index())) {
            Some(entry) if memory != cpu => *entry = cell.value,
            _ => notes.push(format!(
                "memory on {memory}, CPU on {cpu} is no pair of this machine: ignored"
            )),
        }
    }
    remote
}

/// `(far / near − 1) × MEMORY_SHARE`: SLIT distances are relative access times. Never negative.
fn remote_by_distance(near: u32, far: u32) -> PerMille {
    let slower = f64::from(far) / f64::from(near.max(1)) - 1.0;
    PerMille::clamped_from_ratio(slower * MEMORY_SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_on_two_nodes() {
        let topo = Topology::synthetic(2, 2, 2).unwrap();
        let matrix = PenaltyMatrix::new(&PenaltyTable::default(), &topo);
        let us: Vec<f64> = matrix.hop[0].iter().map(|hop| hop.as_us()).collect();
        assert_eq!(us, [0.0, 10.0, 25.0, 25.0]);
        assert_eq!(matrix.remote[0][1], PerMille::new(250));
        assert_eq!(matrix.remote[1][1], PerMille::ZERO);
        assert_eq!(matrix.price.raw(), 3 * 1024);
        assert!(matrix.notes.is_empty());
    }

    #[test]
    fn the_table_describes_itself() {
        let mut table = PenaltyTable::default();
        table.class_mut(Level::Llc).hop = Cell::new(Ns::from_us(12), Provenance::Given);
        let lines = table.describe();
        assert_eq!(lines[1], "class llc: hop 12 µs (given), refill factor 1 (default)");
        assert!(lines.iter().any(|line| line == "rule: others pay 3 (default)"), "{lines:?}");
    }
}
