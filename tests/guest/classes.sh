#!/bin/sh
# classes.sh: run scx_toll on this machine of 4 CPUs as if CPUs 2 and 3 were
# little cores of half the capacity, and count by the kernel's own figures how
# often a task moves between CPU 0 and CPU 2, the only ones that it may use:
# while its demand swings faster than the hold time, and as it steps down and up.
# Then record what is decided about tasks that want more CPUs than there are.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

ROOT=/tmp/hybrid

plant() {
    system="$ROOT/sys/devices/system"
    cpu=0
    while [ "$cpu" -lt 4 ]; do
        dir="$system/cpu/cpu$cpu"
        mkdir -p "$dir/topology" "$dir/cache/index3" "$system/node/node0/cpu$cpu"
        echo "$cpu" >"$dir/topology/core_id"
        echo 0 >"$dir/topology/physical_package_id"
        echo -1 >"$dir/topology/cluster_id"
        echo "$((cpu < 2 ? 1024 : 512))" >"$dir/cpu_capacity"
        echo 0 >"$dir/cache/index3/id"
        echo 8192K >"$dir/cache/index3/size"
        echo 0-3 >"$dir/cache/index3/shared_cpu_list"
        cpu=$((cpu + 1))
    done
    echo 0-3 >"$system/cpu/online"
    echo 0-3 >"$system/cpu/possible"
    echo 10 >"$system/node/node0/distance"
    ln -s /proc "$ROOT/proc"
    ln -s /boot "$ROOT/boot"
    ln -s /sys/kernel "$ROOT/sys/kernel"
}

# duty ON OFF SECONDS: let the task run for ON and stop it for OFF seconds in turn; ON of 0
# is as long as the shell takes.
duty() {
    end=$(awk -v s="$3" '{ print int(($1 + s) * 100) }' /proc/uptime)
    while [ "$(awk '{ print int($1 * 100) }' /proc/uptime)" -lt "$end" ]; do
        kill -CONT "$task"
        [ "$1" = 0 ] || sleep "$1"
        kill -STOP "$task"
        sleep "$2"
    done
}

# so_far NAME: how often the kernel has moved the task, and where it is.
so_far() {
    moves=$(awk '$1 == "se.nr_migrations" { print $3 }' "/proc/$task/sched")
    echo "$1=$moves"
    echo "$1_cpu=$(cut -d ' ' -f 39 "/proc/$task/stat")"
}

sleep 1
plant
export SCX_SYSFS_PREFIX="$ROOT"
start_toll 120 >/tmp/report
echo "== get"
scx_toll get --json
echo "== moves"
# Whatever else this script runs keeps out of the way, and the scheduler's own threads do.
taskset -p a $$ >/dev/null
for thread in "/proc/$TOLL/task/"*; do
    taskset -p a "${thread##*/}" >/dev/null
done
taskset 5 sh -c 'while :; do :; done' &
task=$!
sleep 1
so_far start
duty 0.05 0.05 3
so_far wave
duty 0 0.05 2
so_far down
duty 0 0.05 1
so_far still_down
kill -CONT "$task"
sleep 2
so_far up
sleep 1
so_far still_up
kill "$task"
echo "== replay"
spin 3 6 2>/dev/null &
sleep 0.5
scx_toll record /tmp/classes --kind all --seconds 1 || fail "scx_toll record: $?"
wait $!
scx_toll explain --from /tmp/classes --kind all --json >/tmp/decisions
for key in for_class against_class; do
    echo "$key=$(grep -c "\"$key\":true" /tmp/decisions)"
done
scx_toll replay /tmp/classes 3
echo "status=$?"
require_toll
stop_toll
