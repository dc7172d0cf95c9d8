#!/bin/sh
# hogs.sh SECONDS HOGS NAME FLAGS [NAME FLAGS]...: for each NAME, start scx_toll
# with FLAGS, let HOGS hogs start on the CPUs of the first LLC and release them,
# and print what the kernel's tracepoint saw of them.
#
# Penalty files are made here: PRICE-file is one price for every move between
# LLCs and nothing else, in microseconds, as in `--penalty 500-file`.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

TRACING=/sys/kernel/tracing

# price_file US: a penalty file in which a move costs US and warmth nothing.
price_file() {
    cat >"$1-file" <<END
[class.llc]
hop_us = $1
refill = 0
[class.node]
hop_us = $1
refill = 0
[memory]
remote_pct = 0
[rule]
others_pay = 1
END
}

run() {
    # shellcheck disable=SC2086 # flags are words
    start_toll 60 --json $2 >/tmp/report
    sleep 0.2
    echo >"$TRACING/trace"
    tollwork hogs --n "$hogs" --seconds "$seconds" --start-on 0-1 || fail "tollwork hogs: $?"
    require_toll
    grep -E 'sched_migrate_task|tollwork: ' "$TRACING/trace"
    stop_toll
    cat /tmp/report
}

# What runs first after boot is distorted: let it pass.
sleep 3
seconds=$1
hogs=$2
shift 2
for us in 0 100 1000 10000 10000000; do price_file "$us"; done
echo 'comm ~ "hog*" || comm == "tollwork"' >"$TRACING/events/sched/sched_migrate_task/filter"
echo 1 >"$TRACING/events/sched/sched_migrate_task/enable"
while [ $# -gt 0 ]; do
    echo "== $1"
    run "$1" "$2"
    shift 2
done
