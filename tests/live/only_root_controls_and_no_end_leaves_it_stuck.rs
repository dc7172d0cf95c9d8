// SPDX-License-Identifier: GPL-2.0-only
//! The control socket belongs to root and to the instance that lives: nobody
//! else commands it, no client blocks it, and a dead one's is replaced.

use crate::vm::Vm;

#[test]
fn the_socket_obeys_root_only_and_outlives_nothing_but_a_kill() {
    let Some(ran) = Vm::real_time().with(&["--with", "setpriv"]).run("control_socket.sh", &[])
    else {
        return;
    };
    let ran = ran.expect_ok();
    let nobody = "scx_toll: no scx_toll is running (nobody listens at /run/scx_toll/control.sock)";
    let never = "migrate     never";
    for (name, status, words) in [
        ("nobody", "1", nobody),
        ("root", "0", "migrate  toll -> never"),
        ("bad", "2", "scx_toll: migrate=sometimes: expected toll, always, never or fixed:US"),
        ("missing", "2", "/nowhere.toml: No such file or directory"),
        ("user", "1", "scx_toll: only root may control scx_toll"),
        ("user, open", "1", "scx_toll: user 1000 may not control the scheduler, expected root"),
        ("second", "1", "is loaded"),
        ("undisturbed", "0", never),
        ("undisturbed", "0", "slice_us    20000"),
        ("undisturbed", "0", "policy version 2"),
        ("hanging", "0", "sent=20"),
        ("full", "0", "8 clients are connected"),
        ("after KILL", "1", nobody),
        ("replaced", "0", "slice_us  20000 -> 700"),
    ] {
        assert_eq!(ran.value(name, "status"), status, "{name}: {}", ran.all());
        assert!(ran.section(name).contains(words), "{name}: {words:?}: {}", ran.all());
        if status != "0" {
            assert_eq!(ran.value(name, "lines"), "1", "{name}, one sentence: {}", ran.all());
        }
    }
    assert_eq!(ran.value("modes", "dir"), "700 0");
    assert_eq!(ran.value("modes", "socket"), "600 0");
    assert!(ran.number("hanging", "slowest_ms") < 5000.0, "{}", ran.all());
    let view = ran.json("hotplug", "policy");
    assert_eq!(view["migrate"], "never", "a change survives a hotplug: {view}");
    assert_eq!(view["version"], 2, "and nothing was loaded anew: {view}");
    assert_eq!(ran.value("KILL", "left"), "yes", "{}", ran.all());
    assert_eq!(ran.value("end", "left"), "no", "{}", ran.all());
}
