#!/bin/sh
# isolated_cpus.sh: hogs on a machine with an isolated CPU, 3, and one of
# nohz_full, 7; then a task that asks for the isolated one.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

user_ticks() { awk -v cpu="cpu$1" '$1 == cpu { print $2 }' /proc/stat; }

sleep 2
start_toll 60 --json >/tmp/report
echo "== hogs"
echo "isolated=$(cat /sys/devices/system/cpu/isolated)"
echo "nohz_full=$(cat /sys/devices/system/cpu/nohz_full)"
scx_toll get --json
three=$(user_ticks 3)
two=$(user_ticks 2)
tollwork hogs --n 14 --seconds 2 >/tmp/hogs || fail "tollwork hogs: $?"
echo "on_3=$(($(user_ticks 3) - three))"
echo "on_2=$(($(user_ticks 2) - two))"
echo "== asked for"
three=$(user_ticks 3)
timeout 1 taskset 8 sh -c 'while :; do :; done'
echo "on_3=$(($(user_ticks 3) - three))"
require_toll
stop_toll
echo "== report"
cat /tmp/report
