// SPDX-License-Identifier: GPL-2.0-only
//! However the control plane ends, the machine goes on with every task running.

use crate::vm::Vm;

#[test]
fn every_end_leaves_the_machine_on_its_default_scheduler_with_all_tasks_running() {
    let Some(ran) = Vm::real_time().run("control_plane.sh", &[]) else { return };
    let ran = ran.expect_ok();
    for (signal, status) in [("INT", "0"), ("TERM", "0"), ("KILL", "137")] {
        assert_eq!(ran.value(signal, "status"), status, "{signal}: {}", ran.all());
        assert_eq!(ran.value(signal, "state"), "disabled", "{signal}");
        assert_eq!(ran.value(signal, "alive"), "0", "{signal}: a task stopped: {}", ran.all());
    }
    for signal in ["INT", "TERM"] {
        let report = ran.section(signal);
        assert!(report.contains("scx_toll: report"), "{report}");
        assert!(report.contains("asked - answered = 0"), "{report}");
        assert!(report.contains("left in queues: 0 tasks, 0 ns"), "{report}");
    }

    assert_eq!(ran.value("second", "status"), "1");
    assert_eq!(ran.value("second", "lines"), "1", "one sentence: {}", ran.section("second"));
    let first = ran.value("second", "first");
    assert!(first.starts_with("toll_"), "{first}");
    assert!(ran.section("second").contains(&format!("is loaded ({first})")), "{}", ran.all());
    assert_eq!(ran.value("second", "still"), first, "the first is undisturbed");

    assert_eq!(ran.value("hotplug", "after_0"), "enabled", "{}", ran.all());
    assert_eq!(ran.value("hotplug", "after_1"), "enabled", "{}", ran.all());
    assert_eq!(ran.value("hotplug", "alive"), "0", "{}", ran.all());
    assert_eq!(ran.value("hotplug", "reports"), "1", "it was not started anew: {}", ran.all());
}
