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
