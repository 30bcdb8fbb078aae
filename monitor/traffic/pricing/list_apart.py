"""The price list, read by another process where it is costly to read here.

genai-prices is 1.6 MB of Python. Where its bytecode lies beside it, it is read in no time. Where it does not, as in
images that are built without, compiling it takes 65 MB at once: of a process that goes on for months, this would be the
most that it ever takes.
"""

import importlib.util
import pickle
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genai_prices.types import Provider

MODULE = "genai_prices.data"

READ_MAX_S = 60.0
"""How long the other process may take; then the list is read here."""

_READING = f"import pickle, sys, {MODULE} as data; sys.stdout.buffer.write(pickle.dumps(data.providers))"


def is_compiled() -> bool:
    """Whether the list's bytecode is there."""
    spec = importlib.util.find_spec(MODULE)
    return spec is not None and spec.cached is not None and Path(spec.cached).exists()


def providers_read_apart(python: str = sys.executable) -> "list[Provider] | None":
    """The price list, as another process has read it; ``None`` when it could not."""
    # Safely (-P): by itself "-c" imports what lies in the folder in which a daemon happens to be started.
    command = [python, "-P", "-c", _READING]
    try:
        read = subprocess.run(command, capture_output=True, check=True, timeout=READ_MAX_S)  # noqa: S603 - our own
        providers: list[Provider] = pickle.loads(read.stdout)  # noqa: S301 - the same
    except Exception:
        # It could not run; or it said more than the list, as some start every Python with words of theirs, and what is
        # no pickle fails in any way there is. Nothing is lost: the list is read here.
        return None
    return providers
