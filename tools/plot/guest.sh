#!/bin/sh
# Inside the VM: guest.sh SECONDS records a demonstration load for so long, and
# prints the recording in base64 and, a second apart, what --metrics serves.

# shellcheck source-path=SCRIPTDIR source=../guest-lib.sh
. /root/guest-lib.sh

echo 1 >/proc/sys/kernel/bpf_stats_enabled
start_toll 60 --metrics 9109 >/dev/null
tollwork demo --seconds $(($1 + 2)) >/dev/null &
LOAD=$!
sleep 1
scx_toll record /tmp/recording --kind all --seconds "$1" || fail "scx_toll record: $?"  &
RECORDER=$!
i=0
while [ "$i" -lt "$1" ]; do
    echo "== scrape $i"
    wget -qO- http://127.0.0.1:9109/metrics || fail "the metrics are not served"
    sleep 1
    i=$((i + 1))
done
wait "$RECORDER" "$LOAD"
stop_toll
echo "== recording"
base64 /tmp/recording
echo "== end"
