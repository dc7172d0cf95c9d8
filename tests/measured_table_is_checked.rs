// SPDX-License-Identifier: GPL-2.0-only
//! A measured table comes back as it was written; one of another machine, or one that is not
//! quite a table, is refused in one sentence.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod measured_tables;

use measured_tables::full_table;
use proptest::prelude::*;
use scx_toll::measure::machine::Machine;
use scx_toll::measure::store;
use scx_toll::measure::table::Table;
use scx_toll::topology::Topology;

fn topo() -> Topology {
    Topology::synthetic(2, 2, 2).unwrap()
}

fn valid() -> (String, Machine) {
    let table = full_table(&topo());
    (table.to_toml().unwrap(), table.machine)
}

/// The sentence with which `text` is refused.
fn refusal(text: &str, here: &Machine) -> String {
    let error = format!("{:#}", Table::parse(text, "t.toml", here).expect_err(text));
    assert!(error.starts_with("t.toml: ") && !error.contains('\n'), "{error}");
    assert!(error.len() < 600, "{} bytes: {error}", error.len());
    error
}

#[test]
fn a_table_comes_back_as_it_was_written() {
    let table = full_table(&topo());
    let text = table.to_toml().unwrap();
    assert_eq!(Table::parse(&text, "t.toml", &table.machine).unwrap(), table);
    let json = serde_json::to_string(&table).unwrap();
    assert_eq!(serde_json::from_str::<Table>(&json).unwrap(), table);
    assert!(table.cells().iter().all(|(_, cell)| cell.known().is_some()));
}

#[test]
fn a_stored_table_is_found_for_its_machine_only_and_no_half_of_one_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("not/there/yet");
    let table = full_table(&topo());
    let path = store::path(&dir, &table.machine);
    assert_eq!(store::read(&dir, &table.machine).unwrap(), None);
    store::write(&path, "half a ta").unwrap();
    assert!(store::read(&dir, &table.machine).is_err());
    store::write(&path, &table.to_toml().unwrap()).unwrap();
    assert_eq!(store::read(&dir, &table.machine).unwrap().as_ref(), Some(&table));
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1, "no temporary file is left");

    let mut other = table.machine.clone();
    other.microcode = "0xffff".into();
    assert_eq!(store::read(&dir, &other).unwrap(), None);
    std::fs::copy(&path, store::path(&dir, &other)).unwrap();
    let error = store::read(&dir, &other).unwrap_err().to_string();
    assert!(error.contains("another machine") && error.contains("0xffff"), "{error}");
}

#[test]
fn a_device_is_written_to_and_a_full_one_is_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    // By a link in our own folder: were it replaced, nothing else would be harmed.
    let link = dir.path().join("full");
    std::os::unix::fs::symlink("/dev/full", &link).unwrap();
    let error = store::write(&link, "text").unwrap_err().to_string();
    assert!(error.contains("No space left on device") && !error.contains('\n'), "{error}");
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_directory_that_cannot_be_written_is_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [file.join("t.toml"), "/proc/scx_toll/t.toml".into(), dir.path().to_path_buf()] {
        let error = store::write(&path, "text").unwrap_err().to_string();
        assert!(error.starts_with("cannot store the table in /"), "{error}");
        assert!(!error.contains('\n'));
    }
}

#[test]
fn the_table_of_another_machine_is_refused_naming_what_differs() {
    let (text, here) = valid();
    let mut model = here.clone();
    model.model = "Another CPU".into();
    assert!(refusal(&text, &model).contains("its CPU is"), "{}", refusal(&text, &model));
    let mut shape = here.clone();
    shape.llcs.pop();
    assert!(refusal(&text, &shape).contains("its LLCs are"));
    let mut microcode = here;
    microcode.microcode = "0x1".into();
    let sentence = refusal(&text, &microcode);
    assert!(sentence.contains("another machine (its microcode is"), "{sentence}");
}

#[test]
fn every_malformed_table_is_refused_in_one_sentence() {
    let (text, here) = valid();
    for (from, to, words) in [
        ("version = 1", "version = 2", "version is 2, expected 1"),
        ("version = 1", "version = -1", "line "),
        ("version = 1\n", "", "missing field `version`"),
        ("version = 1", "version = 1\nversion = 1", "duplicate key"),
        ("version = 1", "version = 1\nflavour = 3", "unknown field `flavour`"),
        ("[machine]", "[machine", "line "),
        ("[machine]", "[machines]", "unknown field"),
        ("value = 20.0", "value = -20.0", "value is -20, expected 0 to"),
        ("value = 20.0", "value = nan", "value is NaN, expected 0 to"),
        ("value = 20.0", "value = inf", "value is inf, expected 0 to"),
        ("value = 20.0", "value = 1e10", "value is 10000000000, expected 0 to"),
        ("value = 20.0", "value = \"20\"", "invalid type"),
        (", value = 20.0", "", "missing field `value`"),
        ("from = \"measured\"", "from = \"guessed\"", "unknown variant `guessed`"),
        ("samples = 100", "samples = -1", "line "),
        ("samples = 100", "samples = 99999999999999999999", "line "),
        ("spread = 0.125", "spread = nan", "spread is NaN"),
        ("spread = 0.125", "spread = -0.5", "spread is -0.5"),
        ("distance = \"core\"", "distance = \"galaxy\"", "unknown variant `galaxy`"),
        ("distance = \"sibling\"", "distance = \"core\"", "there twice, expected once"),
        ("kib = 16\n", "kib = 0\n", "kib is 0, expected 1 to"),
        ("memory = 1\n", "memory = 7\n", "expected nodes below 2"),
        ("confidence = 0.0", "confidence = 2.0", "confidence is 2"),
        ("resembles = \"unknown\"", "resembles = \"voodoo\"", "unknown variant"),
        ("date = \"2026-01-31", "date = \"\\u0007", "is not one line"),
        ("notes = []", "notes = [1]", "invalid type"),
    ] {
        assert!(text.contains(from), "{from:?} is in no table");
        let sentence = refusal(&text.replacen(from, to, 1), &here);
        assert!(sentence.contains(words), "{from:?} -> {to:?}: {sentence}");
    }
    let deep = format!("notes = {}", "[".repeat(100_000));
    for text in ["", "\0", "= = =", "[[[[", deep.as_str()] {
        refusal(text, &here);
    }
}

proptest! {
    #[test]
    fn random_text_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let text = String::from_utf8_lossy(&bytes);
        prop_assert!(Table::parse(&text, "t.toml", &valid().1).is_err());
    }

    #[test]
    fn a_damaged_table_is_read_or_refused_without_a_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..4, any::<u8>()), 1..6)
    ) {
        let (text, here) = valid();
        let mut bytes = text.into_bytes();
        for (at, what, byte) in edits {
            let at = at.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => { bytes.remove(at); }
                _ => { bytes.drain(at..bytes.len().min(at + usize::from(byte))); }
            }
            if bytes.is_empty() { break; }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match Table::parse(&text, "t.toml", &here) {
            Ok(table) => for (name, cell) in table.cells() {
                prop_assert!(cell.value.is_finite() && cell.value >= 0.0, "{name}: {cell:?}");
            },
            Err(error) => prop_assert!(!format!("{error:#}").contains('\n'), "{error:#}"),
        }
    }
}
