#!/usr/bin/env bash
# one_node.sh leaves no process of a job behind, whatever its command left running, and keeps the command's exit code.
set -u
here=$(dirname "$(readlink -f "$0")")
mark=$((20000000 + $$)) # seconds nobody else sleeps for
"$here/one_node.sh" bash -c "
    cd /tmp
    sbatch --output=/dev/null --wrap 'trap : TERM; while :; do sleep $mark; done' > /dev/null || exit 1
    for _ in \$(seq 100); do pgrep -f '^sleep $mark' > /dev/null && exit 7; sleep 0.1; done
    exit 1"
status=$?
[ $status -ne 77 ] || exit 77
left=$(pgrep -af "sleep $mark")
[ -z "$left" ] || { echo "left behind: $left"; pkill -f "sleep $mark"; exit 1; }
[ $status -eq 7 ] || { echo "exit $status, expected 7: the job ran"; exit 1; }
