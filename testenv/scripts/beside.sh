#!/usr/bin/env bash
# beside.sh "COMMAND" PROGRAM [ARGS...]: runs PROGRAM, and COMMAND beside it in what it leaves of the processors; prints what
# COMMAND said behind it. Fails when either does.
set -uo pipefail
log=$(mktemp)
trap 'rm -f "$log"' EXIT
nice -n 19 bash -c "$1" > "$log" 2>&1 &
side=$!
shift
"$@"
main=$?
wait "$side"
beside=$?
cat "$log"
[ "$main" -eq 0 ] && [ "$beside" -eq 0 ]
