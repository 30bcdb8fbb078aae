#!/usr/bin/env python3
"""Builds the scanner of the lookout, which is in C, beside its source: for this Python, with the C compiler at hand.

    scripts/build-scanner.py            build it; exit status 1 when that cannot be done
    scripts/build-scanner.py --sanitize build it to stop at the first wrong access to memory

Anchorwatch does without it; with it, spans in protobuf take a fraction of the time.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "monitor" / "traffic" / "lookout" / "_scan.c"


def main() -> None:
    """Build it."""
    compiler = os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    if compiler is None:
        sys.exit("build-scanner: there is no C compiler; name one with CC=...")
    include = Path(sysconfig.get_paths()["include"])
    if not (include / "Python.h").exists():
        sys.exit(f"build-scanner: the headers of Python are not in {include}")
    built = SOURCE.with_suffix(sysconfig.get_config_var("EXT_SUFFIX"))
    options = ["-O1", "-g", "-fsanitize=address,undefined"] if "--sanitize" in sys.argv else ["-O2"]
    command = [*compiler.split(), *options, "-Wall", "-Wextra", "-shared", "-fPIC", f"-I{include}"]
    if sys.platform == "darwin":
        command += ["-undefined", "dynamic_lookup"]
    new = built.with_name(f"{built.name}.new")  # a library that is in use must not change under its user
    done = subprocess.run([*command, str(SOURCE), "-o", str(new)], check=False)  # noqa: S603  # ours
    if done.returncode:
        sys.exit("build-scanner: the compiler failed")
    new.replace(built)
    print(built)  # noqa: T201  # what it was asked for


if __name__ == "__main__":
    main()
