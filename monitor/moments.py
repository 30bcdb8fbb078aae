"""When the daemon decided what: what a backtest needs to decide again at the same moments, in the same order.

Each moment is written in the transaction of what was decided then. The daemon itself only reads when its last look was.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson
from sqlalchemy import delete, func, insert, select
from sqlmodel import Session, SQLModel

from . import tables  # noqa: F401 - which registers the table

FORGOTTEN_AT_ONCE = 2000
"""How many rows are deleted at a time, so that nobody waits long for the database."""

READ_AT_ONCE = 1000
"""How many rows are in memory at a time while they are read."""

FIRST = "first"
"""The fact of a start that no daemon was there before: calls may have ended earlier, and nobody looked at them then."""

_MOMENT = SQLModel.metadata.tables["moment"]
# Built once: SQLAlchemy takes longer to build a statement than SQLite to answer it.
_INSERT = insert(_MOMENT)


class MomentKind(StrEnum):
    """What was decided."""

    START = "start"
    """The daemon took over what was left."""
    LOOK = "look"
    """Silence and watches; ``facts`` are the requests and spans that were counted since the look before."""
    PLAN = "plan"
    """Whether the run that ``subject`` names is made."""
    RUN = "run"
    """What follows from that run."""
    WATCHMAN = "watchman"
    """What is wrong with the watch itself, or was until then: the verdicts are in ``facts``."""
    TOLD = "told"
    """What the groups that ``subject`` names, with spaces between, say: they were due."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment at which something was decided."""

    kind: MomentKind
    at: datetime
    subject: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def note(session: Session, moment: Moment) -> None:
    """Write the moment down, in the transaction of what was decided then."""
    session.connection().execute(
        _INSERT,
        {
            "at": moment.at.timestamp(),
            "kind": moment.kind.value,
            "subject": moment.subject,
            "facts": orjson.dumps(dict(moment.facts)).decode() if moment.facts else "",
        },
    )


def moments(session: Session) -> Iterator[Moment]:
    """All moments on record, in the order in which things were decided."""
    query = select(_MOMENT).order_by(_MOMENT.c.position)
    for row in session.connection().execute(query.execution_options(yield_per=READ_AT_ONCE)):
        facts = orjson.loads(row.facts) if row.facts else {}
        yield Moment(MomentKind(row.kind), datetime.fromtimestamp(row.at, UTC), row.subject, facts)


def last_look(session: Session) -> float | None:
    """When watches were looked at last, in unix seconds."""
    query = select(func.max(_MOMENT.c.at)).where(_MOMENT.c.kind == MomentKind.LOOK.value)
    return session.connection().execute(query).scalar()


def forget(session: Session, before: datetime, limit: int = FORGOTTEN_AT_ONCE) -> int:
    """How many moments were deleted, ``limit`` at most: those before then."""
    connection = session.connection()
    query = select(_MOMENT.c.position).where(_MOMENT.c.at < before.timestamp()).limit(limit)
    positions = connection.execute(query).scalars().all()
    connection.execute(delete(_MOMENT).where(_MOMENT.c.position.in_(positions)))
    return len(positions)
