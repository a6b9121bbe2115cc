#!/bin/bash
# PID 1 of a manager container in a pod of PolarDB Stack, by the path and the process title that others there know. It
# waits, and reaps what the tasks of callers leave behind.
if [[ -z $logic_ins_id ]]; then
    echo "init_and_pause.py: the variable logic_ins_id is not set: user postgres keeps its uid" >&2
elif ! polarctl engine-user --logic-id "$logic_ins_id"; then
    echo "init_and_pause.py: user postgres keeps its uid" >&2
fi
exec -a /docker_script/init_and_pause.py polar-supervisor --config /etc/polardb/manager.toml "$@"
