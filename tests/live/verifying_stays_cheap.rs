// SPDX-License-Identifier: GPL-2.0-only
//! What the verifier has to do for each program stays within a fifth of the
//! committed table, `tools/veristat.table`; the long run tries every kernel.

use std::path::Path;
use std::process::Command;

#[test]
fn no_program_costs_the_verifier_a_fifth_more_than_the_table_says() {
    if std::env::var_os("TOLL_NO_VM").is_some() && std::env::var_os("CI").is_none() {
        eprintln!("skipped: TOLL_NO_VM is set, no virtual machine is booted");
        return;
    }
    let kernels: &[&str] =
        if crate::vm::long() { &["6.16", "6.18", "6.19", "7.3"] } else { &["6.16", "7.3"] };
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/veristat"))
        .args(kernels)
        .output()
        .expect("tools/veristat can be started");
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{out}\n{err}");
    eprintln!("{out}");
}
