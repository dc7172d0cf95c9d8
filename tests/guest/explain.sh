#!/bin/sh
# explain.sh SECONDS: every decision of a mixed load until the scheduler ends,
# as JSON beside the scheduler's report; the same for a load that does not
# decide faster than can be told here, and with it each filter of
# `scx_toll explain` alone and with another listener beside it; then what is
# recorded for nobody.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

# What reads must keep up with what decides: all but the load is run eagerly.
if [ -z "$EAGER" ]; then
    EAGER=yes exec nice -n -20 sh "$0" "$@"
fi
load() { nice -n 20 "$@"; }

# A task that wakes up again and again, and so asks all kinds of questions.
waker() {
    while :; do
        usleep 2000
        i=0
        while [ "$i" -lt 300 ]; do i=$((i + 1)); done
    done
}

# listen NAME FLAG...: what `explain --json` says within half a second.
listen() {
    echo "== $1"
    shift
    scx_toll explain --json --seconds 0.5 "$@" || fail "scx_toll explain $*: $?"
}

# Numbers of the decisions that the BPF half has looked at.
numbers() { bpftool map dump name toll_recorders | grep '"nr":'; }

# begin NAME: schedule, and listen to everything until the end.
begin() {
    start_toll 60 --json >"/tmp/report $1"
    scx_toll explain --json --kind all >"/tmp/decisions $1" 2>"/tmp/said $1" &
    LISTENER=$!
}

# end NAME: the scheduler ends, and with it the listener.
end() {
    stop_toll
    wait "$LISTENER" || fail "scx_toll explain: $?"
    for what in report decisions said; do
        echo "== $what $1"
        cat "/tmp/$what $1"
    done
}

sleep 2
begin mixed
load tollwork mixed --seconds "$1" >/dev/null || fail "tollwork mixed: $?"
end mixed
begin hogs
load tollwork hogs --n 11 --seconds "$1" --start-on 0-3 >/dev/null || fail "tollwork hogs: $?"
end hogs

start_toll 60 --json >/tmp/report
mkdir -p /sys/fs/cgroup/a/b
load tollwork hogs --n 10 --seconds 60 >/dev/null &
HOGS=$!
waker &
WAKER=$!
waker &
GROUPED=$!
echo "$GROUPED" >/sys/fs/cgroup/a/b/cgroup.procs
echo "== tasks"
echo "waker=$WAKER"
echo "grouped=$GROUPED"
echo "cgroup=$(stat -c %i /sys/fs/cgroup/a/b)"
listen all --kind all
listen default
listen kind --kind push.core,pull
listen verdict --verdict not_worth,hysteresis
listen rate --kind all --rate 0.1
listen pid --pid "$WAKER"
listen cgroup --cgroup /sys/fs/cgroup/a --kind all
# The same with a listener that wants more: then the filter is in user space.
scx_toll explain --json --kind all --seconds 30 >/dev/null &
OTHER=$!
sleep 0.2
listen 'pid, another' --pid "$WAKER"
listen 'cgroup, another' --cgroup a --kind all
listen 'rate, another' --kind all --rate 0.1
kill -INT "$OTHER"
wait "$OTHER"
echo "== words"
scx_toll explain --seconds 0.5 | head -n 40
echo "== refused"
scx_toll explain --cgroup /nowhere 2>&1
echo "cgroup=$?"
scx_toll explain --kind nothing 2>&1
echo "kind=$?"
echo "== nobody"
sleep 0.5
numbers >/tmp/before
sleep 0.5
numbers >/tmp/after
cmp /tmp/before /tmp/after && echo "recorded=no"
grep -c '"nr": [1-9]' /tmp/after | sed 's/^/cpus=/'
kill -INT "$HOGS"
kill "$WAKER" "$GROUPED"
stop_toll
