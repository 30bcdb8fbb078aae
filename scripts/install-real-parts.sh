#!/usr/bin/env bash
# Puts the real programs that tests run against into .tools: prometheus (with promtool), its Alertmanager (with amtool),
# helm 3 and helm 4; and installs a Chromium.
#
# Does nothing for what is there. Debian's packages of servers are unpacked, not installed: no service starts. Root is needed
# to fetch apt's lists on a machine that has none, for the templates that Debian's Alertmanager reads from one place only, and
# for Chromium, which needs a hundred libraries beside it. What cannot be had is said, and its tests skip (with CI=true they
# fail).
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)

say() { echo "install-real-parts: $*" >&2; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

download() { # PACKAGE
  cd "$scratch" && { apt-get download -qq "$1" 2>/dev/null || { apt-get update -qq && apt-get download -qq "$1"; }; }
}

unpack() { # PACKAGE FOLDER
  dpkg-deb --extract "$scratch/$1"_*.deb "$scratch/unpacked-$1" \
    && rm -rf "$2" && mkdir -p "$(dirname "$2")" && mv "$scratch/unpacked-$1" "$2"
}

from_debian() { # PACKAGE
  local folder=$here/.tools/$1
  if command -v "$1" >/dev/null || [ -x "$folder/usr/bin/$1" ]; then
    return
  fi
  if command -v apt-get >/dev/null && (download "$1") && unpack "$1" "$folder"; then
    say "$1 is in $folder"
  else
    say "$1 cannot be had here (Debian or Ubuntu with apt needed); its tests will skip"
  fi
}

from_debian prometheus
from_debian prometheus-alertmanager

templates=/usr/share/prometheus/alertmanager
unpacked=$here/.tools/prometheus-alertmanager$templates
if [ ! -e "$templates/email.tmpl" ] && [ -d "$unpacked" ]; then
  { mkdir -p "$templates" && cp "$unpacked"/*.tmpl "$templates"; } 2>/dev/null \
    || say "the Alertmanager needs the templates in $templates, which only root can put there; its test will skip"
fi

install() { # PACKAGE...
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

if ! command -v chromium >/dev/null; then
  wanted=(chromium fonts-dejavu-core)
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null \
    && { install "${wanted[@]}" || { apt-get update -qq && install "${wanted[@]}"; }; }; then
    say "chromium is installed"
  else
    say "chromium cannot be had here (Debian or Ubuntu with apt, and root, needed); its tests will skip"
  fi
fi

"$here/scripts/get-helm.sh" || say "helm cannot be had here; the chart's tests will skip"
