#!/usr/bin/env bash
# Builds what is released into dist/: agent and cloud for linux amd64 and arm64, the agent for windows amd64, the
# Debian packages, the licences of what is linked in, and SHA256SUMS. The same commit gives the same bytes, on
# every machine: tools and libraries are pinned, and every date is the commit's.
#   VERSION, DIST            what it is called, where it goes
#   TARGETS, CLOUD_TARGETS   "linux/amd64 ...": fewer systems
set -euo pipefail
cd "$(dirname "$0")/.."
VERSION=${VERSION:-dev}
DIST=${DIST:-dist}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 1700000000)}
# A Debian version begins with a number and a dot: else the name of a commit would be newer than every release.
# v1.2.0-rc1 comes before 1.2.0, v1.2.0-3-gabcdef (three commits later) after it.
DEB_VERSION=$(sed -E 's/^v([0-9])/\1/; s/-([0-9]+)-g([0-9a-f]+)/+\1.g\2/; s/-dirty$/+dirty/; s/[^A-Za-z0-9.+~-]/./g; s/-/~/g' <<<"$VERSION")
[[ $DEB_VERSION =~ ^[0-9]+\. ]] || DEB_VERSION=0.0.0+$DEB_VERSION
export VERSION DIST SOURCE_DATE_EPOCH DEB_VERSION CGO_ENABLED=0 GOFLAGS=-mod=readonly
mkdir -p "$DIST"
rm -f "$DIST"/holdfast-* "$DIST/SHA256SUMS"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

build() { # name os/arch package
  local os=${2%/*} arch=${2#*/} out
  out="$DIST/$1-$os-$arch"
  if [ "$os" = windows ]; then out+=.exe; fi
  GOOS=$os GOARCH=$arch go build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.version=$VERSION" -o "$out" "$3"
}

deb() { # name arch
  export ARCH=$2 WORK
  gzip -9n >"$WORK/changelog.gz" <<TEXT
$1 ($DEB_VERSION) stable; urgency=medium

  * Release $VERSION.

 -- Holdfast <maintainers@holdfast.invalid>  $(LC_ALL=C TZ=UTC date -R -d "@$SOURCE_DATE_EPOCH")
TEXT
  cp "$DIST/$1-copyright.txt" "$WORK/copyright"
  local log
  # The tool runs on this machine, whatever the package is for.
  log=$(env -u GOOS -u GOARCH -u GOFLAGS go tool -modfile=testenv/tools/go.mod nfpm package --config "installer/linux/$1.yaml" \
    --packager deb --target "$DIST/$1_${DEB_VERSION}_$2.deb" 2>&1) || { echo "$log" >&2; return 1; }
}

product() { # name package targets ...
  local name=$1 package=$2 target
  shift 2
  if [ $# -eq 0 ]; then return; fi
  installer/copyright.sh "$package" >"$DIST/$name-copyright.txt"
  for target; do build "$name" "$target" "$package"; done
  for target; do
    if [ "${target%/*}" = linux ]; then deb "$name" "${target#*/}"; fi
  done
}

# Words are split on purpose: a target has no blanks.
# shellcheck disable=SC2086
product holdfast-agent ./agent/cmd/holdfast-agent ${TARGETS-linux/amd64 linux/arm64 windows/amd64}
# shellcheck disable=SC2086
product holdfast-cloud ./cloud/cmd/holdfast-cloud ${CLOUD_TARGETS-linux/amd64 linux/arm64}
(cd "$DIST" && sha256sum holdfast-* >SHA256SUMS)
ls -l "$DIST"
