#!/usr/bin/env bash
# Looks for known vulnerabilities in what the programs call. Without a way to the database it says so and goes on:
# the check is about the world outside, not about this tree.
set -uo pipefail
out=$($1 ./agent/... ./cloud/... ./shared/... 2>&1)
code=$?
if [ $code -ne 0 ] && grep -qE 'fetching vulnerabilities|dial tcp|no such host|connect:|proxy' <<<"$out"; then
  echo "govulncheck: the vulnerability database can't be reached from here; not checked"
  exit 0
fi
echo "$out"
exit $code
