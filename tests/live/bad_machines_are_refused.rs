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

/// The kernel itself says no more than "invalid argument" to whoever attaches.
#[test]
fn isolated_cpus_of_the_command_line_are_named() {
    let machine = Vm::counted().with(&["--cmdline", "isolcpus=domain,3"]);
    let Some(ran) = machine.run("refuse.sh", &[]) else { return };
    let ran = ran.expect_ok();
    assert_eq!(ran.value("refuse", "status"), "3", "{}", ran.all());
    assert_eq!(ran.value("refuse", "lines"), "1", "{}", ran.all());
    assert!(ran.section("refuse").contains("isolcpus= "), "{}", ran.all());
}
