// SPDX-License-Identifier: GPL-2.0-only
//! The BPF half loads and schedules on the oldest and on the newest kernel that
//! it is meant for. `tools/kernels` tries those in between too.

use std::path::Path;
use std::process::Command;

#[test]
fn both_ends_of_the_range_run_it() {
    if crate::vm::skipped() {
        return;
    }
    let kernels: &[&str] =
        if crate::vm::long() { &["6.16", "6.18", "6.19", "7.3"] } else { &["6.16", "7.3"] };
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/kernels"))
        .args(kernels)
        .output()
        .expect("tools/kernels can be started");
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{out}\n{err}");
    for kernel in kernels {
        let line = out.lines().find(|line| line.starts_with(kernel));
        assert!(line.is_some_and(|line| line.contains(" ok")), "{kernel}: {out}\n{err}");
    }
}
