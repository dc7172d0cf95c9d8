// SPDX-License-Identifier: GPL-2.0-only
//! Cores of two capacities, which QEMU cannot show and a made-up tree of sysfs can: the kernel's
//! own count of a task's moves stays still while its demand swings, and rises by one for a step (but for one that leaves for a moment and comes back); and
//! what was decided for the sake of classes replays without a difference.

use crate::vm::Vm;

/// Moves of one that leaves and comes back. In the wave alone the demand swings thirty times.
const EXCURSION: f64 = 2.0;

#[test]
fn a_fast_wave_moves_nobody_and_a_step_moves_once() {
    let machine = Vm::counted().with(&["--topology", "1x1x4"]);
    let Some(ran) = machine.run("classes.sh", &[]) else { return };
    let ran = ran.expect_ok();
    assert_eq!(ran.json("get", "policy")["llc_node"], serde_json::json!([0, 0]), "two classes");
    let moves = |at| ran.number("moves", at);
    let cpu = |at| ran.value("moves", &format!("{at}_cpu"));
    // A kernel thread of its CPU may drive it out for a moment: one way and back.
    let steps = |from, to| {
        let steps = moves(to) - moves(from);
        assert!(steps <= 1.0 + EXCURSION, "{steps} moves from {from} to {to}: {}", ran.all());
        steps % EXCURSION
    };
    assert_eq!(cpu("start"), "0", "a busy task is on a big core: {}", ran.all());
    assert_eq!((steps("start", "wave"), cpu("wave")), (0.0, "0"), "{}", ran.all());
    assert_eq!((steps("wave", "down"), cpu("down")), (1.0, "2"), "{}", ran.all());
    assert_eq!((steps("down", "still_down"), cpu("still_down")), (0.0, "2"), "{}", ran.all());
    assert_eq!((steps("still_down", "up"), cpu("up")), (1.0, "0"), "{}", ran.all());
    assert_eq!((steps("up", "still_up"), cpu("still_up")), (0.0, "0"), "{}", ran.all());
    eprintln!("{}", ran.section("replay"));
    assert_eq!(ran.value("replay", "status"), "0", "{}", ran.section("replay"));
    assert!(ran.number("replay", "against_class") > 0.0, "{}", ran.section("replay"));
}
