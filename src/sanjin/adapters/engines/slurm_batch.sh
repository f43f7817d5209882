#!/bin/sh
# One task of a batch of runs: it becomes the supervisor of the run that the list names at its index.
# Arguments: the list of run folders, Python, the supervisor's program, the folder of results.
PATH=/usr/bin:/bin
export PATH
for _ in 1 2 3 4 5 6 7 8 9 10; do # a file system that is shared may lag behind
  [ -s "$1" ] && break
  sleep 1
done
run=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" "$1") && [ -n "$run" ] && cd "$run" || exit 1
exec 2>>supervisor 3>>lock
# the lock is held by a supervisor, or for a moment by who looks; what keeps a run to once is its marker
flock -x -w 10 3 || [ ! -e started ] || exit 0
exec "$2" -I -S -E "$3" "$run" "$4"
