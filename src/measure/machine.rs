// SPDX-License-Identifier: GPL-2.0-only
//! Which machine this is, whether it is a real one, and whether it is quiet.

use crate::topology::Topology;
use crate::topology::sysfs::ROOT_VARIABLE;
use crate::units::CpuId;
use serde::{Deserialize, Serialize};
use std::fs;
use std::time::Duration;

/// Busy share above which a machine is not quiet enough to be measured unasked.
pub const QUIET_SHARE_MAX: f64 = 0.25;
/// A hypervisor's signature in CPUID leaf 0x4000_0000 that means emulation.
const TCG_SIGNATURE: &[u8; 12] = b"TCGTCGTCGTCG";
/// What cannot be found out.
const UNKNOWN: &str = "unknown";

/// What a table belongs to: two machines with the same fingerprint cost the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The CPU's name by the kernel.
    pub model: String,
    /// Revision of the microcode, as printed by the kernel; "unknown" where there is none.
    pub microcode: String,
    /// Online CPUs, such as "0-7".
    pub cpus: String,
    /// CPUs of each LLC, in our order.
    pub llcs: Vec<String>,
    /// CPUs of each node, in our order; "" for a node with memory only.
    pub nodes: Vec<String>,
    /// SLIT distances `[from][to]` of the nodes.
    pub distances: Vec<Vec<u32>>,
}

impl Machine {
    /// The machine with the shape `topo` and the CPU that `cpuinfo` (the text of
    /// `/proc/cpuinfo`) describes.
    pub fn new(topo: &Topology, cpuinfo: &str) -> Machine {
        let field = |name: &str| {
            let value = |line: &str| {
                let (key, value) = line.split_once(':')?;
                (key.trim() == name).then(|| value.trim().to_string())
            };
            cpuinfo.lines().find_map(value)
        };
        // ARM names implementer and part instead of a model.
        let arm = || Some(format!("{} {}", field("CPU implementer")?, field("CPU part")?));
        let node_cpus = |id| -> Vec<CpuId> {
            topo.cpus.iter().filter(|cpu| cpu.node == id).map(|cpu| cpu.id).collect()
        };
        let all: Vec<CpuId> = topo.cpus.iter().map(|cpu| cpu.id).collect();
        Machine {
            model: field("model name").or_else(arm).unwrap_or_else(|| UNKNOWN.into()),
            microcode: field("microcode").unwrap_or_else(|| UNKNOWN.into()),
            cpus: cpu_list(&all),
            llcs: topo.llcs.iter().map(|llc| cpu_list(&llc.cpus)).collect(),
            nodes: topo.nodes.iter().map(|node| cpu_list(&node_cpus(node.id))).collect(),
            distances: topo.nodes.iter().map(|node| node.distance.clone()).collect(),
        }
    }

    /// This machine, with the shape `topo`.
    pub fn here(topo: &Topology) -> Machine {
        Machine::new(topo, &fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
    }

    /// What a table of `self` has otherwise than `here`, in words; `None` for the same machine.
    pub fn difference(&self, here: &Machine) -> Option<String> {
        let other = |what: &str, own: &dyn std::fmt::Debug, here: &dyn std::fmt::Debug| {
            Some(format!("its {what} {own:?}, here {here:?}"))
        };
        if self.model != here.model {
            return other("CPU is", &self.model, &here.model);
        }
        if self.microcode != here.microcode {
            return other("microcode is", &self.microcode, &here.microcode);
        }
        if self.cpus != here.cpus {
            return other("CPUs are", &self.cpus, &here.cpus);
        }
        if self.llcs != here.llcs {
            return other("LLCs are", &self.llcs, &here.llcs);
        }
        if self.nodes != here.nodes {
            return other("nodes are", &self.nodes, &here.nodes);
        }
        if self.distances != here.distances {
            return other("node distances are", &self.distances, &here.distances);
        }
        None
    }

    /// 16 hexadecimal digits for file names (64-bit FNV-1a); what counts is [`Machine::difference`].
    pub fn fingerprint(&self) -> String {
        let text = format!("{self:?}");
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        format!("{hash:016x}")
    }
}

/// CPUs as the kernel writes them: "0-3,8".
fn cpu_list(cpus: &[CpuId]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for cpu in cpus {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == cpu.0 => *last = cpu.0,
            _ => ranges.push((cpu.0, cpu.0)),
        }
    }
    let word = |&(first, last): &(u32, u32)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    ranges.iter().map(word).collect::<Vec<_>>().join(",")
}

/// Why nothing that could be measured would mean anything; `None` on a machine that is real
/// enough to try.
pub fn why_meaningless() -> Option<String> {
    if std::env::var_os(ROOT_VARIABLE).is_some_and(|root| !root.is_empty()) {
        return Some(format!("the machine is made up ({ROOT_VARIABLE} is set)"));
    }
    let model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named =
        model.lines().any(|line| line.contains("QEMU TCG") || line.contains("QEMU Virtual"));
    if named || hypervisor_signature().is_some_and(|signature| &signature == TCG_SIGNATURE) {
        return Some("the CPU is emulated (QEMU TCG), and its caches do not exist".into());
    }
    None
}

/// True under a hypervisor, real CPU or not.
pub fn is_virtual() -> bool {
    hypervisor_signature().is_some()
}

/// The twelve letters by which a hypervisor names itself.
#[cfg(target_arch = "x86_64")]
fn hypervisor_signature() -> Option<[u8; 12]> {
    use std::arch::x86_64::__cpuid;
    const HYPERVISOR_BIT: u32 = 1 << 31;
    if __cpuid(1).ecx & HYPERVISOR_BIT == 0 {
        return None;
    }
    let leaf = __cpuid(0x4000_0000);
    let mut signature = [0; 12];
    let words = [leaf.ebx, leaf.ecx, leaf.edx];
    for (bytes, word) in signature.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    Some(signature)
}

/// Elsewhere a hypervisor shows in the device tree only.
#[cfg(not(target_arch = "x86_64"))]
fn hypervisor_signature() -> Option<[u8; 12]> {
    fs::exists("/proc/device-tree/hypervisor").is_ok_and(|there| there).then_some([0; 12])
}

/// Share of all CPUs' time that was busy during a tenth of a second, 0 to 1; `None` when the
/// kernel does not say.
pub fn busy_share() -> Option<f64> {
    let before = busy_and_all(&fs::read_to_string("/proc/stat").ok()?)?;
    std::thread::sleep(Duration::from_millis(100));
    let after = busy_and_all(&fs::read_to_string("/proc/stat").ok()?)?;
    let all = after.1.saturating_sub(before.1);
    (all > 0).then(|| after.0.saturating_sub(before.0) as f64 / all as f64)
}

/// Busy ticks and all ticks from the text of `/proc/stat`. Stolen time counts as busy.
fn busy_and_all(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find(|line| line.starts_with("cpu "))?;
    let ticks: Vec<u64> =
        line.split_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect();
    let all: u64 = ticks.iter().sum();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some((all.saturating_sub(idle), all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_written_as_the_kernel_does() {
        let list = |cpus: &[u32]| cpu_list(&cpus.iter().map(|cpu| CpuId(*cpu)).collect::<Vec<_>>());
        assert_eq!(list(&[]), "");
        assert_eq!(list(&[0, 1, 2, 3, 8, 10, 11]), "0-3,8,10-11");
    }

    #[test]
    fn the_busy_share_counts_stolen_time_and_not_waiting_for_disks() {
        let stat = "cpu  10 1 2 100 50 3 4 5 9 9\ncpu0 1 2 3\n";
        assert_eq!(busy_and_all(stat), Some((25, 175)));
        assert_eq!(busy_and_all("cpu  1 2\n"), None);
    }

    #[test]
    fn every_part_of_a_machine_can_differ() {
        let topo = Topology::synthetic(2, 2, 2).expect("a machine");
        let info = "processor : 0\nmodel name\t: Some CPU @ 3: fast\nmicrocode\t: 0x12\n";
        let here = Machine::new(&topo, info);
        assert_eq!((here.model.as_str(), here.microcode.as_str()), ("Some CPU @ 3: fast", "0x12"));
        assert_eq!(here.llcs, ["0-1", "2-3", "4-5", "6-7"]);
        assert_eq!(here.difference(&here), None);
        let arm = Machine::new(&topo, "CPU implementer : 0x41\nCPU part : 0xd0c\n");
        assert_eq!(arm.model, "0x41 0xd0c");
        let mut others = vec![arm; 2];
        others[1].model = here.model.clone();
        for (change, word) in [
            (0, "its CPUs are \"0-7,9\", here \"0-7\""),
            (1, "its LLCs are"),
            (2, "its nodes are"),
            (3, "its node distances are"),
        ] {
            let mut other = here.clone();
            match change {
                0 => other.cpus += ",9",
                1 => other.llcs[0] = "0".into(),
                2 => other.nodes[1] = "4-6".into(),
                _ => other.distances[0][1] = 32,
            }
            assert!(other.difference(&here).is_some_and(|text| text.contains(word)), "{word}");
            others.push(other);
        }
        for other in others {
            assert!(other.difference(&here).is_some());
            assert_ne!(other.fingerprint(), here.fingerprint());
        }
    }
}
