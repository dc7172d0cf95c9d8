#!/bin/sh
# odd_machine.sh: schedule an odd machine under load; prints the machine as the
# kernel describes it, the policy in force, and the exit report.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

sleep 2
echo "== machine"
echo "online=$(cat /sys/devices/system/cpu/online)"
echo "possible=$(cat /sys/devices/system/cpu/possible)"
echo "with_cpu=$(cat /sys/devices/system/node/has_cpu)"
echo "with_memory=$(cat /sys/devices/system/node/has_memory)"
echo "siblings=$(cat /sys/devices/system/cpu/cpu0/topology/thread_siblings_list)"
cat /sys/devices/system/node/node*/distance
start_toll 60 --json --slice-us 2000 >/tmp/report
echo "== policy"
scx_toll get --json
tollwork hogs --n 20 --seconds 1 --start-on 0 || fail "tollwork hogs: $?"
tollwork mixed --seconds 1 || fail "tollwork mixed: $?"
require_toll
stop_toll
echo "== report"
cat /tmp/report
