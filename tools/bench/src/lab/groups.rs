// SPDX-License-Identifier: GPL-2.0-only
//! `groups`: two cgroups with weights 1 to 2, the lighter with twice as many tasks. Does each get
//! its share, and how much gets done?
//!
//! Shares are judged by the kernel's own accounting, `usage_usec` of `cpu.stat`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use crate::lab::Setting;
use crate::lab::figures::{Figure, Found};
use crate::lab::hog;
use crate::lab::ideal::shares;
use crate::lab::staff::{Staff, Stage};
use crate::lab::worker::{Ground, Worker};

const ROOT: &str = "/sys/fs/cgroup";
/// (weight, tasks per CPU) of the groups.
const GROUPS: [(u64, usize); 2] = [(100, 2), (200, 1)];
const STREAM_SETS: u64 = 2;

/// A cgroup that is removed when dropped.
struct Group {
    dir: PathBuf,
}

impl Group {
    fn new(name: &str, weight: u64) -> Result<Group> {
        let root = Path::new(ROOT);
        write(&root.join("cgroup.subtree_control"), "+cpu")?;
        let dir = root.join(name);
        fs::create_dir(&dir).with_context(|| format!("{} cannot be made", dir.display()))?;
        let group = Group { dir };
        write(&group.dir.join("cpu.weight"), &weight.to_string())?;
        Ok(group)
    }

    /// Move the calling process here.
    fn enter(&self) -> Result<()> {
        write(&self.dir.join("cgroup.procs"), "0")
    }

    fn usage_us(&self) -> Result<u64> {
        let path = self.dir.join("cpu.stat");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let value = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
        value
            .and_then(|value| value.parse().ok())
            .ok_or_else(|| anyhow!("{} has no usage_usec", path.display()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its tasks are gone by now; should one be left, the machine is thrown away anyway.
        let _ = fs::remove_dir(&self.dir);
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("{text} cannot be written to {}", path.display()))
}

/// Run the scenario.
///
/// # Errors
/// When there is no cpu controller, and when a task fails.
pub fn run(ground: Ground, setting: &Setting) -> Result<Found> {
    let cpus = ground.topology.cpus().len();
    let plan = GROUPS.map(|(weight, per_cpu)| (weight, per_cpu * cpus));
    let tasks = plan.iter().map(|(_, tasks)| tasks).sum();
    let groups = plan
        .iter()
        .enumerate()
        .map(|(i, (weight, _))| Group::new(&format!("lab{i}"), *weight))
        .collect::<Result<Vec<Group>>>()?;
    let stage = Stage::new(ground, tasks, 0)?;
    let mut staff = Staff::new(&stage);
    let mut sets = setting.rng(STREAM_SETS);
    for (group, (_, tasks)) in groups.iter().zip(plan) {
        for _ in 0..tasks {
            let footprint = setting.draw_footprint(&mut sets);
            staff.hire(
                "grp",
                footprint,
                || group.enter(),
                |worker: &mut Worker| {
                    worker.work_while(u64::MAX, || stage.goes_on());
                    Ok(())
                },
            )?;
        }
    }
    let usage = || groups.iter().map(Group::usage_us).collect::<Result<Vec<u64>>>();
    let from_ns = staff.release(setting.span_ns)?;
    let before = usage()?;
    let until_ns = staff.dismiss()?;
    let used: Vec<u64> =
        usage()?.iter().zip(before).map(|(after, before)| after - before).collect();
    let sum: u64 = used.iter().sum();
    let fair = shares(&plan, cpus);
    let off = used.iter().zip(&fair).map(|(&used, fair)| {
        let share = used as f64 / sum.max(1) as f64 * cpus as f64;
        100.0 * (share / fair - 1.0).abs()
    });
    let worst = off.fold(0.0, f64::max);
    Ok(Found {
        scenario: "groups".into(),
        figures: vec![
            Figure::lower("share_off", worst, "pct"),
            hog::useful(&stage, 0..tasks, cpus, setting.span_ns),
        ],
        paid: stage.paid(),
        from_ns,
        until_ns,
    })
}
