#!/bin/sh
# late_cpus.sh: five of eight CPUs are online at boot. One comes that shares its
# LLC with them, then two with an LLC of their own.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

enables() { cat "$SCX/enable_seq"; }

# used CPU: clock ticks of user time on it during a second.
used() {
    from=$(awk -v cpu="cpu$1" '$1 == cpu { print $2 }' /proc/stat)
    sleep 1
    to=$(awk -v cpu="cpu$1" '$1 == cpu { print $2 }' /proc/stat)
    echo $((to - from))
}

sleep 2
start_toll 60 -v --json >/tmp/report 2>/tmp/log
before=$(enables)
tollwork hogs --n 16 --seconds 60 >/tmp/hogs &
hogs=$!
sleep 1
echo "== same LLC"
echo 1 >/sys/devices/system/cpu/cpu5/online
sleep 1
echo "used=$(used 5)"
echo "enables=$(($(enables) - before))"
scx_toll get --json
echo "== new LLC"
echo 1 >/sys/devices/system/cpu/cpu6/online
echo 1 >/sys/devices/system/cpu/cpu7/online
tries=100
while [ "$(enables)" = "$before" ] && [ "$tries" -gt 0 ]; do
    sleep 0.1
    tries=$((tries - 1))
done
sleep 1
echo "state=$(scx_state)"
echo "used=$(used 7)"
echo "enables=$(($(enables) - before))"
scx_toll get --json
kill -INT "$hogs"
wait "$hogs"
require_toll
stop_toll
echo "== report"
cat /tmp/report
