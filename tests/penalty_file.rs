// SPDX-License-Identifier: GPL-2.0-only
//! The penalty file: what it may say, and the one sentence for everything else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use scx_toll::model::file::{self, FILE_BYTES_MAX};
use scx_toll::model::penalty::{PenaltyTable, Provenance};
use scx_toll::topology::{Level, Topology};
use scx_toll::units::{LlcId, Ns, PerMille, Q10};
use std::path::Path;

fn parse(text: &str) -> anyhow::Result<PenaltyTable> {
    file::parse(text, "p.toml", &Topology::synthetic(2, 2, 2).unwrap())
}

/// The sentence that `text` is refused with.
fn sentence(text: &str) -> String {
    let error = format!("{:#}", parse(text).expect_err(text));
    assert!(!error.contains('\n'), "one line: {error}");
    error
}

#[test]
fn an_empty_file_changes_nothing() {
    assert_eq!(parse("").unwrap(), PenaltyTable::default());
    assert_eq!(
        parse("# nothing\n[class]\n[memory]\n[warmth]\n[rule]\n").unwrap(),
        parse("").unwrap()
    );
}

/// The example of the module's page, with other numbers than the defaults.
#[test]
fn every_key_is_read() {
    let table = parse(
        "[class.core]\nhop_us = 3\nrefill = 0.5\n\
         [class.llc]\nhop_us = 10.5\nrefill = 2\n\
         [class.node]\nhop_us = 60_000_000\nrefill = 1024.0\n\
         [memory]\nremote_pct = 12.5\n\
         [warmth]\nfill_pct = 50\nns_per_kib = 170\nwear_ms = 1.5\n\
         [rule]\nothers_pay = 4\n\
         [[pair]]\nfrom = 0\nto = 1\nhop_us = 30\n\
         [[pair]]\nfrom = 2\nto = 3\nhop_us = 5\n\
         [[pair]]\nfrom = 3\nto = 2\nhop_us = 50\n",
    )
    .unwrap();
    let hop = |level| table.class(level).hop.value;
    let refill = |level| table.class(level).refill.value.as_f64();
    assert_eq!(Level::ALL.map(refill), [0.5, 2.0, 1024.0]);
    assert_eq!(hop(Level::Core), Ns::from_us(3));
    assert_eq!(hop(Level::Llc), Ns::new(10_500));
    assert_eq!(hop(Level::Node), Ns::from_ms(60_000));
    assert_eq!(table.remote_all.unwrap().value, PerMille::new(125));
    assert_eq!(table.warmth.fill_share.value, Q10::from_raw(512));
    assert_eq!(table.warmth.ns_per_kib.value, 170);
    assert_eq!(table.warmth.wear.unwrap().value, Ns::from_us(1_500));
    assert_eq!(table.others_pay.value, Q10::from_raw(4096));
    let pair = |from, to| table.pairs[&(LlcId(from), LlcId(to))].value;
    assert_eq!((pair(0, 1), pair(1, 0)), (Ns::from_us(30), Ns::from_us(30)));
    assert_eq!((pair(2, 3), pair(3, 2)), (Ns::from_us(5), Ns::from_us(50)));
}

#[test]
fn what_the_file_does_not_say_keeps_its_default() {
    let table = parse("[class.llc]\nhop_us = 12\n").unwrap();
    let class = table.class(Level::Llc);
    assert_eq!((class.hop.value, class.hop.from), (Ns::from_us(12), Provenance::Given));
    assert_eq!(class.refill, PenaltyTable::default().class(Level::Llc).refill);
    assert_eq!(class.refill.from, Provenance::Default);
    assert_eq!(table.class(Level::Node), PenaltyTable::default().class(Level::Node));
}

#[test]
fn numbers_out_of_range_are_refused() {
    let hop = "expected microseconds from 0 to 60000000";
    let cases = [
        ("nan", "NaN"),
        ("inf", "inf"),
        ("-inf", "-inf"),
        ("-0.5", "-0.5"),
        ("-3", "-3"),
        ("60_000_001", "60000001"),
        ("\"ten\"", "\"ten\""),
        ("true", "true"),
        ("[1, 2]", "an array"),
        ("{ a = 1 }", "a table"),
        ("1979-05-27", "1979-05-27"),
    ];
    for (value, shown) in cases {
        assert_eq!(
            sentence(&format!("[class.llc]\nhop_us = {value}\n")),
            format!("p.toml: class.llc.hop_us is {shown}, {hop}")
        );
    }
    for (text, expected) in [
        (
            "[class.core]\nrefill = 1025",
            "class.core.refill is 1025, expected a factor from 0 to 1024",
        ),
        (
            "[memory]\nremote_pct = -1",
            "memory.remote_pct is -1, expected per cent from 0 to 100000",
        ),
        ("[warmth]\nfill_pct = 101", "warmth.fill_pct is 101, expected per cent from 0 to 100"),
        (
            "[warmth]\nns_per_kib = 1e7",
            "warmth.ns_per_kib is 10000000.0, expected nanoseconds from 0 to 1000000",
        ),
        ("[warmth]\nwear_ms = 0", "warmth.wear_ms is 0, expected milliseconds from 0.001 to 60000"),
        (
            "[warmth]\nwear_ms = 60001",
            "warmth.wear_ms is 60001, expected milliseconds from 0.001 to 60000",
        ),
        ("[rule]\nothers_pay = 0.9", "rule.others_pay is 0.9, expected a factor from 1 to 1024"),
        ("[[pair]]\nfrom=0\nto=1\nhop_us=-1", &format!("pair number 1, hop_us is -1, {hop}")),
    ] {
        assert_eq!(sentence(text), format!("p.toml: {expected}"));
    }
}

#[test]
fn keys_that_are_not_known_are_refused() {
    for (text, expected) in [
        ("clas = 1", "clas is no known key, expected class, memory, warmth, rule or pair"),
        ("[class.l3]", "class.l3 is no known key, expected core, llc or node"),
        ("[class.llc]\nhop_ms = 1", "class.llc.hop_ms is no known key, expected hop_us or refill"),
        ("[memory]\nremote = 1", "memory.remote is no known key, expected remote_pct"),
        (
            "[warmth]\nhalf_ms = 1",
            "warmth.half_ms is no known key, expected fill_pct, ns_per_kib or wear_ms",
        ),
        ("[rule]\nprice = 3", "rule.price is no known key, expected others_pay"),
        (
            "[[pair]]\nfrom=0\nto=1\nhop_us=1\nrefill=2",
            "pair number 1, refill is no known key, expected from, to or hop_us",
        ),
    ] {
        assert_eq!(sentence(text), format!("p.toml: {expected}"));
    }
}

#[test]
fn pairs_that_make_no_sense_are_refused() {
    let pair = |from, to, us| format!("[[pair]]\nfrom = {from}\nto = {to}\nhop_us = {us}\n");
    for (text, expected) in [
        (pair(0, 4, 1), "pair number 1, to is 4, expected the number of an LLC, 0 to 3"),
        (pair(-1, 0, 1), "pair number 1, from is -1, expected the number of an LLC, 0 to 3"),
        (pair(1, 1, 1), "pair number 1, to is 1, expected another LLC than from"),
        (
            pair(0, 1, 1) + &pair(0, 1, 2),
            "pair number 2 is LLC 0 -> LLC 1 again, expected each direction at most once",
        ),
        (
            pair(0, 1, 101) + &pair(1, 0, 10),
            "hop_us of pair LLC 0 -> LLC 1 is 101 µs and back it is 10 µs, expected at most 10 \
             times as much",
        ),
        (
            pair(1, 0, 1) + &pair(0, 1, 0),
            "hop_us of pair LLC 1 -> LLC 0 is 1 µs and back it is 0 ns, expected at most 10 \
             times as much",
        ),
        (
            "[[pair]]\nfrom = 0\nto = 1\n".to_string(),
            "pair number 1, hop_us is missing, expected from, to and hop_us",
        ),
        (
            "[[pair]]\nto = 1\nhop_us = 1\n".to_string(),
            "pair number 1, from is missing, expected from, to and hop_us",
        ),
        (
            "[[pair]]\nfrom = 0.0\nto = 1\nhop_us = 1\n".to_string(),
            "pair number 1, from is 0.0, expected the number of an LLC, 0 to 3",
        ),
        ("pair = 3".to_string(), "pair is 3, expected tables that begin with [[pair]]"),
        ("pair = [3]".to_string(), "pair number 1 is 3, expected a table"),
    ] {
        assert_eq!(sentence(&text), format!("p.toml: {expected}"));
    }
    assert!(parse(&(pair(0, 1, 100) + &pair(1, 0, 10))).is_ok(), "ten times as much is allowed");
}

#[test]
fn sections_of_another_type_are_refused() {
    assert_eq!(sentence("class = 3"), "p.toml: class is 3, expected a table");
    assert_eq!(sentence("class.llc = 10"), "p.toml: class.llc is 10, expected a table");
    assert_eq!(sentence("[[warmth]]"), "p.toml: warmth is an array, expected a table");
}

#[test]
fn bad_toml_is_refused_with_its_line() {
    let error = sentence("[class.llc]\nhop_us = \n");
    assert!(error.starts_with("p.toml: line 2: "), "{error}");
    assert!(error.ends_with(", expected TOML"), "{error}");
    let error = sentence("[rule]\nothers_pay = 2\nothers_pay = 3\n");
    assert!(error.starts_with("p.toml: line 3: ") && error.contains("duplicate key"), "{error}");
}

#[test]
fn long_or_many_lined_values_do_not_spoil_the_sentence() {
    let error = sentence(&format!("[rule]\nothers_pay = \"\"\"\n{}\n\"\"\"", "x".repeat(10_000)));
    assert!(error.len() < 200, "{error}");
}

#[test]
fn files_that_cannot_be_used_are_refused_by_name() {
    let topo = Topology::synthetic(1, 2, 1).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let read = |path: &Path| format!("{:#}", file::read(path, &topo).unwrap_err());
    let path = dir.path().join("penalty.toml");
    let name = path.display();

    assert!(read(&path).starts_with(&format!("cannot read {name}: No such file")));
    assert!(read(dir.path()).starts_with(&format!("cannot read {}: ", dir.path().display())));

    std::fs::write(&path, vec![b'#'; FILE_BYTES_MAX + 1]).unwrap();
    assert_eq!(read(&path), format!("{name}: larger than 1048576 bytes, expected a penalty file"));

    std::fs::write(&path, b"# ok\n\xff\n").unwrap();
    assert_eq!(read(&path), format!("{name}: byte 5 is no UTF-8, expected text"));

    std::fs::write(&path, "[[pair]]\nfrom = 0\nto = 2\nhop_us = 1\n").unwrap();
    assert!(read(&path).starts_with(&format!("{name}: pair number 1, to is 2, expected")));

    let mut largest = b"[class.llc]\nhop_us = 7\n".to_vec();
    largest.resize(FILE_BYTES_MAX, b'#');
    std::fs::write(&path, largest).unwrap();
    assert_eq!(file::read(&path, &topo).unwrap().class(Level::Llc).hop.value, Ns::from_us(7));
}

proptest! {
    /// Nothing that a file may contain makes the reader panic or answer in several lines.
    #[test]
    fn any_text_gives_a_table_or_a_sentence(text in "[a-z0-9\\[\\]._=\"'#\\-\n ]{0,80}") {
        if let Err(error) = parse(&text) {
            prop_assert!(!error.to_string().contains('\n'), "{}", error);
            prop_assert!(error.to_string().starts_with("p.toml: "), "{}", error);
        }
    }

    #[test]
    fn any_number_gives_a_table_or_a_sentence(number in any::<f64>()) {
        for key in ["class.node.hop_us", "class.core.refill", "memory.remote_pct",
                    "warmth.fill_pct", "warmth.ns_per_kib", "warmth.wear_ms", "rule.others_pay"] {
            let text = format!("{key} = {number:?}").replace("NaN", "nan");
            if let Err(error) = parse(&text) {
                prop_assert!(error.to_string().starts_with(&format!("p.toml: {key} is ")), "{}", error);
            }
        }
    }
}
