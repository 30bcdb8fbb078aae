"""The stored windows: minutes that are folded in, hours and days rolled up from them, and what is old deleted.

What changes windows is worked out beside the write lock and written quickly under it, so that requests whose calls
wait for their commit do not wait long. One fold or roll-up writes at a time, and with a roll-up the mark that says up
to where it is done: whoever is stopped at any point finds windows and mark as they were before.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog
from sqlmodel import Session

from ..database import Database
from . import store
from .lookout import AGE_MAX_S
from .roll_ups import ROLL_UPS, ROLLED_VALUES_MAX, Keep, Part, Resolution, Rolled, parts
from .windows.series import Series
from .windows.window import Window

READ_A_LOOK = 50_000
"""After so many windows were read no further hour or day is rolled up at a look; a few seconds of work."""

FINAL_AFTER_S = AGE_MAX_S + 600.0
"""How long after its end nothing of an hour comes any more: calls are taken for a day, and settled within minutes."""

FORGET_A_LOOK = 50
"""How many transactions delete old windows at a look."""

WRITTEN_MAX = 10_000
"""Of how many windows it is remembered when they were written, before those are forgotten that a look has seen."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Folding:
    """What a fold writes beside windows: they then hold the journal up to ``through``.

    No request of an entry before ``first_request`` is remembered any more.
    """

    through: int
    first_request: int


@dataclass
class Looks:
    """Which of the stored minutes a look has seen as they are, so that what it saw is kept when they change."""

    is_kept: bool = True
    at: float | None = None
    """The last look, in unix seconds."""
    _written: dict[tuple[int, Series], float] = field(default_factory=dict)

    def was_seen(self, minute: int, series: Series) -> float | None:
        """The last look, if it saw the window of this minute and series as it is stored now."""
        if not self.is_kept or self.at is None or minute > self.at:
            return None
        # What was written since the last look none has seen. Of what was not written lately, some look has.
        return None if self._written.get((minute, series)) == self.at else self.at

    def changed(self, places: Iterable[tuple[int, Series]]) -> None:
        """Take note that the windows of these minutes and series were written now."""
        if self.at is None:
            return
        self._written |= dict.fromkeys(places, self.at)
        if len(self._written) > WRITTEN_MAX:
            self._written = {place: at for place, at in self._written.items() if at == self.at}


class WindowsAtRest:
    """The windows in the database. While ``lock`` is held nobody folds, so that what is counted is in one place."""

    def __init__(self, database: Database, keep: Keep) -> None:
        """Keep windows for so long."""
        self.lock = asyncio.Lock()
        self.looks = Looks(is_kept=keep.as_seen_s > 0)
        self._database = database
        self._keep = keep
        self._final: float | None = None
        self._changed: set[int] = set()

    async def fold(self, pieces: AsyncIterable[Sequence[Window]], folding: Folding, now: float) -> int:
        """Add all windows that were counted until ``now`` to the stored ones; gives how many. Hold ``lock``.

        They come few at a time: what is to be written of them takes a small part of the room that they take.
        """
        adding = _Adding(self.looks.was_seen)
        async for windows in pieces:
            await self._database.aread(partial(adding.add, windows=windows))
        changes = await self._database.aread(adding.changes)

        def work(session: Session) -> None:
            for one in changes:
                store.write(session, one)
            store.note_fold(session, folding.through)
            store.forget_requests(session, folding.first_request)

        await self._database.awrite(work)
        self.looks.changed(adding.places)
        self._changed |= {Resolution.HOUR.start_of(minute) for minute, _ in adding.places}
        self._final = now - FINAL_AFTER_S
        return len(adding.places)

    async def roll_up(self) -> int:
        """Roll up the hours and days that are over for good, a bounded number; gives how many windows were read."""
        read = 0
        if (final := self._final) is None:
            return read  # calls of any hour may still be in the journal
        for resolution in ROLL_UPS:
            while (start := await self._next(resolution, final)) is not None:
                if read >= READ_A_LOOK:
                    return read
                read += await self._roll_up(resolution, start)
            await self._pass_over(resolution, final)
        return read

    async def forget(self, now: float) -> None:
        """Delete windows that are older than they are kept, a little at a time: others write in between."""
        rolled = await self._database.aread(store.rolled)
        left = FORGET_A_LOOK
        for resolution in Resolution:
            before = self._keep.until(resolution, rolled, now)
            work = partial(store.forget_windows, resolution=resolution, before=before)
            while left and await self._database.awrite(work):
                left -= 1
        unseen = partial(store.forget_seen, before=int(now - self._keep.seen_s))
        while left and await self._database.awrite(unseen):
            left -= 1

    async def pieces(self, first: int, end: int) -> AsyncIterator[list[Window]]:
        """The windows from ``first`` to before ``end``, few at a time: days, hours and minutes, the longest there are.

        What is not folded is not among them.
        """
        rolled = await self._database.aread(store.rolled)
        for part in parts(first, end, rolled):
            ids = [one for ids in (await self._ids(part)).values() for one in ids]
            for at in range(0, len(ids), store.IDS_MAX):
                some = ids[at : at + store.IDS_MAX]
                yield await self._database.aread(
                    partial(store.windows_of, resolution=part.resolution, ids=some)
                )

    async def _next(self, resolution: Resolution, final: float) -> int | None:
        """The start of the next hour or day to be rolled up, if one with calls is over."""
        return await self._database.aread(partial(_next, resolution=resolution, final=final))

    async def _pass_over(self, resolution: Resolution, final: float) -> None:
        """Note that what is over had no more calls: days follow hours also where traffic has ended."""

        def work(session: Session) -> None:
            rolled = store.rolled(session)
            reach = rolled.may_reach(resolution, final)
            if reach > rolled.through(resolution) and _next(session, resolution, final) is None:
                store.note_rolled(session, resolution, reach)

        async with self.lock:
            await self._database.awrite(work)

    async def _roll_up(self, resolution: Resolution, start: int) -> int:
        """Roll up one hour or day; gives how many windows were read."""
        end = start + resolution
        self._changed.clear()
        ids = await self._ids(Part(resolution.finer, start, end))
        found, lost = [], 0
        for some in _together(ids):
            changes, calls = await self._database.aread(
                partial(store.rolled_up, resolution=resolution, start=start, ids=some)
            )
            found.append(changes)
            lost += calls

        def work(session: Session) -> None:
            for one in found:
                store.write(session, one)
            store.note_rolled(session, resolution, end)

        async with self.lock:
            # A call came all the same, as clocks were set: it is in what was read, or not. It is read again.
            if not any(start <= hour < end for hour in self._changed):
                await self._database.awrite(work)
                _tell(lost, start)
        return sum(map(len, ids.values()))

    async def _ids(self, part: Part) -> dict[Series, list[int]]:
        return await self._database.aread(
            partial(store.ids_by_series, resolution=part.resolution, first=part.first, end=part.end)
        )


def _next(session: Session, resolution: Resolution, final: float) -> int | None:
    rolled = store.rolled(session)
    first = store.first_from(session, resolution.finer, rolled.through(resolution))
    start = None if first is None else resolution.start_of(first)
    return start if start is not None and start < rolled.may_reach(resolution, final) else None


class _Adding:
    """What is to be written of windows that are folded: minutes, and hours and days that are rolled up already."""

    def __init__(self, was_seen: store.WasSeen) -> None:
        """Start with none; ``was_seen`` says which of the stored minutes a look has seen."""
        self.places: list[tuple[int, Series]] = []
        """The minutes and series of the windows."""
        self._was_seen = was_seen
        self._rolled: Rolled | None = None
        self._minutes: list[store.Changes] = []
        self._longer: dict[Resolution, dict[tuple[int, Series], Window]] = {one: {} for one in ROLL_UPS}

    def add(self, session: Session, windows: Sequence[Window]) -> None:
        """Add some windows, of other minutes and series than before."""
        self._rolled = rolled = self._rolled or store.rolled(session)
        self._minutes.append(store.added(session, Resolution.MINUTE, windows, self._was_seen))
        for resolution, longer in self._longer.items():
            for window in windows:
                if window.minute < rolled.through(resolution):
                    _add_up(longer, resolution, window)
        self.places += [(one.minute, one.series) for one in windows]

    def changes(self, session: Session) -> list[store.Changes]:
        """All of it. Hours and days are read last, for each has minutes that came at different times."""
        longer = [(resolution, windows.values()) for resolution, windows in self._longer.items() if windows]
        return self._minutes + [store.added(session, resolution, windows) for resolution, windows in longer]


def _add_up(longer: dict[tuple[int, Series], Window], resolution: Resolution, window: Window) -> None:
    """Add a window to the one of this length that it is part of."""
    start = resolution.start_of(window.minute)
    whole = longer.setdefault((start, window.series), Window(start, window.series, ambiguous_nano=0))
    whole.chosen.values_max = ROLLED_VALUES_MAX
    whole.merge(window)


def _together(ids: dict[Series, list[int]]) -> Iterator[list[int]]:
    """The ids of a few series at a time, those of each series together."""
    some: list[int] = []
    for mine in ids.values():
        if some and len(some) + len(mine) > store.IDS_MAX:
            yield some
            some = []
        some = some + mine
    if some:
        yield some


def _tell(lost: int, start: int) -> None:
    if lost:
        log.warning(
            "calls of an hour or day are not told apart by their value: there are too many values of an attribute",
            calls=lost,
            start=start,
            values_max=ROLLED_VALUES_MAX,
        )
