// SPDX-License-Identifier: GPL-2.0-only
//! In an emulated machine there is nothing to measure: it is recognised, the defaults are kept,
//! and the scheduler, which asks for measured ones unless told otherwise, says so and takes them.

use crate::vm::Vm;

#[test]
fn an_emulated_machine_keeps_its_defaults() {
    let Some(ran) = Vm::counted().run("measure.sh", &[]) else { return };
    let ran = ran.expect_ok();
    assert_eq!(ran.value("measure", "status"), "0", "{}", ran.all());
    assert_eq!(ran.value("measure", "stored"), "0", "{}", ran.all());
    let table: serde_json::Value =
        serde_json::from_str(ran.section("table").trim()).expect("a table");
    let why = table["meaningless"].as_str().expect("a reason");
    assert!(why.contains("emulated"), "{why}");
    assert_eq!(table["machine"]["llcs"].as_array().map(Vec::len), Some(4));
    let cells = |name: &str| table[name].as_array().cloned().expect("rows");
    for row in cells("fixed") {
        assert_eq!(row["ns"]["from"], "default", "{row}");
    }
    for row in cells("handoff") {
        assert_eq!(row["handoff"]["from"], "default", "{row}");
    }
    let log = ran.section("schedule");
    assert!(log.contains("costs of moves: built in, because the CPU is emulated"), "{log}");
    assert!(log.contains("class llc: hop 10 µs (default)"), "{log}");
}
