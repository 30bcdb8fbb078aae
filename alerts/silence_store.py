"""Silences in the database: rows become domain values here.

Every function takes the session of the caller's transaction and never commits.
"""

from datetime import UTC, datetime

import orjson
from sqlalchemy import delete
from sqlmodel import Session, col, select

from .matcher import read_matcher
from .silence import Silence
from .tables import SilenceRow

SHOWN_MAX = 500
"""How many silences are listed at most, those that end last."""


def save_silence(session: Session, silence: Silence) -> None:
    """Keep this silence, in place of what was known of it."""
    session.merge(
        SilenceRow(
            id=silence.id,
            matchers=orjson.dumps([str(one) for one in silence.matchers]).decode(),
            author=silence.author,
            comment=silence.comment,
            starts_at=silence.starts_at.timestamp(),
            ends_at=silence.ends_at.timestamp(),
            created_at=silence.created_at.timestamp(),
            ended_by=silence.ended_by,
        )
    )
    session.flush()


def silence(session: Session, silence_id: str) -> Silence | None:
    """The silence with this id, if there is one."""
    row = session.get(SilenceRow, silence_id)
    return None if row is None else _silence(row)


def silences(session: Session, ending_after: datetime | None = None) -> tuple[Silence, ...]:
    """The silences that end after then (or all), the one that ends first at the beginning."""
    query = select(SilenceRow).order_by(col(SilenceRow.ends_at).desc(), col(SilenceRow.id)).limit(SHOWN_MAX)
    if ending_after is not None:
        query = query.where(col(SilenceRow.ends_at) > ending_after.timestamp())
    return tuple(_silence(row) for row in reversed(session.exec(query).all()))


def all_made(session: Session) -> tuple[Silence, ...]:
    """Every silence on record, in the order in which they were made."""
    query = select(SilenceRow).order_by(col(SilenceRow.created_at), col(SilenceRow.id))
    return tuple(_silence(row) for row in session.exec(query))


def forget(session: Session, before: datetime) -> int:
    """Delete the silences that ended before then. Never more than there were at a time: gives 0, all are gone."""
    session.connection().execute(delete(SilenceRow).where(col(SilenceRow.ends_at) < before.timestamp()))
    return 0


def _silence(row: SilenceRow) -> Silence:
    return Silence(
        id=row.id,
        matchers=tuple(read_matcher(text) for text in orjson.loads(row.matchers)),
        author=row.author,
        comment=row.comment,
        starts_at=datetime.fromtimestamp(row.starts_at, UTC),
        ends_at=datetime.fromtimestamp(row.ends_at, UTC),
        created_at=datetime.fromtimestamp(row.created_at, UTC),
        ended_by=row.ended_by,
    )
