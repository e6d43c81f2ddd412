#!/usr/bin/env bash
# Starts the demo, takes the README's pictures from it, and ends it.
set -euo pipefail
cd "$(dirname "$0")/../.."
log=$(mktemp)
mkdir -p dist
go build -o dist/demo ./testenv/cmd/demo
dist/demo --listen 127.0.0.1:0 --for 10m </dev/null >"$log" 2>&1 &
demo=$!
trap 'kill -INT $demo 2>/dev/null; wait $demo 2>/dev/null; rm -f "$log" dist/demo' EXIT
for _ in $(seq 300); do
  grep -q '^Control:' "$log" && break
  kill -0 $demo 2>/dev/null || { cat "$log"; exit 1; }
  read -rt 1 <> <(:) || true
done
value() { sed -n "s/^$1: *//p" "$log"; }
signin=$(value 'Sign in')
PORTAL=$(value Portal) CONTROL=$(value Control) OWNER=${signin% / *} PASSWORD=${signin#* / } SHOTS=testenv/screenshots node testenv/e2e/shots.mjs
ls -l testenv/screenshots
