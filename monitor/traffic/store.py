"""The journal of accepted calls, the requests they came in, and the minute windows, in the database."""

from collections.abc import Iterable
from dataclasses import asdict

import orjson
from sqlalchemy import delete, insert
from sqlmodel import Session, col, select

from .repeats import Accepted, Answered
from .series import Series
from .tables import TrafficFoldRow, TrafficJournalRow, TrafficRequestRow, TrafficWindowRow
from .windows import Window, window_from_json, window_to_json

_WRITE_ENTRY = insert(TrafficJournalRow).returning(col(TrafficJournalRow.id))
_WRITE_REQUESTS = insert(TrafficRequestRow)


def journal(session: Session, calls: int, body: bytes, at: float) -> int:
    """Write down an entry (see ``entries``); gives the id of its place in the journal, which only grows."""
    # Without the ORM, which takes longer than writing does: this is done for every commit.
    entry_id = (
        session.connection().execute(_WRITE_ENTRY, {"at": at, "calls": calls, "body": body}).scalar_one()
    )
    assert entry_id is not None  # noqa: S101 - the database gave it
    return entry_id


def journaled(session: Session, after: int, limit: int) -> list[tuple[int, float, bytes]]:
    """Up to ``limit`` entries of the journal with ids above ``after``: id, time and body, oldest first."""
    ids = col(TrafficJournalRow.id)
    rows = session.exec(select(TrafficJournalRow).where(ids > after).order_by(ids).limit(limit))
    return [(row.id or 0, row.at, row.body) for row in rows]


def folded_through(session: Session) -> int:
    """The last entry of the journal that is in the stored windows; 0 when none is."""
    row = session.get(TrafficFoldRow, 1)
    return row.folded_through if row else 0


def remember(session: Session, entry_id: int, requests: Iterable[Answered], at: float) -> None:
    """Write down the requests whose calls are in an entry of the journal."""
    body = b"\n".join(map(_request_to_json, requests))
    session.connection().execute(_WRITE_REQUESTS, {"id": entry_id, "at": at, "body": body})


def remembered(session: Session, after: int, limit: int) -> list[tuple[int, float, list[Answered]]]:
    """Up to ``limit`` entries of the journal with ids above ``after``: id, time and requests, oldest first."""
    ids = col(TrafficRequestRow.id)
    rows = session.exec(select(TrafficRequestRow).where(ids > after).order_by(ids).limit(limit))
    return [(row.id, row.at, [_request(line) for line in row.body.splitlines()]) for row in rows]


def forget_requests(session: Session, before_entry: int) -> None:
    """Delete the requests of entries before ``before_entry``."""
    session.connection().execute(delete(TrafficRequestRow).where(col(TrafficRequestRow.id) < before_entry))


def fold(session: Session, windows: Iterable[Window], through: int, cut_before: int) -> None:
    """Add ``windows`` to the stored ones, which then hold the journal up to ``through``; cut what is before another."""
    windows = list(windows)
    rows: dict[tuple[int, Series], TrafficWindowRow] = {}
    for minute in {window.minute for window in windows}:
        query = select(TrafficWindowRow).where(TrafficWindowRow.minute == minute)
        rows |= {(minute, _series(row)): row for row in session.exec(query)}
    for window in windows:
        row = rows.get((window.minute, window.series))
        if row is None and window.calls <= 0:
            continue  # what is taken back of a window that was forgotten since
        if row is None:
            row = TrafficWindowRow(minute=window.minute, **asdict(window.series), calls=0, body=b"")
        else:
            stored = _window(row)
            stored.merge(window)
            window = stored
        row.calls, row.body = window.calls, orjson.dumps(window_to_json(window))
        session.add(row)
    session.merge(TrafficFoldRow(id=1, folded_through=through))
    session.connection().execute(delete(TrafficJournalRow).where(col(TrafficJournalRow.id) < cut_before))


def windows_between(session: Session, first_minute: int, last_minute: int) -> list[Window]:
    """The stored windows from one minute to another, both included, oldest first."""
    minute = col(TrafficWindowRow.minute)
    query = select(TrafficWindowRow).where(minute >= first_minute, minute <= last_minute)
    return [_window(row) for row in session.exec(query.order_by(minute))]


def active_minutes(session: Session, first_minute: int, last_minute: int) -> set[tuple[int, str]]:
    """The stored minutes, both ends included, in which a service had calls: each with the service's name."""
    minute, service = col(TrafficWindowRow.minute), col(TrafficWindowRow.service)
    # Of these two alone, so that the index of the series answers it and no window is read.
    query = select(minute, service).where(minute >= first_minute, minute <= last_minute).distinct()
    return {(at, name) for at, name in session.exec(query)}


def forget_windows(session: Session, before_minute: int) -> None:
    """Delete the windows of minutes before ``before_minute``."""
    session.connection().execute(delete(TrafficWindowRow).where(col(TrafficWindowRow.minute) < before_minute))


def _window(row: TrafficWindowRow) -> Window:
    return window_from_json(row.minute, _series(row), orjson.loads(row.body))


def _series(row: TrafficWindowRow) -> Series:
    return Series(
        service=row.service,
        environment=row.environment,
        version=row.version,
        operation=row.operation,
        provider=row.provider,
        request_model=row.request_model,
        response_model=row.response_model,
    )


def _request_to_json(request: Answered) -> bytes:
    told = request.accepted
    return orjson.dumps([request.mark.hex(), told.calls, told.other, dict(told.rejected)])


def _request(line: bytes) -> Answered:
    mark, calls, other, rejected = orjson.loads(line)
    return Answered(bytes.fromhex(mark), Accepted(calls, other, rejected))
