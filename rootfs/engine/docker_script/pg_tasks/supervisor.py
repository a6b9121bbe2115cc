#!/bin/bash
# PID 1 of an engine container in a pod of PolarDB Stack, by the path and the process title that others there know. The
# installation is the manager container's. The predecessor's command line (su -l ${INITDB_USER} -c "...postgres -D
# /data") is taken and left out: the supervisor starts the engine itself, as /etc/polardb/stack.toml has it.
if [[ $1 == su ]]; then set --; fi
# What was installed before this container was made has its user already.
if [[ $EUID == 0 ]]; then polarctl engine-user || echo "supervisor.py: the engine's user keeps its uid" >&2; fi
export host_data_dir=${host_data_dir:-/data}
exec -a /docker_script/pg_tasks/supervisor.py polar-supervisor "$@"
