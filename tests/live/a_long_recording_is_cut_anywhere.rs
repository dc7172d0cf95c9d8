// SPDX-License-Identifier: GPL-2.0-only
//! Ten minutes of everything under load, cut at random bytes: what a part tells is what the whole
//! tells first, as far as its last whole block, and it says what is missing; and every decision
//! replays without a difference. Only in the long run.

use crate::vm::{Ran, Vm, long};

/// Random cuts.
const CUTS: usize = 5;
/// Most bytes of a block, with its head: what is lost of what was written before the cut.
const BLOCK_MAX: f64 = 66.0 * 1024.0;

fn is_what_came_first(ran: &Ran, cut: &str) {
    let (at, told) = (ran.number(cut, "at"), ran.number(cut, "bytes"));
    let (size, all) = (ran.number("size", "bytes"), ran.number("whole", "bytes"));
    assert_eq!(ran.value(cut, "first"), "1", "{cut} tells something else than the whole");
    assert!(at < size && told < all, "{cut} is none");
    assert_eq!(ran.value(cut, "replay"), "0", "{cut} replays with a difference");
    let said = ran.section(cut);
    assert!(said.contains("the recording was cut: it ends after"), "{said}");
    let missing = said.split(" bytes are in no whole block").next();
    let missing = missing.and_then(|text| text.split_whitespace().next_back()).expect("bytes");
    let missing: f64 = missing.parse().expect("a number of bytes");
    eprintln!("cut at {at} of {size}: {told} bytes of {all} told, {missing} in no whole block");
    assert!(missing < BLOCK_MAX);
}

#[test]
fn ten_minutes_replay_to_the_last_whole_block() {
    if !long() {
        eprintln!("skipped: only in the long run");
        return;
    }
    let machine = Vm::real_time().with(&["--topology", "2x2x1", "--memory", "3072"]);
    let machine = machine.with(&["--seconds", "5400"]);
    let ran = machine.run("long_recording.sh", &["600", &CUTS.to_string()]);
    let Some(ran) = ran else { return };
    let ran = ran.expect_ok();
    eprintln!("{}{}", ran.section("recorded"), ran.section("whole"));
    let whole = ran.section("whole");
    assert!(!whole.contains("cut"), "nothing of the whole is missing");
    assert!(whole.contains(" outcomes: each follows from its own numbers"), "{whole}");
    for cut in 0..CUTS {
        is_what_came_first(&ran, &format!("cut {cut}"));
    }
}
