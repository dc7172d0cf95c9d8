// SPDX-License-Identifier: GPL-2.0-only
//! A machine that cannot run the scheduler is told so in one sentence, and
//! nothing is left half attached.

use crate::vm::Vm;

#[test]
fn malformed_kernel_btf_is_named_instead_of_a_verifier_error() {
    let Some(ran) = Vm::real_time().with(&["--kernel", "7.1"]).run("refuse.sh", &[]) else {
        return;
    };
    let ran = ran.expect_ok();
    assert_eq!(ran.value("refuse", "status"), "3", "{}", ran.all());
    assert_eq!(ran.value("refuse", "lines"), "1", "{}", ran.all());
    assert_eq!(ran.value("refuse", "state"), "disabled");
    assert!(ran.section("refuse").contains("malformed prototypes"), "{}", ran.all());
}
