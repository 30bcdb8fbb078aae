"""Decisions on rollbacks and their locks in the database: rows become domain values here.

Every function takes the session of the caller's transaction and never commits.
"""

from datetime import UTC, datetime

from sqlalchemy import delete
from sqlmodel import Session, col, select

from .rollback import EVERY_ROLLBACK, Action, Lock, PastRollback, RollbackReason
from .store import moment, unix
from .tables import RollbackLockRow, RollbackRow

HISTORY_LENGTH = 100
"""How many of the latest decisions, or of past locks, a history has, unless another length is asked for."""

# Built once: SQLAlchemy takes longer to build a statement than SQLite to answer it.
_OPEN_QUESTIONS = (
    select(RollbackRow).where(RollbackRow.action == Action.ASK.value).order_by(col(RollbackRow.decided_at))
)
_HELD = select(RollbackLockRow).where(col(RollbackLockRow.unlocked_at).is_(None))


def weighed(session: Session, name: str, incident_id: str) -> tuple[PastRollback, ...]:
    """What the guard weighs when an incident asks for the rollback: its own decision, and each that let something out.

    In a storm hundreds are held back within minutes: they must not push the one out of sight that was sent.
    """
    is_own = col(RollbackRow.incident_id) == incident_id
    acts = col(RollbackRow.action) != Action.SUPPRESSED.value
    query = select(RollbackRow).where(RollbackRow.name == name, is_own | acts)
    return tuple(_past_rollback(row) for row in session.exec(query.order_by(col(RollbackRow.decided_at))))


def history(session: Session, name: str | None = None, limit: int = HISTORY_LENGTH) -> list[PastRollback]:
    """The latest decisions on the rollback ``name`` (or on all), the newest first."""
    query = select(RollbackRow).order_by(col(RollbackRow.decided_at).desc()).limit(limit)
    if name is not None:
        query = query.where(RollbackRow.name == name)
    return [_past_rollback(row) for row in session.exec(query)]


def of_incident(session: Session, incident_id: str) -> tuple[PastRollback, ...]:
    """The decisions on rollbacks that this incident has had, the oldest first."""
    query = select(RollbackRow).where(RollbackRow.incident_id == incident_id)
    return tuple(_past_rollback(row) for row in session.exec(query.order_by(col(RollbackRow.decided_at))))


def delivered_since(session: Session, since: datetime) -> tuple[PastRollback, ...]:
    """The rollbacks whose orders were taken at ``since`` or later, the oldest first."""
    query = select(RollbackRow).where(col(RollbackRow.delivered_at) >= since.timestamp())
    return tuple(_past_rollback(row) for row in session.exec(query.order_by(col(RollbackRow.delivered_at))))


def open_questions(session: Session) -> tuple[PastRollback, ...]:
    """The rollbacks that wait for a person, the oldest first."""
    return tuple(_past_rollback(row) for row in session.exec(_OPEN_QUESTIONS))


def no_longer_open(session: Session) -> tuple[PastRollback, ...]:
    """The questions that somebody answered, or that nobody could any more, in the order in which that was."""
    query = select(RollbackRow).where(col(RollbackRow.answered_at).is_not(None))
    return tuple(_past_rollback(row) for row in session.exec(query.order_by(col(RollbackRow.answered_at))))


def save(session: Session, past: PastRollback) -> None:
    """Keep a decision on a rollback, in place of an earlier one for the same incident."""
    session.merge(
        RollbackRow(
            name=past.name,
            incident_id=past.incident_id,
            decided_at=past.at.timestamp(),
            action=past.action.value,
            reason=past.reason.name,
            delivered_at=unix(past.delivered_at),
            failed_at=unix(past.failed_at),
            answer_by=unix(past.answer_by),
            answered_at=unix(past.answered_at),
            answered_by=past.answered_by,
        )
    )


def mark_delivered(session: Session, name: str, incident_id: str, now: datetime) -> None:
    """Record that the deploy system took the order."""
    row = session.get(RollbackRow, (name, incident_id))
    if row is not None:
        row.delivered_at, row.failed_at = now.timestamp(), None
        session.add(row)


def mark_failed(session: Session, name: str, incident_id: str, now: datetime) -> None:
    """Record that the order could not be sent and is given up."""
    row = session.get(RollbackRow, (name, incident_id))
    if row is not None:
        row.failed_at = now.timestamp()
        session.add(row)


def locks(session: Session) -> tuple[Lock, ...]:
    """What is locked now, by name."""
    return tuple(_lock(row) for row in session.exec(_HELD.order_by(col(RollbackLockRow.name))))


def lock_on(session: Session, name: str) -> Lock | None:
    """What keeps this rollback from acting: its own lock, or the one on all of them."""
    query = _HELD.where(col(RollbackLockRow.name).in_((name, EVERY_ROLLBACK)))
    held = {row.name: _lock(row) for row in session.exec(query)}
    return held.get(name) or held.get(EVERY_ROLLBACK)


def save_lock(session: Session, lock: Lock) -> None:
    """Keep this lock, which holds from now on."""
    session.add(
        RollbackLockRow(
            name=lock.name, locked_by=lock.by, locked_at=lock.at.timestamp(), comment=lock.comment
        )
    )


def end_lock(session: Session, name: str, by: str, now: datetime) -> Lock | None:
    """The lock of this name, which holds no longer; nothing where there was none."""
    row = session.exec(_HELD.where(RollbackLockRow.name == name)).first()
    if row is None:
        return None
    row.unlocked_at, row.unlocked_by = now.timestamp(), by
    session.add(row)
    return _lock(row)


def past_locks(session: Session, limit: int = HISTORY_LENGTH) -> tuple[Lock, ...]:
    """The locks that somebody took back, the last of them first."""
    taken_back = col(RollbackLockRow.unlocked_at)
    query = select(RollbackLockRow).where(taken_back.is_not(None)).order_by(taken_back.desc()).limit(limit)
    return tuple(_lock(row) for row in session.exec(query))


def every_lock(session: Session) -> tuple[Lock, ...]:
    """Every lock on record, in the order in which they were set."""
    query = select(RollbackLockRow).order_by(col(RollbackLockRow.locked_at), col(RollbackLockRow.position))
    return tuple(_lock(row) for row in session.exec(query))


def forget_locks(session: Session, before: datetime) -> int:
    """Delete the locks that were taken back before then. Never more than people set: gives 0, all are gone."""
    is_past = col(RollbackLockRow.unlocked_at) < before.timestamp()
    session.connection().execute(delete(RollbackLockRow).where(is_past))
    return 0


def _lock(row: RollbackLockRow) -> Lock:
    return Lock(
        row.name,
        row.locked_by,
        datetime.fromtimestamp(row.locked_at, UTC),
        row.comment,
        moment(row.unlocked_at),
        row.unlocked_by,
    )


def _past_rollback(row: RollbackRow) -> PastRollback:
    return PastRollback(
        name=row.name,
        incident_id=row.incident_id,
        at=datetime.fromtimestamp(row.decided_at, UTC),
        action=Action(row.action),
        reason=RollbackReason[row.reason],
        delivered_at=moment(row.delivered_at),
        failed_at=moment(row.failed_at),
        answer_by=moment(row.answer_by),
        answered_at=moment(row.answered_at),
        answered_by=row.answered_by,
    )
