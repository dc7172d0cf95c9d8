// SPDX-License-Identifier: GPL-2.0-only
//! The user-space half of scx_toll towards a BPF half that runs on the host: constants, the machine in
//! maps, the policy; and what is read from there.

use super::abi::{self, Map, Task};
use super::object::Object;
use crate::bpf::types;
use crate::policy::Policy;
use crate::sched;
use crate::topology::Topology;
use anyhow::{Result, anyhow, bail};
use std::ffi::c_void;

/// Put the machine and the policy where the BPF half reads them. `rate`: share of the decisions that
/// are recorded, `u32::MAX` for all, 0 for none.
///
/// # Errors
/// When the object was compiled from other sources than this program.
pub fn prepare(object: &Object, topo: &Topology, policy: &Policy, rate: u32) -> Result<()> {
    let nr_cpu_ids = topo.nr_cpu_ids();
    // SAFETY: integers, arrays of them, and one pointer, which nobody reads.
    let mut rodata: Box<types::rodata> = Box::new(unsafe { std::mem::zeroed() });
    // SAFETY: as above.
    let mut bss: Box<types::bss> = Box::new(unsafe { std::mem::zeroed() });
    sched::set_machine(&mut rodata, topo);
    sched::set_cpus(&mut bss, topo);
    rodata.toll_nr_cpu_ids = nr_cpu_ids as u32;
    rodata.toll_nr_cpus = topo.cpus.len() as u32;
    bss.toll_policy_version = 1;
    bss.toll_listen.wants = u32::from(rate > 0);
    bss.toll_listen.levels = !0;
    bss.toll_listen.rate = rate;

    let memory = Memory { object };
    memory.set("toll_nr_llcs", &rodata.toll_nr_llcs)?;
    memory.set("toll_nr_cpu_ids", &rodata.toll_nr_cpu_ids)?;
    memory.set("toll_nr_cpus", &rodata.toll_nr_cpus)?;
    memory.set("toll_llc_node", &rodata.toll_llc_node)?;
    memory.set("toll_llc_cache", &rodata.toll_llc_cache)?;
    memory.set("toll_little_q10", &rodata.toll_little_q10)?;
    memory.set("toll_slower_pm", &rodata.toll_slower_pm)?;
    memory.set("toll_llc_q10", &rodata.toll_llc_q10)?;
    memory.set("toll_has_smt", &rodata.toll_has_smt)?;
    memory.set("toll_outward", &rodata.toll_outward)?;
    memory.set("toll_cpu_llc", &bss.toll_cpu_llc)?;
    memory.set("toll_cpu_capacity", &bss.toll_cpu_capacity)?;
    memory.set("toll_cpu_sibling", &bss.toll_cpu_sibling)?;
    memory.set("toll_policy_version", &bss.toll_policy_version)?;
    memory.set("toll_listen", &bss.toll_listen)?;

    let nr_llcs = topo.llcs.len();
    memory.resize("toll_cpus", nr_cpu_ids)?;
    memory.resize("toll_llcs", nr_llcs)?;
    memory.resize("toll_masks", nr_llcs + 1)?;
    memory.resize("toll_gates", nr_llcs * nr_llcs)?;
    memory.resize("toll_pairs", nr_llcs * nr_llcs)?;
    for llc in &topo.llcs {
        memory.put("toll_llcs", llc.id.index(), &sched::llc_entry(topo, llc))?;
    }
    for cpu in &topo.cpus {
        memory.put("toll_cpus", cpu.id.index(), &sched::cpu_entry(cpu))?;
    }
    let bytes = policy.to_bytes(topo, bss.toll_policy_version);
    memory.put_bytes("toll_policies", bss.toll_policy_version as usize & 1, &bytes)
}

/// Variables and maps of an object by name.
struct Memory<'a> {
    object: &'a Object,
}

impl Memory<'_> {
    fn set<T: Copy>(&self, name: &str, value: &T) -> Result<()> {
        let variables = self.object.variables();
        let (at, size) =
            variables.get(name).ok_or_else(|| anyhow!("the object has no variable {name}"))?;
        if *size != size_of::<T>() {
            bail!("{name} has {size} bytes in the object, {} expected", size_of::<T>());
        }
        // SAFETY: a variable of the object's, of that size; no callback runs.
        unsafe { at.cast::<T>().write_unaligned(*value) };
        Ok(())
    }

    fn resize(&self, name: &str, entries: usize) -> Result<()> {
        let maps = self.object.maps();
        let map = maps.get(name).ok_or_else(|| anyhow!("the object has no map {name}"))?;
        // SAFETY: a field of the map's, which nobody has used yet.
        unsafe { *map.size = entries.max(1) as *mut c_void };
        Ok(())
    }

    fn put_bytes(&self, name: &str, index: usize, bytes: &[u8]) -> Result<()> {
        let entry = entry(self.object, name, index, bytes.len())
            .ok_or_else(|| anyhow!("map {name} has no entry {index} of {} bytes", bytes.len()))?;
        // SAFETY: an entry of that size; no callback runs.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), entry, bytes.len()) };
        Ok(())
    }

    fn put<T: Copy>(&self, name: &str, index: usize, value: &T) -> Result<()> {
        // SAFETY: any value may be looked at as bytes; padding is copied and not interpreted.
        let bytes = unsafe {
            std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>())
        };
        self.put_bytes(name, index, bytes)
    }
}

/// How many entries `map` has.
fn entries(map: &Map) -> usize {
    // SAFETY: a field of the map's.
    match unsafe { *map.size } as usize {
        0 => map.max as usize,
        resized => resized,
    }
}

/// Address of entry `index` of map `name`, if it is there and of that size.
fn entry(object: &Object, name: &str, index: usize, size: usize) -> Option<*mut u8> {
    let maps = object.maps();
    let map = maps.get(name)?;
    if index >= entries(map) || map.value_size as usize != size {
        return None;
    }
    let base = object.storage(map)?;
    // SAFETY: within the storage of so many entries.
    Some(unsafe { base.add(index * size) })
}

/// A map of scx_toll's as an array.
///
/// # Safety
/// `T` is what the object's map holds, and no callback runs while the slice is alive.
unsafe fn array<'a, T>(object: &Object, name: &str) -> Option<&'a [T]> {
    let first = entry(object, name, 0, size_of::<T>())?;
    let maps = object.maps();
    let map = maps.get(name)?;
    // SAFETY: by the caller, and as long as the map has storage.
    Some(unsafe { std::slice::from_raw_parts(first.cast::<T>(), entries(map)) })
}

/// What scx_toll knows, between two events.
pub struct View<'a> {
    object: &'a Object,
    /// By CPU.
    pub cpus: &'a [types::toll_cpu],
    /// By LLC.
    pub llcs: &'a [types::toll_llc],
    /// What moved, from × to.
    pub pairs: &'a [types::toll_pair],
}

impl<'a> View<'a> {
    /// None if the object is another scheduler.
    pub fn new(object: &'a Object) -> Option<View<'a>> {
        // SAFETY: the types are generated from the same source as the object, sizes are compared,
        // and the view is not kept beyond the next event.
        unsafe {
            Some(View {
                object,
                cpus: array(object, "toll_cpus")?,
                llcs: array(object, "toll_llcs")?,
                pairs: array(object, "toll_pairs")?,
            })
        }
    }

    /// What it knows of a task.
    ///
    /// # Safety
    /// The task is alive.
    pub unsafe fn task(&self, raw: *mut Task) -> Option<&types::toll_task> {
        // SAFETY: by the caller.
        let at = unsafe { self.object.task_state(raw) };
        // SAFETY: as above, and of this type in an object that names its maps.
        unsafe { at.cast::<types::toll_task>().as_ref() }
    }
}

/// P of the move that `raw` has not run after yet, if a decision has moved it.
///
/// # Safety
/// The task is alive, and the object is scx_toll's or has no `sim_task_state`.
pub unsafe fn penalty_of_move(object: &Object, raw: *mut Task) -> Option<i64> {
    // SAFETY: by the caller.
    let known = unsafe { object.task_state(raw).cast::<types::toll_task>().as_ref() }?;
    (known.r#move.at_ns != 0).then_some(known.r#move.penalty_ns)
}

/// The name of the queue of LLC `llc`, as `dsq_llc()` in `dsq.bpf.h`.
pub fn dsq_of_llc(llc: usize) -> u64 {
    const TYPE_LLC: u64 = 1;
    const SHIFT: u32 = 32;
    debug_assert_eq!((TYPE_LLC << SHIFT) & abi::DSQ_BUILTIN, 0);
    TYPE_LLC << SHIFT | llc as u64
}
