"""What libraries would bring along that a daemon has no use for."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType

COMMAND_LINES = ("httpx._main", "rich")
"""What libraries import for people at a terminal, where it is installed: with Pygments, and for httpx with click."""

WINDOWS_ZONES = "tzlocal.windows_tz"
"""What Windows calls each time zone: APScheduler's library for the local one has it at hand, which is never asked."""

FETCHING = "httpx2"
"""By what genai-prices would fetch newer prices, if it were told to."""


@contextmanager
def without_ballast() -> Iterator[None]:
    """Have the libraries that are imported within find none of this, as if it were not installed, or were empty."""
    zones = ModuleType(WINDOWS_ZONES)
    zones.__dict__.update(win_tz={}, tz_win={})
    # None is how Python is told that there is no such module.
    with _standing_in({**dict.fromkeys(COMMAND_LINES), WINDOWS_ZONES: zones}):
        yield


@contextmanager
def without_fetching() -> Iterator[None]:
    """Have genai-prices, imported within, be without the means to fetch anything: another client of HTTP."""
    with _standing_in({FETCHING: ModuleType(FETCHING)}):
        yield


@contextmanager
def _standing_in(stand_ins: Mapping[str, ModuleType | None]) -> Iterator[None]:
    left_out = {name: one for name, one in stand_ins.items() if name not in sys.modules}
    sys.modules.update(left_out)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in left_out:
            del sys.modules[name]
