"""Addresses of Apprise: the services behind them, and what Apprise says of failures.

https://github.com/caronc/apprise/wiki
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import apprise

MAX_REASON_LENGTH = 200
"""How much of what Apprise says of a failure is kept."""


def service(url: str) -> apprise.Apprise:
    """The service behind an address. Raises ValueError, which does not repeat the address, when it is none."""
    found = apprise.Apprise()
    with reasons_of_failures():
        is_known = found.add(url)
    if not is_known:
        raise ValueError(
            "not an address that Apprise knows, such as mailtos://user:password@example.com?to=oncall@example.com"
        )
    return found


class _Keeper(logging.Handler):
    def __init__(self, kept: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        # Only what it says itself: arguments may hold the address, and that a password.
        self._kept.append(str(record.msg).partition(":")[0].partition("%")[0].strip()[:MAX_REASON_LENGTH])


@contextmanager
def reasons_of_failures() -> Iterator[list[str]]:
    """What Apprise says of failures, which it only tells its log."""
    kept: list[str] = []
    keeper, log = _Keeper(kept), logging.getLogger("apprise")
    was_propagated, log.propagate = log.propagate, False
    log.addHandler(keeper)
    try:
        yield kept
    finally:
        log.removeHandler(keeper)
        log.propagate = was_propagated
