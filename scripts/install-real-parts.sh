#!/usr/bin/env bash
# Puts the real programs that tests run against into .tools: prometheus (with promtool), helm 3 and helm 4.
#
# Does nothing for what is there. Debian's package is unpacked, not installed: no service starts, and no root is needed
# but to fetch apt's lists on a machine that has none. What cannot be had is said, and its tests skip (with CI=true they
# fail).
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
prometheus=$here/.tools/prometheus

say() { echo "install-real-parts: $*" >&2; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

download_prometheus() {
  cd "$scratch" && { apt-get download -qq prometheus 2>/dev/null \
    || { apt-get update -qq && apt-get download -qq prometheus; }; }
}

unpack_prometheus() {
  dpkg-deb --extract "$scratch"/prometheus_*.deb "$scratch/unpacked" \
    && rm -rf "$prometheus" && mkdir -p "$(dirname "$prometheus")" && mv "$scratch/unpacked" "$prometheus"
}

if ! command -v prometheus >/dev/null && [ ! -x "$prometheus/usr/bin/prometheus" ]; then
  if command -v apt-get >/dev/null && (download_prometheus) && unpack_prometheus; then
    say "prometheus is in $prometheus"
  else
    say "prometheus cannot be had here (Debian or Ubuntu with apt needed); its tests will skip"
  fi
fi

"$here/scripts/get-helm.sh" || say "helm cannot be had here; the chart's tests will skip"
