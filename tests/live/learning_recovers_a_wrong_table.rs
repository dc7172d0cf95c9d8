// SPDX-License-Identifier: GPL-2.0-only
//! Whoever begins with prices that are four times too high or too low ends at what moves take. In
//! the VM moves take what a test injects: 40 µs to another LLC, 100 µs to another node. What was
//! learned survives a restart and a change of CPUs, `--learn off` leaves it as it is, and what was
//! learned on another machine is refused.

use crate::vm::{Ran, Vm, long};
use serde_json::Value;

/// Milliseconds between two looks, and extra time by level in µs.
const LEARN_TEST: &str = "100,0,40,100";
const TRUTH_US: [(usize, f64); 2] = [(1, 40.0), (2, 100.0)];

fn hop(view: &Value, level: usize) -> (f64, &str) {
    let hop = &view["levels"][level]["hop_us"];
    (hop["value"].as_f64().expect("a number"), hop["from"].as_str().expect("an origin"))
}

fn view(ran: &Ran, section: &str) -> Value {
    ran.json(section, "policy")
}

/// The prices after the run that began with `factor` times the truth.
fn learned(ran: &Ran, factor: f64) -> [f64; 2] {
    let llc_ns = format!("{}", 40_000.0 * factor);
    let before = view(ran, &format!("before {llc_ns}"));
    let after = view(ran, &format!("after {llc_ns}"));
    TRUTH_US.map(|(level, truth)| {
        assert_eq!(hop(&before, level), (truth * factor, "measured"), "{}", ran.all());
        let (now, from) = hop(&after, level);
        let about = &after["levels"][level]["learned"];
        eprintln!("level {level}: {} -> {now} us, injected {truth} us, {about}", truth * factor);
        assert_eq!(from, "learned", "{}", ran.all());
        assert!((0.75..1.35).contains(&(now / truth)), "{now} of {truth}: {}", ran.all());
        assert_eq!(about["base_us"].as_f64(), Some(truth * factor));
        assert!(about["samples"].as_u64().expect("a count") >= 64 * 5, "{about}");
        now
    })
}

#[test]
fn prices_four_times_too_high_or_too_low_end_at_what_moves_take() {
    let seconds = if long() { "4" } else { "1.5" };
    let args = [LEARN_TEST, seconds, "160000", "400000", "10000", "25000"];
    let Some(ran) = Vm::counted().run("learning.sh", &args) else { return };
    let ran = ran.expect_ok();
    let (high, low) = (learned(&ran, 4.0), learned(&ran, 0.25));
    for (high, low) in high.iter().zip(&low) {
        assert!((high / low - 1.0).abs() < 0.2, "{high} and {low} from the two ends");
    }

    let kept = view(&ran, "after 10000");
    for section in ["restarted", "frozen", "hotplug"] {
        let view = view(&ran, section);
        for (level, _) in TRUTH_US {
            assert_eq!(hop(&view, level), hop(&kept, level), "{section}: {}", ran.all());
        }
        assert_eq!(view["learn"], "off");
    }
    assert_eq!(view(&ran, "frozen")["version"], 1, "nothing was changed");
    assert_eq!(view(&ran, "hotplug")["version"], 1, "CPUs go and come in place");

    assert_eq!(hop(&view(&ran, "elsewhere"), 1), (10.0, "measured"));
    let refused = "learning begins anew: /tmp/state/learned-";
    let log = ran.section("elsewhere");
    let line = log.lines().find(|line| line.contains(refused)).expect("a sentence");
    assert!(line.contains("learned on another machine (its CPU is \"Another CPU\""), "{line}");
}
