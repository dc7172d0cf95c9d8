// SPDX-License-Identifier: GPL-2.0-only
//! A task runs only where it may, whenever its mask changed; weight decides the
//! shares of tasks that compete, and nothing else is held against anybody.

use crate::vm::Vm;

#[test]
fn masks_may_change_while_asleep_and_weights_give_shares_without_starving() {
    let Some(ran) = Vm::counted().with(&["--with", "nice"]).run("affinity_and_weights.sh", &[])
    else {
        return;
    };
    let ran = ran.expect_ok();
    assert_eq!(ran.value("masks", "masks"), "30");
    assert_eq!(ran.value("sleeper", "woke"), "20");
    // The kernel's weights of nice 0 and nice 5 are 1024 and 335.
    let ratio = ran.number("shares", "heavy") / ran.number("shares", "light");
    assert!((2.6..3.6).contains(&ratio), "shares of 3.06:1 are {ratio}:1: {}", ran.all());
}
