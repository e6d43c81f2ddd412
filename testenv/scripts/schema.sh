#!/usr/bin/env bash
# Generates the portal's client types from the Go types of the door; with "check" it only says whether they differ.
set -euo pipefail
cd "$(dirname "$0")/../.."
spec=$(mktemp) before=$(mktemp)
trap 'rm -f "$spec" "$before"' EXIT
types=cloud/portal/src/api/schema.d.ts
cp "$types" "$before"
[ -d cloud/portal/tools/node_modules ] || npm ci --prefix cloud/portal/tools --no-audit --no-fund --loglevel=error
go run ./testenv/cmd/openapi >"$spec"
npm --prefix cloud/portal run --silent schema -- "$spec" >/dev/null
if [ "${1:-}" = check ] && ! cmp -s "$before" "$types"; then
  diff "$before" "$types" | head -20 || true
  cp "$before" "$types"
  echo "The portal's types differ from the door's: run  make schema  and commit $types" >&2
  exit 1
fi
