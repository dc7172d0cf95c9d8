#!/bin/sh
# affinity_storm.sh SECONDS: masks, cpusets and cgroups that change all the time
# under load; then every task that is left must still get to run.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

CG=/sys/fs/cgroup

# A cpuset that spans parts of LLCs, another, and none of both, over and over,
# with tasks that are moved in and out.
cpusets() {
    i=0
    while [ "$(cut -d . -f 1 /proc/uptime)" -lt "$until" ]; do
        for cpus in 1,2,5 0 3-6 7 0-7; do
            echo "$cpus" >"$CG/part/cpuset.cpus"
            echo "$1" >"$CG/part/cgroup.procs"
            sleep 0.03
            echo "$1" >"$CG/other/cgroup.procs"
            i=$((i + 1))
        done
    done
    echo "cpusets=$i"
}

groups() {
    i=0
    while [ "$(cut -d . -f 1 /proc/uptime)" -lt "$until" ]; do
        mkdir "$CG/churn$i" && echo $((i % 900 + 1)) >"$CG/churn$i/cpu.weight"
        echo "20000 100000" >"$CG/churn$i/cpu.max"
        tollwork hogs --n 2 --seconds 0.1 >/dev/null &
        echo $! >"$CG/churn$i/cgroup.procs" 2>/dev/null
        sleep 0.02
        echo $! >"$CG/part/cgroup.procs" 2>/dev/null
        wait $!
        rmdir "$CG/churn$i" || echo "stuck=churn$i"
        i=$((i + 1))
    done
    echo "groups=$i"
}

echo "+cpu +cpuset" >"$CG/cgroup.subtree_control" || fail "no cpu or cpuset controller"
mkdir "$CG/part" "$CG/other"
echo 0-7 >"$CG/part/cpuset.cpus"
echo 0-3,6 >"$CG/other/cpuset.cpus"
sleep 2
export SCX_TIMEOUT_MS=10000
start_toll 60 --json >/tmp/report
echo "== storm"
until=$(($(cut -d . -f 1 /proc/uptime) + $1))
tollwork hogs --n 6 --seconds $(($1 + 2)) >/dev/null &
hogs=$!
cpusets "$hogs" &
moving=$!
groups &
churning=$!
stress-ng --quiet --timeout "$1" --affinity 4 --affinity-rand || fail "stress-ng: $?"
stress-ng --quiet --timeout 1 --affinity 2 --affinity-pin --switch 2 || fail "stress-ng: $?"
wait $moving $churning $hogs
require_toll
echo "== after"
# Every CPU serves what is pinned to it, and nobody is left waiting.
for cpu in 0 1 2 3 4 5 6 7; do
    taskset -c $cpu tollwork count --n 1 --seconds 1.5 >/tmp/count || fail "CPU $cpu: $(cat /tmp/count)"
done
tollwork count --n 16 --seconds 2 || fail "tollwork count: $?"
require_toll
stop_toll
echo "== report"
cat /tmp/report
echo "== kernel"
dmesg | grep -iE 'sched_ext.*(stall|error)|BUG:|WARNING:' || true
