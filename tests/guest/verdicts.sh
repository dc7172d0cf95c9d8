#!/bin/sh
# verdicts.sh SECONDS SCHEDULER LOAD...: a load under eevdf, or under scx_toll
# with --migrate SCHEDULER, recorded by ftrace as text with the kernel's call
# path behind each migration, and by scx_toll; prints both, packed. SCHEDULER
# push or pull: scx_toll with the one but not the other.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

TRACING=/sys/kernel/tracing
EVENTS="switch wakeup wakeup_new migrate_task process_fork process_exit process_exec"

# What records must keep up with what decides.
if [ -z "$EAGER" ]; then
    EAGER=yes exec nice -n -20 sh "$0" "$@"
fi

seconds=$1 scheduler=$2
shift 2
[ -d "$TRACING/events" ] || mount -t tracefs tracefs "$TRACING"
# What runs first after boot is distorted: let it pass.
sleep 2
case $scheduler in
    eevdf) ;;
    push | pull) TOLL_MOMENTS=$scheduler start_toll 60 --penalty default --learn off >/dev/null ;;
    *) start_toll 60 --penalty default --learn off --migrate "$scheduler" >/dev/null ;;
esac
echo 0 >"$TRACING/tracing_on"
echo 24000 >"$TRACING/buffer_size_kb"
# The clock of scx_toll's records.
echo global >"$TRACING/trace_clock"
echo stacktrace >"$TRACING/events/sched/sched_migrate_task/trigger" || fail "this kernel records no call paths"
for event in $EVENTS; do
    echo 1 >"$TRACING/events/sched/sched_$event/enable" || fail "no event sched_$event"
done
if [ "$scheduler" != eevdf ]; then
    scx_toll record /tmp/record --kind all --verdict applied,applied_aged 2>/tmp/said &
    recorder=$!
    sleep 0.3
fi
echo 1 >"$TRACING/tracing_on"
nice -n 20 tollwork "$@" --seconds "$seconds" >/dev/null || fail "tollwork $*"
echo 0 >"$TRACING/tracing_on"
if [ "$scheduler" != eevdf ]; then
    kill -INT "$recorder"
    wait "$recorder" || fail "scx_toll record: $?"
    require_toll
    echo "== said"
    cat /tmp/said
    echo "== decisions"
    scx_toll explain --from /tmp/record --json --kind all | gzip -c | base64
fi
echo "== packed"
gzip -c <"$TRACING/trace" | base64
echo "== end"
