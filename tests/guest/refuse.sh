#!/bin/sh
# refuse.sh: start scx_toll once and print its status and its words.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

echo "== refuse"
timeout -s KILL 60 scx_toll >/tmp/out 2>/tmp/err
echo "status=$?"
echo "lines=$(wc -l </tmp/err)"
echo "state=$(scx_state)"
cat /tmp/out /tmp/err
