// SPDX-License-Identifier: GPL-2.0-only
//! A task that has settled on another node gets its memory, or goes where it is; nothing that is
//! held where it is moves. By `numa_maps` and the kernel's count of migrated pages; what is in the
//! pages is checked by the program that owns them.

use crate::vm::{Ran, Vm};
use serde_json::Value;

const MIB_PAGES: f64 = 256.0;
/// Bytes per second that a node may send or take, and what may be saved up.
const BUDGET: f64 = 104_857_600.0;

fn machine() -> Vm {
    Vm::counted().with(&["--topology", "2x1x2"])
}

/// The records of decisions about memory.
fn records(ran: &Ran) -> Vec<Value> {
    ran.section("report")
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|value| value["what"] == "memory")
        .collect()
}

/// Bytes that the records say were moved.
fn moved(records: &[Value]) -> f64 {
    records.iter().filter_map(|record| record["moved_bytes"].as_f64()).sum()
}

fn intact(ran: &Ran, section: &str, name: &str) {
    assert_eq!(ran.number(section, &format!("{name}_wrong")), 0.0, "{}", ran.all());
    assert!(ran.number(section, &format!("{name}_passes")) >= 1.0, "{}", ran.all());
    assert!(!ran.section(section).contains("failed="), "{}", ran.all());
}

#[test]
fn a_busy_one_brings_its_memory_within_the_budget() {
    let Some(ran) = machine().run("follow.sh", &["on", "bring:8"]) else { return };
    let ran = ran.expect_ok();
    intact(&ran, "bring", "bring");
    let (away, here) = (ran.number("bring", "bring_node0"), ran.number("bring", "bring_node1"));
    assert!(here >= 0.95 * (here + away) && here > 190.0 * MIB_PAGES, "{}", ran.all());
    let records = records(&ran);
    // The scheduler and the shell are judged too.
    let brought = records.iter().max_by_key(|record| record["moved_bytes"].as_u64());
    let brought = brought.filter(|record| record["choice"] == "bring");
    let brought = brought.unwrap_or_else(|| panic!("no record: {}", ran.all()));
    assert_eq!((&brought["from"], &brought["to"]), (&0.into(), &1.into()), "{brought}");
    let number = |key: &str| brought[key].as_f64().unwrap_or_default();
    assert!(number("bring_saves_ns") > 2.0 * number("bring_costs_ns"), "{brought}");
    assert!(number("stayed_ns") >= 1e9, "before the hold time: {brought}");
    assert!(number("verified") >= 0.95, "{brought}");
    // The kernel counts what it moved for others too: a little, the pages of a shell.
    let (said, counted) = (moved(&records) / 4096.0, ran.number("bring", "migrated"));
    assert!((said - counted).abs() < 0.02 * counted, "{said} and {counted}: {}", ran.all());
    assert!(number("moving_ns") > 0.95e9 * number("moved_bytes") / BUDGET - 5e7, "{brought}");
}

#[test]
fn a_light_one_goes_home_and_what_is_held_stays() {
    let cases = match crate::vm::long() {
        true => ["home:8", "swing:60", "kept:20", "cpuset:10"],
        false => ["home:6", "swing:6", "kept:4", "cpuset:4"],
    };
    let Some(ran) = machine().run("follow.sh", &[&["on"][..], &cases[..]].concat()) else {
        return;
    };
    let ran = ran.expect_ok();
    let records = records(&ran);
    assert_eq!(moved(&records), 0.0, "{}", ran.all());
    for (section, name, pages) in [
        ("home", "home", 400.0),
        ("swing", "swing", 100.0),
        ("kept", "mlock", 20.0),
        ("kept", "mbind", 20.0),
        ("kept", "shared", 20.0),
        ("kept", "forked", 20.0),
        ("cpuset", "cpuset", 20.0),
    ] {
        intact(&ran, section, name);
        let here = ran.number(section, &format!("{name}_node0"));
        assert!(here >= pages * MIB_PAGES, "{name}: {}", ran.all());
    }
    for section in ["home", "swing", "kept", "cpuset"] {
        let migrated = ran.number(section, "migrated");
        assert!(migrated < 64.0, "{section}: {migrated} pages: {}", ran.all());
    }
    let home = records.iter().find(|record| record["choice"] == "go_home");
    let home = home.unwrap_or_else(|| panic!("nobody went home: {}", ran.all()));
    let number = |key: &str| home[key].as_f64().unwrap_or_default();
    assert!(number("home_saves_ns") > 2.0 * number("home_costs_ns"), "{home}");
    assert!(number("bring_saves_ns") < 2.0 * number("bring_costs_ns"), "{home}");
    // It went once, and stayed: the scheduler's own count of tasks pushed between nodes.
    let homeward = records.iter().filter(|record| record["choice"] == "go_home").count();
    assert_eq!(homeward, 1, "{}", ran.all());
    let refused = |why: &str| records.iter().any(|record| record["refused"] == why);
    for why in ["mempolicy", "locked", "cpuset"] {
        assert!(refused(why), "no refusal for {why}: {}", ran.all());
    }
}

#[test]
fn advice_moves_nothing() {
    let Some(ran) = machine().run("follow.sh", &["advise", "bring:4"]) else { return };
    let ran = ran.expect_ok();
    let records = records(&ran);
    let advice = records.iter().find(|record| record["choice"] == "bring");
    assert!(advice.is_some_and(|record| record["advice"] == true), "{}", ran.all());
    assert!(ran.number("bring", "bring_node0") >= 200.0 * MIB_PAGES, "{}", ran.all());
    assert!(ran.number("bring", "migrated") < 64.0, "{}", ran.all());
}
