#!/bin/sh
# policy_map.sh FILE FILE: print the policy as BPF reads it, for the first
# penalty file, and again after `set penalty=` to the second.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

# Version 1 stands in half 1, version 2 in half 0.
show() {
    echo "== map $1"
    bpftool -j map lookup name toll_policies key "$1" 0 0 0 || fail "bpftool: $?"
    echo
    echo "== get $1"
    scx_toll get --json
}

sleep 1
start_toll 120 --learn off --penalty "$1" >/tmp/report
show 1
cd "$(dirname "$2")" || fail "no folder of $2"
scx_toll set "penalty=$(basename "$2")" || fail "scx_toll set: $?"
show 0
stop_toll
