#!/bin/sh
# recording.sh SECONDS: record hogs and sleepers for so long while the kernel
# traces what it switches to and `scx_toll explain` listens too; then a recorder
# that is killed; and what is recorded, as it is and exported. In the end half a
# second with each cache split into parts.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

TRACING=/sys/kernel/tracing

# What reads must keep up with what decides: all but the load is run eagerly.
if [ -z "$EAGER" ]; then
    EAGER=yes exec nice -n -20 sh "$0" "$@"
fi

# A task that wakes up again and again.
waker() {
    while :; do usleep 5000; done
}

sleep 2
# What is learned would change the prices while they are recorded.
start_toll 60 --json --learn off >/dev/null
nice -n 20 tollwork hogs --n 11 --seconds 600 >/dev/null &
HOGS=$!
mkdir -p /sys/fs/cgroup/a/b
waker &
WAKER=$!
echo "$WAKER" >/sys/fs/cgroup/a/b/cgroup.procs

scx_toll record /tmp/whole --kind all --seconds "$1" 2>/tmp/said &
RECORDER=$!
sleep 0.5
echo 16384 >"$TRACING/buffer_size_kb"
# The scheduler's clock: the usual one is off it by a constant.
echo global >"$TRACING/trace_clock"
echo 'next_pid != 0 && next_prio >= 100' >"$TRACING/events/sched/sched_switch/filter"
echo 1 >"$TRACING/events/sched/sched_switch/enable"
echo begin >"$TRACING/trace_marker"
scx_toll explain --json --kind all --seconds 0.5 >/tmp/live || fail "scx_toll explain: $?"
sleep 1
echo end >"$TRACING/trace_marker"
echo 0 >"$TRACING/events/sched/sched_switch/enable"
wait "$RECORDER" || fail "scx_toll record: $?"

scx_toll record /tmp/killed --kind all 2>/dev/null &
RECORDER=$!
sleep 2.3
kill -KILL "$RECORDER"
wait "$RECORDER"
require_toll

echo "== said"
cat /tmp/said
echo "== switches"
# Time, CPU and task of each, and the marks between which they are counted.
awk '/tracing_mark_write: (begin|end)/ { for (i = 1; i < NF; i++) if ($(i + 1) == "tracing_mark_write:") print $i, $(i + 2) }
     / sched_switch: / { for (i = 2; i < NF; i++) if ($(i + 1) == "sched_switch:") { match($0, /\[[0-9]+\]/); cpu = substr($0, RSTART + 1, RLENGTH - 2); match($0, /next_pid=[0-9]+/); print $i, cpu, substr($0, RSTART + 9, RLENGTH - 9) } }' \
    "$TRACING/trace" | tr -d :
echo "== live"
cat /tmp/live
echo "== replayed"
scx_toll explain --from /tmp/whole --json --kind all || fail "scx_toll explain --from: $?"
echo "== cgroup"
scx_toll explain --from /tmp/whole --cgroup /a --kind all || fail "scx_toll explain --from: $?"
echo "== killed"
scx_toll explain --from /tmp/killed 2>&1 >/dev/null | tail -n 1
echo "== refused"
scx_toll explain --from /root/guest-lib.sh 2>&1
echo "status=$?"
scx_toll export /tmp/whole /tmp/whole.jsonl || fail "scx_toll export: $?"
scx_toll export /tmp/whole /tmp/perfetto || fail "scx_toll export: $?"
mv /tmp/whole.jsonl /tmp/json
echo "== json"
cat /tmp/json
echo "== sizes"
for file in whole json perfetto; do
    echo "$file=$(stat -c %s "/tmp/$file")"
done
for file in whole perfetto; do
    echo "== $file"
    base64 "/tmp/$file"
done
stop_toll
start_toll 60 --virt-llc=1-1 >/dev/null
scx_toll record /tmp/parts --kind all --seconds 0.5 || fail "scx_toll record: $?"
echo "== parts"
scx_toll replay --json /tmp/parts
echo "status=$?"
kill "$WAKER"
kill -INT "$HOGS"
stop_toll
