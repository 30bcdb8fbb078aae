"""What libraries would bring along that a daemon has no use for."""

import sys

COMMAND_LINES = ("httpx._main",)
"""Command lines that libraries import with themselves, where what those need is installed: click, rich and Pygments."""


def leave_out_command_lines() -> None:
    """Have the libraries that are imported from now on find no command line of theirs, as if it were not installed."""
    for name in COMMAND_LINES:
        # This is how Python is told that there is no such module.
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
