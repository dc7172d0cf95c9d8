#!/bin/sh
# verdicts.sh SECONDS SCHEDULER LOAD...: a load under eevdf, or under scx_toll
# with --migrate SCHEDULER, recorded by ftrace as text with the kernel's call
# path behind each migration; prints it, packed.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

TRACING=/sys/kernel/tracing
EVENTS="switch wakeup wakeup_new migrate_task process_fork process_exit process_exec"

seconds=$1 scheduler=$2
shift 2
[ -d "$TRACING/events" ] || mount -t tracefs tracefs "$TRACING"
# What runs first after boot is distorted: let it pass.
sleep 2
[ "$scheduler" = eevdf ] || start_toll 60 --migrate "$scheduler" >/dev/null
echo 0 >"$TRACING/tracing_on"
echo 24000 >"$TRACING/buffer_size_kb"
echo stacktrace >"$TRACING/events/sched/sched_migrate_task/trigger" || fail "this kernel records no call paths"
for event in $EVENTS; do
    echo 1 >"$TRACING/events/sched/sched_$event/enable" || fail "no event sched_$event"
done
echo 1 >"$TRACING/tracing_on"
tollwork "$@" --seconds "$seconds" >/dev/null || fail "tollwork $*"
echo 0 >"$TRACING/tracing_on"
[ "$scheduler" = eevdf ] || require_toll
echo "== packed"
gzip -c <"$TRACING/trace" | base64
echo "== end"
