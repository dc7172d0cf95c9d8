#!/bin/sh
# guest-lab.sh SCHEDULER TRACE ARGUMENT...: one cell of the lab, in the VM of
# tools/lab. TRACE is `trace` to record what the kernel does, else `-`.
#
# SCHEDULER is `eevdf`, `eevdf+autonuma` or `eevdf-autonuma` (with NUMA balancing
# or without), or a command that schedules until it is interrupted. The
# arguments are those of `tollwork lab`. Prints `== name` before each section:
# what the scheduler said, whether it was there before and after, the result,
# what the kernel counted, and what each callback cost.

SCX=/sys/kernel/sched_ext
TRACING=/sys/kernel/tracing
MOVES=$TRACING/events/sched/sched_migrate_task
HIST='hist:keys=orig_cpu,dest_cpu:size=4096 if comm ~ "lw-*"'
# Schedulers that do not come are given up after this many tenths of a second.
PATIENCE=600

state() { cat $SCX/state; }

# Start the scheduler and wait for the kernel to say that it schedules.
attach() {
    sh -c "exec $1" >/tmp/scheduler 2>&1 &
    SCHEDULER=$!
    tries=$PATIENCE
    while [ "$(state)" != enabled ]; do
        tries=$((tries - 1))
        if [ $tries -eq 0 ] || ! kill -0 "$SCHEDULER" 2>/dev/null; then
            return 1
        fi
        sleep 0.1
    done
}

callbacks() {
    echo "== callbacks $1"
    bpftool -j prog show
    echo
}

switches() {
    echo "== switches $1"
    grep ^ctxt /proc/stat
}

scheduler=$1
trace=$2
shift 2
case $scheduler in
    eevdf+autonuma) balance=1 ;;
    eevdf-autonuma) balance=0 ;;
    *) balance= ;;
esac
if [ "$balance" ]; then
    echo "$balance" >/proc/sys/kernel/numa_balancing
    scheduler=eevdf
fi
echo "== versions"
uname -r
[ "$scheduler" = eevdf ] || ${scheduler%% *} --version 2>/dev/null | head -n 1
echo 1 >/proc/sys/kernel/bpf_stats_enabled
# What runs first after boot is distorted: let it pass.
tollwork hogs --n 16 --seconds 0.2 >/dev/null
sleep 0.5
if [ "$scheduler" != eevdf ]; then
    if ! attach "$scheduler"; then
        echo "== verdict"
        echo "attach=failed"
        echo "== scheduler"
        cat /tmp/scheduler
        exit 0
    fi
    # Balancers that look every so often have looked once.
    sleep 1
fi
before=$(state)
[ "$trace" = - ] || tollwork trace start --buffer-kib 16384
callbacks before
switches before
echo "$HIST" >$MOVES/trigger
echo "== found"
tollwork lab "$@" 2>/tmp/errors
status=$?
switches after
after=$(state)
echo "== moves"
cat $MOVES/hist
callbacks after
if [ "$trace" != - ]; then
    tollwork trace stop
    echo "== trace"
    tollwork trace dump
fi
if [ "$scheduler" != eevdf ]; then
    kill -INT "$SCHEDULER" 2>/dev/null
    wait "$SCHEDULER"
    echo "== scheduler"
    tail -n 40 /tmp/scheduler
fi
echo "== errors"
cat /tmp/errors
echo "== verdict"
echo "attach=ok"
echo "status=$status"
echo "before=$before"
echo "after=$after"
