#!/usr/bin/env bash
# Installs what tests and demo need and this machine lacks, as root on Debian or Ubuntu; else says what to run.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
declare -A needs=(
  [ffmpeg]=ffmpeg [chromium]=chromium [ip]=iproute2 [nft]=nftables
  [mkfs.ext4]=e2fsprogs [mkfs.xfs]=xfsprogs [dmsetup]=dmsetup [strace]=strace
)
missing=()
for program in "${!needs[@]}"; do
  command -v "$program" >/dev/null || missing+=("${needs[$program]}")
done
case $(uname -m) in
  x86_64) command -v linux.uml >/dev/null || missing+=(user-mode-linux) ;; # Debian has it for no other processor
esac
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || command -v postgres >/dev/null || missing+=(postgresql)
compgen -G '/usr/share/fonts/truetype/*/*.ttf' >/dev/null || missing+=(fonts-dejavu-core)
command -v go >/dev/null || { echo "Go is missing: install Go 1.26 or newer from https://go.dev/dl/" >&2; exit 1; }
command -v npm >/dev/null || { echo "Node with npm is missing: install Node 20 or newer" >&2; exit 1; }
[ ${#missing[@]} -eq 0 ] && exit 0
line="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "Missing: ${missing[*]}. Run this once, then try again:" >&2
  echo "  sudo sh -c '$line'" >&2
  exit 1
fi
echo "Installing ${missing[*]} ..."
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/tmp/holdfast-setup.log 2>&1 ||
  { tail -20 /tmp/holdfast-setup.log >&2; exit 1; }
