// SPDX-License-Identifier: GPL-2.0-only
//! A machine of two sockets and eight LLCs that exists only as a tree of sysfs, with a table that
//! was recorded for it: the scheduler runs on that shape, takes that table, and every entry of the
//! matrix that BPF reads, read back by bpftool, is the model's.

use crate::measured_tables::{full_table, measured};
use crate::the_policy_map_equals_the_model::compare_policy;
use crate::vm::Vm;
use scx_toll::measure::plan::Distance;
use scx_toll::model::{PenaltyMatrix, from_measured};
use scx_toll::topology::Topology;
use serde_json::Value;

#[test]
fn the_map_holds_what_the_model_makes_of_the_table() {
    let topo = Topology::synthetic(2, 4, 2).unwrap();
    let mut table = full_table(&topo);
    // Each pair of LLCs at its own price, as on a machine whose links differ.
    for row in table.pair.iter_mut().filter(|row| row.distance > Distance::Core) {
        let (a, b) = (f64::from(row.from / 2), f64::from(row.to / 2));
        row.modified = measured(100.0 + 10.0 * a + b + 200.0 * f64::from(row.to / 8));
    }
    let model = PenaltyMatrix::new(&from_measured(&table, &topo), &topo);
    let mut hops: Vec<_> = model.hop.iter().flatten().collect();
    hops.sort_unstable();
    hops.dedup();
    assert!(hops.len() > 20, "the pairs differ: {hops:?}");

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("table");
    std::fs::write(&path, table.to_toml().unwrap()).unwrap();
    let add = format!("{}:/root/tables/recorded", path.display());
    let options = ["--topology", "1x1x16", "--with", "bpftool", "--add", &add];
    let machine = Vm::counted().with(&options);
    let Some(ran) = machine.run("made_up_machine.sh", &["/root/tables/recorded"]) else { return };
    let ran = ran.expect_ok();
    assert_eq!(ran.section("real").trim(), "/sys/devices/system/node/node0\n0-15");
    let log = ran.section("log");
    assert!(log.contains(&format!("costs of moves: as measured on {}", table.date)), "{log}");
    let line = ran.section("map").lines().next().expect("a line");
    let entry: Value = serde_json::from_str(line).expect("JSON");
    compare_policy(&entry["formatted"]["value"], &model);
    let view = ran.json("get", "policy");
    assert_eq!(view["penalty"], "measure");
    assert_eq!(view["llc_node"], serde_json::json!([0, 0, 0, 0, 1, 1, 1, 1]));
}
