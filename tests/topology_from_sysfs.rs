// SPDX-License-Identifier: GPL-2.0-only
//! Machines as sysfs describes them, ordinary, odd and broken.
//!
//! The trees are made up; see [`sysfs_tree`].

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scx_toll::topology::sysfs::ROOT_VARIABLE;
use scx_toll::topology::{FALLBACK_KIB_PER_CPU, Level, Topology};
use scx_toll::units::{CpuId, LlcId, NodeId};
use std::path::Path;
use std::process::Command;
use sysfs_tree::{CHILD_VARIABLE, Place, Tree, check_promises, with_tree};

mod sysfs_tree;

/// As [`with_tree`] for a tree that must be refused with a sentence that contains all `words`.
fn refused(name: &str, plant: impl FnOnce(&Tree), words: &[&str]) {
    with_tree(name, plant, |read| {
        let error = format!("{:#}", read.expect_err("a refusal"));
        assert!(!error.contains('\n'), "one line: {error}");
        for word in words {
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
    });
}

fn cpus_of(topo: &Topology, llc: u32) -> Vec<u32> {
    topo.llcs[llc as usize].cpus.iter().map(|cpu| cpu.0).collect()
}

// ---- machines that are read ---------------------------------------------------------------------

#[test]
fn two_nodes_of_two_llcs_of_two_cpus() {
    with_tree("two_nodes_of_two_llcs_of_two_cpus", Tree::plant_2x2x2, |read| {
        let topo = read.unwrap();
        check_promises(&topo);
        assert_eq!((topo.nodes.len(), topo.llcs.len(), topo.cpus.len()), (2, 4, 8));
        assert_eq!(cpus_of(&topo, 2), [4, 5]);
        assert_eq!(topo.llcs[2].kernel_id, Some(4));
        assert_eq!(topo.llcs[2].cache_kib, 32768);
        assert_eq!(topo.level(LlcId(0), LlcId(1)), Level::Llc);
        assert_eq!(topo.level(LlcId(1), LlcId(2)), Level::Node);
        assert_eq!(topo.distance(NodeId(0), NodeId(1)), 20);
        assert_eq!(topo.nr_cpu_ids(), 8);
        assert!(topo.warnings.is_empty(), "{:?}", topo.warnings);
    });
}

#[test]
fn no_l3_makes_one_llc_a_node() {
    let name = "no_l3_makes_one_llc_a_node";
    with_tree(
        name,
        |tree| tree.plant_without_l3(8),
        |read| {
            let topo = read.unwrap();
            check_promises(&topo);
            assert_eq!(topo.llcs.len(), 1);
            assert_eq!(topo.llcs[0].kernel_id, None);
            assert_eq!(topo.llcs[0].cache_kib, 8 * FALLBACK_KIB_PER_CPU);
            assert_eq!(topo.cpus[1].core, topo.cpus[0].core, "siblings");
            assert_ne!(topo.cpus[2].core, topo.cpus[0].core);
            assert!(topo.warnings[0].contains("no L3 in node 0"), "{:?}", topo.warnings);
            assert!(topo.warnings[1].contains("assuming 1024 KiB"), "{:?}", topo.warnings);
        },
    );
}

#[test]
fn no_cache_information_at_all_makes_one_llc_a_node() {
    let name = "no_cache_information_at_all_makes_one_llc_a_node";
    let plant = |tree: &Tree| {
        tree.plant_2x2x2();
        for cpu in 0..8 {
            tree.remove(&format!("cpu/cpu{cpu}/cache"));
        }
    };
    with_tree(name, plant, |read| {
        let topo = read.unwrap();
        check_promises(&topo);
        assert_eq!(topo.llcs.len(), 2);
        assert_eq!(cpus_of(&topo, 1), [4, 5, 6, 7]);
        assert_eq!(topo.warnings.len(), 4, "{:?}", topo.warnings);
    });
}

/// Clusters whose cores share an L2, and nothing beyond: the L2 is the last level.
#[test]
fn shared_l2_caches_are_llcs_where_there_is_no_l3() {
    let name = "shared_l2_caches_are_llcs_where_there_is_no_l3";
    let plant = |tree: &Tree| {
        tree.write("cpu/online", "0-7");
        for cpu in 0..8 {
            let l2 = if cpu < 4 { "0-3" } else { "4-7" };
            tree.cpu(cpu, &Place { core: cpu, package: 0, l2, l3: "" });
        }
        tree.node(0, &[0, 1, 2, 3, 4, 5, 6, 7], "10");
    };
    with_tree(name, plant, |read| {
        let topo = read.unwrap();
        check_promises(&topo);
        assert_eq!((cpus_of(&topo, 0), cpus_of(&topo, 1)), (vec![0, 1, 2, 3], vec![4, 5, 6, 7]));
        assert_eq!(topo.llcs[1].cache_kib, 1024);
        assert!(topo.warnings[0].contains("each shared L2"), "{:?}", topo.warnings);
    });
}

/// Low-power cores outside the ring share an L2 but no L3; the ids of the two levels collide.
#[test]
fn cores_without_l3_beside_others_are_an_llc_of_their_own() {
    let name = "cores_without_l3_beside_others_are_an_llc_of_their_own";
    let plant = |tree: &Tree| {
        tree.write("cpu/online", "0-5");
        for cpu in 0..6 {
            let (l2, l3) = if cpu < 4 { (cpu.to_string(), "0-3") } else { ("4-5".into(), "") };
            tree.cpu(cpu, &Place { core: cpu, package: 0, l2: &l2, l3 });
        }
        tree.write("cpu/cpu4/cache/index2/id", "0");
        tree.write("cpu/cpu5/cache/index2/id", "0");
        tree.node(0, &[0, 1, 2, 3, 4, 5], "10");
    };
    with_tree(name, plant, |read| {
        let topo = read.unwrap();
        check_promises(&topo);
        assert_eq!((cpus_of(&topo, 0), cpus_of(&topo, 1)), (vec![0, 1, 2, 3], vec![4, 5]));
        assert_eq!(topo.warnings.len(), 1, "{:?}", topo.warnings);
    });
}

/// A node with memory and no CPU lies between two others, by number and in the distance rows.
#[test]
fn a_node_with_memory_only_comes_last() {
    let plant = |tree: &Tree| {
        tree.plant_2x2x2();
        tree.remove("node");
        tree.node(0, &[0, 1, 2, 3], "10 40 20");
        tree.node(1, &[], "40 10 50");
        tree.node(2, &[4, 5, 6, 7], "20 50 10");
    };
    with_tree("a_node_with_memory_only_comes_last", plant, |read| {
        let topo = read.unwrap();
        check_promises(&topo);
        let kernel_ids: Vec<u32> = topo.nodes.iter().map(|node| node.kernel_id).collect();
        assert_eq!(kernel_ids, [0, 2, 1]);
        assert_eq!(topo.nodes[0].distance, [10, 20, 40]);
        assert_eq!(topo.nodes[1].distance, [20, 10, 50]);
        assert_eq!(topo.nodes[2].distance, [40, 50, 10]);
        assert!(topo.nodes[2].llcs.is_empty());
        assert_eq!(topo.llcs[2].node, NodeId(1));
    });
}

/// Nodes 1 and 10 and CPUs with gaps: rows of distances go by position, arrays by our numbers.
#[test]
fn holes_in_the_numbers_are_closed() {
    let plant = |tree: &Tree| {
        tree.write("cpu/online", "2,5,100,1023");
        tree.write("cpu/cpu7/topology/core_id", "-1"); // offline: its files do not matter
        for (cpu, l3) in [(2, "2,5"), (5, "2,5"), (100, "100"), (1023, "1023")] {
            tree.cpu(cpu, &Place { core: 9, package: cpu / 50, l2: &cpu.to_string(), l3 });
        }
        tree.node(1, &[2, 5], "10 21");
        tree.node(10, &[7, 100, 1023], "31 10");
    };
    with_tree("holes_in_the_numbers_are_closed", plant, |read| {
        let topo = read.unwrap();
        check_promises(&topo);
        assert_eq!(topo.nodes.iter().map(|node| node.kernel_id).collect::<Vec<_>>(), [1, 10]);
        assert_eq!(topo.distance(NodeId(0), NodeId(1)), 21);
        assert_eq!(topo.distance(NodeId(1), NodeId(0)), 31);
        let cpus: Vec<Vec<u32>> = (0..3).map(|llc| cpus_of(&topo, llc)).collect();
        assert_eq!(cpus, [vec![2, 5], vec![100], vec![1023]]);
        assert_eq!(topo.nr_cpu_ids(), 1024);
        assert_eq!(topo.cpu(CpuId(100)).unwrap().llc, LlcId(1));
        assert_eq!(topo.cpu(CpuId(7)), None);
        assert_eq!(topo.cpus[2].core, 1, "dense");
    });
}

/// Sub-NUMA clusters: one L3 for the socket, two nodes; each part counts its share of it.
#[test]
fn a_cache_that_spans_nodes_is_split() {
    let plant = |tree: &Tree| {
        tree.plant_2x2x2();
        for cpu in 0..8 {
            tree.write(&format!("cpu/cpu{cpu}/cache/index3/shared_cpu_list"), "0-7");
            tree.write(&format!("cpu/cpu{cpu}/cache/index3/id"), "0");
            tree.write(&format!("cpu/cpu{cpu}/topology/physical_package_id"), "0");
        }
    };
    with_tree("a_cache_that_spans_nodes_is_split", plant, |read| {
        let topo = read.unwrap();
        check_promises(&topo);
        assert_eq!((cpus_of(&topo, 0), cpus_of(&topo, 1)), (vec![0, 1, 2, 3], vec![4, 5, 6, 7]));
        assert_eq!((topo.llcs[0].cache_kib, topo.llcs[1].cache_kib), (16384, 16384));
    });
}

#[test]
fn a_kernel_without_numa_has_one_node() {
    let plant = |tree: &Tree| {
        tree.plant_2x2x2();
        tree.remove("node");
        tree.remove("cpu/cpu6/cache/index3/size");
        tree.write("cpu/cpu0/cpu_capacity", "512");
        tree.write("cpu/smt/active", "maybe");
    };
    with_tree("a_kernel_without_numa_has_one_node", plant, |read| {
        let topo = read.unwrap();
        check_promises(&topo);
        assert_eq!((topo.nodes.len(), topo.llcs.len()), (1, 4));
        assert_eq!(topo.nodes[0].distance, [10]);
        assert_eq!(topo.llcs[3].cache_kib, 2 * FALLBACK_KIB_PER_CPU);
        assert_eq!((topo.cpus[0].capacity, topo.cpus[1].capacity), (512, 1024));
        assert_eq!(topo.warnings.len(), 1, "{:?}", topo.warnings);
    });
}

/// Whatever this machine is, it is read or refused with one sentence.
#[test]
fn this_machine_is_read_or_refused_in_one_sentence() {
    match Topology::from_sysfs(None) {
        Ok(topo) => check_promises(&topo),
        Err(error) => assert!(!format!("{error:#}").contains('\n'), "{error:#}"),
    }
}

// ---- machines that are refused ------------------------------------------------------------------

/// A test for a broken variant of the 2x2x2 machine: its name, what to write where, and words of
/// the sentence.
macro_rules! refused_with {
    ($($name:ident: $path:literal = $text:expr => [$($word:expr),+];)+) => {$(
        #[test]
        fn $name() {
            let plant = |tree: &Tree| {
                tree.plant_2x2x2();
                tree.write($path, $text);
            };
            refused(stringify!($name), plant, &[$($word),+]);
        }
    )+};
}

refused_with! {
    an_online_list_of_words: "cpu/online" = "all" =>
        ["cpu/online: \"all\", expected a list of CPUs such as 0-3,8"];
    an_online_list_backwards: "cpu/online" = "7-0" => ["cpu/online: \"7-0\"", "ascend"];
    an_online_list_without_end: "cpu/online" = "0-18446744073709551615" =>
        ["cpu/online: \"0-18446744073709551615\", expected a list"];
    an_empty_online_list: "cpu/online" = "" => ["cpu/online: \"\", expected a list of CPUs"];
    more_cpus_than_supported: "cpu/online" = "0-1024" =>
        ["cpu/online: \"0-1024\" names CPU 1024, CPUs below 1024 are supported"];
    an_online_cpu_without_directory: "cpu/online" = "0-8" =>
        ["cpu/online: CPU 8 is online but has no directory cpu8"];
    a_cpu_directory_with_a_strange_name: "cpu/cpu0x/topology/core_id" = "0" =>
        ["cpu/cpu0x: \"0x\", expected cpu and a number"];
    a_core_id_that_is_no_number: "cpu/cpu3/topology/core_id" = "three" =>
        ["cpu3/topology/core_id: \"three\", expected a number"];
    a_package_that_is_not_known: "cpu/cpu3/topology/physical_package_id" = "-1" =>
        ["cpu3/topology/physical_package_id: \"-1\", expected at least 0"];
    a_cache_shared_backwards: "cpu/cpu1/cache/index3/shared_cpu_list" = "1-0" =>
        ["cpu1/cache/index3/shared_cpu_list: \"1-0\"", "ascend"];
    a_cache_shared_by_nobody: "cpu/cpu1/cache/index2/shared_cpu_list" = "" =>
        ["cpu1/cache/index2/shared_cpu_list: \"\", expected a list of CPUs"];
    a_cache_size_that_is_none: "cpu/cpu0/cache/index3/size" = "big" =>
        ["cpu0/cache/index3/size: \"big\", expected a cache size such as 32768K"];
    a_cache_size_that_overflows: "cpu/cpu0/cache/index3/size" = "18446744073709551615K" =>
        ["cpu0/cache/index3/size: \"18446744073709551615K\", expected a cache size"];
    a_capacity_that_overflows: "cpu/cpu2/cpu_capacity" = "18446744073709551615" =>
        ["cpu2/cpu_capacity: \"18446744073709551615\" is no plausible capacity"];
    a_node_directory_with_a_strange_name: "node/nodeX/distance" = "10" =>
        ["node/nodeX: \"X\", expected node and a number"];
    a_distance_that_is_no_number: "node/node0/distance" = "10 far" =>
        ["node0/distance: \"far\", expected a distance from 1 to 255"];
    a_distance_of_zero: "node/node1/distance" = "20 0" =>
        ["node1/distance: \"0\", expected a distance from 1 to 255"];
    a_row_of_distances_that_is_too_short: "node/node1/distance" = "10" =>
        ["node1/distance: \"10\" has 1 distances, expected one for each of the 2 nodes"];
    a_cpu_in_two_nodes: "node/node1/cpu0/link" = "" => ["node: CPU 0 is in node 0 and in node 1"];
}

#[test]
fn an_online_cpu_in_no_node() {
    let plant = |tree: &Tree| {
        tree.plant_2x2x2();
        tree.remove("node/node1/cpu5");
    };
    refused("an_online_cpu_in_no_node", plant, &["node: CPU 5 is online but in no node"]);
}

#[test]
fn a_file_that_is_missing() {
    let plant = |tree: &Tree| {
        tree.plant_2x2x2();
        tree.remove("cpu/cpu4/topology/cluster_id");
    };
    refused("a_file_that_is_missing", plant, &["cannot read", "cpu4/topology/cluster_id: No such"]);
}

#[test]
fn a_tree_without_cpus() {
    let plant = |tree: &Tree| tree.write("cpu/online", "0");
    refused("a_tree_without_cpus", plant, &["no directory cpu0, cpu1, ..., expected at least one"]);
}

#[test]
fn an_empty_root() {
    refused("an_empty_root", |_| (), &["cannot read", "sys/devices/system/cpu: No such file"]);
}

#[test]
fn a_node_directory_without_nodes() {
    let plant = |tree: &Tree| {
        tree.plant_2x2x2();
        tree.remove("node");
        tree.write("node/online", "0");
    };
    refused("a_node_directory_without_nodes", plant, &["no directory node0, node1, ..."]);
}

#[test]
fn more_llcs_than_supported() {
    let plant = |tree: &Tree| {
        tree.write("cpu/online", "0-128");
        for cpu in 0..129 {
            let own = cpu.to_string();
            tree.cpu(cpu, &Place { core: cpu, package: 0, l2: &own, l3: &own });
        }
        tree.node(0, &(0..129).collect::<Vec<_>>(), "10");
    };
    let words = ["the machine has 129 last-level caches, at most 128 are supported"];
    refused("more_llcs_than_supported", plant, &words);
}

#[test]
fn more_nodes_than_supported() {
    let plant = |tree: &Tree| {
        tree.plant_2x2x2();
        for node in 2..65 {
            tree.node(node, &[], "10");
        }
    };
    let words = ["the machine has 65 NUMA nodes, at most 64 are supported"];
    refused("more_nodes_than_supported", plant, &words);
}

#[test]
fn a_root_that_the_environment_does_not_name() {
    let error = Topology::from_sysfs(Some(Path::new("/elsewhere"))).unwrap_err().to_string();
    assert!(error.contains("/elsewhere, SCX_SYSFS_PREFIX must name it"), "{error}");
}

/// Roots that `scx_utils` would misread: it matches paths with wildcards.
#[test]
fn a_root_that_cannot_be_matched() {
    let name = "a_root_that_cannot_be_matched";
    if std::env::var_os(CHILD_VARIABLE).is_some() {
        let error = Topology::from_sysfs(None).unwrap_err().to_string();
        assert!(error.contains("expected an absolute path without wildcards"), "{error}");
        return;
    }
    for root in ["/", "relative", "/a/", "/a//b", "/a/./b", "/a*", "/a[1]", "/a\n"] {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env(CHILD_VARIABLE, name)
            .env(ROOT_VARIABLE, root)
            .output()
            .unwrap();
        assert!(child.status.success(), "{root:?}: {}", String::from_utf8_lossy(&child.stderr));
    }
}
