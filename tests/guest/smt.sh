#!/bin/sh
# smt.sh N...: a recording of a second of N hogs, for each N, on cores of two
# threads.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

sleep 2
start_toll 60 --json >/tmp/report
for n in "$@"; do
    echo "== $n"
    tollwork hogs --n "$n" --seconds 2 >/dev/null &
    hogs=$!
    sleep 0.5
    tollwork trace start --buffer-kib 4096
    sleep 1
    tollwork trace stop
    wait "$hogs"
    tollwork trace dump
done
require_toll
stop_toll
