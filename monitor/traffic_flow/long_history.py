"""Hours and days that are over, as the sums that long watches keep of them: each read a bounded number of times.

An hour is read when late calls have had their time, and once more a day after, when no call of it is taken any more:
then it is added to its day and held no longer. After a start the newest come first; days that are long over are read
whole, as they are rolled up, so that a month is known at once.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from ..traffic.lookout import AGE_MAX_S
from ..traffic.watches.budgets import period_start
from ..traffic.watches.config import WatchConfig
from ..traffic.watches.long_looks import DAY_S, HOUR_S, Sums, merge, sums_of
from ..traffic.watches.slo import PAIRS, hour_of
from ..traffic.windows.series import minute_of
from ..traffic.windows.window import Window

RUNNING_S = 2 * HOUR_S
"""How long after its end an hour is added up; until then its minutes are looked at one by one, with late calls."""

READ_A_LOOK = 100_000
"""After so many windows no further hour or day is read at a look; the next one goes on."""

BY_HOUR_S = max(pair.long_s for pair in PAIRS)
"""What is younger is kept by hours: objectives look at parts of it."""


class Windows(Protocol):
    """Where the windows of minutes come from."""

    async def windows(self, first_minute: int, last_minute: int) -> list[Window]:
        """The windows from one minute to another, both included."""


class LongWindows(Windows, Protocol):
    """Where also those of months come from."""

    def long_windows(self, first: int, end: int) -> AsyncIterator[list[Window]]:
        """The windows from ``first`` to before ``end``, few at a time: of days, hours or minutes."""


@dataclass
class LongHistory:
    """The hours of the watches that look far back. It is made up anew from windows when the daemon starts."""

    watches: Sequence[WatchConfig]
    _hours: dict[int, list[Sums]] = field(default_factory=dict)
    _days: dict[int, list[Sums]] = field(default_factory=dict)
    _final: set[int] = field(default_factory=set)
    _whole: set[int] = field(default_factory=set)

    async def read(self, windows: LongWindows, now: datetime) -> None:
        """Read what is due, the newest first and hardly more than ``READ_A_LOOK`` windows."""
        if not self.watches:
            return
        at, read = now.timestamp(), 0
        self._forget(now)
        for start, length_s in list(self._pieces(now)):
            if read >= READ_A_LOOK:
                break
            mine = [start >= self.first(watch, now) for watch in self.watches]
            sums = [sums_of(watch, (), by_hour=True) for watch in self.watches]
            async for some in windows.long_windows(start, start + length_s):
                read += len(some)
                for watch, one, is_mine in zip(self.watches, sums, mine, strict=True):
                    if is_mine:
                        merge(one, sums_of(watch, some, by_hour=True))
            if length_s == DAY_S:
                self._whole.add(start)
            if _is_final(start, at):
                for hour in range(start, start + length_s, HOUR_S):
                    self._hours.pop(hour, None)
                    self._final.add(hour)
                self._keep(start, sums)
            else:
                self._hours[start] = sums

    def before_running(self, watch: WatchConfig, now: datetime) -> Sums:
        """What is known of the watch's period until ``running_from``."""
        index, since = self.watches.index(watch), self.first(watch, now)
        result = sums_of(watch, (), by_hour=True)
        for pieces in (self._days, self._hours):
            for start, sums in pieces.items():
                # The day in which a rolling period begins is there as a whole: outcomes are told apart by their hours.
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

    def _pieces(self, now: datetime) -> Iterator[tuple[int, int]]:
        """What is due as starts and lengths, the newest first: whole days where no watch needs their hours."""
        due = self._due(now.timestamp())
        hours, days = set(due), set[int]()
        for start in due:
            day = start // DAY_S * DAY_S
            if self._is_by_hour(day, now) or not hours.issuperset(range(day, day + DAY_S, HOUR_S)):
                yield start, HOUR_S
            elif day not in days:
                days.add(day)
                yield day, DAY_S

    def _is_by_hour(self, day: int, now: datetime) -> bool:
        """Whether a watch looks at some hours of the day and not at others."""
        is_young = day + DAY_S > now.timestamp() - max(BY_HOUR_S, HOUR_S + AGE_MAX_S)
        return is_young or any(day < self.first(watch, now) < day + DAY_S for watch in self.watches)

    def _keep(self, start: int, sums: list[Sums]) -> None:
        day = self._days.setdefault(start // DAY_S * DAY_S, [])
        if not day:
            day.extend(sums)
            return
        for one, other in zip(day, sums, strict=True):
            merge(one, other)

    def _forget(self, now: datetime) -> None:
        earliest = min(self.first(watch, now) for watch in self.watches)
        # A rolling period has come to a day that is known as a whole: its hours are read again.
        again = {day for day in self._whole if self._is_by_hour(day, now)}
        self._days = {
            start: sums
            for start, sums in self._days.items()
            if start + DAY_S > earliest and start not in again
        }
        self._hours = {start: sums for start, sums in self._hours.items() if start + HOUR_S > earliest}
        self._final = {
            start for start in self._final if start + DAY_S > earliest and start // DAY_S * DAY_S not in again
        }
        self._whole = {day for day in self._whole if day in self._days}


def running_from(at: float) -> int:
    """The first minute that is looked at one by one: that of an hour which is not added up yet."""
    return minute_of(hour_of(at - RUNNING_S))


def _is_final(start: int, at: float) -> bool:
    return start + HOUR_S + AGE_MAX_S <= at
