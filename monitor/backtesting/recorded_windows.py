"""The windows of a recorded database, as each look saw them when it was made."""

import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from ..traffic import store
from ..traffic.roll_ups import Resolution, parts
from ..traffic.store import StoredMinute
from ..traffic.watches.sections import LOOK_BACK_MAX_S
from ..traffic.windows.series import MINUTE_S
from ..traffic.windows.window import Window, window_from_bytes
from .recorded_database import RecordedDatabase

DAY_S = 86_400

DAYS_HELD = 4
"""How many days of windows are in memory as they are stored."""

READ_S = LOOK_BACK_MAX_S + 2 * 3_600
"""How far back windows are kept ready: as far as watches look each time."""


@dataclass(slots=True)
class _Minute:
    """The windows of a minute. They are ``settled`` when every look from now on sees the same."""

    stored: Sequence[StoredMinute]
    windows: list[Window] = field(default_factory=list)
    services: frozenset[str] = frozenset()
    settled_after: float = 0.0
    at: float = -1.0


class RecordedWindows:
    """What looks see of production calls, once more; ``looking`` says which look it is."""

    def __init__(self, database: RecordedDatabase) -> None:
        """Read from ``database`` as time goes on."""
        self._database = database
        self._at = 0.0
        self._days: OrderedDict[int, dict[int, list[StoredMinute]]] = OrderedDict()
        self._minutes: dict[int, _Minute] = {}
        self._rolled = database.read(store.rolled)
        self._first = database.read(partial(store.first_from, resolution=Resolution.MINUTE, start=0))

    @property
    def first(self) -> int | None:
        """When the first recorded minute begins, in unix seconds."""
        return self._first

    @contextlib.asynccontextmanager
    async def looking(self, now: datetime) -> AsyncIterator[None]:
        """From here on, the windows are those that the look of this moment saw."""
        self._at = now.timestamp()
        if len(self._minutes) > 2 * READ_S // MINUTE_S:
            self._minutes = {at: one for at, one in self._minutes.items() if at >= self._at - READ_S}
        yield

    async def windows(self, first_minute: int, last_minute: int) -> list[Window]:
        """The windows from one minute to another, both included."""
        return [
            window
            for minute in self._minutes_of(first_minute, last_minute)
            for window in self._seen(minute).windows
        ]

    async def long_windows(self, first: int, end: int) -> AsyncIterator[list[Window]]:
        """The windows from ``first`` to before ``end``, few at a time: of minutes, or of what is left of them."""
        begin = end if self._first is None else max(first, min(self._first, end))
        for part in parts(first, begin, self._rolled):
            if part.resolution is Resolution.MINUTE:
                continue
            ids = self._database.read(
                partial(store.ids_by_series, resolution=part.resolution, first=part.first, end=part.end)
            )
            everything = [one for some in ids.values() for one in some]
            for at in range(0, len(everything), store.IDS_MAX):
                some = everything[at : at + store.IDS_MAX]
                yield self._database.read(partial(store.windows_of, resolution=part.resolution, ids=some))
        for hour in range(begin, end, Resolution.HOUR):
            yield await self.windows(hour, min(hour + Resolution.HOUR, end) - MINUTE_S)

    async def active_minutes(self, first_minute: int, last_minute: int) -> set[tuple[int, str]]:
        """The minutes, both ends included, in which a service had calls: each with the service's name."""
        return {
            (minute, service)
            for minute in self._minutes_of(first_minute, last_minute)
            for service in self._seen(minute).services
        }

    def _minutes_of(self, first: int, last: int) -> range:
        """The whole minutes from one moment to another, both included, of which anything is on record."""
        begin = max(first, int(self._at) + MINUTE_S if self._first is None else self._first)
        return range(-(-begin // MINUTE_S) * MINUTE_S, min(last, int(self._at)) + 1, MINUTE_S)

    def _seen(self, minute: int) -> _Minute:
        """The windows of this minute as the present look sees them."""
        found = self._minutes.get(minute)
        if found is None:
            stored = self._stored(minute)
            after = max((at for one in stored for at, _ in one.seen), default=0.0)
            found = _Minute(stored, settled_after=after)
            if minute >= self._at - READ_S:
                self._minutes[minute] = found
        if found.at < self._at and not (found.at > found.settled_after):
            found.at = self._at
            found.windows = [
                window_from_bytes(minute, one.series, body)
                for one in found.stored
                if (body := _body_at(one, self._at))
            ]
            found.windows = [one for one in found.windows if one.calls]
            found.services = frozenset(one.series.service for one in found.windows)
        return found

    def _stored(self, minute: int) -> Sequence[StoredMinute]:
        day = minute // DAY_S * DAY_S
        if day not in self._days:
            rows: dict[int, list[StoredMinute]] = {}
            read = partial(store.minutes_as_seen, first_minute=day, last_minute=day + DAY_S - MINUTE_S)
            for one in self._database.read(read):
                rows.setdefault(one.minute, []).append(one)
            self._days[day] = rows
            if len(self._days) > DAYS_HELD:
                self._days.popitem(last=False)
        self._days.move_to_end(day)
        return self._days[day].get(minute, ())


def _body_at(one: StoredMinute, at: float) -> bytes:
    """What the look of this moment saw: what stands beside the first look that is not before it, or what is now."""
    return next((body for looked_at, body in one.seen if looked_at >= at), one.body)
