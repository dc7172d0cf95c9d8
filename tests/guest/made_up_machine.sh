#!/bin/sh
# made_up_machine.sh TABLE: run scx_toll on this machine of 16 CPUs as if it
# had two sockets of four LLCs of two CPUs each, with TABLE stored as what was
# measured there, and print the policy as BPF reads it.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

ROOT=/tmp/made-up
export SCX_TOLL_STATE_DIR=/tmp/state

# plant: a tree of sysfs for that machine; whatever is not its shape is real.
plant() {
    system="$ROOT/sys/devices/system"
    cpu=0
    while [ "$cpu" -lt 16 ]; do
        dir="$system/cpu/cpu$cpu"
        mkdir -p "$dir/topology" "$dir/cache/index3" "$system/node/node$((cpu / 8))/cpu$cpu"
        echo "$cpu" >"$dir/topology/core_id"
        echo "$((cpu / 8))" >"$dir/topology/physical_package_id"
        echo -1 >"$dir/topology/cluster_id"
        echo 1024 >"$dir/cpu_capacity"
        echo "$((cpu / 2))" >"$dir/cache/index3/id"
        echo 8192K >"$dir/cache/index3/size"
        echo "$((cpu / 2 * 2))-$((cpu / 2 * 2 + 1))" >"$dir/cache/index3/shared_cpu_list"
        cpu=$((cpu + 1))
    done
    echo 0-15 >"$system/cpu/online"
    echo 0-15 >"$system/cpu/possible"
    echo 10 20 >"$system/node/node0/distance"
    echo 20 10 >"$system/node/node1/distance"
    ln -s /proc "$ROOT/proc"
    ln -s /boot "$ROOT/boot"
    ln -s /sys/kernel "$ROOT/sys/kernel"
}

# whose TABLE: TABLE with the section [machine] of the made-up machine.
whose() {
    awk 'NR == FNR { if (/^\[/) own = /^\[machine\]/; if (own) machine = machine $0 "\n"; next }
        /^\[/ { skip = /^\[machine\]/; if (skip) printf "%s", machine }
        !skip' /tmp/default.toml "$1"
}

sleep 1
plant
echo "== real"
ls -d /sys/devices/system/node/node*
cat /sys/devices/system/cpu/cpu*/cache/index3/shared_cpu_list | sort -u
export SCX_SYSFS_PREFIX="$ROOT"
scx_toll measure /tmp/default.toml >/dev/null 2>&1 || fail "scx_toll measure: $?"
path=$(scx_toll measure 2>&1 >/dev/null | sed -n 's/.*is stored in //p')
mkdir "$SCX_TOLL_STATE_DIR"
whose "$1" >"$path"
echo "== log"
{ start_toll 120 --penalty measure --learn off >/tmp/report; } 2>&1
spin 0.5 20
require_toll
echo "== map"
bpftool -j map lookup name toll_policies key 1 0 0 0 || fail "bpftool: $?"
echo
echo "== get"
scx_toll get --json
stop_toll
