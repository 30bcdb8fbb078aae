"""Why people were told, or not: every decision with its time, kept for those who ask.

Every function takes the session of the caller's transaction and never commits.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, insert, or_, select, update
from sqlmodel import Session, SQLModel

from . import tables  # noqa: F401 - which registers the table

FORGOTTEN_AT_ONCE = 2000
"""How many rows are deleted at a time, so that nobody waits long for the database."""

LOOKED_BACK = 8
"""Among how many of the latest decisions about a key the one is searched that may have been taken again."""

EXPLAINED_MAX = 500
"""How many decisions an explanation has at most: the latest ones."""


_DECISION = SQLModel.metadata.tables["alert_decision"]
# Built once: SQLAlchemy takes longer to build a statement than SQLite to answer it.
_INSERT = insert(_DECISION)
_LAST_OF_KEY = (
    select(_DECISION)
    .where(_DECISION.c.key == bindparam("of_key"))
    .order_by(_DECISION.c.position.desc())
    .limit(LOOKED_BACK)
)
_UPDATE = update(_DECISION).where(_DECISION.c.position == bindparam("at_position"))


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
    connection, at = session.connection(), now.timestamp()
    # What is about a whole group has the group in place of a key, so that the index finds it.
    about = {"key": key or f"group/{group_id}", "incident_id": incident_id, "group_id": group_id}
    latest = connection.execute(_LAST_OF_KEY, {"of_key": about["key"]})
    scope = (incident_id, group_id)
    last = next((row for row in latest.all() if (row.incident_id, row.group_id) == scope), None)
    if last is not None and (last.what, last.why) == (what, why):
        values = {"at_position": last.position, "last_at": at, "times": last.times + 1}
        connection.execute(_UPDATE, values)
        return
    row = about | {"what": what, "why": why, "first_at": at, "last_at": at, "times": 1}
    connection.execute(_INSERT, row)


def has_recorded(
    session: Session, key: str, what: str, why: str | None = None, *, incident_id: str | None = None
) -> bool:
    """Whether this was decided before, for this reason if one is named. The key of a group is ``group/ID``."""
    about = (_DECISION.c.key == key) & (_DECISION.c.what == what)
    if why is not None:
        about &= _DECISION.c.why == why
    if incident_id is not None:
        about &= _DECISION.c.incident_id == incident_id
    return (
        session.connection().execute(select(_DECISION.c.position).where(about).limit(1)).first() is not None
    )


def decisions(
    session: Session, key: str, incident_id: str | None = None, groups: Collection[str] = ()
) -> tuple[Decision, ...]:
    """What was decided about this key (about one incident of it, and the groups it was in), the oldest first."""
    about, mine = _DECISION.c.key == key, _DECISION.c.incident_id
    if incident_id is not None:
        about &= or_(mine == incident_id, mine.is_(None))
    whole = _DECISION.c.group_id.in_(groups) & mine.is_(None)
    query = select(_DECISION).where(or_(about, whole)).order_by(_DECISION.c.position.desc())
    rows = session.connection().execute(query.limit(EXPLAINED_MAX)).all()
    return tuple(sorted((_decision(row) for row in reversed(rows)), key=lambda one: one.first_at))


def taken(session: Session, what: str) -> tuple[Decision, ...]:
    """All decisions of this kind, in the order in which they were taken."""
    query = select(_DECISION).where(_DECISION.c.what == what).order_by(_DECISION.c.position)
    return tuple(_decision(row) for row in session.connection().execute(query))


def begun_with(session: Session, beginning: str) -> tuple[Decision, ...]:
    """All decisions whose ``what`` begins so, in the order in which they were taken."""
    what = _DECISION.c.what
    query = (
        select(_DECISION).where(what.startswith(beginning, autoescape=True)).order_by(_DECISION.c.position)
    )
    return tuple(_decision(row) for row in session.connection().execute(query))


def forget(session: Session, before: datetime, limit: int = FORGOTTEN_AT_ONCE) -> int:
    """How many decisions were deleted, ``limit`` at most: those that were last taken before then."""
    connection = session.connection()
    query = select(_DECISION.c.position).where(_DECISION.c.last_at < before.timestamp()).limit(limit)
    positions = connection.execute(query).scalars().all()
    connection.execute(delete(_DECISION).where(_DECISION.c.position.in_(positions)))
    return len(positions)


def _decision(row: Row[Any]) -> Decision:
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
