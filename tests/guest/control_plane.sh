#!/bin/sh
# control_plane.sh: ends scx_toll in every way under load, and tries a second
# one beside the first.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

sleep 2

# await STATE: the kernel takes a moment to give the machine back.
await() {
    tries=300
    while [ "$(scx_state)" != "$1" ] && [ "$tries" -gt 0 ]; do
        sleep 0.1
        tries=$((tries - 1))
    done
}

for signal in INT TERM; do
    echo "== $signal"
    start_toll 60 >/tmp/report
    tollwork count --n 12 --seconds 3 >/tmp/count &
    count=$!
    sleep 1
    kill -"$signal" "$TOLL"
    wait "$TOLL"
    echo "status=$?"
    await disabled
    echo "state=$(scx_state)"
    wait "$count"
    echo "alive=$?"
    cat /tmp/count /tmp/report
done

echo "== KILL"
start_toll 60 >/tmp/report
tollwork count --n 12 --seconds 6 >/tmp/count &
count=$!
sleep 1
kill -KILL "$TOLL"
wait "$TOLL"
echo "status=$?"
await disabled
echo "state=$(scx_state)"
wait "$count"
echo "alive=$?"
cat /tmp/count

echo "== second"
start_toll 60 >/tmp/report
echo "first=$(scx_active)"
scx_toll >/tmp/second 2>&1
echo "status=$?"
cat /tmp/second
echo "lines=$(wc -l </tmp/second)"
echo "still=$(scx_active)"
require_toll
stop_toll

echo "== hotplug"
start_toll 60 --json >/tmp/report
tollwork count --n 12 --seconds 30 >/tmp/count &
count=$!
sleep 1
for online in 0 1; do
    echo "$online" >/sys/devices/system/cpu/cpu3/online || fail "cpu3 cannot be switched to $online"
    sleep 1
    echo "after_$online=$(scx_state)"
done
wait "$count"
echo "alive=$?"
cat /tmp/count
stop_toll
echo "reports=$(grep -c '"what":"report"' /tmp/report)"
