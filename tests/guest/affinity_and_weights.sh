#!/bin/sh
# affinity_and_weights.sh: masks that change while a task sleeps, a pinned
# sleeper beside hogs of unequal weight, and the shares of two such hogs.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

# CPU time of process $1 in clock ticks, by the kernel's accounting.
ticks() { cut -d ' ' -f 14 "/proc/$1/stat"; }

hog() { taskset "$1" nice -n "$2" sh -c 'while :; do :; done' & }

sleep 3
export SCX_TIMEOUT_MS=3000
start_toll 60 >/tmp/report

# Tasks of which each may use two CPUs, of one LLC, of two, or of two nodes,
# and gets that mask while it sleeps somewhere else.
echo "== masks"
hog 0x55 0
hogs=$!
i=0
while [ "$i" -lt 30 ]; do
    for mask in 3 c 30 c0 5 a 18 81 24 42 9 90; do
        sleep 0.02 &
        taskset -p "$mask" "$!" >/dev/null 2>&1
    done
    wait "$!"
    i=$((i + 1))
done
require_toll
kill "$hogs"
echo "masks=$i"

# The hog of little weight runs alone and its vtime runs ahead; the sleeper
# must get in beside the other one all the same.
echo "== sleeper"
hog 1 0
hogs=$!
hog 2 19
hogs="$hogs $!"
sleep 1
# shellcheck disable=SC2016 # for the inner shell
taskset 1 sh -c 'i=0; while [ $i -lt 20 ]; do sleep 0.01; i=$((i + 1)); done' || fail "the sleeper: $?"
require_toll
# shellcheck disable=SC2086 # process numbers are words
kill $hogs
echo "woke=20"

echo "== shares"
hog 1 0
heavy=$!
hog 1 5
light=$!
sleep 0.5
from_heavy=$(ticks "$heavy")
from_light=$(ticks "$light")
sleep 6
echo "heavy=$(($(ticks "$heavy") - from_heavy))"
echo "light=$(($(ticks "$light") - from_light))"
kill "$heavy" "$light"
require_toll
stop_toll
