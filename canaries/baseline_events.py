"""The audit of baselines in the database: what happened to them, when, by whom and why. Nothing is ever deleted."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from .tables import BaselineEventRow

EVENTS_MAX = 10_000
"""The most events that one look gives: a target has a few a month."""

# Built once, as every run needs it: SQLAlchemy takes longer to build a statement than SQLite to answer it.
_LATEST = (
    select(BaselineEventRow)
    .where(col(BaselineEventRow.target) == bindparam("target"))
    .where(col(BaselineEventRow.baseline_id) == bindparam("baseline_id"))
    .order_by(col(BaselineEventRow.position).desc())
    .limit(1)
)


class BaselineEvent(StrEnum):
    """What can happen to a baseline."""

    BEGUN = "begun"
    RESTARTED = "restarted"
    """What it had collected was let go of, all of it; it collects anew."""
    RUNS_LET_GO = "runs let go"
    """The last runs that it had collected belong to an incident."""
    FROZEN = "frozen"
    REFUSED = "refused"
    """The target is not what it was made of: nothing is compared."""
    ACCEPTED = "accepted"
    """The target is again what it was made of."""
    CANARY_ADDED = "canary added"
    CANARY_REMOVED = "canary removed"
    REFRESHED = "refreshed"
    """Frozen by rule, on newer runs, in the place of another."""
    RENEWED = "renewed"
    """Put aside by an operator who knows of a change."""
    RETIRED = "retired"


class Actor(StrEnum):
    """Who did it."""

    DAEMON = "daemon"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Event:
    """One event in the life of a target's baselines."""

    target: str
    baseline_id: str
    at: datetime
    event: BaselineEvent
    actor: Actor
    why: str = ""


def note_event(session: Session, event: Event) -> None:
    """Store an event, in the transaction of the change that it tells of."""
    session.add(
        BaselineEventRow(
            target=event.target,
            baseline_id=event.baseline_id,
            at=event.at.timestamp(),
            event=event.event,
            actor=event.actor,
            why=event.why,
        )
    )
    session.flush()


def events(session: Session, target: str | None = None) -> tuple[Event, ...]:
    """What happened to all baselines, or to those of ``target``, in the order in which it did."""
    query = select(BaselineEventRow).order_by(col(BaselineEventRow.position).desc()).limit(EVENTS_MAX)
    if target is not None:
        query = query.where(BaselineEventRow.target == target)
    return tuple(reversed([_event(row) for row in session.exec(query)]))


def latest_event(session: Session, target: str, baseline_id: str) -> Event | None:
    """The last that happened to a baseline of ``target``."""
    row = session.exec(_LATEST, params={"target": target, "baseline_id": baseline_id}).one_or_none()
    return _event(row) if row else None


def _event(row: BaselineEventRow) -> Event:
    return Event(
        target=row.target,
        baseline_id=row.baseline_id,
        at=datetime.fromtimestamp(row.at, UTC),
        event=BaselineEvent(row.event),
        actor=Actor(row.actor),
        why=row.why,
    )
