#!/bin/sh
# hotplug.sh ROUNDS SEED: under load take every CPU but CPU 0 offline and back
# ROUNDS times, each time in another order, and see whether the same scheduler
# goes on and every task with it.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

CPUS=/sys/devices/system/cpu
rounds=$1
seed=$2

# order N: the CPUs but 0 in the order of round N.
order() {
    awk -v seed="$((seed * 1000 + $1))" 'BEGIN {
        srand(seed)
        for (cpu = 1; cpu < 8; cpu++) print rand(), cpu
    }' | sort -n | cut -d ' ' -f 2
}

# Kernel's count of schedulers that were enabled: a restart would raise it.
enables() { cat "$SCX/enable_seq"; }

sleep 2
start_toll 60 --json >/tmp/report
before=$(enables)
tollwork count --n 24 --seconds "$((rounds * 2 + 20))" >/tmp/count &
count=$!
# Tasks that may use few CPUs, of which none or some are left in between; and
# each as a line of `ticks` before and after.
pids=
for mask in 2 8 c 30 a0 c0 80 fe; do
    taskset "$mask" sh -c 'while :; do :; done' &
    pids="$pids $!"
done
sleep 1
round=0
while [ "$round" -lt "$rounds" ]; do
    for cpu in $(order "$round"); do
        echo 0 >"$CPUS/cpu$cpu/online" || fail "cpu$cpu cannot go"
    done
    [ "$(cat "$CPUS/online")" = 0 ] || fail "online is $(cat "$CPUS/online")"
    require_toll
    sleep 0.1
    for cpu in $(order "$((round + 500))"); do
        echo 1 >"$CPUS/cpu$cpu/online" || fail "cpu$cpu cannot come"
    done
    require_toll
    round=$((round + 1))
done
echo "== hotplug"
echo "rounds=$round"
echo "state=$(scx_state)"
echo "enables=$(($(enables) - before))"
echo "refused=$(dmesg | grep -c 'sched_ext:.*disabled')"
# Every task of few CPUs goes on.
lost=0
from=
for pid in $pids; do from="$from $(cut -d ' ' -f 14 "/proc/$pid/stat")"; done
sleep 3
# shellcheck disable=SC2086 # numbers are words
set -- $from
for pid in $pids; do
    now=$(cut -d ' ' -f 14 "/proc/$pid/stat")
    [ "$now" -gt "$1" ] || lost=$((lost + 1))
    shift
done
echo "lost=$lost"
# shellcheck disable=SC2086 # numbers are words
kill $pids
kill -INT "$count"
wait "$count"
echo "alive=$?"
cat /tmp/count
sleep 1
stop_toll
echo "== report"
cat /tmp/report
