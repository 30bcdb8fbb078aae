#!/usr/bin/env bash
# Puts dedrift, a peer that benchmarks/dedrift_peer.py is run beside, into an environment of its own: .tools/dedrift.
#
# It is not a part of Anchorwatch (its licence is AGPL-3.0) and shares nothing with it but answers in a file. Does
# nothing when it is there.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
tool=${1:-$here/.tools/dedrift}
version=0.5.0

if [ -x "$tool/bin/dedrift" ]; then exit 0; fi
"${PYTHON:-python3}" -m venv "$tool"
"$tool/bin/pip" install --quiet --disable-pip-version-check "dedrift==$version"
echo "install-dedrift: dedrift $version is in $tool" >&2
