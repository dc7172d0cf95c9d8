#!/bin/sh
# control_socket.sh: who may control the scheduler, and what of it survives
# which end.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

SOCKET=/run/scx_toll/control.sock

# try NAME COMMAND...: its status, its output, how many lines that has.
try() {
    echo "== $1"
    shift
    "$@" >/tmp/said 2>&1
    echo "status=$?"
    echo "lines=$(wc -l </tmp/said)"
    cat /tmp/said
}

# busybox has a setpriv of its own, which cannot do this.
as_user() { /usr/local/bin/setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }

sleep 2
try nobody scx_toll get
start_toll 60 >/tmp/report
echo "== modes"
stat -c 'dir=%a %u' /run/scx_toll
stat -c 'socket=%a %u' "$SOCKET"
try root scx_toll set migrate=never
try bad scx_toll set slice_us=300 migrate=sometimes
try missing scx_toll set penalty=nowhere.toml
try user as_user scx_toll get
# Even where the modes have been opened up.
chmod 755 /run/scx_toll
chmod 666 "$SOCKET"
try 'user, open' as_user scx_toll set migrate=always
try second scx_toll
try undisturbed scx_toll get
try hanging tollwork requests --socket "$SOCKET" --hanging 7 --repeat 20 '{"what":"get"}'
try full tollwork requests --socket "$SOCKET" --hanging 8 '{"what":"get"}'

echo "== hotplug"
echo 0 >/sys/devices/system/cpu/cpu3/online
sleep 1
require_toll
scx_toll get --json

echo "== KILL"
kill -KILL "$TOLL"
wait "$TOLL"
await_state disabled
[ -S "$SOCKET" ] && echo "left=yes"
try 'after KILL' scx_toll get
start_toll 60 >/tmp/report
try replaced scx_toll set slice_us=700
stop_toll
echo "== end"
[ -e "$SOCKET" ] || echo "left=no"
