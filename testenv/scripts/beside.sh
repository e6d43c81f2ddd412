#!/usr/bin/env bash
# beside.sh "COMMAND" PROGRAM [ARGS...]: runs PROGRAM, and COMMAND beside it in what it leaves of the processors; prints what
# COMMAND said behind it. Fails when either does. COMMAND is scheduled as idle work: whatever PROGRAM wakes up for runs at once.
set -uo pipefail
log=$(mktemp)
trap 'rm -f "$log"' EXIT
chrt --idle 0 bash -c "$1" > "$log" 2>&1 &
side=$!
shift
"$@"
main=$?
wait "$side"
beside=$?
cat "$log"
[ "$main" -eq 0 ] && [ "$beside" -eq 0 ]
