#!/bin/sh
# user.sh SECONDS: schedule with decisions in user space through fork, exec,
# switch and random-affinity storms; then every task that is left must still get
# to run, and the kernel gets the machine back.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

sleep 2
start_toll 60 --policy user --json >/tmp/report
echo "== begun"
scx_active
tollwork storm --seconds "$1" --seed 7 >/tmp/storm &
storm=$!
stress-ng --quiet --timeout "$1" --fork 4 --exec 2 --switch 4 --affinity 4 --affinity-rand \
    --vfork 2 --yield 2 || fail "stress-ng: $?"
wait "$storm" || fail "tollwork storm: $?"
require_toll
echo "== after"
# Every CPU serves what is pinned to it, and nobody is left waiting.
for cpu in 0 1 2 3 4 5 6 7; do
    taskset -c $cpu tollwork count --n 1 --seconds 0.5 >/tmp/count || fail "CPU $cpu: $(cat /tmp/count)"
done
tollwork count --n 16 --seconds 1 || fail "tollwork count: $?"
require_toll
stop_toll
echo "== report"
cat /tmp/report
echo "== storm"
cat /tmp/storm
echo "== refused"
scx_toll --policy user --memory-follow on 2>&1
echo "status=$?"
echo "== kernel"
dmesg | grep -iE 'sched_ext.*(stall|error)|BUG:|WARNING:' || true
