// SPDX-License-Identifier: GPL-2.0-only
//! Cores of two capacities, which QEMU cannot show and a made-up tree of sysfs can: the kernel's
//! own count of a task's moves stays still while its demand swings, and rises by one for a step; and
//! what was decided for the sake of classes replays without a difference.

use crate::vm::Vm;

#[test]
fn a_fast_wave_moves_nobody_and_a_step_moves_once() {
    let machine = Vm::counted().with(&["--topology", "1x1x4"]);
    let Some(ran) = machine.run("classes.sh", &[]) else { return };
    let ran = ran.expect_ok();
    assert_eq!(ran.json("get", "policy")["llc_node"], serde_json::json!([0, 0]), "two classes");
    let moves = |at| ran.number("moves", at);
    let cpu = |at| ran.value("moves", &format!("{at}_cpu"));
    assert_eq!(cpu("start"), "0", "a busy task is on a big core: {}", ran.all());
    assert_eq!(moves("wave"), moves("start"), "{}", ran.all());
    assert_eq!((moves("down"), cpu("down")), (moves("wave") + 1.0, "2"), "{}", ran.all());
    assert_eq!(moves("still_down"), moves("down"), "{}", ran.all());
    assert_eq!((moves("up"), cpu("up")), (moves("down") + 1.0, "0"), "{}", ran.all());
    assert_eq!(moves("still_up"), moves("up"), "{}", ran.all());
    eprintln!("{}", ran.section("replay"));
    assert_eq!(ran.value("replay", "status"), "0", "{}", ran.section("replay"));
    assert!(ran.number("replay", "against_class") > 0.0, "{}", ran.section("replay"));
}
