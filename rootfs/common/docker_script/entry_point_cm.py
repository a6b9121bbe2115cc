#!/bin/sh
# A task of ClusterManager: as entry_point.py, by the names of its own.
exec polarctl task --cm
