#!/bin/sh
# Inside the VM: prints the verifier's figures for each program of scx_toll, one
# line each: name, instructions processed, states.

# shellcheck source-path=SCRIPTDIR source=guest-lib.sh
. /root/guest-lib.sh

# Without counters one program is not loaded at all.
export TOLL_COUNTERS=software
start_toll 120 -vvv >/tmp/report 2>/tmp/log
stop_toll 2>/dev/null
sed -n "s/.*prog '\([^']*\)': -- BEGIN PROG LOAD LOG --.*/prog \1/p; s/^processed /processed /p" /tmp/log |
    awk '$1 == "prog" { name = $2 }
         $1 == "processed" { for (i = 2; i < NF; i++) if ($i == "total_states") print name, $2, $(i + 1) }' |
    sort
