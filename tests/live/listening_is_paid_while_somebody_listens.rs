// SPDX-License-Identifier: GPL-2.0-only
//! What decisions cost, in instructions of all callbacks: with nobody listening, with a listener
//! for one decision in a hundred, with one for all; and when it has gone, no more than before it
//! came.

use crate::vm::{Ran, Vm};
use toll_bench::callbacks::{Callback, callbacks, ns_per_switch};

/// Exchanges of `perf bench sched pipe` in `overhead.sh`.
const EXCHANGES: f64 = 4000.0;

/// Instructions: all callbacks together, and how often the kernel switched meanwhile.
struct Cost {
    callbacks: Vec<Callback>,
    switches: u64,
}

impl Cost {
    fn of(ran: &Ran, name: &str) -> Cost {
        let shown = |when: &str| ran.section(&format!("{name} {when}"));
        let switches = |when: &str| ran.number(&format!("{name} {when} switches"), "ctxt") as u64;
        Cost {
            callbacks: callbacks(shown("before"), shown("after")).expect("statistics"),
            switches: switches("after") - switches("before"),
        }
    }

    fn per_switch(&self) -> f64 {
        ns_per_switch(&self.callbacks, self.switches).expect("switches")
    }

    /// What the runs of `before` would cost at the cost of a run here, by what they cost there.
    fn index(&self, before: &Cost) -> f64 {
        let (mut here, mut there) = (0.0, 0.0);
        for callback in &before.callbacks {
            let now = self.callbacks.iter().find(|now| now.name == callback.name && now.runs > 100);
            if let Some(each) = now.and_then(|now| now.ns_per_run()) {
                here += callback.runs as f64 * each;
                there += callback.total_ns as f64;
            }
        }
        here / there
    }

    fn per_exchange(&self) -> f64 {
        let all: u64 = self.callbacks.iter().map(|callback| callback.total_ns).sum();
        all as f64 / EXCHANGES
    }
}

#[test]
fn nobody_pays_for_a_listener_that_has_gone() {
    let machine = Vm::counted().with(&["--with", "perf", "--with", "bpftool"]);
    let modes = [("nobody", "-"), ("1 %", "--kind all --rate 0.01"), ("all", "--kind all")];
    let mut args = vec!["0.3"];
    for (name, mode) in modes.iter().chain([&("nobody again", "-")]) {
        args.extend([*mode, *name]);
    }
    let Some(ran) = machine.run("overhead.sh", &args) else { return };
    let ran = ran.expect_ok();
    let cost = |load: &str, name: &str| Cost::of(&ran, &format!("{load} {name}"));
    for name in ["nobody", "1 %", "all", "nobody again"] {
        let (pipe, lab) = (cost("pipe", name), cost("lab", name));
        eprintln!(
            "{name}: {:.0} per exchange and {:.0} per switch of a pipe, {:.0} per switch of the \
             lab's mixed",
            pipe.per_exchange(),
            pipe.per_switch(),
            lab.per_switch()
        );
        eprintln!("    {:.3} of nobody's by callback", pipe.index(&cost("pipe", "nobody")));
        for callback in &pipe.callbacks {
            if let (Some(each), true) = (callback.ns_per_run(), callback.runs > 100) {
                eprintln!("    {} {} × {each:.0}", callback.name, callback.runs);
            }
        }
    }
    // The pair settles on one CPU or on two, where it idles and dispatches at every turn; so what is
    // compared is a run of each callback, and how often each runs is taken from the first mode.
    let pipe = |name| cost("pipe", name).index(&cost("pipe", "nobody"));
    let lab = |name| cost("lab", name).per_switch() / cost("lab", "nobody").per_switch();
    for (name, most) in [("1 %", 1.3), ("nobody again", 1.15)] {
        let ratios = (pipe(name), lab(name));
        assert!(ratios.0 < most && ratios.1 < most, "{name} costs {ratios:?} of what nobody does");
    }
    let ratio = lab("all");
    assert!(ratio > 1.5, "to record everything costs nothing? {ratio}");
}
