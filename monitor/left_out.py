"""What libraries would bring along that a daemon has no use for."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

COMMAND_LINES = ("httpx._main", "rich")
"""What libraries import for people at a terminal, where it is installed: with Pygments, and for httpx with click."""


@contextmanager
def without_command_lines() -> Iterator[None]:
    """Have the libraries that are imported within find none of this, as if it were not installed."""
    left_out = [name for name in COMMAND_LINES if name not in sys.modules]
    # This is how Python is told that there is no such module.
    sys.modules.update(dict.fromkeys(left_out, None))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in left_out:
            del sys.modules[name]
