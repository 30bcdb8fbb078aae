"""Why people were told, or not: every decision with its time, kept for those who ask.

Every function takes the session of the caller's transaction and never commits.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, or_
from sqlmodel import Session, col, select

from .tables import DecisionRow

FORGOTTEN_AT_ONCE = 2000
"""How many rows are deleted at a time, so that nobody waits long for the database."""

EXPLAINED_MAX = 500
"""How many decisions an explanation has at most: the latest ones."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One answer, for as long as it stayed the same: from ``first_at`` to ``last_at``, so many ``times``."""

    what: str
    why: str
    first_at: datetime
    last_at: datetime
    times: int = 1
    key: str = ""
    incident_id: str | None = None
    group_id: str | None = None


def record(
    session: Session,
    now: datetime,
    what: str,
    why: str,
    *,
    key: str = "",
    incident_id: str | None = None,
    group_id: str | None = None,
) -> None:
    """Keep a decision; the same one again only counts."""
    query = select(DecisionRow).where(
        DecisionRow.key == key, DecisionRow.incident_id == incident_id, DecisionRow.group_id == group_id
    )
    last = session.exec(query.order_by(col(DecisionRow.position).desc()).limit(1)).first()
    if last is not None and (last.what, last.why) == (what, why):
        last.last_at, last.times = now.timestamp(), last.times + 1
        session.add(last)
        return
    at = now.timestamp()
    session.add(
        DecisionRow(
            key=key, incident_id=incident_id, group_id=group_id, what=what, why=why, first_at=at, last_at=at
        )
    )


def decisions(
    session: Session, key: str, incident_id: str | None = None, groups: Collection[str] = ()
) -> tuple[Decision, ...]:
    """What was decided about this key (about one incident of it, and the groups it was in), the oldest first."""
    about = col(DecisionRow.key) == key
    if incident_id is not None:
        mine = col(DecisionRow.incident_id)
        about &= or_(mine == incident_id, mine.is_(None))
    whole = col(DecisionRow.group_id).in_(groups) & col(DecisionRow.incident_id).is_(None)
    query = select(DecisionRow).where(or_(about, whole))
    rows = session.exec(query.order_by(col(DecisionRow.position).desc()).limit(EXPLAINED_MAX)).all()
    return tuple(sorted((_decision(row) for row in reversed(rows)), key=lambda one: one.first_at))


def forget(session: Session, before: datetime, limit: int = FORGOTTEN_AT_ONCE) -> int:
    """How many decisions were deleted, ``limit`` at most: those that were last taken before then."""
    query = select(DecisionRow.position).where(col(DecisionRow.last_at) < before.timestamp()).limit(limit)
    positions = session.exec(query).all()
    session.connection().execute(delete(DecisionRow).where(col(DecisionRow.position).in_(positions)))
    return len(positions)


def _decision(row: DecisionRow) -> Decision:
    return Decision(
        what=row.what,
        why=row.why,
        first_at=datetime.fromtimestamp(row.first_at, UTC),
        last_at=datetime.fromtimestamp(row.last_at, UTC),
        times=row.times,
        key=row.key,
        incident_id=row.incident_id,
        group_id=row.group_id,
    )
