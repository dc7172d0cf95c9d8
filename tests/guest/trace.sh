#!/bin/sh
# trace.sh: loads whose figures are known, traced; prints a recording for each,
# with the kernel's own counts beside it.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

MARKER=/sys/kernel/tracing/trace_marker
TRIGGER=/sys/kernel/tracing/events/sched/sched_migrate_task/trigger
HIST='hist:keys=orig_cpu,dest_cpu:size=1024'

programs() { bpftool -j prog show; }

# two hogs on one of eight CPUs
pinned() {
    tollwork trace start --buffer-kib 256
    taskset 1 tollwork hogs --n 2 --seconds 0.5 || fail "tollwork hogs: $?"
    tollwork trace stop
    tollwork trace dump
}

# What runs first after boot is distorted: let it pass.
sleep 3
echo 1 >/proc/sys/kernel/bpf_stats_enabled
echo "== pinned eevdf"
pinned

# Moves by the trace and by a histogram of the same tracepoint, with a mark on
# either side of the moments at which the histogram begins and ends.
echo "== mixed eevdf"
tollwork trace start --buffer-kib 4096
echo "before hist" >"$MARKER"
echo "$HIST" >"$TRIGGER"
echo "hist begun" >"$MARKER"
tollwork mixed --seconds 0.5 || fail "tollwork mixed: $?"
echo "hist ending" >"$MARKER"
echo "$HIST:pause" >>"$TRIGGER"
echo "after hist" >"$MARKER"
tollwork trace stop
echo "== hist"
cat "${TRIGGER%/*}/hist"
echo "!$HIST" >"$TRIGGER"
tollwork trace dump

# Six hogs that start on one LLC, which they may not leave.
echo "== never"
start_toll 60 --migrate never >/dev/null
tollwork trace start --buffer-kib 1024
tollwork hogs --n 6 --seconds 0.5 --start-on 0-1 || fail "tollwork hogs: $?"
tollwork trace stop
tollwork trace dump

# Turns, by the trace and by the kernel's statistics of our callbacks, with a
# mark on either side of each look at these.
tollwork trace start --buffer-kib 2048
echo "before first look" >"$MARKER"
programs >/tmp/before
echo "after first look" >"$MARKER"
tollwork mixed --seconds 0.3 >/dev/null || fail "tollwork mixed: $?"
echo "before last look" >"$MARKER"
programs >/tmp/after
echo "after last look" >"$MARKER"
tollwork trace stop
require_toll
stop_toll
tollwork trace dump
echo "== before"
cat /tmp/before
echo
echo "== after"
cat /tmp/after
echo

# Far too small for what it has to keep.
echo "== small"
tollwork trace run --buffer-kib 8 -- tollwork mixed --seconds 0.1
