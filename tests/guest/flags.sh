#!/bin/sh
# flags.sh: one short run per flag, and what it changed.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

sleep 3
# Twelve hogs on eight CPUs take turns; how many depends on the slice.
for us in 2000 40000; do
    echo "== slice $us"
    start_toll 60 --json --slice-us "$us" >/tmp/report
    tollwork hogs --n 12 --seconds 1
    require_toll
    stop_toll
    cat /tmp/report
done

echo "== stats"
start_toll 60 --stats 0.2 >/tmp/report
sleep 1.1
stop_toll
echo "blocks=$(grep -c '^scx_toll  8 CPUs 4 LLCs' /tmp/report)"
sed -n '1,/refused/p' /tmp/report

# Twelve hogs that begin on node 0, while nothing but age takes them to the other unless the
# imbalance has lasted for a minute.
for hold in 0,0,0 1000000,1000000,60000000; do
    echo "== node $hold"
    start_toll 60 --json --hysteresis "node=$hold" >/tmp/report
    tollwork hogs --n 12 --seconds 1 --start-on 0-3
    require_toll
    stop_toll
    cat /tmp/report
done

for split in 1-1 2-8 1-1024; do
    echo "== split $split"
    start_toll 60 --json "--virt-llc=$split" --run-id 4711 >/tmp/report
    tollwork hogs --n 12 --seconds 0.3
    require_toll
    stop_toll
    cat /tmp/report
done

# ext PID: does the kernel say that sched_ext schedules it? Its policy's number otherwise.
ext() { awk '/^ext.enabled/ { print $3; exit }' "/proc/$1/sched"; }
for flag in "" --partial; do
    echo "== switch $flag"
    # shellcheck disable=SC2086 # no flag is no word
    start_toll 60 $flag >/tmp/report
    tollwork hogs --n 2 --seconds 2 >/dev/null &
    other=$!
    tollwork hogs --n 2 --seconds 2 --ext >/dev/null &
    own=$!
    sleep 1
    echo "other=$(ext $other)"
    echo "own=$(ext $own)"
    wait $other $own
    stop_toll
done

for level in error info debug; do
    echo "== level $level"
    start_toll 60 --run-id 4711 --stats 0.5 --log-level $level >/tmp/report 2>/tmp/log
    sleep 1
    stop_toll 2>/dev/null
    echo "info=$(grep -c INFO /tmp/log)"
    echo "libbpf=$(grep -c libbpf: /tmp/log)"
    echo "run=$(grep -c '^run 4711$' /tmp/report)"
done

echo "== quiet"
start_toll 60 >/tmp/report 2>/tmp/log
stop_toll 2>/dev/null
echo "blocks=$(grep -c '^scx_toll  8 CPUs' /tmp/report)"
echo "log=$(grep -c INFO /tmp/log)"

echo "== verbose"
start_toll 60 --verbose >/tmp/report 2>/tmp/log
stop_toll 2>/dev/null
echo "log=$(grep -c INFO /tmp/log)"
echo "libbpf=$(grep -c libbpf: /tmp/log)"

echo "== very verbose"
start_toll 120 -vv >/tmp/report 2>/tmp/log
stop_toll 2>/dev/null
echo "libbpf=$(grep -c libbpf: /tmp/log)"

echo "== libbpf"
scx_toll --btf-custom-path /nowhere >/tmp/out 2>&1
echo "status=$?"
grep -i btf /tmp/out | head -n 3

echo "== version"
scx_toll --version
scx_toll -V
