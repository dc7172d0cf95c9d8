#!/bin/sh
# policy_changes.sh CHECK N: with TOLL_CHECK_POLICY=CHECK, flip between two
# policies 2 * N times while hogs run, as fast as the scheduler answers. Then
# count the hogs' moves under the rule, after `migrate=always`, and after
# `migrate=never`.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

TRIGGER=/sys/kernel/tracing/events/sched/sched_migrate_task
HIST='hist:keys=orig_cpu,dest_cpu:size=1024 if comm ~ "hog*"'
SOCKET=/run/scx_toll/control.sock

set_to() { echo "{\"what\":\"set\",\"assign\":[$1]}"; }

# moves NAME: what the kernel's tracepoint sees of the hogs in two seconds.
moves() {
    echo "== $1"
    echo "$HIST" >"$TRIGGER/trigger"
    sleep 2
    cat "$TRIGGER/hist"
    echo "!$HIST" >"$TRIGGER/trigger"
}

echo "== kernel"
echo "nohz_full=$(cat /sys/devices/system/cpu/nohz_full)"
sleep 2
export TOLL_CHECK_POLICY="$1"
start_toll 60 --json --learn off --slice-us 1000 >/tmp/report
tollwork hogs --n 12 --seconds 300 --start-on 0-1 >/tmp/hogs &
hogs=$!
sleep 1
echo "== flips"
tollwork requests --socket "$SOCKET" --repeat "$2" \
    "$(set_to '"slice_us=500","hysteresis_us.node=0,0,0","penalty=default"')" \
    "$(set_to '"slice_us=1000","hysteresis_us.node=2000,500,4000","migrate=toll"')" ||
    fail "tollwork requests: $?"
echo "== get"
scx_toll get --json
moves toll
scx_toll set migrate=always || fail "scx_toll set: $?"
moves always
echo "== set"
scx_toll set migrate=never slice_us=3000 || fail "scx_toll set: $?"
moves never
echo "== get never"
scx_toll get --json
scx_toll get | sed -n 1,3p
kill -INT "$hogs"
wait "$hogs"
require_toll
stop_toll
echo "== report"
cat /tmp/report
