"""When a receiver is tested by itself: each day or week at a time of some clock. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

from .silence import WEEK_DAYS

LATE_S = 12 * 3_600.0
"""How late a test may be sent, when no daemon ran at its time; after that it waits for its next time."""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """A time of day, on one day of the week (Monday is 0) or on all of them."""

    at: time
    weekday: int | None = None
    zone: tzinfo = UTC

    def last_due(self, now: datetime) -> datetime:
        """The latest of its times that is not after now."""
        return max(due for due in self._around(now) if due <= now)

    def next_due(self, now: datetime) -> datetime:
        """The first of its times after now."""
        return min(due for due in self._around(now) if due > now)

    def is_due(self, since: datetime, now: datetime) -> bool:
        """Whether a test is to be sent now that was last sent, or set up, at ``since``."""
        due = self.last_due(now)
        return since < due and (now - due).total_seconds() <= LATE_S

    def _around(self, now: datetime) -> Iterator[datetime]:
        """Its times in the week before now, and in the week after."""
        today = now.astimezone(self.zone).date()
        for days in range(-WEEK_DAYS - 1, WEEK_DAYS + 2):
            day = today + timedelta(days=days)
            if self.weekday is None or day.weekday() == self.weekday:
                yield datetime.combine(day, self.at, self.zone).astimezone(UTC)
