#!/bin/sh
# follow.sh MODE CASE...: processes whose memory is on node 0 and that run on
# node 1, two nodes of two CPUs each; --memory-follow MODE. For each case the
# kernel's own figures: pages by node, and pages migrated while it ran.
#   bring:S     200 MiB, kept on node 1 by the load of node 0, for S seconds
#   home:S      400 MiB, busy for a twentieth of the time, free to go after 3 s
#   swing:S     100 MiB, to and fro between the nodes every 0.4 s
#   kept:S      20 MiB each that are locked, bound, shared, and shared with a child
#   cpuset:S    20 MiB of a cgroup whose cpuset.mems is node 0

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

CG=/sys/fs/cgroup

migrated() { sed -n 's/^pgmigrate_success //p' /proc/vmstat; }

# work NAME FLAG...: in a process that was born on node 0.
work() {
    name=$1
    shift
    tollwork memory --from 0-1 --to 2-3 "$@" >"/tmp/$name" 2>&1 &
    works="$works $!"
}

bring() {
    tollwork hogs --n 4 --seconds "$(($1 + 2))" >/dev/null &
    works=$!
    work bring --mib 200 --seconds "$1" --free-after 0.1
}

home() { work home --mib 400 --seconds "$1" --busy 5 --free-after 3; }

swing() { work swing --mib 100 --seconds "$1" --swing 0.4; }

kept() {
    for kept in mlock mbind shared forked; do
        work $kept --mib 20 --seconds "$1" --kept $kept --busy 45
    done
}

cpuset() {
    mkdir "$CG/m"
    echo 0 >"$CG/m/cpuset.mems"
    echo $$ >"$CG/m/cgroup.procs"
    # The kernel itself takes this shell's pages along, soon.
    sleep 0.3
    before=$(migrated)
    work cpuset --mib 20 --seconds "$1"
    echo $$ >"$CG/cgroup.procs"
}

echo "+cpuset" >"$CG/cgroup.subtree_control" || fail "no cpuset controller"
mode=$1
shift
start_toll 60 --json --penalty default --memory-follow "$mode" >/tmp/report
taskset -p 3 $$ >/dev/null || fail "no taskset"
for case in "$@"; do
    echo "== ${case%%:*}"
    works=
    before=$(migrated)
    ${case%%:*} "${case#*:}"
    for pid in $works; do wait "$pid" || echo "failed=$pid"; done
    echo "migrated=$(($(migrated) - before))"
    require_toll
    for name in bring home swing mlock mbind shared forked cpuset; do
        [ -e "/tmp/$name" ] && sed "s/^/${name}_/" "/tmp/$name"
        rm -f "/tmp/$name"
    done
done
stop_toll
echo "== report"
cat /tmp/report
echo "== kernel"
dmesg | grep -iE 'stall|BUG|WARNING' || true
