// SPDX-License-Identifier: GPL-2.0-only
//! Whoever begins with refill factors that are four times too high or too low ends at what moves
//! cost. In the VM, which counts no cycles, a load pays a known time for each move and makes page
//! faults in the place of instructions. What was learned survives a restart, `--learn off` leaves
//! it as it is, and without counters factors stay as they are, which is said once.

use crate::vm::{Ran, Vm, long};
use serde_json::Value;

/// What the table says of each level, and the time that its factor 1.0 stands for: 16 MiB of cache
/// at 12 ns per KiB.
const BASE: [(usize, f64); 2] = [(1, 1.0), (2, 2.0)];
const LOAD_US: f64 = 16_384.0 * 0.012;

fn refill(view: &Value, level: usize) -> (f64, &str) {
    let refill = &view["levels"][level]["refill"];
    (refill["value"].as_f64().expect("a number"), refill["from"].as_str().expect("an origin"))
}

fn view(ran: &Ran, section: &str) -> Value {
    ran.json(section, "policy")
}

/// The cost of a move, in whole µs, whose factor is `truth` times what the table says of a level.
fn cost_us(base: f64, truth: f64) -> String {
    format!("{:.0}", base * truth * LOAD_US)
}

/// Check the factors after the run in which they were `truth` times what the table said.
fn learned(ran: &Ran, truth: f64) {
    let llc_us = cost_us(BASE[0].1, truth);
    let before = view(ran, &format!("before {llc_us}"));
    let after = view(ran, &format!("after {llc_us}"));
    for (level, base) in BASE {
        assert_eq!(refill(&before, level), (base, "measured"), "{}", ran.all());
        let (now, from) = refill(&after, level);
        let about = &after["levels"][level]["refill_learned"];
        eprintln!("level {level}: {base} -> {now}, truth {}, {about}", base * truth);
        assert_eq!(from, "learned", "{}", ran.all());
        let ratio = now / (base * truth);
        assert!((0.7..1.4).contains(&ratio), "{now} of {}: {}", base * truth, ran.all());
        assert_eq!(about["base"].as_f64(), Some(base));
        assert!(about["samples"].as_u64().expect("a count") >= 64 * 4, "{about}");
    }
}

#[test]
fn refills_four_times_too_high_or_too_low_end_at_what_moves_cost() {
    let seconds = if long() { "2" } else { "0.8" };
    let costs = [0.25, 4.0].map(|truth| BASE.map(|(_, base)| cost_us(base, truth)));
    let args: Vec<&str> =
        std::iter::once(seconds).chain(costs.iter().flatten().map(String::as_str)).collect();
    let vm = Vm::counted().with(&["--topology", "2x4x1"]);
    let Some(ran) = vm.run("refills.sh", &args) else { return };
    let ran = ran.expect_ok();
    for truth in [0.25, 4.0] {
        learned(&ran, truth);
    }

    let kept = view(&ran, &format!("after {}", costs[1][0]));
    for section in ["restarted", "frozen", "without counters"] {
        let view = view(&ran, section);
        for (level, _) in BASE {
            assert_eq!(refill(&view, level), refill(&kept, level), "{section}: {}", ran.all());
        }
    }
    let log = ran.section("without counters");
    let said = log.lines().filter(|line| line.contains("no CPU counts cycles here")).count();
    assert_eq!(said, 1, "{log}");
}
