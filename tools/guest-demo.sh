#!/bin/sh
# Inside the VM: guest-demo.sh SECONDS [FLAG...] schedules a demonstration load
# with `scx_toll --stats 1 FLAG...`, whose figures appear as they come.

# shellcheck source-path=SCRIPTDIR source=guest-lib.sh
. /root/guest-lib.sh

seconds=$1
shift
start_toll 60 --stats 1 "$@"
echo "the kernel's scheduler: $(scx_active)"
if command -v tollwork >/dev/null; then
    tollwork demo --seconds "$seconds" || fail "tollwork demo ended with status $?"
else
    spin "$seconds" "$(($(nproc) + 1))"
fi
require_toll
echo "the kernel's scheduler after $seconds s of load: $(scx_active)"
stop_toll
