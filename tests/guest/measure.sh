#!/bin/sh
# measure.sh: measure in an emulated machine, then schedule with the result.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

export SCX_TOLL_STATE_DIR=/tmp/state
echo "== measure"
scx_toll measure --json >/tmp/out 2>/tmp/err
echo "status=$?"
echo "stored=$(find /tmp/state -type f 2>/dev/null | wc -l)"
cat /tmp/err
echo "== table"
cat /tmp/out
echo "== schedule"
start_toll 120 -v >/tmp/report 2>/tmp/log
stop_toll 2>/dev/null
grep -E 'costs of moves|class' /tmp/log
