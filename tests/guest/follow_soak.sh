#!/bin/sh
# follow_soak.sh SECONDS SEED: random processes with memory on two nodes of two
# CPUs each, while memory follows. Eight of them at a time, for SECONDS: 1 to 64
# MiB, most on another node than where they run, some free to move, swinging,
# locked, bound, shared, sharing with a child; some fork, execute or are killed
# in the middle. Each checks its memory as long as it lives.
#
# Nothing else moves pages: no NUMA balancing, no compaction ahead of need, huge
# pages only where there is one. The kernel's counters tell whether that is so.

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

SLOTS=8
MIGRATE=/sys/kernel/tracing/events/migrate/mm_migrate_pages
COUNTED='pgmigrate_success|pgmigrate_fail|thp_migration_success|numa_pages_migrated|compact_isolated|compact_stall|pgdemote_[a-z]*|oom_kill|allocstall_[a-z]*'

# draw SEED: one process a line: after how many seconds it is killed (0: it
# is not), and its arguments.
draw() {
    awk -v seed="$1" '
        function below(n) { return int(rand() * n) }
        BEGIN {
            srand(seed)
            split("mlock mbind shared forked", kept)
            for (;;) {
                node = below(2)
                life = 3 + 9 * rand()
                args = sprintf("--mib %d --seconds %.1f --busy %d --from %s", 1 + below(64),
                    life, 20 + below(81), node ? "2-3" : "0-1")
                to = below(8)
                if (to < 5) args = args " --to " (node ? "0-1" : "2-3")
                else if (to < 7) args = args " --to 0-3"
                else args = args sprintf(" --to %s --swing %.1f", node ? "0-1" : "2-3", 0.2 + 2 * rand())
                if (!below(3)) args = args " --kept " kept[1 + below(4)]
                if (!below(3)) args = args " --midway " (below(2) ? "fork" : "exec")
                print (below(6) ? 0 : 1 + int(life * rand())), args
                fflush()
            }
        }'
}

# slot NR: one process after the other.
slot() {
    draw $((seed * SLOTS + $1)) 2>/dev/null | while
        [ "$(cut -d. -f1 /proc/uptime)" -lt "$end" ] && read -r kill args
    do
        expected=0
        limit=
        if [ "$kill" != 0 ]; then
            expected='0|137'
            limit="timeout -s KILL $kill"
        fi
        # The arguments are words.
        # shellcheck disable=SC2086
        $limit tollwork memory $args >"/tmp/work.$1" 2>&1
        status=$?
        echo "began=$args"
        if echo "$status" | grep -qxE "$expected"; then
            echo "ended=$status"
        else
            echo "failed=$status after $args: $(tail -n 1 "/tmp/work.$1")"
        fi
    done >"/tmp/slot.$1"
}

counters() {
    grep -E "^($COUNTED) " /proc/vmstat
}

seconds=$1
seed=$2
echo 0 >/proc/sys/kernel/numa_balancing
echo 0 >/proc/sys/vm/compaction_proactiveness
echo never >/sys/kernel/mm/transparent_hugepage/defrag
# So dear that memory pays for its move however slowly an emulator copies.
printf '[memory]\nremote_pct = 800\n' >/tmp/penalty.toml
start_toll 60 --json --penalty /tmp/penalty.toml --memory-follow on >/tmp/report
echo 'hist:keys=reason:vals=succeeded,failed' >$MIGRATE/trigger
counters >/tmp/before
end=$(($(cut -d. -f1 /proc/uptime) + seconds))
slots=
i=0
while [ $i -lt $SLOTS ]; do
    slot $i &
    slots="$slots $!"
    i=$((i + 1))
done
for slot in $slots; do wait "$slot" || echo "slot=$?"; done
# A mover that is at work for one that has gone notices, and its record is written.
sleep 5
require_toll
echo "== counters"
counters >/tmp/after
awk 'NR == FNR { before[$1] = $2; next } { print $1 "=" $2 - before[$1] }' /tmp/before /tmp/after
echo "== reasons"
cat $MIGRATE/hist
stop_toll
echo "== processes"
cat /tmp/slot.*
echo "== report"
cat /tmp/report
echo "== kernel"
dmesg | grep -E 'detected stalls|runnable task stall|hung task|blocked for more|BUG:|WARNING:|allocation failure|Out of memory|runtime error' || true
