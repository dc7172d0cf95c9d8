#!/bin/sh
# Process 1 of the VM that tools/vm starts: sets up the guest, runs the
# command, reports its exit status, and powers off.
#
# /.toll/command sets the positional parameters to the command; /.toll/shape
# says which topology was asked for. The streams leave over four virtio ports:
# out, err, log and status. What this script itself prints ends up in the
# kernel's log.

export PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root LANG=C.UTF-8 USER=root SHELL=/bin/sh

mount_all() {
    mount -t proc proc /proc
    mount -t sysfs sysfs /sys
    mount -t devtmpfs dev /dev
    mkdir -p /dev/shm /dev/pts
    mount -t devpts devpts /dev/pts
    for dir in /tmp /run /dev/shm; do
        mount -t tmpfs -o mode=1777 tmpfs "$dir"
    done
    mount -t tracefs tracefs /sys/kernel/tracing
    mount -t debugfs debugfs /sys/kernel/debug
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mount -t bpf bpf /sys/fs/bpf
    ln -s /proc/self/fd /dev/fd
    ln -s fd/0 /dev/stdin
    ln -s fd/1 /dev/stdout
    ln -s fd/2 /dev/stderr
}

# Print the device of the virtio port called $1. Ports appear a moment after
# their driver, so wait for up to five seconds.
port() {
    tries=0
    while [ "$tries" -lt 250 ]; do
        for name in /sys/class/virtio-ports/*/name; do
            [ -e "$name" ] || continue
            if [ "$(cat "$name")" = "$1" ]; then
                name=${name%/name}
                echo "/dev/${name##*/}"
                return
            fi
        done
        tries=$((tries + 1))
        sleep 0.02
    done
    echo "no port $1: this kernel has no built-in virtio console driver"
    return 1
}

# What the guest sees: the sets of CPUs that share an L3, and the distances.
seen_shape() {
    cat /sys/devices/system/cpu/cpu[0-9]*/cache/index3/shared_cpu_list | sort -u
    cat /sys/devices/system/node/node[0-9]*/distance | sort -u
}

# A measurement on a machine of another shape would be worse than none.
check_shape() {
    seen_shape >/.toll/seen 2>/dev/null
    cmp -s /.toll/shape /.toll/seen && return
    {
        echo "asked for these sets of CPUs per L3 and rows of distances:"
        cat /.toll/shape
        echo "but the guest sees:"
        cat /.toll/seen
    } >"$err"
    finish wrong-shape
}

# Run the command with its streams in pipes, as under a host's own pipe: a
# port can be opened only once, so programs that open /dev/stderr would fail.
run_command() {
    mkfifo /.toll/out /.toll/err
    cat /.toll/out >"$out" &
    cat_out=$!
    cat /.toll/err >"$err" &
    cat_err=$!
    (
        cd /root || exit
        exec "$@"
    ) </dev/null >/.toll/out 2>/.toll/err
    status=$?
    # Whatever the command left running may hold the pipes open for ever.
    for dir in /proc/[0-9]*; do
        case ${dir#/proc/} in
            1 | "$cat_out" | "$cat_err") ;;
            *) kill -9 "${dir#/proc/}" ;;
        esac
    done 2>/dev/null
    wait "$cat_out" "$cat_err"
    return "$status"
}

# The status line goes last: the host takes a run without it for a crash.
finish() {
    dmesg >"$log"
    echo "$1" >"$status_port"
    poweroff -f
    sleep 60
}

mount_all
ip link set lo up
if ! { out=$(port out) && err=$(port err) && log=$(port log) && status_port=$(port status); }; then
    echo "$out $err $log $status_port"
    poweroff -f
fi
check_shape
# shellcheck source=/dev/null
. /.toll/command
run_command "$@"
finish "exit $?"
