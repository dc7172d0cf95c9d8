#!/bin/sh
# storm.sh SECONDS: fork, exec, switch and random-affinity storms at once, then
# rest; prints the statistics at rest and the exit report.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

sleep 2
start_toll 60 --json --stats 1 >/tmp/report
tollwork storm --seconds "$1" --seed 7 >/tmp/storm &
storm=$!
stress-ng --quiet --timeout "$1" --fork 4 --exec 2 --switch 4 --affinity 4 --affinity-rand \
    --vfork 2 --yield 2 || fail "stress-ng: $?"
wait "$storm" || fail "tollwork storm: $?"
require_toll
# Rest: three blocks of statistics after the last one of the storm.
sleep 4
require_toll
echo "== rest"
grep '"what":"stats"' /tmp/report | tail -n 2
stop_toll
echo "== report"
cat /tmp/report
cat /tmp/storm
echo "== kernel"
dmesg | grep -iE 'sched_ext|stall|BUG|WARNING' || true
