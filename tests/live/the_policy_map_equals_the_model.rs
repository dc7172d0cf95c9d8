// SPDX-License-Identifier: GPL-2.0-only
//! What BPF reads is what the model says: on a machine of two sockets with
//! eight LLCs every entry of the map is compared, read back by bpftool.

use crate::vm::{Ran, Vm};
use scx_toll::model::{PenaltyMatrix, file};
use scx_toll::topology::{Level, Topology};
use scx_toll::units::LlcId;
use serde_json::Value;
use std::fmt::Write;

/// A table as somebody could have recorded it: each pair its own price.
fn recorded(scale: u32) -> String {
    let mut text = format!(
        "[class.llc]\nhop_us = 12.5\nrefill = 1.25\n[class.node]\nhop_us = 40\nrefill = 2\n\
         [memory]\nremote_pct = 30\n[rule]\nothers_pay = {scale}\n"
    );
    for from in 0..8 {
        for to in 0..8 {
            // Two pairs keep the price of their class.
            if from != to && ![(0, 1), (1, 0), (2, 6), (6, 2)].contains(&(from, to)) {
                let hop = scale * (100 + 10 * from + to);
                let _ = write!(text, "[[pair]]\nfrom = {from}\nto = {to}\nhop_us = {hop}.5\n");
            }
        }
    }
    text
}

fn numbers(row: &Value) -> Vec<u64> {
    row.as_array().expect("a row").iter().map(|n| n.as_u64().expect("a number")).collect()
}

/// Compare `policy`, as bpftool prints it, with `model`, for a machine of eight LLCs.
pub fn compare_policy(policy: &Value, model: &PenaltyMatrix) {
    for from in 0..128 {
        let row = numbers(&policy["hop_ns"][from as usize]);
        for to in 0..128 {
            let hop = match from < 8 && to < 8 {
                true => model.hop(LlcId(from), LlcId(to)).get(),
                false => 0,
            };
            assert_eq!(row[to as usize], hop, "hop {from} -> {to}");
        }
    }
    for (memory, row) in model.remote.iter().enumerate() {
        let rates: Vec<u64> = row.iter().map(|rate| u64::from(rate.get())).collect();
        assert_eq!(numbers(&policy["remote_pm"][memory])[..2], rates);
    }
    for level in Level::ALL {
        let refill = numbers(&policy["refill_q10"])[level.index()];
        assert_eq!(refill, u64::from(model.refill[level.index()].raw()));
    }
    assert_eq!(policy["price_q10"], model.price.raw());
}

/// Compare the half `half` of the map with the model of `text`.
fn compare(ran: &Ran, half: u64, text: &str) {
    let topo = Topology::synthetic(2, 4, 2).unwrap();
    let model = PenaltyMatrix::new(&file::parse(text, "p.toml", &topo).unwrap(), &topo);
    let line = ran.section(&format!("map {half}")).lines().next().expect("a line");
    let entry: Value = serde_json::from_str(line).expect("JSON");
    let policy = &entry["formatted"]["value"];
    assert_eq!(policy["version"], if half == 1 { 1 } else { 2 });
    compare_policy(policy, &model);

    let view = ran.json(&format!("get {half}"), "policy");
    for (row, shown) in model.hop.iter().zip(view["hop_us"].as_array().expect("rows")) {
        let row: Vec<f64> = row.iter().map(|hop| hop.as_us()).collect();
        assert_eq!(shown, &Value::from(row));
    }
}

#[test]
fn every_entry_of_the_matrix_is_the_models() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (recorded(1), recorded(3));
    let mut options = vec!["--topology".into(), "2x4x2".into(), "--with".into(), "bpftool".into()];
    for (name, text) in [("first", &first), ("second", &second)] {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        options.extend(["--add".into(), format!("{}:/root/tables/{name}", path.display())]);
    }
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let files = ["/root/tables/first", "/root/tables/second"];
    let Some(ran) = Vm::real_time().with(&options).run("policy_map.sh", &files) else { return };
    let ran = ran.expect_ok();
    compare(&ran, 1, &first);
    compare(&ran, 0, &second);
    assert_eq!(ran.json("get 0", "policy")["penalty"], files[1], "made absolute by the client");
}
