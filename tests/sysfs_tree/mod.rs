// SPDX-License-Identifier: GPL-2.0-only
//! Made-up sysfs trees.
//!
//! `scx_utils` reads the root of sysfs once per process from the environment. So each test plants
//! a tree and runs itself again in a child process whose environment names the tree; only the
//! child reads it and looks at the result.

// Each test crate uses its part of it.
#![allow(dead_code)]

use anyhow::Result;
use scx_toll::topology::Topology;
use scx_toll::topology::sysfs::ROOT_VARIABLE;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set in the child, to the name of the test that it runs for.
pub const CHILD_VARIABLE: &str = "TOLL_TEST_TREE_OF";

/// Plant a tree, read it in a child process, and check there what came of it. `name` is the name
/// of the calling test.
pub fn with_tree(name: &str, plant: impl FnOnce(&Tree), check: impl FnOnce(Result<Topology>)) {
    if std::env::var_os(CHILD_VARIABLE).is_some() {
        let root = std::env::var_os(ROOT_VARIABLE).unwrap();
        check(Topology::from_sysfs(Some(Path::new(&root))));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    plant(&Tree { root: dir.path().into() });
    let child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD_VARIABLE, name)
        .env(ROOT_VARIABLE, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    let complained = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{said}\n{complained}");
    assert!(said.contains("1 passed"), "the child ran no test called {name}:\n{said}");
}

/// A made-up sysfs.
pub struct Tree {
    root: PathBuf,
}

/// Where a CPU is: core, package, and the CPUs that share its L2 and its L3 ("": no such cache).
pub struct Place<'a> {
    pub core: u32,
    pub package: u32,
    pub l2: &'a str,
    pub l3: &'a str,
}

impl Tree {
    /// One in the directory `root`.
    pub fn at(root: &Path) -> Tree {
        Tree { root: root.into() }
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.root.join("sys/devices/system").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }

    pub fn remove(&self, path: &str) {
        let path = self.root.join("sys/devices/system").join(path);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }

    pub fn cpu(&self, cpu: u32, place: &Place) {
        let Place { core, package, l2, l3 } = place;
        self.write(&format!("cpu/cpu{cpu}/topology/core_id"), &core.to_string());
        self.write(&format!("cpu/cpu{cpu}/topology/physical_package_id"), &package.to_string());
        self.write(&format!("cpu/cpu{cpu}/topology/cluster_id"), "-1");
        self.write(&format!("cpu/cpu{cpu}/cpu_capacity"), "1024");
        for (level, shared, size) in [(2, l2, "1024K"), (3, l3, "32768K")] {
            if shared.is_empty() {
                continue;
            }
            let dir = format!("cpu/cpu{cpu}/cache/index{level}");
            self.write(&format!("{dir}/shared_cpu_list"), shared);
            let first: String = shared.chars().take_while(char::is_ascii_digit).collect();
            self.write(&format!("{dir}/id"), &first);
            self.write(&format!("{dir}/size"), size);
        }
    }

    pub fn node(&self, node: u32, cpus: &[u32], distance: &str) {
        self.write(&format!("node/node{node}/distance"), distance);
        for cpu in cpus {
            self.write(&format!("node/node{node}/cpu{cpu}/link"), "");
        }
    }

    /// Two nodes of two LLCs of two CPUs, without SMT.
    pub fn plant_2x2x2(&self) {
        self.write("cpu/online", "0-7");
        for cpu in 0..8 {
            let l3 = ["0-1", "2-3", "4-5", "6-7"][cpu as usize / 2];
            self.cpu(cpu, &Place { core: cpu, package: cpu / 4, l2: &cpu.to_string(), l3 });
        }
        self.node(0, &[0, 1, 2, 3], "10 20");
        self.node(1, &[4, 5, 6, 7], "20 10");
    }

    /// One node of `cpus` CPUs, two to a core, with an L2 a core and no L3.
    pub fn plant_without_l3(&self, cpus: u32) {
        self.write("cpu/online", &format!("0-{}", cpus - 1));
        for cpu in 0..cpus {
            let core = cpu / 2;
            let l2 = format!("{}-{}", core * 2, core * 2 + 1);
            self.cpu(cpu, &Place { core, package: 0, l2: &l2, l3: "" });
        }
        self.node(0, &(0..cpus).collect::<Vec<_>>(), "10");
    }
}

/// What every topology promises, however odd the machine.
pub fn check_promises(topo: &Topology) {
    assert!(!topo.llcs.is_empty() && !topo.nodes.is_empty() && !topo.cpus.is_empty());
    assert!(topo.cpus.is_sorted_by(|a, b| a.id < b.id));
    for (index, llc) in topo.llcs.iter().enumerate() {
        assert_eq!(llc.id.index(), index);
        assert!(!llc.cpus.is_empty() && llc.cache_kib > 0);
        assert!(topo.nodes[llc.node.index()].llcs.contains(&llc.id));
        assert_eq!(topo.outward(llc.id).len(), topo.llcs.len() - 1);
    }
    for cpu in &topo.cpus {
        assert!(topo.llcs[cpu.llc.index()].cpus.contains(&cpu.id));
        assert_eq!(topo.llcs[cpu.llc.index()].node, cpu.node);
        assert!((1..=1024).contains(&cpu.capacity));
    }
    assert_eq!(topo.llcs.iter().map(|llc| llc.cpus.len()).sum::<usize>(), topo.cpus.len());
    for (index, node) in topo.nodes.iter().enumerate() {
        assert_eq!(node.id.index(), index);
        assert_eq!(node.distance.len(), topo.nodes.len());
    }
    let with_cpus = |node: &scx_toll::topology::Node| !node.llcs.is_empty();
    assert!(topo.nodes.is_sorted_by_key(|node| !with_cpus(node)), "memory-only nodes come last");
}
