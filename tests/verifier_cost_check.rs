// SPDX-License-Identifier: GPL-2.0-only
//! `tools/veristat` passes what has hardly grown and refuses what has, shown on made-up figures.
//! The real ones are in `tests/live/verifying_stays_cheap.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

const TABLE: &str = "# a comment\n7.3 toll_enqueue 1000 100\n7.3 toll_tick 50 4\n";

/// Status and output of a comparison of `figures` with [`TABLE`].
fn compare(figures: &str) -> (i32, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/veristat"))
        .arg("--table")
        .arg(file("table", TABLE))
        .arg("--figures")
        .arg(file("figures", figures))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), said.into_owned())
}

#[test]
fn a_fifth_more_passes_and_anything_beyond_is_refused_by_name() {
    let (status, said) = compare("7.3 toll_enqueue 1200 120\n7.3 toll_tick 10 1\n");
    assert_eq!(status, 0, "{said}");
    for (figures, sentence) in [
        ("7.3 toll_enqueue 1201 100", "7.3 toll_enqueue: instructions grew from 1000 to 1201"),
        ("7.3 toll_enqueue 1000 121", "7.3 toll_enqueue: states grew from 100 to 121, +21 %"),
        ("7.3 toll_new 1 1", "7.3 toll_new: is not in the table"),
        ("6.16 toll_tick 50 4", "6.16 toll_tick: is not in the table"),
        ("", "there are no figures"),
    ] {
        let (status, said) = compare(&format!("{figures}\n"));
        assert_eq!(status, 1, "{figures}: {said}");
        assert!(said.contains(sentence), "{figures}: {said}");
        assert!(said.contains("tools/veristat --update"), "{figures}: {said}");
    }
}
