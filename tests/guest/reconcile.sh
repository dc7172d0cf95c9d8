#!/bin/sh
# reconcile.sh SECONDS: a mixed load, with the kernel's own histogram of moves
# beside the scheduler's report, its metrics and what another process is told.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

TRIGGER=/sys/kernel/tracing/events/sched/sched_migrate_task
HIST='hist:keys=orig_cpu,dest_cpu:size=1024'

sleep 3
echo "== report"
ifconfig lo 127.0.0.1 up
start_toll 60 --json --metrics 9464 >/tmp/report
echo 1 >/proc/sys/kernel/bpf_stats_enabled
echo "$HIST" >"$TRIGGER/trigger"
tollwork mixed --seconds "$1" || fail "tollwork mixed: $?"
# Crowds that start on one LLC after another have to cross nodes to get away.
for cpus in 0-1 2-3 4-5 6-7 0-3 4-7 0-1 6-7; do
    tollwork hogs --n 12 --seconds 0.3 --start-on "$cpus" >/dev/null || fail "tollwork hogs: $?"
done
require_toll
cat "$TRIGGER/hist" >/tmp/hist
wget -q -O /tmp/metrics --header 'Accept: application/openmetrics-text' http://127.0.0.1:9464/metrics || fail "wget: $?"
scx_toll --monitor 0.2 --once --json >/tmp/monitor || fail "scx_toll --monitor: $?"
stop_toll
cat /tmp/report
echo "== hist"
cat /tmp/hist
echo "== metrics"
cat /tmp/metrics
echo "== monitor"
cat /tmp/monitor
