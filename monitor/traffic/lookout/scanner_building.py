"""Builds the scanner, which is in C, beside its source. The command is ``build_scanner``.

It is built for the Python that runs this, with the C compiler at hand (``CC`` names another), and not again while its
source stays as it is. Installing Anchorwatch does the same where it can (``hatch_build.py``). With ``--if-possible``
nothing is wrong where there is no compiler, with ``--sanitize`` the scanner stops at the first wrong access to memory.
Anchorwatch does without it; with it, spans take a fraction of the time to read.

This file imports nothing of Anchorwatch, so that it runs before anything is installed.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from hashlib import sha256
from pathlib import Path

SOURCE = Path(__file__).with_name("_scan.c")
INCLUDED = tuple(SOURCE.with_name(name) for name in ("_json.h", "_chains.h", "_counts.h", "_values.h"))

NOT_WANTED = "ANCHORWATCH_NO_SCANNER"
"""The variable of the environment that keeps installations from building the scanner."""

BUILD_MAX_S = 300
"""A compiler that takes longer is stopped; it takes a few seconds."""

_MARK_LETTERS = 16
# Sums of products are rounded as Python rounds them, on every processor.
_FAST = ("-O3", "-ffp-contract=off")
_SANITIZED = ("-O1", "-ffp-contract=off", "-g", "-fsanitize=address,undefined")


class NotBuilt(Exception):  # noqa: N818  # it is no error where nothing needs the scanner
    """The scanner cannot be built here; the text says why, and what would help."""


def source_mark() -> str:
    """What tells this source from any other; empty where it is not at hand. A scanner of another is not used."""
    try:
        written = b"".join(part.read_bytes() for part in (SOURCE, *INCLUDED))
        return sha256(written).hexdigest()[:_MARK_LETTERS]
    except OSError:
        return ""


def name_of_built() -> str:
    """The name of the file that this Python loads the scanner from."""
    return SOURCE.stem + str(sysconfig.get_config_var("EXT_SUFFIX"))


def is_built(built: Path, mark: str) -> bool:
    """Whether the scanner was built of the source with this mark, and for use."""
    try:
        written = built.read_bytes()
    except OSError:
        return False
    return mark.encode() in written and b"__asan_init" not in written


def build(built: Path, options: tuple[str, ...] = _FAST) -> None:
    """Have the compiler make the scanner; raises NotBuilt where that cannot be."""
    compiler = os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    if compiler is None:
        raise NotBuilt("there is no C compiler; name one with CC=...")
    include = Path(sysconfig.get_paths()["include"])
    if not (include / "Python.h").exists():
        raise NotBuilt(
            f"the headers of this Python are not in {include}: install its package for development"
        )
    command = [*compiler.split(), *options, "-Wall", "-Wextra", "-shared", "-fPIC", f"-I{include}"]
    command.append(f'-DSOURCE_MARK="{source_mark()}"')
    if sys.platform == "darwin":
        command += ["-undefined", "dynamic_lookup"]
    # Who has loaded the old one must not see it change, nor anybody a half-written one.
    new = built.with_name(f"{built.name}.{os.getpid()}")
    try:
        subprocess.run(  # noqa: S603  # our own words
            [*command, str(SOURCE), "-o", str(new)], check=True, capture_output=True, timeout=BUILD_MAX_S
        )
        new.replace(built)
    except subprocess.CalledProcessError as error:
        told = error.stderr.decode(errors="replace").strip()
        raise NotBuilt(f"the compiler, {compiler}, failed: {told}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotBuilt(f"it cannot be built with {compiler}: {error}") from error
    finally:
        new.unlink(missing_ok=True)


def main(arguments: list[str]) -> None:
    """Build it unless it is built, and say where it is."""
    built = SOURCE.with_name(name_of_built())
    is_sanitized, is_optional = "--sanitize" in arguments, "--if-possible" in arguments
    if (is_optional and os.environ.get(NOT_WANTED)) or (not is_sanitized and is_built(built, source_mark())):
        return
    try:
        build(built, _SANITIZED if is_sanitized else _FAST)
    except NotBuilt as reason:
        if not is_optional:
            sys.exit(str(reason))
        print(f"spans will be read in Python, for the faster scanner is not built: {reason}", file=sys.stderr)  # noqa: T201
    else:
        print(f"built the scanner of spans: {built}")  # noqa: T201  # it is a command


if __name__ == "__main__":
    main(sys.argv[1:])
