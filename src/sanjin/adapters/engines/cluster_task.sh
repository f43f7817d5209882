#!/bin/sh
# One task of a batch of runs: it becomes the supervisor of the run that the list names at its index.
# Arguments: the list of run folders, Python, the supervisor's program, the folder of results; its index, where neither
# SANJIN_TASK nor the array of Slurm tells it.
SANJIN_PATH=$PATH # where the cluster's own programs are
PATH=/usr/bin:/bin
SANJIN_BATCH=${1##*/}
SANJIN_TASK=${SANJIN_TASK:-${SLURM_ARRAY_TASK_ID:-$5}}
export PATH SANJIN_PATH SANJIN_BATCH SANJIN_TASK
for _ in 1 2 3 4 5 6 7 8 9 10; do # a file system that is shared may lag behind
  [ -s "$1" ] && break
  sleep 1
done
run=$(sed -n "$((SANJIN_TASK + 1))p" "$1") && [ -n "$run" ] && cd "$run" || exit 1
exec 2>>supervisor 3>>lock
# the lock is held by a supervisor, or for a moment by who looks; what keeps a run to once is its marker
flock -x -w 10 3 || [ ! -e started ] || exit 0
exec "$2" -I -S -E "$3" "$run" "$4"
