"""The time, as something that is handed in."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where a part that acts gets the time from."""

    def now(self) -> datetime:
        """The time of day, with its zone: UTC. It may jump when an operator sets it."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow: for durations."""
        ...


class SystemClock:
    """The time of this machine."""

    def now(self) -> datetime:
        """The time of day, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since some moment in the past."""
        return time.monotonic()
