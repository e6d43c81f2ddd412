#!/usr/bin/env bash
# Builds what is released into dist/: agent and cloud for linux amd64 and arm64, the agent for windows amd64, the
# Debian packages, and SHA256SUMS. The same sources give the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
VERSION=${VERSION:-dev}
DIST=${DIST:-dist}
export VERSION DIST CGO_ENABLED=0
mkdir -p "$DIST"
rm -f "$DIST"/holdfast-* "$DIST/SHA256SUMS"
build() { # name os arch
  local out="$DIST/$1-$2-$3"
  [ "$2" = windows ] && out+=.exe
  GOOS=$2 GOARCH=$3 go build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.version=$VERSION" -o "$out" "$4"
}
for target in ${TARGETS:-linux/amd64 linux/arm64 windows/amd64}; do
  build holdfast-agent "${target%/*}" "${target#*/}" ./agent/cmd/holdfast-agent
done
for target in ${CLOUD_TARGETS:-linux/amd64 linux/arm64}; do
  build holdfast-cloud "${target%/*}" "${target#*/}" ./cloud/cmd/holdfast-cloud
done
# A Debian version begins with a digit and has no "-" of its own.
export DEB_VERSION
DEB_VERSION=$(sed -E 's/^v//; s/-/+/g; s/^([^0-9])/0.0.0+\1/' <<<"$VERSION")
for ARCH in amd64 arm64; do
  [ -e "$DIST/holdfast-agent-linux-$ARCH" ] || continue
  export ARCH
  go tool -modfile=testenv/tools/go.mod nfpm package --config installer/linux/nfpm.yaml --packager deb \
    --target "$DIST/holdfast-agent_${DEB_VERSION}_$ARCH.deb" >/dev/null
done
(cd "$DIST" && sha256sum holdfast-* > SHA256SUMS)
ls -l "$DIST"
