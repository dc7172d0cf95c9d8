#!/bin/sh
# smt.sh N...: where N hogs run, on cores of two threads: 20 looks, each one line
# of how many hogs an LLC has and on how many cores, for each LLC.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

# look PID: "HOGS/CORES" of each LLC; core and LLC of each CPU by sysfs.
look() {
    for task in "/proc/$1/task/"*; do
        [ "${task##*/}" = "$1" ] || sed 's/.*) //' "$task/stat" | cut -d ' ' -f 37
    done | while read -r cpu; do
        at=/sys/devices/system/cpu/cpu$cpu
        echo "$(cat "$at/topology/thread_siblings_list") $(cat "$at/cache/index3/id")"
    done | awk '{ hogs[$2]++; if (!seen[$1]++) cores[$2]++ }
        END { for (llc in hogs) printf "%d/%d ", hogs[llc], cores[llc]; print "" }'
}

sleep 2
start_toll 60 --json >/tmp/report
for n in "$@"; do
    echo "== $n"
    tollwork hogs --n "$n" --seconds 3 >/dev/null &
    hogs=$!
    sleep 0.5
    i=0
    while [ "$i" -lt 20 ]; do
        echo "look$i=$(look "$hogs")"
        sleep 0.05
        i=$((i + 1))
    done
    wait "$hogs"
done
require_toll
stop_toll
