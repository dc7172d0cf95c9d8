# SPDX-License-Identifier: GPL-2.0-only
"""Write small traces of scheduler events with Perfetto's own definitions.

Usage: make.py FOLDER     (pip install perfetto==0.59.1)
"""

import sys

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace


def single():
    """What tests/traces_are_read.rs has as text: a bundle for each CPU, out of order."""
    trace = Trace()
    trace.packet.add().clock_snapshot.primary_trace_clock = 6
    one = trace.packet.add().ftrace_events
    one.cpu = 1
    event = one.event.add(timestamp=12_000_001_000, pid=1234)
    switch = event.sched_switch
    switch.prev_comm, switch.prev_pid, switch.prev_prio, switch.prev_state = "make", 1234, 120, 1
    switch.next_comm, switch.next_pid, switch.next_prio = "a b=[2] c", 77, 120
    event = one.event.add(timestamp=12_000_003_000, pid=77)
    new = event.sched_wakeup_new
    new.comm, new.pid, new.prio, new.target_cpu = "kid", 78, 120, 1
    event = one.event.add(timestamp=12_000_005_000, pid=77)
    event.cpu_idle.state = 1
    zero = trace.packet.add().ftrace_events
    zero.cpu = 0
    event = zero.event.add(timestamp=12_000_002_500, pid=0)
    woken = event.sched_wakeup
    woken.comm, woken.pid, woken.prio, woken.target_cpu = "make", 1234, 120, 3
    three = trace.packet.add().ftrace_events
    three.cpu = 3
    event = three.event.add(timestamp=12_000_004_000, pid=9)
    moved = event.sched_migrate_task
    moved.comm, moved.pid, moved.prio, moved.orig_cpu, moved.dest_cpu = "kid", 78, 120, 1, 3
    return trace


def columns():
    """Switches and wakings as columns; the waking of 77 is followed by its move to CPU 2."""
    trace = Trace()
    bundle = trace.packet.add().ftrace_events
    bundle.cpu = 1
    table = bundle.compact_sched
    table.intern_table.extend(["make", "sh", "swapper"])
    table.switch_timestamp.extend([5_000_000_000, 1_000_000])
    table.switch_prev_state.extend([0x100, 1])
    table.switch_next_pid.extend([1234, 0])
    table.switch_next_prio.extend([120, 120])
    table.switch_next_comm_index.extend([0, 2])
    table.waking_timestamp.extend([5_000_400_000])
    table.waking_pid.extend([77])
    table.waking_target_cpu.extend([1])
    table.waking_prio.extend([120])
    table.waking_comm_index.extend([1])
    event = bundle.event.add(timestamp=5_000_401_000, pid=1234)
    moved = event.sched_migrate_task
    moved.comm, moved.pid, moved.prio, moved.orig_cpu, moved.dest_cpu = "sh", 77, 120, 1, 2
    late = trace.packet.add().ftrace_events
    late.cpu = 2
    late.lost_events = True
    event = late.event.add(timestamp=5_002_000_000, pid=77)
    event.sched_process_exit.comm, event.sched_process_exit.pid = "sh", 77
    return trace


def main():
    for name, trace in (("single", single()), ("columns", columns())):
        with open(f"{sys.argv[1]}/{name}.perfetto-trace", "wb") as file:
            file.write(trace.SerializeToString())


main()
