#!/usr/bin/env bash
# Prints the licence of a program and of everything that is linked into it:  copyright.sh ./agent/cmd/holdfast-agent
set -euo pipefail
cd "$(dirname "$0")/.."
echo "Holdfast is licensed under the Apache License, version 2.0."
echo "On Debian systems its text is in /usr/share/common-licenses/Apache-2.0."
echo
echo "The program contains these libraries, under their own licences:"
go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' "$1" | LC_ALL=C sort -u |
  while read -r path version dir; do
    printf '\n%s\n%s %s\n\n' "------------------------------------------------------------------------" "$path" "$version"
    files=$(cd "$dir" && ls | grep -iE '^(licen[cs]e|copying|notice)' | LC_ALL=C sort || true)
    [ -n "$files" ] || { echo "copyright.sh: $path has no licence file" >&2; exit 1; }
    for f in $files; do
      if [ -f "$dir/$f" ]; then cat "$dir/$f"; echo; fi
    done
  done
goroot=$(go env GOROOT)
printf '\n%s\nThe Go standard library %s\n\n' "------------------------------------------------------------------------" "$(go env GOVERSION)"
cat "$goroot/LICENSE"
