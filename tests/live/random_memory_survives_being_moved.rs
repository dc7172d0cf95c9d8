// SPDX-License-Identifier: GPL-2.0-only
//! Random processes whose memory follows them: no content changes, no allocation fails, nobody is
//! lost, and every page that the kernel moved is one that we say we moved.

use crate::vm::{Ran, Vm};
use std::collections::BTreeMap;

const PAGE: f64 = 4096.0;
/// Pages of one batch.
const BATCH: f64 = 512.0;
/// `MR_SYSCALL` of the kernel's `enum migrate_reason`: `move_pages(2)` and its like.
const BY_SYSTEM_CALL: u64 = 3;

/// Pages that the kernel's tracepoint says were moved, by reason.
fn moved_by_reason(ran: &Ran) -> BTreeMap<u64, f64> {
    let mut moved = BTreeMap::new();
    for line in ran.section("reasons").lines().filter(|line| line.starts_with("{ reason:")) {
        let numbers: Vec<u64> = line
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect();
        let [reason, _hits, succeeded, _failed] = numbers[..] else {
            panic!("not a line of the histogram: {line}")
        };
        *moved.entry(reason).or_insert(0.0) += succeeded as f64;
    }
    moved
}

#[test]
fn and_the_kernel_counts_the_pages_that_we_count() {
    let (seconds, limit) = if crate::vm::long() { ("1800", "3000") } else { ("4", "600") };
    let machine = Vm::real_time().with(&["--topology", "2x1x2", "--seconds", limit]);
    let Some(ran) = machine.run("follow_soak.sh", &[seconds, "9"]) else { return };
    let ran = ran.expect_ok();

    let processes = ran.section("processes");
    let of = |key: &str| processes.lines().filter(|line| line.starts_with(key)).count();
    assert!(of("began=") >= 8 && of("ended=") == of("began="), "{}", ran.all());
    assert!(!ran.out.contains("slot="), "{}", ran.all());

    let records: Vec<serde_json::Value> = ran
        .section("report")
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|value: &serde_json::Value| value["what"] == "memory")
        .collect();
    let ours: f64 = records.iter().filter_map(|record| record["moved_bytes"].as_f64()).sum();
    let ours = ours / PAGE;
    let counter = |key: &str| ran.number("counters", key);
    let kernels = counter("pgmigrate_success");
    let reasons = moved_by_reason(&ran);
    assert_eq!(reasons.values().sum::<f64>(), kernels, "{reasons:?}: {}", ran.all());
    assert!(
        reasons.iter().all(|(reason, pages)| *reason == BY_SYSTEM_CALL || *pages == 0.0),
        "moved for another reason: {reasons:?}"
    );
    for others in ["numa_pages_migrated", "compact_isolated", "compact_stall", "oom_kill"] {
        assert_eq!(counter(others), 0.0, "{others}: {}", ran.all());
    }
    // What was moved just before its process ended cannot be looked up any more, a batch each.
    let gone = records.iter().filter(|record| record["refused"] == "gone").count() as f64;
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for record in &records {
        let refused = record["refused"].as_str().unwrap_or("done");
        let choice = record["choice"].as_str().unwrap_or("?");
        *ends.entry(format!("{choice} {refused}")).or_insert(0) += 1;
    }
    eprintln!(
        "{} processes; {ours} pages by us, {kernels} by the kernel, {} failed; records: {ends:?}",
        of("began="),
        counter("pgmigrate_fail"),
    );
    // As long as it runs: a mover that no longer comes would be noticed.
    let least = if crate::vm::long() { 100_000.0 } else { 1.0 };
    assert!(ours >= least, "too little was moved: {}", ran.all());
    assert!(
        ours <= kernels && kernels <= ours + gone * BATCH,
        "{ours} of {kernels}: {}",
        ran.all()
    );
    assert_eq!(ran.section("kernel").trim(), "", "{}", ran.all());
}
