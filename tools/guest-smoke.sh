#!/bin/sh
# Inside the VM: does this kernel run scx_toll at all? Starts it, loads the
# machine for two seconds with more hogs than CPUs, and ends it.
# Says `failed: REASON` on stderr and exits 1 if anything is amiss.

# shellcheck source-path=SCRIPTDIR source=guest-lib.sh
. /root/guest-lib.sh

uname -r
start_toll 60
if command -v tollwork >/dev/null; then
    tollwork hogs --n 12 --seconds 2 >&2 || fail "tollwork hogs ended with status $?"
else
    spin 2 12
fi
require_toll
stop_toll
