// SPDX-License-Identifier: GPL-2.0-only
//! What a scheduler may call while one of its callbacks runs, as `kernel/sched/ext.c` and
//! `ext_idle.c` do it.

use super::abi::{self, CpuMask, Iter, Task, Timer};
use super::events::Event;
use super::world::{Buffered, Sent, TaskId, World};
use std::ffi::{CStr, c_char, c_void};
use std::ptr::null_mut;

/// The errors of Linux that are returned here.
const EBUSY: i32 = 16;
const EEXIST: i32 = 17;
const ENOENT: i32 = 2;

/// Most insertions of one dispatch(), as the kernel's default.
const MOST_BUFFERED: usize = 32;

/// The world behind a host's `kernel`.
fn world<'a>(kernel: *mut c_void) -> &'a mut World {
    // SAFETY: the host hands on the address of its world, and the engine holds no reference into
    // it while a callback, and thus this, runs.
    unsafe { &mut *kernel.cast::<World>() }
}

fn id(task: *mut Task) -> TaskId {
    // SAFETY: schedulers know tasks from callbacks only, and tasks live as long as the world.
    unsafe { (*task).index as TaskId }
}

fn address(w: &World, task: Option<TaskId>) -> *mut Task {
    task.map_or(null_mut(), |task| w.tasks[task as usize].raw)
}

pub(super) unsafe extern "C" fn error(kernel: *mut c_void, what: *const c_char) {
    // SAFETY: a format string of the scheduler.
    let what = unsafe { CStr::from_ptr(what) }.to_string_lossy().into_owned();
    world(kernel).fail(what);
}

/// `scx_bpf_select_cpu_and()`: `prev_cpu` or a CPU near it, of `allowed` and of the task's own.
pub(super) unsafe extern "C" fn select_cpu_and(
    kernel: *mut c_void,
    task: *mut Task,
    prev_cpu: i32,
    _wake_flags: u64,
    allowed: *mut CpuMask,
    flags: u64,
) -> i32 {
    let w = world(kernel);
    // SAFETY: masks of the scheduler's or of the world's, alive during the call.
    let (wanted, own) = unsafe { (&*allowed, &*(*task).cpus) };
    let everywhere = w.machine.online_mask().is_in(own);
    let both = if everywhere { wanted.clone() } else { wanted.and(own) };
    let prev = prev_cpu as usize;
    let prev_fits = wanted.has(prev) && prev < w.cpus.len();
    let llc = w.machine.llc_mask(prev).and(&both);
    let node = w.machine.node_mask(prev).and(&both);
    let core_only = flags & abi::PICK_IDLE_CORE != 0;
    if w.machine.has_smt() {
        if prev_fits && w.idle_cores.has(prev) && w.claim(prev) {
            return prev_cpu;
        }
        for near in [&llc, &node, &both] {
            if let Some(cpu) = w.pick_idle(near, true) {
                return cpu as i32;
            }
        }
        if core_only {
            return -EBUSY;
        }
    }
    if prev_fits && w.claim(prev) {
        return prev_cpu;
    }
    for near in [&llc, &node, &both] {
        if let Some(cpu) = w.pick_idle(near, false) {
            return cpu as i32;
        }
    }
    -EBUSY
}

pub(super) unsafe extern "C" fn test_and_clear_idle(kernel: *mut c_void, cpu: i32) -> bool {
    let w = world(kernel);
    (cpu as usize) < w.cpus.len() && w.claim(cpu as usize)
}

pub(super) unsafe extern "C" fn pick_idle(
    kernel: *mut c_void,
    allowed: *mut CpuMask,
    flags: u64,
) -> i32 {
    let w = world(kernel);
    // SAFETY: as in `select_cpu_and`.
    let allowed = unsafe { &*allowed };
    let mut found = None;
    if w.machine.has_smt() {
        found = w.pick_idle(allowed, true);
    }
    if found.is_none() && flags & abi::PICK_IDLE_CORE == 0 {
        found = w.pick_idle(allowed, false);
    }
    found.map_or(-EBUSY, |cpu| cpu as i32)
}

pub(super) unsafe extern "C" fn kick(kernel: *mut c_void, cpu: i32, flags: u64) {
    let w = world(kernel);
    let cpu = cpu as usize;
    if cpu >= w.cpus.len() {
        w.fail(format!("invalid CPU {cpu}"));
        return;
    }
    if flags & abi::KICK_IDLE != 0 {
        if flags & abi::KICK_PREEMPT != 0 {
            w.fail("PREEMPT/WAIT cannot be used with SCX_KICK_IDLE");
        }
        // A CPU that will look for a task before it goes idle needs no kick; that of the own run
        // queue is locked, so it is not looked at yet.
        if cpu != w.here() && w.cpus[cpu].curr.is_some() && !w.cpus[cpu].in_balance {
            return;
        }
    }
    let after = w.timing.irq_work(&mut w.events);
    w.events.push(w.now + after, Event::Kick { by: w.here(), cpu, flags });
}

pub(super) unsafe extern "C" fn create_dsq(kernel: *mut c_void, id: u64) -> i32 {
    if world(kernel).create_dsq(id) { 0 } else { -EEXIST }
}

pub(super) unsafe extern "C" fn destroy_dsq(kernel: *mut c_void, id: u64) {
    world(kernel).destroy_dsq(id);
}

pub(super) unsafe extern "C" fn nr_queued(kernel: *mut c_void, id: u64) -> i32 {
    let w = world(kernel);
    w.dsq(id, w.here()).map_or(-ENOENT, |dsq| w.dsqs[dsq].len() as i32)
}

/// `scx_bpf_dsq_insert()` and `scx_bpf_dsq_insert_vtime()`.
pub(super) unsafe extern "C" fn insert(
    kernel: *mut c_void,
    task: *mut Task,
    dsq: u64,
    slice: u64,
    vtime: u64,
    flags: u64,
    by_vtime: bool,
) {
    let w = world(kernel);
    let task = id(task);
    let scx = &mut w.raw(task).scx;
    scx.slice = if slice != 0 { slice } else { scx.slice.max(1) };
    if by_vtime {
        scx.dsq_vtime = vtime;
    }
    let sent = Sent { dsq, flags, by_vtime };
    if let Some(directed) = w.directing {
        let pid = w.raw(task).pid;
        if directed != task {
            w.fail(format!(
                "attempting to direct-dispatch task {pid}, which is not the one at hand"
            ));
        } else if w.tasks[task as usize].sent.is_some() {
            w.fail(format!("task {pid} is already direct-dispatched"));
        }
        w.tasks[task as usize].sent = Some(sent);
        return;
    }
    let held = w.tasks[task as usize].held;
    let full = match &mut w.buffer {
        Some(buffer) => {
            buffer.push(Buffered { task, held, sent });
            buffer.len() > MOST_BUFFERED
        }
        None => {
            w.fail("a task was inserted outside of select_cpu(), enqueue() and dispatch()");
            return;
        }
    };
    if full {
        w.fail("dispatch buffer overflow");
    }
}

pub(super) unsafe extern "C" fn move_to_local(kernel: *mut c_void, dsq: u64) -> bool {
    let w = world(kernel);
    let cpu = w.here();
    if w.buffer.is_none() {
        w.fail("a queue was moved to the local one outside of dispatch()");
        return false;
    }
    w.flush(cpu);
    match w.dsq(dsq, cpu) {
        Some(dsq) => w.consume(dsq, cpu),
        None => {
            w.fail(format!("non-existent DSQ {dsq:#x}"));
            false
        }
    }
}

/// `scx_bpf_dsq_move()` and `scx_bpf_dsq_move_vtime()`.
pub(super) unsafe extern "C" fn move_task(
    kernel: *mut c_void,
    it: *mut Iter,
    task: *mut Task,
    to: u64,
    flags: u64,
    by_vtime: bool,
) -> bool {
    let w = world(kernel);
    // SAFETY: an iterator on the stack of the caller, which nobody else has.
    let it = unsafe { &mut *it };
    let task = id(task);
    let here = w.here();
    let from = w.dsq(it.dsq_id, here);
    let is_there = w.tasks[task as usize]
        .place
        .is_some_and(|place| Some(place.dsq) == from && place.entry.seq <= it.until_seq);
    let has = std::mem::take(&mut it.has);
    if !is_there {
        return false;
    }
    let Some(dst) = w.dsq(to, here) else {
        w.fail(format!("non-existent DSQ {to:#x}"));
        return false;
    };
    let scx = &mut w.raw(task).scx;
    if has & abi::HAS_VTIME != 0 {
        scx.dsq_vtime = it.vtime;
    }
    if has & abi::HAS_SLICE != 0 {
        scx.slice = it.slice;
    }
    if dst >= w.cpus.len() {
        w.dequeue(task);
        w.enqueue(task, dst, flags, by_vtime);
    } else if dst == w.cpu_of(task) || w.checked(task, dst) {
        w.to_local(task, dst, flags);
    }
    true
}

pub(super) unsafe extern "C" fn iterate(kernel: *mut c_void, it: *mut Iter, id: u64) {
    let w = world(kernel);
    if w.dsq(id, w.here()).is_none() {
        w.fail(format!("non-existent DSQ {id:#x}"));
    }
    let mut begun =
        Iter { dsq_id: id, until_seq: 0, key: 0, seq: 0, slice: 0, vtime: 0, begun: 0, has: 0 };
    w.iterate(&mut begun, id);
    // SAFETY: room on the stack of the caller.
    unsafe { it.write(begun) };
}

pub(super) unsafe extern "C" fn next(kernel: *mut c_void, it: *mut Iter) -> *mut Task {
    let w = world(kernel);
    // SAFETY: as in `move_task`.
    let task = w.next(unsafe { &mut *it });
    address(w, task)
}

pub(super) unsafe extern "C" fn peek(kernel: *mut c_void, id: u64) -> *mut Task {
    let w = world(kernel);
    let first = w.dsq(id, w.here()).and_then(|dsq| w.dsqs[dsq].first());
    address(w, first.map(|entry| entry.task))
}

/// Tasks in the local queue go through enqueue() again, once the callback is over.
pub(super) unsafe extern "C" fn reenqueue_local(kernel: *mut c_void) -> u32 {
    let w = world(kernel);
    let cpu = w.here();
    let nr = w.dsqs[cpu].len() as u32;
    w.events.push(w.now, Event::Reenqueue { cpu });
    nr
}

pub(super) unsafe extern "C" fn task_from_pid(kernel: *mut c_void, pid: i32) -> *mut Task {
    let w = world(kernel);
    let task = w.task_from_pid(pid);
    address(w, task)
}

pub(super) unsafe extern "C" fn start_timer(
    kernel: *mut c_void,
    timer: *mut Timer,
    ns: u64,
) -> i64 {
    let w = world(kernel);
    // SAFETY: a timer in one of the scheduler's maps, which live as long as it does.
    let started = unsafe {
        (*timer).started += 1;
        (*timer).started
    };
    let cpu = w.here();
    w.events.push(w.now + ns, Event::Timer { cpu, timer: timer as usize, started });
    0
}

pub(super) unsafe extern "C" fn ring(kernel: *mut c_void, data: *const u8, size: u64) -> i64 {
    // SAFETY: the scheduler hands over a record of that size.
    let record = unsafe { std::slice::from_raw_parts(data, size as usize) };
    world(kernel).ring.push(record.to_vec());
    0
}
