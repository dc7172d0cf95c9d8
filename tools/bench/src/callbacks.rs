// SPDX-License-Identifier: GPL-2.0-only
//! What the callbacks of a sched_ext scheduler cost, from the kernel's statistics of BPF programs.
//!
//! In the guest: `echo 1 > /proc/sys/kernel/bpf_stats_enabled`, then `bpftool -j prog show` when the
//! scheduler runs, and again at the end of the load. Under counted time a nanosecond is an
//! instruction, but of the whole machine: while a callback runs, other virtual CPUs may get a turn, so
//! compare busy machines only with each other.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// What bpftool calls the programs that a sched_ext scheduler consists of.
const CALLBACK_KIND: &str = "struct_ops";

/// One callback between two looks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// The name of the BPF program, of which some kernels keep 15 bytes only.
    pub name: String,
    /// How often it ran.
    pub runs: u64,
    /// How long it ran in all, in ns.
    pub total_ns: u64,
}

impl Callback {
    /// How long it ran each time, in ns; `None` if it never ran.
    pub fn ns_per_run(&self) -> Option<f64> {
        (self.runs > 0).then(|| self.total_ns as f64 / self.runs as f64)
    }
}

/// How long all callbacks together ran for each of `switches` context switches, in ns; `None` if there
/// was no switch.
pub fn ns_per_switch(callbacks: &[Callback], switches: u64) -> Option<f64> {
    let total_ns: u64 = callbacks.iter().map(|callback| callback.total_ns).sum();
    (switches > 0).then(|| total_ns as f64 / switches as f64)
}

/// A program as bpftool shows it. Kernels leave out what is 0.
#[derive(Debug, Deserialize)]
struct Program {
    id: u64,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    run_cnt: u64,
    #[serde(default)]
    run_time_ns: u64,
}

/// The callbacks between two outputs of `bpftool -j prog show`, the dearest first. A program that was
/// not there before counts from 0. One that is gone is an error: the scheduler was thrown out or
/// started anew, and what it cost is lost.
pub fn callbacks(before: &str, after: &str) -> Result<Vec<Callback>> {
    let before = programs(before).context("the first output of bpftool")?;
    let after = programs(after).context("the second output of bpftool")?;
    if let Some(gone) = before.values().find(|program| !after.contains_key(&program.id)) {
        bail!("the callback {} is gone: the scheduler that it belonged to has ended", gone.name);
    }
    let mut callbacks = Vec::new();
    for (id, program) in after {
        let (runs, ns) = before.get(&id).map_or((0, 0), |was| (was.run_cnt, was.run_time_ns));
        let grown = |now: u64, was: u64| {
            let name = &program.name;
            now.checked_sub(was).with_context(|| format!("the statistics of {name} shrank"))
        };
        let (runs, total_ns) = (grown(program.run_cnt, runs)?, grown(program.run_time_ns, ns)?);
        callbacks.push(Callback { name: program.name, runs, total_ns });
    }
    let key = |callback: &Callback| (u64::MAX - callback.total_ns, callback.name.clone());
    callbacks.sort_by_key(key);
    Ok(callbacks)
}

/// The callbacks that bpftool shows, by their id.
fn programs(json: &str) -> Result<HashMap<u64, Program>> {
    let programs: Vec<Program> = serde_json::from_str(json.trim())
        .context("expected the JSON list that `bpftool -j prog show` prints")?;
    let callbacks = programs.into_iter().filter(|program| program.kind == CALLBACK_KIND);
    Ok(callbacks.map(|program| (program.id, program)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"[{"id":3,"type":"struct_ops","name":"toll_enqueue","run_time_ns":900,
        "run_cnt":9,"uid":0},{"id":5,"type":"syscall","name":"x","run_cnt":4},
        {"id":4,"type":"struct_ops","name":"toll_dispatch","gpl_compatible":true}]"#;
    const AFTER: &str = r#"[{"id":3,"type":"struct_ops","name":"toll_enqueue","run_time_ns":1900,
        "run_cnt":14},{"id":4,"type":"struct_ops","name":"toll_dispatch","run_time_ns":3000,
        "run_cnt":10},{"id":8,"type":"struct_ops","name":"toll_init","run_time_ns":7,"run_cnt":1},
        {"id":9,"type":"tracing","name":"y","run_cnt":4}]"#;

    #[test]
    fn callbacks_are_what_came_between() {
        let found = callbacks(BEFORE, AFTER).expect("callbacks");
        let rows: Vec<_> = found.iter().map(|c| (c.name.as_str(), c.runs, c.total_ns)).collect();
        assert_eq!(
            rows,
            [("toll_dispatch", 10, 3000), ("toll_enqueue", 5, 1000), ("toll_init", 1, 7)]
        );
        assert_eq!(found[0].ns_per_run(), Some(300.0));
        assert_eq!(ns_per_switch(&found, 8), Some(4007.0 / 8.0));
        assert_eq!(ns_per_switch(&found, 0), None);
        assert_eq!(callbacks(BEFORE, BEFORE).expect("same")[0].ns_per_run(), None);
    }

    #[test]
    fn a_scheduler_that_ended_and_a_broken_output_are_errors() {
        let error = callbacks(AFTER, BEFORE).expect_err("toll_init has gone");
        assert!(error.to_string().contains("toll_init"), "{error}");
        let error = callbacks("bpftool: not found", AFTER).expect_err("no JSON");
        assert!(format!("{error:#}").contains("first output"), "{error:#}");
        let later = AFTER.replace("1900", "800");
        assert!(callbacks(BEFORE, &later).expect_err("shrank").to_string().contains("shrank"));
    }
}
