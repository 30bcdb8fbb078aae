#!/usr/bin/env bash
# Fills a virtual environment with what a lock file pins, by hash, and with Anchorwatch itself.
#
#   scripts/install.sh VENV LOCK            Anchorwatch editable, from this checkout
#   scripts/install.sh VENV LOCK WHEEL      Anchorwatch from that wheel
#
# PYTHON (environment) which Python to use; otherwise the first of python3, python3.13, 3.12, 3.11 that is new enough
set -euo pipefail

venv=${1:?usage: install.sh VENV LOCK [WHEEL]} lock=${2:?usage: install.sh VENV LOCK [WHEEL]} wheel=${3:-}
uv_version=0.13.8

fail() { echo "install: $*" >&2; exit 1; }

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    if is_new_enough "$candidate"; then echo "$candidate"; return; fi
  done
  fail "Python 3.11 or newer is needed; looked for: ${PYTHON:-python3 python3.13 python3.12 python3.11}. Name one with PYTHON=..."
}

if ! is_new_enough "$venv/bin/python"; then
  python=$(find_python)
  "$python" -c 'import venv, ensurepip' 2>/dev/null \
    || fail "$python cannot make virtual environments; install its venv module (Debian, Ubuntu: apt-get install python3-venv)"
  echo "install: making $venv with $("$python" --version)"
  "$python" -m venv --clear "$venv"
fi
python=$venv/bin/python

pip() { "$python" -m pip --disable-pip-version-check --quiet "$@"; }
uv() { "$venv/bin/uv" pip install --quiet --python "$python" "$@"; }

echo "install: $lock into $venv"
pip install "uv==$uv_version"
# uv does not read pip's configuration: where only pip knows the way to a package index, pip does it, more slowly.
uv --require-hashes -r "$lock" || pip install --require-hashes -r "$lock"
if [ -n "$wheel" ]; then
  uv --no-deps --force-reinstall "$wheel"
else
  uv --no-deps --build-constraints requirements-dev.lock --editable . || pip install --no-deps --editable .
fi
