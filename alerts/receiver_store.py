"""What is known of receivers, in the database: rows become domain values here.

Every function takes the session of the caller's transaction and never commits.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import delete, update
from sqlmodel import Session, col, select

from .receiver import Standing
from .store import moment
from .tables import ReceiverRow

ERROR_LENGTH_MAX = 500
"""How much of an error is kept."""


def set_up(session: Session, fingerprints: Mapping[str, str], now: datetime) -> None:
    """Take note of the receivers of a configuration; of one that is set up in another way nothing is known any more."""
    for name, fingerprint in fingerprints.items():
        row = session.get(ReceiverRow, name)
        if row is None or row.fingerprint != fingerprint:
            session.merge(ReceiverRow(name=name, fingerprint=fingerprint, configured_at=now.timestamp()))


def forget_others(session: Session, fingerprints: Mapping[str, str]) -> None:
    """Forget the receivers that are in no configuration any more."""
    session.connection().execute(delete(ReceiverRow).where(col(ReceiverRow.name).not_in(list(fingerprints))))


def standings(session: Session, fingerprints: Mapping[str, str] | None = None) -> dict[str, Standing]:
    """What is known of each receiver, by name; with ``fingerprints`` only of those that are set up as these say."""
    rows = session.exec(select(ReceiverRow).order_by(ReceiverRow.name))
    return {
        row.name: _standing(row)
        for row in rows
        if fingerprints is None or fingerprints.get(row.name) == row.fingerprint
    }


def note_arrival(session: Session, name: str, fingerprint: str, now: datetime) -> None:
    """Take note that something has arrived at the receiver, by the way that has this fingerprint."""
    session.connection().execute(
        update(ReceiverRow)
        .where(col(ReceiverRow.name) == name, col(ReceiverRow.fingerprint) == fingerprint)
        .values(confirmed_at=now.timestamp(), error="")
    )


def note_failure(session: Session, name: str, fingerprint: str, error: str, now: datetime) -> None:
    """Take note that a message to the receiver was given up."""
    session.connection().execute(
        update(ReceiverRow)
        .where(col(ReceiverRow.name) == name, col(ReceiverRow.fingerprint) == fingerprint)
        .values(failed_at=now.timestamp(), error=error[:ERROR_LENGTH_MAX])
    )


def note_test(session: Session, name: str, now: datetime) -> None:
    """Take note that the scheduled test of the receiver is on its way."""
    session.connection().execute(
        update(ReceiverRow).where(col(ReceiverRow.name) == name).values(tested_at=now.timestamp())
    )


def _standing(row: ReceiverRow) -> Standing:
    return Standing(
        receiver=row.name,
        configured_at=datetime.fromtimestamp(row.configured_at, UTC),
        confirmed_at=moment(row.confirmed_at),
        failed_at=moment(row.failed_at),
        error=row.error,
        tested_at=moment(row.tested_at),
    )
