// SPDX-License-Identifier: GPL-2.0-only
//! A policy that is replaced under load, as fast as that goes: no decision sees
//! a mixture of two, no change is lost, and the last one is what decides.

use crate::vm::{Moves, Ran, Vm, long};

/// Looks at the policy that were checked, and those that saw a mixture.
fn checked(ran: &Ran) -> (u64, u64) {
    let report = ran.json("report", "report");
    let count = |name: &str| report["counters"][name].as_u64().expect("a count");
    (count("policy_checked"), count("policy_mixed"))
}

#[test]
fn no_flip_is_torn_or_missed_and_never_ends_the_moves() {
    let pairs = if long() { 500 } else { 100 };
    let machine = Vm::real_time().with(&["--seconds", "300"]);
    let Some(ran) = machine.run("policy_changes.sh", &["whole", &pairs.to_string()]) else {
        return;
    };
    let ran = ran.expect_ok();
    let (looks, mixed) = checked(&ran);
    eprintln!(
        "{} changes in {} ms, the slowest answer after {} ms; {looks} looks at the policy, {mixed} mixed",
        ran.value("flips", "changed"),
        ran.value("flips", "elapsed_ms"),
        ran.value("flips", "slowest_ms"),
    );
    assert_eq!(ran.number("flips", "changed"), f64::from(2 * pairs), "{}", ran.all());
    let view = ran.json("get", "policy");
    assert_eq!(view["version"], 1 + 2 * pairs, "none is missed: {view}");
    assert_eq!(
        (&view["slice_us"], &view["levels"][2]["hold_us"]),
        (&1000.0.into(), &4000.0.into())
    );
    assert!(looks > 50 * pairs as u64, "only {looks} looks: {}", ran.all());
    assert_eq!(mixed, 0, "{}", ran.all());

    let away = |name| Moves::from_hist(ran.section(name)).away();
    let counts = ["toll", "always", "never"].map(|name| (name, away(name)));
    eprintln!("moves between LLCs in 2 s: {counts:?}");
    assert!(away("always") > 20, "{}", ran.all());
    assert_eq!(away("never"), 0, "{}", ran.all());
    assert!(ran.section("set").contains("migrate  always -> never"), "{}", ran.all());
    let view = ran.json("get never", "policy");
    assert_eq!((&view["migrate"], &view["slice_us"]), (&"never".into(), &3000.0.into()));
    assert!(ran.section("get never").contains("migrate     never"), "{}", ran.all());
}

/// The check of the test above must be able to fail: without the double buffer
/// it does.
#[test]
fn without_the_double_buffer_mixtures_are_seen() {
    let Some(ran) = Vm::real_time().run("policy_changes.sh", &["torn", "100"]) else { return };
    let ran = ran.expect_ok();
    let (looks, mixed) = checked(&ran);
    eprintln!("without the double buffer: {looks} looks at the policy, {mixed} mixed");
    assert!(mixed > 10, "{mixed} of {looks}: {}", ran.all());
}

/// With nohz_full the kernel refuses the first way to wait for readers.
#[test]
fn a_kernel_with_nohz_full_changes_its_policy_too() {
    let machine = Vm::real_time().with(&["--cmdline", "nohz_full=7"]);
    let Some(ran) = machine.run("policy_changes.sh", &["whole", "20"]) else { return };
    let ran = ran.expect_ok();
    assert_eq!(ran.value("kernel", "nohz_full"), "7");
    let (looks, mixed) = checked(&ran);
    eprintln!("nohz_full: {} ms; {looks} looks, {mixed} mixed", ran.value("flips", "elapsed_ms"));
    assert_eq!(ran.json("get", "policy")["version"], 41, "{}", ran.all());
    assert_eq!(mixed, 0, "{}", ran.all());
}
