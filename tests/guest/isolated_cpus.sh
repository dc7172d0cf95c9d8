#!/bin/sh
# isolated_cpus.sh: hogs on a machine with a cpuset partition that isolates CPU 3,
# and one CPU of nohz_full, 7; then a task of that partition.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

user_ticks() { awk -v cpu="cpu$1" '$1 == cpu { print $2 }' /proc/stat; }

CG=/sys/fs/cgroup
sleep 2
echo "+cpuset" >$CG/cgroup.subtree_control || fail "no cpuset controller"
mkdir $CG/alone
echo 3 >$CG/alone/cpuset.cpus
echo 3 >$CG/alone/cpuset.cpus.exclusive
echo isolated >$CG/alone/cpuset.cpus.partition
start_toll 60 --json >/tmp/report
echo "== hogs"
echo "isolated=$(cat $CG/cpuset.cpus.isolated)"
echo "nohz_full=$(cat /sys/devices/system/cpu/nohz_full)"
scx_toll get --json
three=$(user_ticks 3)
two=$(user_ticks 2)
tollwork hogs --n 14 --seconds 2 >/tmp/hogs || fail "tollwork hogs: $?"
echo "on_3=$(($(user_ticks 3) - three))"
echo "on_2=$(($(user_ticks 2) - two))"
echo "== asked for"
three=$(user_ticks 3)
sh -c "echo \$\$ >$CG/alone/cgroup.procs; exec timeout 1 sh -c 'while :; do :; done'"
echo "on_3=$(($(user_ticks 3) - three))"
require_toll
stop_toll
echo "== report"
cat /tmp/report
