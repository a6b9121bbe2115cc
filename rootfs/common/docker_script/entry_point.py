#!/bin/sh
# A task of PolarDB Stack: everything is in the environment, and the exit status is 0 or 1. The name is the one that
# callers know; no Python is needed.
exec polarctl task
