#!/bin/sh
# stall.sh DUMPLEN: make the kernel throw the scheduler out. A real-time hog
# takes CPU 0 for good, and a task that may run nowhere else waits there until
# the watchdog has had enough.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

sleep 2
export SCX_TIMEOUT_MS=2000
start_toll 60 --exit-dump-len "$1" >/tmp/report 2>/tmp/errors
taskset 1 sh -c 'while :; do :; done' &
victim=$!
taskset 1 chrt -f 50 sh -c 'while :; do :; done' &
hog=$!
wait "$TOLL"
status=$?
echo "== stall"
echo "status=$status"
kill -9 "$hog"
echo "state=$(scx_state)"
before=$(cut -d ' ' -f 14 "/proc/$victim/stat")
sleep 1
after=$(cut -d ' ' -f 14 "/proc/$victim/stat")
echo "progress=$((after - before))"
sed -n '/^====/,/^====/p' /tmp/errors >/tmp/dump
echo "dump=$(wc -c </tmp/dump)"
grep '^scx_toll: ' /tmp/errors
grep -c 'report' /tmp/report
