#!/bin/sh
# learning.sh TEST SECONDS LLC NODE [LLC NODE]...: for each pair of prices, in ns,
# store a table with them as measured on this machine, let a load move about
# for some seconds under scx_toll, and print the policy before and after. Then
# with `--learn off`: after a restart, after a load, after CPUs went and came,
# and with what another machine would have learned.
# TEST is $TOLL_LEARN_TEST, which says what moves really take.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

export SCX_TOLL_STATE_DIR=/tmp/state TOLL_LEARN_TEST="$1"

# measured LLC NODE: a table of this machine in which a move costs so much.
measured() {
    awk -v llc="$1" -v node="$2" '
        /^\[\[/ { section = $1 }
        /^distance/ { distance = $3 }
        section == "[[fixed]]" && /^ns/ {
            value = distance ~ /llc/ ? llc : distance ~ /node/ ? node : 2000
            print "ns = { value = " value ".0, " rest; next
        }
        section == "[[handoff]]" && /^modified/ { print "modified = { value = 0.0, " rest; next }
        { print }' \
        rest='from = "measured", samples = 100, spread = 0.1, date = "2026-01-31T12:00:00Z" }' \
        /tmp/default.toml
}

# load SECONDS: tasks move between two LLCs of node 0, then between the nodes.
load() {
    tollwork swing --seconds "$1" --between 0-1 --and 2-3 || fail "tollwork swing: $?"
    tollwork swing --seconds "$1" --between 0-3 --and 4-7 || fail "tollwork swing: $?"
}

sleep 1
scx_toll measure /tmp/default.toml >/dev/null 2>&1 || fail "scx_toll measure: $?"
path=$(scx_toll measure 2>&1 >/dev/null | sed -n 's/.*is stored in //p')
mkdir "$SCX_TOLL_STATE_DIR"
seconds=$2
shift 2
while [ $# -gt 0 ]; do
    rm -f "$SCX_TOLL_STATE_DIR"/*
    measured "$1" "$2" >"$path"
    echo "== before $1"
    start_toll 60 >/tmp/report 2>/tmp/log
    # Between nodes an imbalance would have to last first.
    scx_toll set hysteresis_us.node=0,0,0 >/dev/null || fail "scx_toll set: $?"
    scx_toll get --json || fail "scx_toll get: $?"
    load "$seconds"
    require_toll
    echo "== after $1"
    scx_toll get --json || fail "scx_toll get: $?"
    stop_toll
    shift 2
done
kept=$(echo "$SCX_TOLL_STATE_DIR"/learned-*)
echo "== restarted"
start_toll 60 --learn off >/tmp/report 2>/tmp/log
scx_toll get --json
load 0.3
echo "== frozen"
scx_toll get --json
echo "== hotplug"
for online in 0 1; do
    echo "$online" >/sys/devices/system/cpu/cpu7/online
    sleep 0.3
    require_toll
done
scx_toll get --json
stop_toll
echo "== elsewhere"
sed -i 's/^model = .*/model = "Another CPU"/' "$kept"
start_toll 60 --learn off >/tmp/report 2>/tmp/log
scx_toll get --json
stop_toll
cat /tmp/log
