// SPDX-License-Identifier: GPL-2.0-only
//! What the simulator and a scheduler that was compiled for it share: the layouts of
//! `stand_in/scx/common.bpf.h`, sections 1 and 2, a second time. A change there is a change here, and
//! of [`ABI`].

#![allow(missing_docs)] // the names are those of the header

use std::ffi::{c_char, c_void};

/// `SIM_ABI`.
pub const ABI: u32 = 1;
/// `SIM_MAX_CPUS`.
pub const MAX_CPUS: usize = 4096;
/// Words of a mask.
pub const MASK_WORDS: usize = MAX_CPUS / 64;
/// `SIM_STORAGES`.
pub const STORAGES: usize = 4;

pub const PF_EXITING: u32 = 0x4;
pub const SLICE_DFL: u64 = 20_000_000;
pub const WAKE_FORK: u64 = 0x04;
pub const WAKE_TTWU: u64 = 0x08;
pub const WAKE_SYNC: u64 = 0x10;
pub const DEQ_SLEEP: u64 = 1;
pub const TASK_QUEUED: u32 = 1;
pub const PICK_IDLE_CORE: u64 = 1;
pub const KICK_IDLE: u64 = 1;
pub const KICK_PREEMPT: u64 = 2;
pub const OPS_ENQ_LAST: u64 = 2;
pub const OPS_ENQ_EXITING: u64 = 4;
pub const OPS_ENQ_MIGRATION_DISABLED: u64 = 16;
pub const DSQ_BUILTIN: u64 = 1 << 63;
pub const DSQ_GLOBAL: u64 = DSQ_BUILTIN | 1;
pub const DSQ_LOCAL: u64 = DSQ_BUILTIN | 2;
pub const DSQ_LOCAL_ON: u64 = DSQ_BUILTIN | 1 << 62;
pub const ENQ_WAKEUP: u64 = 1;
pub const ENQ_HEAD: u64 = 16;
pub const ENQ_PREEMPT: u64 = 1 << 32;
pub const ENQ_REENQ: u64 = 1 << 40;
pub const ENQ_LAST: u64 = 1 << 41;
pub const HAS_SLICE: u32 = 1;
pub const HAS_VTIME: u32 = 2;

/// `struct cpumask`.
#[derive(Clone, PartialEq, Eq)]
#[repr(C)]
pub struct CpuMask {
    pub bits: [u64; MASK_WORDS],
}

/// `struct mm_struct`; counts of pages.
#[derive(Default)]
#[repr(C)]
pub struct Mm {
    pub file_pages: i64,
    pub anon_pages: i64,
    pub swap_entries: i64,
    pub shmem_pages: i64,
}

#[repr(C)]
pub struct Css {
    pub cgroup: *mut Cgroup,
    pub parent: *mut Css,
}

/// `struct cgroup`, aligned so that a field's address tells its offset.
#[repr(C, align(4096))]
pub struct Cgroup {
    pub css: Css,
    pub kn: *mut u64,
    pub level: i32,
    pub pad: i32,
    pub ancestors: [*mut Cgroup; 16],
}

#[repr(C)]
pub struct CssSet {
    pub cgroup: *mut Cgroup,
}

/// `struct sched_ext_entity`.
#[derive(Default)]
#[repr(C)]
pub struct Entity {
    pub slice: u64,
    pub dsq_vtime: u64,
    pub weight: u32,
    pub flags: u32,
}

/// `struct task_struct`.
#[repr(C)]
pub struct Task {
    pub scx: Entity,
    pub pid: i32,
    pub tgid: i32,
    pub flags: u32,
    pub nr_cpus_allowed: i32,
    pub migration_disabled: u32,
    pub cpu: i32,
    pub cpus: *mut CpuMask,
    pub mm: *mut Mm,
    pub group_leader: *mut Task,
    pub cgroups: *mut CssSet,
    pub comm: [c_char; 16],
    pub storage: [*mut c_void; STORAGES],
    pub index: u64,
}

#[repr(C)]
pub struct InitTaskArgs {
    pub fork: bool,
    pub cgroup: *mut Cgroup,
}

#[repr(C)]
pub struct ExitTaskArgs {
    pub cancelled: bool,
}

#[repr(C)]
pub struct CgroupInitArgs {
    pub weight: u32,
    pub bw_period_us: u64,
    pub bw_quota_us: u64,
    pub bw_burst_us: u64,
}

#[repr(C)]
pub struct ExitInfo {
    pub kind: i32,
    pub exit_code: i64,
    pub reason: *const c_char,
    pub msg: *const c_char,
}

type Fn1 = Option<unsafe extern "C" fn(*mut Task)>;
type FnFlags = Option<unsafe extern "C" fn(*mut Task, u64)>;

/// `struct sched_ext_ops`.
#[derive(Clone)]
#[repr(C)]
pub struct Ops {
    pub select_cpu: Option<unsafe extern "C" fn(*mut Task, i32, u64) -> i32>,
    pub enqueue: FnFlags,
    pub dequeue: FnFlags,
    pub dispatch: Option<unsafe extern "C" fn(i32, *mut Task)>,
    pub tick: Fn1,
    pub runnable: FnFlags,
    pub running: Fn1,
    pub stopping: Option<unsafe extern "C" fn(*mut Task, bool)>,
    pub quiescent: FnFlags,
    pub set_weight: Option<unsafe extern "C" fn(*mut Task, u32)>,
    pub set_cpumask: Option<unsafe extern "C" fn(*mut Task, *mut CpuMask)>,
    pub update_idle: Option<unsafe extern "C" fn(i32, bool)>,
    pub cpu_acquire: Option<unsafe extern "C" fn(i32, *mut c_void)>,
    pub cpu_release: Option<unsafe extern "C" fn(i32, *mut c_void)>,
    pub init_task: Option<unsafe extern "C" fn(*mut Task, *mut InitTaskArgs) -> i32>,
    pub exit_task: Option<unsafe extern "C" fn(*mut Task, *mut ExitTaskArgs)>,
    pub enable: Fn1,
    pub disable: Fn1,
    pub dump: Option<unsafe extern "C" fn(*mut c_void)>,
    pub cgroup_init: Option<unsafe extern "C" fn(*mut Cgroup, *mut CgroupInitArgs) -> i32>,
    pub cgroup_exit: Option<unsafe extern "C" fn(*mut Cgroup)>,
    pub cgroup_move: Option<unsafe extern "C" fn(*mut Task, *mut Cgroup, *mut Cgroup)>,
    pub cgroup_set_weight: Option<unsafe extern "C" fn(*mut Cgroup, u32)>,
    pub cgroup_set_bandwidth: Option<unsafe extern "C" fn(*mut Cgroup, u64, u64, u64)>,
    pub cpu_online: Option<unsafe extern "C" fn(i32)>,
    pub cpu_offline: Option<unsafe extern "C" fn(i32)>,
    pub init: Option<unsafe extern "C" fn() -> i32>,
    pub exit: Option<unsafe extern "C" fn(*mut ExitInfo)>,
    pub flags: u64,
    pub timeout_ms: u32,
    pub name: [c_char; 128],
}

/// `struct bpf_iter_scx_dsq`.
#[repr(C)]
pub struct Iter {
    pub dsq_id: u64,
    pub until_seq: u64,
    pub key: i64,
    pub seq: u64,
    pub slice: u64,
    pub vtime: u64,
    pub begun: u32,
    pub has: u32,
}

/// `struct bpf_timer`.
#[repr(C)]
pub struct Timer {
    pub map: *mut c_void,
    pub callback: Option<unsafe extern "C" fn(*mut c_void, *mut u32, *mut Timer) -> i32>,
    pub started: u64,
}

/// `struct sim_host`.
#[repr(C)]
pub struct Host {
    pub abi: u32,
    pub cpu: i32,
    pub clock: u64,
    pub random: u64,
    pub current: *mut Task,
    pub nr_cpu_ids: u32,
    pub mask_words: u32,
    pub distribute: *mut u32,
    pub idle_cpus: *mut CpuMask,
    pub idle_cores: *mut CpuMask,
    pub kernel: *mut c_void,
    pub error: unsafe extern "C" fn(*mut c_void, *const c_char),
    pub select_cpu_and:
        unsafe extern "C" fn(*mut c_void, *mut Task, i32, u64, *mut CpuMask, u64) -> i32,
    pub test_and_clear_idle: unsafe extern "C" fn(*mut c_void, i32) -> bool,
    pub pick_idle: unsafe extern "C" fn(*mut c_void, *mut CpuMask, u64) -> i32,
    pub kick: unsafe extern "C" fn(*mut c_void, i32, u64),
    pub create_dsq: unsafe extern "C" fn(*mut c_void, u64) -> i32,
    pub destroy_dsq: unsafe extern "C" fn(*mut c_void, u64),
    pub nr_queued: unsafe extern "C" fn(*mut c_void, u64) -> i32,
    pub insert: unsafe extern "C" fn(*mut c_void, *mut Task, u64, u64, u64, u64, bool),
    pub move_to_local: unsafe extern "C" fn(*mut c_void, u64) -> bool,
    pub move_task: unsafe extern "C" fn(*mut c_void, *mut Iter, *mut Task, u64, u64, bool) -> bool,
    pub iterate: unsafe extern "C" fn(*mut c_void, *mut Iter, u64),
    pub next: unsafe extern "C" fn(*mut c_void, *mut Iter) -> *mut Task,
    pub peek: unsafe extern "C" fn(*mut c_void, u64) -> *mut Task,
    pub reenqueue_local: unsafe extern "C" fn(*mut c_void) -> u32,
    pub task_from_pid: unsafe extern "C" fn(*mut c_void, i32) -> *mut Task,
    pub start_timer: unsafe extern "C" fn(*mut c_void, *mut Timer, u64) -> i64,
    pub ring: unsafe extern "C" fn(*mut c_void, *const u8, u64) -> i64,
}

/// `struct sim_map`.
#[repr(C)]
pub struct Map {
    pub kind: u64,
    pub max: u64,
    pub key_size: u64,
    pub value_size: u64,
    pub base: *mut *mut u8,
    pub size: *mut *mut c_void,
}

/// `struct sim_named_map` of `stand_in/toll.c`.
#[repr(C)]
pub struct NamedMap {
    pub name: *const c_char,
    pub map: Map,
}

/// `struct sim_named` of `stand_in/toll.c`.
#[repr(C)]
pub struct NamedVariable {
    pub name: *const c_char,
    pub at: *mut u8,
    pub size: u64,
}

impl CpuMask {
    /// No CPU.
    pub const EMPTY: CpuMask = CpuMask { bits: [0; MASK_WORDS] };

    /// These CPUs; those beyond [`MAX_CPUS`] are left out.
    pub fn of(cpus: impl IntoIterator<Item = usize>) -> CpuMask {
        let mut mask = CpuMask::EMPTY;
        cpus.into_iter().for_each(|cpu| mask.set(cpu, true));
        mask
    }

    /// True if `cpu` is in it.
    pub fn has(&self, cpu: usize) -> bool {
        self.bits.get(cpu / 64).is_some_and(|word| word >> (cpu % 64) & 1 != 0)
    }

    /// Put `cpu` in or out.
    pub fn set(&mut self, cpu: usize, is_in: bool) {
        if let Some(word) = self.bits.get_mut(cpu / 64) {
            let bit = 1u64 << (cpu % 64);
            *word = if is_in { *word | bit } else { *word & !bit };
        }
    }

    /// Number of CPUs.
    pub fn weight(&self) -> usize {
        self.bits.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// True if every CPU of `self` is in `other`.
    pub fn is_in(&self, other: &CpuMask) -> bool {
        self.bits.iter().zip(&other.bits).all(|(a, b)| a & !b == 0)
    }

    /// The CPUs that are in both.
    pub fn and(&self, other: &CpuMask) -> CpuMask {
        let mut both = self.clone();
        both.bits.iter_mut().zip(&other.bits).for_each(|(a, b)| *a &= b);
        both
    }

    /// The first CPU of both at or after `from`, once around within the first `words` words.
    pub fn next_of_both(&self, other: &CpuMask, from: usize, words: usize) -> Option<usize> {
        let words = words.clamp(1, MASK_WORDS);
        let from = if from < words * 64 { from } else { 0 };
        for i in 0..=words {
            let at = (from / 64 + i) % words;
            let mut bits = self.bits[at] & other.bits[at];
            if i == 0 {
                bits &= !0 << (from % 64);
            } else if i == words {
                bits &= (1u64 << (from % 64)) - 1;
            }
            if bits != 0 {
                return Some(at * 64 + bits.trailing_zeros() as usize);
            }
        }
        None
    }

    /// All CPUs in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..MAX_CPUS).filter(|&cpu| self.has(cpu))
    }
}
