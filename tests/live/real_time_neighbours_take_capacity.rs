// SPDX-License-Identifier: GPL-2.0-only
//! A CPU that a real-time hog has is no longer counted on: what waits there goes elsewhere, and
//! the others wait no longer for it. Throttling of real-time tasks is off in the VM.

use crate::vm::Vm;

/// The age bound of the policy, in µs.
const AGE_US: f64 = 500_000.0;

#[test]
fn nobody_waits_behind_a_fifo_hog_that_can_go_elsewhere() {
    let seconds = if crate::vm::long() { "10" } else { "2" };
    let options = ["--with", "chrt", "--with", "taskset"];
    let Some(ran) = Vm::counted().with(&options).run("neighbours.sh", &[seconds]) else {
        return;
    };
    let ran = ran.expect_ok();
    let before = ran.number("none", "late_p99_us");
    for section in ["one", "llc"] {
        let late = ran.number(section, "late_p99_us");
        eprintln!("p99 of the sleeper, µs: {before} before, {late} with {section} taken");
        assert!(late <= 2.0 * before, "{}", ran.all());
        assert!(ran.number(section, "late_max_us") < AGE_US, "{}", ran.all());
    }
    // What cannot leave lives on what the kernel's deadline server leaves it, 5 %.
    assert!(ran.number("one", "pinned_ms") > 50.0, "{}", ran.all());
    // The hogs have seven eighths and then six eighths of the machine.
    let hogs = |section| ran.number(section, "hogs_ms") / ran.number("none", "hogs_ms");
    assert!(hogs("one") > 0.82, "{}", ran.all());
    assert!(hogs("llc") > 0.70, "{}", ran.all());
}
