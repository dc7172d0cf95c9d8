// SPDX-License-Identifier: GPL-2.0-only
//! What was learned comes back as it was written; that of another machine, or what is not quite
//! a table, is refused in one sentence.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod measured_tables;

use measured_tables::{DATE, full_table, measured};
use scx_toll::measure::learned::{HopRow, LearnedTable, RefillRow, VERSION};
use scx_toll::measure::machine::Machine;
use scx_toll::measure::store;
use scx_toll::measure::table::{Cell, Origin};
use scx_toll::topology::Topology;

fn table() -> LearnedTable {
    let topo = Topology::synthetic(2, 2, 2).unwrap();
    let row = |level: &str, base_ns, value| HopRow {
        level: level.into(),
        base_ns,
        ns: Cell { from: Origin::Learned, ..measured(value) },
    };
    let hop = vec![row("llc", 10_800, 6_200.5), row("node", 21_280, 80_000.0)];
    let factor = Cell { from: Origin::Learned, ..measured(0.75) };
    let refill = vec![RefillRow { level: "node".into(), base: 2.5, factor }];
    LearnedTable { version: VERSION, machine: full_table(&topo).machine, hop, refill }
}

fn refusal(text: &str, here: &Machine) -> String {
    let error = format!("{:#}", LearnedTable::parse(text, "l.toml", here).expect_err(text));
    assert!(error.starts_with("l.toml: ") && !error.contains('\n'), "{error}");
    assert!(error.len() < 600, "{error}");
    error
}

#[test]
fn it_comes_back_as_it_was_written_for_its_machine_only() {
    let table = table();
    let dir = tempfile::tempdir().unwrap();
    let path = store::learned_path(dir.path(), &table.machine);
    assert_eq!(store::read_learned(dir.path(), &table.machine).unwrap(), None);
    store::write(&path, &table.to_toml().unwrap()).unwrap();
    assert_eq!(store::read_learned(dir.path(), &table.machine).unwrap().as_ref(), Some(&table));
    assert_eq!(store::read(dir.path(), &table.machine).unwrap(), None, "no measured table");

    let mut other = table.machine.clone();
    other.llcs.pop();
    assert_eq!(store::read_learned(dir.path(), &other).unwrap(), None);
    std::fs::copy(&path, store::learned_path(dir.path(), &other)).unwrap();
    let error = store::read_learned(dir.path(), &other).unwrap_err().to_string();
    assert!(error.contains("learned on another machine (its LLCs are"), "{error}");
}

#[test]
fn what_is_malformed_is_refused_in_one_sentence() {
    let table = table();
    let (text, here) = (table.to_toml().unwrap(), table.machine);
    assert!(text.contains(&format!("date = \"{DATE}\"")), "{text}");
    for (from, to, words) in [
        ("version = 1", "version = 3", "version is 3, expected 1"),
        ("version = 1\n", "", "missing field `version`"),
        ("version = 1", "version = 1\nflavour = 3", "unknown field `flavour`"),
        ("[machine]", "[machine", "expected what was learned"),
        ("level = \"llc\"", "level = \"l3\"", "level is \"l3\", expected core, llc or node"),
        ("level = \"llc\"", "level = \"node\"", "hop node: there twice, expected once"),
        ("value = 6200.5", "value = nan", "hop llc: value is NaN"),
        ("value = 6200.5", "value = -1.0", "hop llc: value is -1"),
        ("spread = 0.125", "spread = inf", "hop llc: spread is inf"),
        ("from = \"learned\"", "from = \"measured\"", "hop llc: from is not learned"),
        ("base_ns = 10800", "base_ns = -1", "line "),
        ("base_ns = 10800", "base_ns = 2000000000000", "base_ns is 2000000000000, expected 0 to"),
        ("base_ns = 10800\n", "", "missing field `base_ns`"),
        ("base = 2.5", "base = -2.5", "refill node: base is -2.5, expected 0 to 1024"),
        ("base = 2.5", "base = nan", "refill node: base is NaN, expected 0 to 1024"),
        ("value = 0.75", "value = inf", "refill node: value is inf"),
        ("75 }\nlevel = \"node\"", "75 }\nlevel = \"n\"", "refill: level is \"n\""),
    ] {
        assert!(text.contains(from), "{from:?} is not in {text}");
        let sentence = refusal(&text.replacen(from, to, 1), &here);
        assert!(sentence.contains(words), "{from:?} -> {to:?}: {sentence}");
    }
    for text in ["\0", "= = =", "[[[["] {
        refusal(text, &here);
    }
}
