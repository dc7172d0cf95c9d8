#!/bin/sh
# overhead.sh SECONDS MODE NAME...: what the callbacks cost by the kernel's
# statistics of BPF programs while each MODE listens (flags of `scx_toll explain`;
# "-": nobody), once for two tasks that wake one another on a CPU each, of two
# LLCs, and once for a scenario of the lab that lasts SECONDS.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

EXCHANGES=4000

callbacks() {
    echo "== $1"
    bpftool -j prog show
    echo
    echo "== $1 switches"
    grep ^ctxt /proc/stat | sed 's/ /=/'
}

# load NAME COMMAND...
load() {
    name=$1
    shift
    callbacks "$name before"
    "$@" >"/tmp/load" 2>&1 || fail "$*: $?"
    callbacks "$name after"
    echo "== $name said"
    cat /tmp/load
}

seconds=$1
shift
echo 1 >/proc/sys/kernel/bpf_stats_enabled
tollwork hogs --n 16 --seconds 0.2 >/dev/null
start_toll 60 >/dev/null
sleep 1
while [ $# -gt 0 ]; do
    mode=$1
    shift
    listener=
    if [ "$mode" != - ]; then
        # shellcheck disable=SC2086 # flags are words
        scx_toll explain --json $mode >/dev/null 2>&1 &
        listener=$!
        sleep 0.3
    fi
    # Free to choose they settle on one CPU or on two, by chance.
    load "pipe $1" taskset -c 1,3 perf bench sched pipe -l "$EXCHANGES"
    load "lab $1" tollwork lab mixed --seconds "$seconds"
    shift
    if [ -n "$listener" ]; then
        kill -INT "$listener"
        wait "$listener" || fail "scx_toll explain: $?"
        sleep 0.3
    fi
done
stop_toll
