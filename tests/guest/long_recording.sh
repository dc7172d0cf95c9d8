#!/bin/sh
# long_recording.sh SECONDS CUTS: record everything for so long under hogs,
# sleepers and pairs that wake one another; then cut the file at CUTS random
# bytes, and tell each part beside the whole: what a part tells must be what
# the whole tells first. Whole and parts are replayed, too.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

# A number from 0 to below $1.
random() {
    set -- "$1" "$(od -An -N4 -tu4 /dev/urandom)"
    echo $(($2 % $1))
}

start_toll 60 --json >/dev/null
tollwork mixed --seconds $(($1 + 5)) >/dev/null &
LOAD=$!
scx_toll record /tmp/whole --kind all --seconds "$1" 2>/tmp/said || fail "scx_toll record: $?"
kill -INT "$LOAD"
wait "$LOAD"
require_toll
stop_toll

size=$(stat -c %s /tmp/whole)
echo "== recorded"
cat /tmp/said
echo "== size"
echo "bytes=$size"
# As text it is many times as long, and files are in memory here: it is never kept.
tell() { scx_toll explain --from "$1" --json --kind all; }
mkfifo /tmp/some
echo "== whole"
echo "bytes=$(tell /tmp/whole 2>/tmp/said | wc -c)"
cat /tmp/said
scx_toll replay /tmp/whole || fail "scx_toll replay /tmp/whole: $?"
cut=0
while [ "$cut" -lt "$2" ]; do
    at=$(random "$size")
    head -c "$at" /tmp/whole >/tmp/part
    echo "== cut $cut"
    echo "at=$at"
    told=$(tell /tmp/part 2>/tmp/said | wc -c)
    echo "bytes=$told"
    tell /tmp/part 2>/dev/null >/tmp/some &
    tell /tmp/whole 2>/dev/null | head -c "$told" | cmp - /tmp/some && echo "first=1" || echo "first=0"
    wait $!
    cat /tmp/said
    scx_toll replay /tmp/part >/dev/null 2>&1
    echo "replay=$?"
    cut=$((cut + 1))
done
