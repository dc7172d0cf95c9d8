#!/bin/sh
# groups.sh SECONDS CASE...: what cgroups get of eight CPUs, by the kernel's
# cpu.stat, from one second after their hogs started.
#   A:B:C    groups of weight 100, 200 and 400 with so many hogs
#   nested   two groups of weight 100 and 300, each with two, of 100 and 200, 100 and 300
#   limit    cpu.max of 1.5 CPUs for 8 hogs, beside 12 others and then alone
#   churn    groups come and go, and tasks move between them, beside 1:2:4

# shellcheck source-path=SCRIPTDIR source=../../tools/guest-lib.sh
. /root/guest-lib.sh

CG=/sys/fs/cgroup

# hogs GROUP N SECONDS: start N hogs in GROUP.
hogs() {
    sh -c 'echo $$ >"$0/cgroup.procs"; exec tollwork hogs --n "$1" --seconds "$2" >/dev/null' \
        "$CG/$1" "$2" "$3" &
    running="$running $!"
}

used() { sed -n 's/^usage_usec //p' "$CG/$1/cpu.stat"; }

# weigh GROUP WEIGHT
weigh() {
    mkdir "$CG/$1"
    echo "$2" >"$CG/$1/cpu.weight"
}

# shares GROUP...: print what each used in the next $seconds, in us.
shares() {
    for group in "$@"; do echo "$group $(used "$group")"; done >/tmp/before
    sleep "$seconds"
    for group in "$@"; do echo "$group $(used "$group")"; done >/tmp/after
    paste -d ' ' /tmp/before /tmp/after | awk '{ print $1 "=" $4 - $2 }'
}

# Wait for the hogs, then remove the groups, innermost first.
end() {
    for hog in $running; do wait "$hog"; done
    running=
    require_toll
    for group in "$@"; do rmdir "$CG/$group" || fail "$group cannot be removed"; done
}

three() {
    weigh a 100
    weigh b 200
    weigh c 400
    hogs a "$1" $((seconds + 3))
    hogs b "$2" $((seconds + 3))
    hogs c "$3" $((seconds + 3))
    sleep 1
}

nested() {
    for group in x y; do
        weigh $group 100
        echo +cpu >"$CG/$group/cgroup.subtree_control"
        weigh $group/1 100
    done
    echo 300 >"$CG/y/cpu.weight"
    weigh x/2 200
    weigh y/2 300
    for group in x y; do
        hogs $group/1 8 $((seconds + 3))
        hogs $group/2 20 $((seconds + 3))
    done
    sleep 1
    shares x/1 x/2 y/1 y/2
    end x/1 x/2 y/1 y/2 x y
}

# With this weight the group is owed more than its limit, also among the crowd in the root cgroup.
limit() {
    weigh m 1000
    echo "150000 100000" >"$CG/m/cpu.max"
    hogs m 8 $((2 * seconds + 5))
    tollwork hogs --n 12 --seconds $((seconds + 2)) >/dev/null &
    sleep 1
    echo "crowd_$(shares m)"
    sleep 2
    echo "alone_$(shares m)"
    end m
}

# The inner shell moves itself about while its child hogs come and go.
churn() {
    three 4 4 4
    (
        i=0
        while [ "$i" -lt $((seconds * 4)) ]; do
            mkdir "$CG/t$i" && echo 50 >"$CG/t$i/cpu.weight"
            tollwork hogs --n 2 --seconds 0.2 >/dev/null &
            echo $! >"$CG/t$i/cgroup.procs"
            sleep 0.1
            echo $! >"$CG/a/cgroup.procs"
            sleep 0.05
            echo $! >"$CG/cgroup.procs"
            wait $!
            rmdir "$CG/t$i" || echo "lost=t$i"
            i=$((i + 1))
        done
        echo "churned=$i"
    )
    echo "state=$(scx_state)"
    end a b c
}

echo "+cpu" >"$CG/cgroup.subtree_control" || fail "no cpu controller"
sleep 3
start_toll 60 --json >/tmp/report
seconds=$1
running=
shift
for case in "$@"; do
    echo "== $case"
    case $case in
        *:*:*)
            # shellcheck disable=SC2046 # numbers are words
            three $(echo "$case" | tr : ' ')
            shares a b c
            end a b c
            ;;
        *) "$case" ;;
    esac
done
stop_toll
echo "== report"
cat /tmp/report
echo "== kernel"
dmesg | grep -iE 'stall|BUG|WARNING' || true
