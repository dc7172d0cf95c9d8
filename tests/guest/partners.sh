#!/bin/sh
# partners.sh SECONDS NAME FLAGS [NAME FLAGS]...: for each NAME, start scx_toll
# with FLAGS and let producers and consumers, which begin in different LLCs, hand
# data to each other. Prints how
# many exchanges they made, and a recording of where each ran.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

run() {
    # shellcheck disable=SC2086 # flags are words
    start_toll 60 --json $2 >/tmp/report
    sleep 0.2
    tollwork trace start --buffer-kib 8192
    tollwork lab pairs --apart --seconds "$seconds" --costs /root/costs.toml || fail "tollwork lab: $?"
    tollwork trace stop
    require_toll
    stop_toll
    cat /tmp/report
    tollwork trace dump
}

# What runs first after boot is distorted: let it pass.
sleep 3
seconds=$1
shift
while [ $# -gt 0 ]; do
    echo "== $1"
    run "$1" "$2"
    shift 2
done
