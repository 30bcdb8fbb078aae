"""Builds the scanner, which is in C, beside its source: ``python -m monitor.traffic.lookout.build_scanner``.

It is built for the Python that runs this, with the C compiler at hand (``CC`` names another). With ``--sanitize`` it
stops at the first wrong access to memory. Anchorwatch does without it; with it, spans in protobuf take a fifth of the
time to read.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from .scanner_source import SOURCE, source_mark

_FAST = ("-O3",)
_SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined")


def main() -> None:
    """Build it, and say where it is."""
    compiler = os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    if compiler is None:
        sys.exit("there is no C compiler; name one with CC=...")
    include = Path(sysconfig.get_paths()["include"])
    if not (include / "Python.h").exists():
        sys.exit(f"the headers of this Python are not in {include}: install its package for development")
    built = SOURCE.with_suffix(str(sysconfig.get_config_var("EXT_SUFFIX")))
    options = _SANITIZED if "--sanitize" in sys.argv else _FAST
    command = [*compiler.split(), *options, "-Wall", "-Wextra", "-shared", "-fPIC", f"-I{include}"]
    command.append(f'-DSOURCE_MARK="{source_mark()}"')
    if sys.platform == "darwin":
        command += ["-undefined", "dynamic_lookup"]
    new = built.with_name(f"{built.name}.new")  # who has loaded the old one must not see it change
    done = subprocess.run([*command, str(SOURCE), "-o", str(new)], check=False)  # noqa: S603  # our own words
    if done.returncode:
        sys.exit("the compiler failed")
    new.replace(built)
    print(built)  # noqa: T201  # it is a command


if __name__ == "__main__":
    main()
