# shellcheck shell=sh
# Shared by the scripts that run inside the VM: start, watch and end scx_toll.
# For busybox sh, sourced.

SCX=/sys/kernel/sched_ext

fail() {
    echo "failed: $*" >&2
    exit 1
}

scx_state() { cat "$SCX/state"; }

# await_state STATE: wait until sched_ext is in it, half a minute at most.
await_state() {
    tries=300
    while [ "$(scx_state)" != "$1" ] && [ "$tries" -gt 0 ]; do
        sleep 0.1
        tries=$((tries - 1))
    done
}

# The scheduler that the kernel is using, by its own word.
scx_active() { cat "$SCX/root/ops" 2>/dev/null || echo none; }

# start_toll SECONDS FLAG...: start scx_toll and wait until it schedules.
# Its output goes where ours goes.
start_toll() {
    [ -e "$SCX/state" ] || fail "this kernel has no sched_ext"
    tries=$(($1 * 10))
    shift
    scx_toll "$@" &
    TOLL=$!
    while [ "$(scx_state)" != enabled ]; do
        if ! kill -0 "$TOLL" 2>/dev/null; then
            wait "$TOLL"
            fail "scx_toll ended with status $? before it scheduled anything"
        fi
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "scx_toll did not take over in time; sched_ext is $(scx_state)"
        sleep 0.1
    done
}

# The kernel throws a misbehaving scheduler out and goes on without it.
require_toll() {
    [ "$(scx_state)" = enabled ] || fail "scx_toll no longer schedules; sched_ext is $(scx_state)"
    case $(scx_active) in
        *toll*) ;;
        *) fail "the kernel's scheduler is $(scx_active), not scx_toll" ;;
    esac
}

stop_toll() {
    kill -INT "$TOLL"
    wait "$TOLL"
    status=$?
    [ "$status" -eq 0 ] || fail "scx_toll ended with status $status after SIGINT"
    [ "$(scx_state)" = disabled ] || fail "sched_ext is $(scx_state) after scx_toll's end"
}

# spin SECONDS N: N loops of the shell, where no better load is at hand.
spin() {
    loops=
    i=0
    while [ "$i" -lt "$2" ]; do
        timeout "$1" sh -c 'while :; do :; done' &
        loops="$loops $!"
        i=$((i + 1))
    done
    for loop in $loops; do
        wait "$loop"
    done
}
