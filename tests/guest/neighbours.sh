#!/bin/sh
# neighbours.sh SECONDS: a task that wakes up every millisecond among hogs, while
# real-time hogs have no CPU, one CPU, and then a whole LLC of two; a task that
# may use nothing but such a CPU; and how long the kernel saw hogs wait.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

# A real-time hog on CPU $1 for the rest of the run.
take() {
    chrt -f 50 taskset -c "$1" tollwork hogs --n 1 --seconds 100 >/dev/null &
    taken="$taken $!"
    sleep 0.5
}

sleeper() {
    echo "== $1"
    tollwork sleeper --seconds "$seconds" --hogs 12 || fail "tollwork sleeper: $?"
    require_toll
}

seconds=$1
taken=
sleep 3
start_toll 60 --json >/tmp/report
sleeper none
taskset -c 0 tollwork hogs --n 1 --seconds 100 >/dev/null &
pinned=$!
take 0
sleeper one
taken_pinned=$(cat "/proc/$pinned/task"/*/schedstat | awk '{ ran += $1 } END { print int(ran / 1e6) }')
echo "pinned_ms=$taken_pinned"
take 1
sleeper llc
# shellcheck disable=SC2086 # process numbers are words
kill $taken $pinned
require_toll
stop_toll
