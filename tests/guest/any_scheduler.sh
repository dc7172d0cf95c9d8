#!/bin/sh
# any_scheduler.sh SECONDS: under the kernel's own scheduler, record a mixed load
# with `scx_toll record --any-scheduler` while the kernel counts moves by
# sched_migrate_task; then what `scx_toll analyze` reads, and the refusals.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

TRACING=/sys/kernel/tracing
MOVES=$TRACING/events/sched/sched_migrate_task

[ -d "$TRACING/events" ] || mount -t tracefs tracefs "$TRACING"
[ "$(scx_state)" = disabled ] || fail "sched_ext is $(scx_state)"
sleep 2
scx_toll record --any-scheduler /tmp/trace --seconds 60 2>/tmp/said &
RECORDER=$!
sleep 0.5
# What is recorded holds what is counted.
echo 'hist:keys=orig_cpu,dest_cpu:size=1024' >"$MOVES/trigger" || fail "no histogram"
tollwork mixed --seconds "$1" >/dev/null || fail "tollwork: $?"
cp "$MOVES/hist" /tmp/hist
kill -INT "$RECORDER"
wait "$RECORDER" || fail "scx_toll record: $?"
[ -d "$TRACING/instances/scx_toll" ] && fail "the instance is still there"

echo "== said"
cat /tmp/said
echo "== hist"
cat /tmp/hist
echo "== report"
scx_toll analyze --json /tmp/trace || fail "scx_toll analyze: $?"
echo "== lines"
grep -c sched_migrate_task: /tmp/trace
echo "== refused"
scx_toll record --any-scheduler --kind pull /tmp/x >/dev/null 2>&1
echo "flags=$?"
umount "$TRACING"
scx_toll record --any-scheduler --seconds 1 /tmp/x 2>&1
echo "untraced=$?"
echo "== end"
