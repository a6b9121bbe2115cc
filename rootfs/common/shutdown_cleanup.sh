#!/bin/sh
# The last resort against a server that does not shut down: the postmaster of THIS data directory and its children are
# killed, and no other process, whoever else is in the PID namespace. The next start recovers. With gdb or pstack it
# leaves a dump of where they hung. It ends with 0 in any case, as its callers expect.
data=${PGDATA:-${PG_DATA:-/data}}
dump=$data/postgres_hang.dump

read -r pid rest 2> /dev/null < "$data/postmaster.pid" || exit 0
case $pid in '' | *[!0-9]*) exit 0 ;; esac
# A pid file outlives its postmaster, and a container sees other processes by the same numbers: a server's working
# directory is its data directory.
[ "$pid" -gt 1 ] && [ "/proc/$pid/cwd" -ef "$data" ] || exit 0

children=
for stat in /proc/[0-9]*/stat; do
    read -r line 2> /dev/null < "$stat" || continue
    child=${line%% *}
    # Behind the name, which may hold anything, stand the state and the parent.
    set -- ${line##*) }
    [ "$2" = "$pid" ] && children="$children $child"
done

if command -v pstack > /dev/null; then
    where() { timeout 10 pstack "$1"; }
elif command -v gdb > /dev/null; then
    where() { timeout 10 gdb -p "$1" -batch -ex 'thread apply all bt'; }
fi
if command -v where > /dev/null; then
    # Made anew and not followed: the folder is the engine's user's, and this is root.
    rm -f "$dump"
    set -C
    umask 077
    for one in $pid $children; do
        echo "--- process $one"
        where "$one" < /dev/null
    done > "$dump" 2>&1
    set +C
fi

# Stopped, it neither starts others nor recovers from the death of these.
kill -STOP "$pid"
for child in $children; do kill -KILL "$child"; done
kill -KILL "$pid"
exit 0
