#!/bin/sh
# mixed_by_price.sh SECONDS US...: the same mixed load under one price after
# another; prints the kernel's histogram of moves under each.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

TRIGGER=/sys/kernel/tracing/events/sched/sched_migrate_task
HIST='hist:keys=orig_cpu,dest_cpu:size=1024'

sleep 3
seconds=$1
shift
for us in "$@"; do
    echo "== $us"
    start_toll 60 --migrate "fixed:$us" >/dev/null
    echo "$HIST" >"$TRIGGER/trigger"
    tollwork mixed --seconds "$seconds" || fail "tollwork mixed: $?"
    cat "$TRIGGER/hist"
    echo "!$HIST" >"$TRIGGER/trigger"
    require_toll
    stop_toll
done
