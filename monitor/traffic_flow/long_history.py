"""Hours that are over, as the sums that long watches keep of them: each read a bounded number of times.

An hour is read when late calls have had their time, and once more a day after, when no call of it is taken any more:
then it is added to its day and held no longer. After a start the newest hours come first, a few at a look.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from ..traffic.budgets import period_start
from ..traffic.long_looks import DAY_S, HOUR_S, Sums, merge, sums_of
from ..traffic.lookout import AGE_MAX_S
from ..traffic.series import MINUTE_S, minute_of
from ..traffic.slo import hour_of
from ..traffic.watch_config import WatchConfig
from ..traffic.windows import Window

RUNNING_S = 2 * HOUR_S
"""How long after its end an hour is added up; until then its minutes are looked at one by one, with late calls."""

HOURS_A_LOOK = 24
"""How many hours are read at a look: of a month, all are read after half an hour of looks."""


class Windows(Protocol):
    """Where windows come from: of minutes, or of hours where minutes are kept no longer."""

    async def windows(self, first_minute: int, last_minute: int) -> list[Window]:
        """The windows from one minute to another, both included."""


@dataclass
class LongHistory:
    """The hours of the watches that look far back. It is made up anew from windows when the daemon starts."""

    watches: Sequence[WatchConfig]
    _hours: dict[int, list[Sums]] = field(default_factory=dict)
    _days: dict[int, list[Sums]] = field(default_factory=dict)
    _final: set[int] = field(default_factory=set)

    async def read(self, windows: Windows, now: datetime) -> None:
        """Read what is due, the newest first and ``HOURS_A_LOOK`` at most."""
        if not self.watches:
            return
        at = now.timestamp()
        self._forget(at)
        for start in self._due(at)[:HOURS_A_LOOK]:
            found = await windows.windows(start, start + HOUR_S - MINUTE_S)
            sums = [
                sums_of(watch, found if start >= self.first(watch, now) else (), by_hour=True)
                for watch in self.watches
            ]
            if _is_final(start, at):
                self._keep(start, sums)
            else:
                self._hours[start] = sums

    def before_running(self, watch: WatchConfig, now: datetime) -> Sums:
        """What is known of the watch's period until ``running_from``."""
        index, since = self.watches.index(watch), self.first(watch, now)
        result = sums_of(watch, (), by_hour=True)
        for pieces in (self._days, self._hours):
            for start, sums in pieces.items():
                # The day in which a rolling period begins counts whole in its sums, and by its hours in outcomes.
                if start >= since or (pieces is self._days and start + DAY_S > since):
                    merge(result, sums[index])
        return result

    def missing(self, watch: WatchConfig, now: datetime) -> str:
        """What is not read yet of what the watch looks at, in words; nothing when all is."""
        since = self.first(watch, now)
        unread = sum(start >= since for start in self._due(now.timestamp()) if start not in self._hours)
        return f"; {unread} hours of it are still to be read" if unread else ""

    def first(self, watch: WatchConfig, now: datetime) -> int:
        """The first second that the watch looks at."""
        if watch.budget is not None:
            return int(period_start(watch.budget.every, now).timestamp())
        return hour_of(now.timestamp() - (watch.slo.period if watch.slo else DAY_S))

    def _due(self, at: float) -> list[int]:
        earliest = min(self.first(watch, datetime.fromtimestamp(at, UTC)) for watch in self.watches)
        starts = range(running_from(at) - HOUR_S, hour_of(earliest) - HOUR_S, -HOUR_S)
        return [
            start
            for start in starts
            if start not in self._final and (start not in self._hours or _is_final(start, at))
        ]

    def _keep(self, start: int, sums: list[Sums]) -> None:
        self._hours.pop(start, None)
        self._final.add(start)
        day = self._days.setdefault(start // DAY_S * DAY_S, [])
        if not day:
            day.extend(sums)
            return
        for one, other in zip(day, sums, strict=True):
            merge(one, other)

    def _forget(self, at: float) -> None:
        earliest = min(self.first(watch, datetime.fromtimestamp(at, UTC)) for watch in self.watches)
        self._days = {start: sums for start, sums in self._days.items() if start + DAY_S > earliest}
        self._hours = {start: sums for start, sums in self._hours.items() if start + HOUR_S > earliest}
        self._final = {start for start in self._final if start + DAY_S > earliest}


def running_from(at: float) -> int:
    """The first minute that is looked at one by one: that of an hour which is not added up yet."""
    return minute_of(hour_of(at - RUNNING_S))


def _is_final(start: int, at: float) -> bool:
    return start + HOUR_S + AGE_MAX_S <= at
