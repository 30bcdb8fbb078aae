"""Why somebody was told of an incident, or why not: all that was decided about it, with the deliveries, in order.

Reads in the caller's transaction.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session

from . import group_store, outbox_store, store
from .decisions import decisions
from .incident import Incident
from .message import Notification


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened or was decided. ``last_at`` and ``times`` tell how long the answer stayed the same."""

    at: datetime
    what: str
    why: str
    last_at: datetime
    times: int = 1


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that was decided about a key, and about its latest incident if it has one."""

    key: str
    incident: Incident | None
    lines: tuple[Line, ...]


def explain(session: Session, asked: str) -> Explanation | None:
    """The explanation of an incident by its id, or of a key and its latest incident; nothing where both are unknown."""
    incident = store.incident(session, asked) or store.latest_of(session, asked)
    key = incident.key if incident else asked
    groups = [one.id for one in group_store.groups_of(session, incident.id)] if incident else []
    made = decisions(session, key, incident.id if incident else None, groups)
    lines = [Line(one.first_at, one.what, one.why, one.last_at, one.times) for one in made]
    if incident is None and not lines:
        return None
    sent = outbox_store.notifications(session, incident.id) if incident else ()
    lines += [_line(row) for row in sent]
    return Explanation(key, incident, tuple(sorted(lines, key=lambda one: one.at)))


def _line(row: Notification) -> Line:
    message = row.message
    reason = f" ({message.why.value})" if message.why else ""
    what = f"message to {row.receiver}"
    said = f"{message.kind.value}{reason}: {_fate(row)}"
    # After the decisions of the same moment, which it follows from.
    at = message.created_at + timedelta(microseconds=1)
    return Line(at, what, said, row.sent_at or row.failed_at or at)


def _fate(row: Notification) -> str:
    if row.sent_at is not None:
        return f"arrived at {row.sent_at:%Y-%m-%d %H:%M:%S} UTC"
    if row.failed_at is not None:
        return f"given up: {row.last_error}"
    return f"waits after {row.attempts} attempts: {row.last_error}" if row.last_error else "waits to be sent"
