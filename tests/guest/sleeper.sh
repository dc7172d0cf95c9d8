#!/bin/sh
# sleeper.sh SECONDS HOGS: a task that wakes up every millisecond among hogs,
# under the kernel's own scheduler and under scx_toll.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

sleep 3
echo "== kernel"
tollwork sleeper --seconds "$1" --hogs "$2" || fail "tollwork sleeper: $?"
start_toll 60 --json >/tmp/report
echo "== toll"
tollwork sleeper --seconds "$1" --hogs "$2" || fail "tollwork sleeper: $?"
require_toll
stop_toll
cat /tmp/report
