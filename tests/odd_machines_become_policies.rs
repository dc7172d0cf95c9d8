// SPDX-License-Identifier: GPL-2.0-only
//! However odd the machine, it becomes a policy that keeps the model's promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scx_toll::model::{PenaltyMatrix, PenaltyTable};
use scx_toll::policy::Policy;
use scx_toll::policy::view::PolicyView;
use scx_toll::topology::{Level, Topology};
use scx_toll::units::{Ns, PerMille};
use sysfs_tree::{Place, Tree, check_promises, with_tree};

mod sysfs_tree;

/// What the matrix of penalties and the policy made of it promise; as tests/penalty_matrix.rs.
fn check_policy(topo: &Topology) {
    check_promises(topo);
    let table = PenaltyTable::default();
    let matrix = PenaltyMatrix::new(&table, topo);
    assert!(matrix.notes.is_empty(), "{:?}", matrix.notes);
    for from in &topo.llcs {
        assert_eq!(matrix.hop(from.id, from.id), Ns::ZERO);
        let order = topo.outward(from.id);
        let mut seen = order.clone();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), topo.llcs.len() - 1, "each other LLC once");
        assert!(order.is_sorted_by_key(|&to| topo.level(from.id, to)), "outward: {order:?}");
        for to in &topo.llcs {
            assert_eq!(matrix.hop(from.id, to.id), matrix.hop(to.id, from.id), "as back");
            assert!(from.id == to.id || matrix.hop(from.id, to.id) > Ns::ZERO);
            for other in &topo.llcs {
                if topo.level(from.id, to.id) < topo.level(from.id, other.id) {
                    assert!(matrix.hop(from.id, to.id) <= matrix.hop(from.id, other.id));
                }
            }
        }
    }
    for node in &topo.nodes {
        let row = &matrix.remote[node.id.index()];
        assert_eq!(row.len(), topo.nodes.len());
        assert_eq!(row[node.id.index()], PerMille::ZERO);
    }
    let policy = Policy::new(table, "default".into(), topo);
    assert_eq!(policy.decay.q10[0], 1024);
    let view = PolicyView::new(&policy, topo, 1);
    assert!(serde_json::to_string(&view).unwrap().contains("hop_us"));
}

/// `cores` cores from CPU `first` on, of one LLC, each with one thread, in package `package`.
fn plain_llc(tree: &Tree, first: u32, cores: u32, package: u32) {
    let l3 = format!("{first}-{}", first + cores - 1);
    for cpu in first..first + cores {
        tree.cpu(cpu, &Place { core: cpu, package, l2: &cpu.to_string(), l3: &l3 });
    }
}

fn sizes(topo: &Topology) -> Vec<usize> {
    topo.llcs.iter().map(|llc| llc.cpus.len()).collect()
}

/// A machine by name: what to plant, and what to find besides the promises.
macro_rules! odd_machines {
    ($($name:ident: $plant:expr => $check:expr;)+) => {$(
        #[test]
        fn $name() {
            with_tree(stringify!($name), $plant, |read| {
                let topo = read.unwrap();
                check_policy(&topo);
                let check: fn(&Topology) = $check;
                check(&topo);
            });
        }
    )+};
}

odd_machines! {
    one_cpu_and_nothing_else: |tree: &Tree| {
        tree.write("cpu/online", "0");
        tree.cpu(0, &Place { core: 0, package: 0, l2: "0", l3: "0" });
        tree.node(0, &[0], "10");
    } => |topo| assert_eq!(sizes(topo), [1]);

    memory_without_cpus_between_two_nodes: |tree: &Tree| {
        tree.plant_2x2x2();
        tree.remove("node");
        tree.node(0, &[0, 1, 2, 3], "10 40 20");
        tree.node(1, &[], "40 10 50");
        tree.node(2, &[4, 5, 6, 7], "20 50 10");
    } => |topo| {
        assert_eq!(topo.nodes.len(), 3);
        assert!(topo.nodes[2].llcs.is_empty());
    };

    memory_without_cpus_as_far_away_as_can_be: |tree: &Tree| {
        tree.plant_2x2x2();
        tree.remove("node");
        tree.node(0, &[], "10 255 254");
        tree.node(1, &[0, 1, 2, 3], "255 10 11");
        tree.node(2, &[4, 5, 6, 7], "1 11 10");
    } => |topo| assert_eq!(topo.nodes[0].distance, [10, 11, 255]);

    distances_that_differ_by_direction: |tree: &Tree| {
        tree.write("cpu/online", "0-7");
        for node in 0..4 {
            plain_llc(tree, node * 2, 2, node);
            let row = ["10 16 32 64", "20 10 16 32", "200 20 10 16", "12 255 20 10"];
            tree.node(node, &[node * 2, node * 2 + 1], row[node as usize]);
        }
    } => |topo| assert_ne!(topo.nodes[0].distance[2], topo.nodes[2].distance[0]);

    nodes_at_no_distance: |tree: &Tree| {
        tree.plant_2x2x2();
        tree.write("node/node0/distance", "10 10");
        tree.write("node/node1/distance", "10 10");
    } => |topo| assert_eq!(topo.nodes.len(), 2);

    holes_in_all_numbers: |tree: &Tree| {
        tree.write("cpu/online", "1,3,8-9,511,1023");
        for (cpu, l3) in [(1, "1,3"), (3, "1,3"), (8, "8-9"), (9, "8-9"), (511, "511"), (1023, "1023")] {
            tree.cpu(cpu, &Place { core: cpu % 7, package: cpu / 100, l2: &cpu.to_string(), l3 });
        }
        tree.node(3, &[1, 3], "10 17 28");
        tree.node(17, &[8, 9], "17 10 28");
        tree.node(63, &[511, 1023], "28 28 10");
    } => |topo| assert_eq!(sizes(topo), [2, 2, 1, 1]);

    one_cache_over_two_nodes_cpus_taking_turns: |tree: &Tree| {
        tree.write("cpu/online", "0-7");
        for cpu in 0..8 {
            tree.cpu(cpu, &Place { core: cpu, package: 0, l2: &cpu.to_string(), l3: "0-7" });
        }
        tree.node(0, &[0, 2, 4, 6], "10 12");
        tree.node(1, &[1, 3, 5, 7], "12 10");
    } => |topo| {
        assert_eq!(sizes(topo), [4, 4]);
        assert_eq!(topo.level(topo.llcs[0].id, topo.llcs[1].id), Level::Node);
    };

    half_of_the_cpus_offline_at_boot: |tree: &Tree| {
        tree.plant_2x2x2();
        tree.write("cpu/online", "0,5-7");
        // What is offline has a directory and hardly anything in it.
        for cpu in 1..5 {
            tree.remove(&format!("cpu/cpu{cpu}/cache"));
            tree.remove(&format!("cpu/cpu{cpu}/topology"));
        }
        tree.write("cpu/cpu0/cache/index3/shared_cpu_list", "0");
        tree.write("cpu/cpu5/cache/index3/shared_cpu_list", "5");
    } => |topo| {
        assert_eq!(sizes(topo), [1, 1, 2]);
        assert_eq!(topo.nr_cpu_ids(), 8);
    };

    a_node_all_of_whose_cpus_are_offline: |tree: &Tree| {
        tree.plant_2x2x2();
        tree.write("cpu/online", "0-3");
    } => |topo| {
        assert_eq!((topo.nodes.len(), topo.llcs.len()), (2, 2));
        assert!(topo.nodes[1].llcs.is_empty());
    };

    siblings_whose_numbers_lie_far_apart: |tree: &Tree| {
        tree.write("cpu/online", "0-31");
        for cpu in 0..32u32 {
            let core = cpu % 16;
            let (l2, l3) = (format!("{core},{}", core + 16), if core < 8 { "0-7,16-23" } else { "8-15,24-31" });
            tree.cpu(cpu, &Place { core, package: 0, l2: &l2, l3 });
        }
        tree.node(0, &(0..32).collect::<Vec<_>>(), "10");
    } => |topo| {
        assert_eq!(sizes(topo), [16, 16]);
        assert_eq!(topo.cpus[0].core, topo.cpus[16].core);
    };

    fast_cores_with_siblings_beside_slow_ones_without: |tree: &Tree| {
        tree.write("cpu/online", "0-7");
        for cpu in 0..8 {
            let (core, l2) = if cpu < 4 { (cpu / 2, ["0-1", "2-3"][cpu as usize / 2]) } else { (cpu, "4-7") };
            tree.cpu(cpu, &Place { core, package: 0, l2, l3: "0-7" });
            tree.write(&format!("cpu/cpu{cpu}/cpu_capacity"), if cpu < 4 { "1024" } else { "583" });
        }
        tree.node(0, &(0..8).collect::<Vec<_>>(), "10");
    } => |topo| {
        assert_eq!(topo.cpus[0].core, topo.cpus[1].core);
        assert_eq!((topo.cpus[3].capacity, topo.cpus[4].capacity), (1024, 583));
    };

    three_classes_of_cores_and_two_without_l3: |tree: &Tree| {
        tree.write("cpu/online", "0-9");
        for cpu in 0..10 {
            let (l2, l3) = if cpu < 8 { (cpu.to_string(), "0-7") } else { ("8-9".into(), "") };
            tree.cpu(cpu, &Place { core: cpu, package: 0, l2: &l2, l3 });
            let capacity = [1024, 1024, 700, 700, 700, 700, 700, 700, 260, 260][cpu as usize];
            tree.write(&format!("cpu/cpu{cpu}/cpu_capacity"), &capacity.to_string());
        }
        tree.node(0, &(0..10).collect::<Vec<_>>(), "10");
    } => |topo| {
        let mut classes: Vec<u32> = topo.cpus.iter().map(|cpu| cpu.capacity).collect();
        classes.dedup();
        assert_eq!(classes, [1024, 700, 260]);
    };

    llcs_of_unlike_size: |tree: &Tree| {
        tree.write("cpu/online", "0-11");
        plain_llc(tree, 0, 1, 0);
        plain_llc(tree, 1, 8, 0);
        plain_llc(tree, 9, 3, 1);
        tree.node(0, &(0..9).collect::<Vec<_>>(), "10 20");
        tree.node(1, &[9, 10, 11], "20 10");
    } => |topo| assert_eq!(sizes(topo), [1, 8, 3]);

    as_many_nodes_as_there_may_be: |tree: &Tree| {
        tree.write("cpu/online", "0-63");
        for node in 0..64 {
            plain_llc(tree, node, 1, node);
            let row: Vec<String> = (0..64)
                .map(|other| (10 + node.abs_diff(other)).to_string())
                .collect();
            tree.node(node, &[node], &row.join(" "));
        }
    } => |topo| assert_eq!((topo.nodes.len(), topo.llcs.len()), (64, 64));

    two_hundred_and_fifty_six_cpus: |tree: &Tree| {
        tree.write("cpu/online", "0-255");
        for cpu in 0..256 {
            let (core, llc) = (cpu / 2, cpu / 16);
            let l2 = format!("{}-{}", core * 2, core * 2 + 1);
            let l3 = format!("{}-{}", llc * 16, llc * 16 + 15);
            tree.cpu(cpu, &Place { core, package: cpu / 128, l2: &l2, l3: &l3 });
        }
        tree.node(0, &(0..128).collect::<Vec<_>>(), "10 32");
        tree.node(1, &(128..256).collect::<Vec<_>>(), "32 10");
    } => |topo| {
        assert_eq!(sizes(topo), [16; 16]);
        assert_eq!(topo.cpus.last().unwrap().core, 127);
    };
}
