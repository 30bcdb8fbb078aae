"""The journal of accepted calls, the requests they came in, and the windows, in the database."""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import orjson
from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlmodel import Session, SQLModel, col
from sqlmodel import select as select_rows

from .repeats import Accepted, Answered
from .roll_ups import ROLLED_VALUES_MAX, Resolution, Rolled
from .tables import TrafficFoldRow, TrafficJournalRow, TrafficRequestRow, TrafficRolledRow
from .windows.series import MINUTE_S, OVERFLOW, Series
from .windows.tallies import VALUES_MAX
from .windows.window import Window, window_from_bytes, window_to_bytes

T = TypeVar("T")

IDS_MAX = 500
"""How many windows or services a query names at most."""

FORGOTTEN_AT_A_TIME = 2_000
"""How many windows are deleted with one transaction: others write in between."""

WRITTEN_AT_A_TIME = 100
"""How many windows a statement writes."""

_SERIES = Series._fields
_MINUTES = SQLModel.metadata.tables["traffic_window"]
_ROLL_UPS = SQLModel.metadata.tables["traffic_roll_up"]
_SEEN = SQLModel.metadata.tables["traffic_seen"]

# For the driver itself: SQLAlchemy takes longer than writing does, and this is done for every commit.
_WRITE_ENTRY = "INSERT INTO traffic_journal (at, calls, body) VALUES (?, ?, ?)"
_WRITE_REQUESTS = "INSERT INTO traffic_request (id, at, body) VALUES (?, ?, ?)"
_CUT = "DELETE FROM traffic_journal WHERE id IN (SELECT id FROM traffic_journal WHERE id < ? ORDER BY id LIMIT ?)"


def journal(connection: sqlite3.Connection, calls: int, body: bytes | bytearray, at: float) -> int:
    """Write down an entry (see ``entries``); gives the id of its place in the journal, which only grows."""
    entry_id = connection.execute(_WRITE_ENTRY, (at, calls, body)).lastrowid
    assert entry_id is not None  # noqa: S101 - the database gave it
    return entry_id


def journaled(session: Session, after: int, limit: int, bytes_max: int) -> list[tuple[int, float, bytes]]:
    """Up to ``limit`` entries of the journal with ids above ``after``: id, time and body, oldest first.

    Together they have ``bytes_max`` at most, unless the first alone has more.
    """
    ids = col(TrafficJournalRow.id)
    sizes = (
        select(ids, func.length(col(TrafficJournalRow.body))).where(ids > after).order_by(ids).limit(limit)
    )
    last, size = after, 0
    for entry_id, its_size in session.connection().execute(sizes):
        size += its_size
        if size > bytes_max and last > after:
            break
        last = entry_id
    rows = session.exec(select_rows(TrafficJournalRow).where(ids > after, ids <= last).order_by(ids))
    return [(row.id or 0, row.at, row.body) for row in rows]


def folded_through(session: Session) -> int:
    """The last entry of the journal that is in the stored windows; 0 when none is."""
    row = session.get(TrafficFoldRow, 1)
    return row.folded_through if row else 0


def remember(connection: sqlite3.Connection, entry_id: int, requests: Iterable[Answered], at: float) -> None:
    """Write down the requests whose calls are in an entry of the journal."""
    body = b"\n".join(map(_request_to_json, requests))
    connection.execute(_WRITE_REQUESTS, (entry_id, at, body))


def remembered(session: Session, after: int, limit: int) -> list[tuple[int, float, list[Answered]]]:
    """Up to ``limit`` entries of the journal with ids above ``after``: id, time and requests, oldest first."""
    ids = col(TrafficRequestRow.id)
    rows = session.exec(select_rows(TrafficRequestRow).where(ids > after).order_by(ids).limit(limit))
    return [(row.id, row.at, [_request(line) for line in row.body.splitlines()]) for row in rows]


def forget_requests(session: Session, before_entry: int) -> None:
    """Delete the requests of entries before ``before_entry``."""
    session.connection().execute(delete(TrafficRequestRow).where(col(TrafficRequestRow.id) < before_entry))


@dataclass(frozen=True, slots=True)
class Changes:
    """Rows of windows of one length, as they are to be written: new ones, and those that changed."""

    resolution: Resolution
    new: Sequence["New"]
    more: Sequence["More"]
    seen: Sequence["Seen"] = ()
    """What looks saw in their place."""


class New(NamedTuple):
    """A window that is not stored yet."""

    start: int
    series: Series
    calls: int
    body: bytes

    @classmethod
    def of(cls, window: Window) -> "New":
        """The window as it is to be stored."""
        return cls(window.minute, window.series, window.calls, window_to_bytes(window))


class More(NamedTuple):
    """What is counted now in a window that is stored, by the id of its row."""

    of: int
    now: int
    counted: bytes


class Seen(NamedTuple):
    """A minute of a series as a look has seen it."""

    minute: int
    series: Series
    looked_at: float
    body: bytes


WasSeen = Callable[[int, Series], float | None]
"""The last look that has seen the window of this minute and series as it is stored now; ``None``: no look has."""


def added(
    session: Session,
    resolution: Resolution,
    windows: Iterable[Window],
    was_seen: WasSeen = lambda minute, series: None,
) -> Changes:
    """What is to be written so that the stored windows of this length also count what ``windows`` did.

    It reads, and takes its time; ``write`` is quick. Nobody else may write windows in between.
    """
    seen: list[Seen] = []

    def keep(minute: int, series: Series, body: bytes) -> None:
        if (looked_at := was_seen(minute, series)) is not None:
            seen.append(Seen(minute, series, looked_at, body))

    by_start: dict[int, dict[Series, Window]] = defaultdict(dict)
    for window in windows:
        by_start[window.minute][window.series] = window
    new: list[New] = []
    more: list[More] = []
    for start, by_series in by_start.items():
        for row in _rows_beside(session, resolution, start, by_series):
            series = _series(row)
            if series in by_series:
                keep(start, series, row.body)
                stored = _window(resolution, row)
                stored.merge(by_series.pop(series))
                more.append(More(row.id, stored.calls, window_to_bytes(stored)))
        # What is taken back of a window that was forgotten since is no window.
        fresh = [one for one in by_series.values() if one.calls > 0]
        for one in fresh:
            keep(start, one.series, b"")
        new += [New.of(_bounded(resolution, one)) for one in fresh]
    return Changes(resolution, new, more, seen)


def _rows_beside(
    session: Session, resolution: Resolution, start: int, series: Iterable[Series]
) -> Iterable[Any]:
    """The stored windows of that time, read few at a time; those of the services of ``series`` are among them."""
    table, begin = _table(resolution)
    query = _of(resolution, select(table)).where(begin == start)
    services = {one.service for one in series}
    if len(services) <= IDS_MAX:
        query = query.where(table.c.service.in_(services))
    return session.connection().execute(query.execution_options(yield_per=IDS_MAX))


def write(session: Session, changes: Changes) -> None:
    """Write down what ``added`` or ``rolled_up`` gave."""
    table, _ = _table(changes.resolution)
    connection = session.connection()
    for new in _few(changes.new):
        connection.execute(insert(table), [_row_of(changes.resolution, one) for one in new])
    for seen in _few(changes.seen):
        connection.execute(insert(_SEEN), [_row_of_seen(one) for one in seen])
    place = table.c.id == bindparam("of")
    counted: dict[str, Any] = {"calls": bindparam("now"), "body": bindparam("counted")}
    for more in _few([one for one in changes.more if one.now > 0]):
        connection.execute(update(table).where(place).values(counted), [one._asdict() for one in more])
    # Of which all calls were taken back: without calls it would still name a minute and a series.
    if empty := [{"of": one.of} for one in changes.more if one.now <= 0]:
        connection.execute(delete(table).where(place), empty)


def _few(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """The rows, few at a time: SQLAlchemy makes several copies of all that it is handed at once."""
    for at in range(0, len(rows), WRITTEN_AT_A_TIME):
        yield rows[at : at + WRITTEN_AT_A_TIME]


def note_fold(session: Session, through: int) -> None:
    """Note that the stored windows hold the journal up to ``through``."""
    session.merge(TrafficFoldRow(id=1, folded_through=through))


def cut(connection: sqlite3.Connection, before: int, entries: int) -> int:
    """Cut the first entries off the journal, ``entries`` at most and none from ``before`` on; gives how many."""
    return connection.execute(_CUT, (before, entries)).rowcount


def rolled(session: Session) -> Rolled:
    """Up to where hours and days are rolled up."""
    through = {row.length_s: row.through for row in session.exec(select_rows(TrafficRolledRow))}
    return Rolled(through.get(Resolution.HOUR, 0), through.get(Resolution.DAY, 0))


def note_rolled(session: Session, resolution: Resolution, through: int) -> None:
    """Note that windows of this length are rolled up to there; in the transaction that writes them."""
    session.merge(TrafficRolledRow(length_s=resolution, through=through))


def first_from(session: Session, resolution: Resolution, start: int) -> int | None:
    """When the first window of this length begins that is stored from ``start`` on; ``None`` without any."""
    _, begin = _table(resolution)
    query = _of(resolution, select(func.min(begin))).where(begin >= start)
    return session.connection().execute(query).scalar()


def last_minute(session: Session) -> int | None:
    """When the last stored minute with calls begins; ``None`` without any."""
    return session.connection().execute(select(func.max(_MINUTES.c.minute))).scalar()


def ids_by_series(session: Session, resolution: Resolution, first: int, end: int) -> dict[Series, list[int]]:
    """The ids of the windows of this length that begin from ``first`` to before ``end``, by their series."""
    table, begin = _table(resolution)
    # Of these columns alone, so that the index answers it and no window is read.
    names = [table.c[name] for name in ("id", *_SERIES)]
    query = _of(resolution, select(*names)).where(begin >= first, begin < end)
    found: dict[Series, list[int]] = defaultdict(list)
    for row in session.connection().execute(query):
        found[Series(*row[1:])].append(row.id)
    return found


def windows_of(session: Session, resolution: Resolution, ids: Sequence[int]) -> list[Window]:
    """The windows of this length with these ids, those that are still there; ``IDS_MAX`` at most."""
    table, _ = _table(resolution)
    rows = session.connection().execute(select(table).where(table.c.id.in_(ids)))
    return [_window(resolution, row) for row in rows]


def scan(
    session: Session, resolution: Resolution, first: int, end: int
) -> Iterator[tuple[int, Series, bytes]]:
    """The start, series and body of every window of this length that begins from ``first`` to before ``end``.

    For who adds up hundreds of thousands of them: see ``counted.counted_in`` and ``window.plain_of``.
    """
    table, begin = _table(resolution)
    columns = [begin, *(table.c[name] for name in _SERIES), table.c.body]
    query = _of(resolution, select(*columns)).where(begin >= first, begin < end)
    known: dict[tuple[str, ...], Series] = {}
    for row in session.connection().execute(query.execution_options(yield_per=IDS_MAX)):
        names = tuple(row[1:-1])
        series = known.get(names)
        if series is None:
            series = known[names] = Series(*names)
        yield row[0], series, row[-1]


def series_seen(
    session: Session, resolution: Resolution, first: int, end: int
) -> dict[Series, tuple[int, int, int]]:
    """When the first and the last window of each series begins in that time, and how many there are."""
    table, begin = _table(resolution)
    names = [table.c[name] for name in _SERIES]
    # Of these columns alone, so that the index answers it and no window is read.
    query = _of(resolution, select(*names, func.min(begin), func.max(begin), func.count()))
    rows = session.connection().execute(query.where(begin >= first, begin < end).group_by(*names))
    return {Series(*row[:-3]): (row[-3], row[-2], row[-1]) for row in rows}


def rolled_up(
    session: Session, resolution: Resolution, start: int, ids: Sequence[int]
) -> tuple[Changes, int]:
    """One window of this length for each series of the finer ones with these ids, as it is to be written.

    All windows of a series must be among them. Also gives how many calls are not counted by their own value any more.
    """
    by_series: dict[Series, list[Window]] = defaultdict(list)
    for window in windows_of(session, resolution.finer, ids):
        by_series[window.series].append(window)
    new: list[New] = []
    lost = 0
    for series, found in by_series.items():
        whole = Window(start, series, ambiguous_nano=0)
        whole.chosen.values_max = sum(len(one.chosen) for one in found)
        for window in found:
            whole.merge(window)
        lost += whole.chosen.cut(ROLLED_VALUES_MAX)
        if whole.calls > 0:
            new.append(New.of(whole))
    return Changes(resolution, new, ()), lost


def windows_between(session: Session, first_minute: int, last_minute: int) -> list[Window]:
    """The stored windows from one minute to another, both included, oldest first."""
    table, minute = _table(Resolution.MINUTE)
    # By all names, so that who reads the same again finds the same order; the index has it.
    order = (minute, *(table.c[name] for name in _SERIES))
    query = select(table).where(minute >= first_minute, minute <= last_minute).order_by(*order)
    return [_window(Resolution.MINUTE, row) for row in session.connection().execute(query)]


def active_minutes(session: Session, first_minute: int, last_minute: int) -> set[tuple[int, str]]:
    """The stored minutes, both ends included, in which a service had calls: each with the service's name."""
    table, minute = _table(Resolution.MINUTE)
    # Of these two alone, so that the index of the series answers it and no window is read.
    query = select(minute, table.c.service).where(minute >= first_minute, minute <= last_minute).distinct()
    return {(at, name) for at, name in session.connection().execute(query)}


def forget_windows(session: Session, resolution: Resolution, before: int) -> int:
    """Delete windows of this length that begin before ``before``; gives how many, ``FORGOTTEN_AT_A_TIME`` at most."""
    table, begin = _table(resolution)
    old = _of(resolution, select(table.c.id)).where(begin < before).limit(FORGOTTEN_AT_A_TIME)
    deleted = session.connection().execute(delete(table).where(table.c.id.in_(old)))
    return deleted.rowcount


@dataclass(frozen=True, slots=True)
class StoredMinute:
    """The window of a minute and series as it is stored: the body as it is now, or nothing, and what looks saw before.

    Looks until each moment saw what stands beside it, the earliest first.
    """

    minute: int
    series: Series
    body: bytes
    seen: tuple[tuple[float, bytes], ...] = ()


def minutes_as_seen(session: Session, first_minute: int, last_minute: int) -> list[StoredMinute]:
    """The windows from one minute to another, both included, with what looks saw of them, in their order."""
    names = [_MINUTES.c[name] for name in _SERIES]
    within = (_MINUTES.c.minute >= first_minute, _MINUTES.c.minute <= last_minute)
    query = select(_MINUTES.c.minute, *names, _MINUTES.c.body).where(*within)
    now = {(row[0], Series(*row[1:-1])): row[-1] for row in session.connection().execute(query)}
    names = [_SEEN.c[name] for name in _SERIES]
    within = (_SEEN.c.minute >= first_minute, _SEEN.c.minute <= last_minute)
    query = select(_SEEN.c.minute, *names, _SEEN.c.looked_at, _SEEN.c.body).where(*within)
    seen: dict[tuple[int, Series], list[tuple[float, bytes]]] = defaultdict(list)
    for row in session.connection().execute(query.order_by(_SEEN.c.id)):
        seen[row[0], Series(*row[1:-2])].append((row[-2], row[-1]))
    places = sorted(now.keys() | seen.keys())
    return [
        StoredMinute(minute, series, now.get((minute, series), b""), tuple(seen.get((minute, series), ())))
        for minute, series in places
    ]


def forget_seen(session: Session, before: int) -> int:
    """Delete what looks saw of minutes before ``before``; gives how many, ``FORGOTTEN_AT_A_TIME`` at most."""
    old = select(_SEEN.c.id).where(_SEEN.c.minute < before).limit(FORGOTTEN_AT_A_TIME)
    return session.connection().execute(delete(_SEEN).where(_SEEN.c.id.in_(old))).rowcount


def overflowed(session: Session, first_minute: int, last_minute: int) -> int:
    """How many calls of these minutes, both included, are counted in no series of their own."""
    table, minute = _table(Resolution.MINUTE)
    # Each minute by itself, so that the index finds it.
    minutes = range(first_minute, last_minute + 1, MINUTE_S)
    query = select(func.sum(table.c.calls)).where(minute.in_(minutes), table.c.service == OVERFLOW.service)
    return session.connection().execute(query).scalar() or 0


def _table(resolution: Resolution) -> tuple[Table, ColumnElement[int]]:
    """Where windows of this length are, and the column of their start."""
    if resolution is Resolution.MINUTE:
        return _MINUTES, _MINUTES.c.minute
    return _ROLL_UPS, _ROLL_UPS.c.start


def _of(resolution: Resolution, query: Select[Any]) -> Select[Any]:
    """The query for windows of this length alone."""
    if resolution is Resolution.MINUTE:
        return query
    return query.where(_ROLL_UPS.c.length_s == int(resolution))


def _row_of(resolution: Resolution, new: New) -> dict[str, Any]:
    place = (
        {"minute": new.start}
        if resolution is Resolution.MINUTE
        else {"length_s": int(resolution), "start": new.start}
    )
    return {**place, **new.series._asdict(), "calls": new.calls, "body": new.body}


def _row_of_seen(seen: Seen) -> dict[str, Any]:
    return {"minute": seen.minute, **seen.series._asdict(), "looked_at": seen.looked_at, "body": seen.body}


def _bounded(resolution: Resolution, window: Window) -> Window:
    """The window as it is stored: from here on so many values of an attribute have calls of their own."""
    values_max = VALUES_MAX if resolution is Resolution.MINUTE else ROLLED_VALUES_MAX
    return replace(window, chosen=window.chosen.bounded(values_max))


def _window(resolution: Resolution, row: Any) -> Window:
    if resolution is Resolution.MINUTE:
        return window_from_bytes(row.minute, _series(row), row.body)
    window = window_from_bytes(row.start, _series(row), row.body)
    window.chosen.values_max = ROLLED_VALUES_MAX
    return window


def _series(row: Any) -> Series:
    return Series(*(getattr(row, name) for name in _SERIES))


def _request_to_json(request: Answered) -> bytes:
    told = request.accepted
    return orjson.dumps([request.mark.hex(), told.calls, told.other, dict(told.rejected)])


def _request(line: bytes) -> Answered:
    mark, calls, other, rejected = orjson.loads(line)
    return Answered(bytes.fromhex(mark), Accepted(calls, other, rejected))
