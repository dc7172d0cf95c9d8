#!/bin/sh
# refills.sh SECONDS LLC_US NODE_US [LLC_US NODE_US]...: for each pair of costs
# store a table in which refill factors of 1 and 2 are measured, let tasks pay
# those costs for each move between LLCs of a node, then between nodes, for some
# seconds each under scx_toll, which counts software events in the place of cycles
# and instructions, and print the policy before and after. Then with
# `--learn off`, after a restart and after more moves; and what is said without
# counters, also under a load.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

export SCX_TOLL_STATE_DIR=/tmp/state TOLL_LEARN_TEST=50,0,0,0 TOLL_COUNTERS=software

# A table of this machine: 12 ns to load one KiB from another LLC, twice that
# from another node; its memory is as far everywhere.
measured() {
    awk '
        /^\[\[/ { section = $1 }
        /^distance/ { distance = $3 }
        section == "[[refill]]" && /^ns_per_line/ {
            value = distance ~ /llc/ ? 3 : distance ~ /node/ ? 6 : 0.3
            print "ns_per_line = { value = " value ", " rest; next
        }
        section == "[[memory]]" && /^latency_ns/ { print "latency_ns = { value = 80.0, " rest; next }
        { print }' \
        rest='from = "measured", samples = 100, spread = 0.1, date = "2026-01-31T12:00:00Z" }' \
        /tmp/default.toml
}

# wander SECONDS COST_US CPU...: tasks on their way round the CPUs, half as many.
wander() {
    options="--seconds $1 --cost-us $2 --mib 24"
    shift 2
    options="$options --n $(($# / 2))"
    for cpu in "$@"; do options="$options --over $cpu"; done
    # shellcheck disable=SC2086 # one word each
    tollwork wander $options || fail "tollwork wander: $?"
}

sleep 1
scx_toll measure /tmp/default.toml >/dev/null 2>&1 || fail "scx_toll measure: $?"
path=$(scx_toll measure 2>&1 >/dev/null | sed -n 's/.*is stored in //p')
mkdir "$SCX_TOLL_STATE_DIR"
seconds=$1
shift
while [ $# -gt 0 ]; do
    rm -f "$SCX_TOLL_STATE_DIR"/*
    measured >"$path"
    echo "== before $1"
    start_toll 60 -v >/tmp/report 2>/tmp/log
    scx_toll get --json || fail "scx_toll get: $?"
    wander "$seconds" "$1" 0 1 2 3 &
    other=$!
    wander "$seconds" "$1" 4 5 6 7
    wait "$other" || fail "the tasks of node 0: $?"
    # To and fro between the nodes, and never back to one of the last two.
    wander "$seconds" "$2" 0 4 1 5 2 6 3 7
    require_toll
    echo "== after $1"
    scx_toll get --json || fail "scx_toll get: $?"
    stop_toll
    grep -e learned: -e count /tmp/log
    shift 2
done
echo "== restarted"
start_toll 60 --learn off >/tmp/report 2>/tmp/log
scx_toll get --json
wander 0.1 10 0 1 2 3
echo "== frozen"
scx_toll get --json
stop_toll
echo "== without counters"
export TOLL_COUNTERS=hardware
start_toll 60 --stats 1 >/tmp/report 2>/tmp/log
wander 0.1 10 0 1 2 3
scx_toll get --json
require_toll
stop_toll
cat /tmp/log
