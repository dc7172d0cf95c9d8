// SPDX-License-Identifier: GPL-2.0-only
//! Every flag changes something, and here is what. `--migrate` and `--penalty`
//! have their test in `moves_follow_the_price`, `--exit-dump-len` in
//! `an_error_exit_gives_the_machine_back`, `--metrics` in `counters_agree_with_the_tracepoint`,
//! `--monitor`, `--once` and `--help-stats` in `tests/statistics_are_served.rs`; nonsense is tested
//! in `config`.

use crate::vm::Vm;

#[test]
fn each_flag_has_its_effect() {
    let Some(ran) = Vm::counted().run("flags.sh", &[]) else { return };
    let ran = ran.expect_ok();
    let turns = |name| {
        let report = ran.json(name, "report");
        report["counters"]["waits"].as_u64().expect("a count") as f64
    };
    let (short, long) = (turns("slice 2000"), turns("slice 40000"));
    assert!(short > 3.0 * long, "--slice-us: {short} turns against {long}");

    assert!((4.0..=6.0).contains(&ran.number("stats", "blocks")), "--stats: {}", ran.all());
    for words in ["llc3   node1", "between nodes", "refused: "] {
        assert!(ran.section("stats").contains(words), "{words}: {}", ran.section("stats"));
    }
    assert_eq!(ran.number("quiet", "blocks"), 0.0);
    assert_eq!(ran.number("quiet", "log"), 0.0);
    assert!(ran.number("verbose", "log") > 3.0, "--verbose: {}", ran.all());
    assert_eq!(ran.number("verbose", "libbpf"), 0.0);
    assert!(ran.number("very verbose", "libbpf") > 50.0, "-vv: {}", ran.all());
    assert_ne!(ran.number("libbpf", "status"), 0.0, "--btf-custom-path: {}", ran.all());
    let version = ran.section("version");
    assert_eq!(version.lines().filter(|l| l.starts_with("scx_toll 0.")).count(), 2, "{version}");
}
