"""Whether a rollback helped: what became of its incident after the deploy system took the order.

Nothing of it is kept but that people were told: it follows from when the order was taken and when the incident ended.
Functions that take a session take that of the caller's transaction and never commit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlmodel import Session

from . import rollback_store, store
from .decisions import has_recorded, record
from .incident import Incident
from .rollback import PastRollback, RollbackRule
from .rolling_back import tell_people

TOLD_LATE = timedelta(days=1)
"""For how long after it is known people are told, if nobody could tell them before."""


class Outcome(StrEnum):
    """What is known of a rollback that was ordered."""

    OPEN = "it is too early to tell whether it helped"
    RECOVERED = "recovered"
    NOT_RECOVERED = "not recovered"


@dataclass(frozen=True, slots=True)
class Recovery:
    """What became of an incident after its rollback. ``after_s`` is how long after the order it is known."""

    past: PastRollback
    incident: Incident
    outcome: Outcome
    after_s: float = 0.0

    @property
    def said(self) -> str:
        """The outcome in a few words."""
        if self.outcome is Outcome.RECOVERED:
            return f"recovered: the incident was over {_minutes(self.after_s)} after the order was taken"
        if self.outcome is Outcome.NOT_RECOVERED:
            return f"not recovered: the incident still went on {_minutes(self.after_s)} after the order was taken"
        return self.outcome.value


def recovery(past: PastRollback, incident: Incident, rule: RollbackRule, now: datetime) -> Recovery | None:
    """Whether the rollback helped; nothing where no order was taken, or where nothing is known any more. Pure."""
    if past.delivered_at is None:
        return None
    until = past.delivered_at + timedelta(seconds=rule.recover_within_s)
    # One that may come back keeps its end until it fires again.
    ended = None if incident.is_firing else incident.resolved_at
    if ended is not None and ended <= until:
        # One that ended while the order was on its way ended by itself; that is good news all the same.
        return Recovery(past, incident, Outcome.RECOVERED, max(0.0, _elapsed_s(past.delivered_at, ended)))
    if incident.pending_since is not None and incident.pending_since > until:
        # It was over until then, since when is forgotten: that it fires now says nothing of the rollback.
        return None
    if now >= until:
        return Recovery(past, incident, Outcome.NOT_RECOVERED, rule.recover_within_s)
    return Recovery(past, incident, Outcome.OPEN)


def untold(session: Session, rules: Mapping[str, RollbackRule], now: datetime) -> tuple[Recovery, ...]:
    """The rollbacks of which it is not known yet whether they helped, or of which people do not know it."""
    longest_s = max((one.recover_within_s for one in rules.values()), default=0.0)
    since = now - timedelta(seconds=longest_s) - TOLD_LATE
    found = []
    for past in rollback_store.delivered_since(session, since):
        one = recovery_of(session, past, rules, now)
        if one is not None and not _is_told(session, one):
            found.append(one)
    return tuple(found)


def recovery_of(
    session: Session, past: PastRollback, rules: Mapping[str, RollbackRule], now: datetime
) -> Recovery | None:
    """Whether the rollback helped; nothing where no order was taken, or it is not in the configuration any more."""
    rule, incident = rules.get(past.name), store.incident(session, past.incident_id)
    return None if rule is None or incident is None else recovery(past, incident, rule, now)


def tell(session: Session, rules: Mapping[str, RollbackRule], now: datetime) -> tuple[Recovery, ...]:
    """What people were now told of: each outcome once."""
    known = [one for one in untold(session, rules, now) if one.outcome is not Outcome.OPEN]
    for one in known:
        incident, name = one.incident, one.past.name
        record(session, now, _what(one), one.said, key=incident.key, incident_id=incident.id)
        advice = "" if one.outcome is Outcome.RECOVERED else " Look for another cause."
        tell_people(session, incident, name, f"Rollback {name!r}: {one.said}.{advice}", now)
    return tuple(known)


def _is_told(session: Session, one: Recovery) -> bool:
    return one.outcome is not Outcome.OPEN and has_recorded(
        session, one.incident.key, _what(one), one.said, incident_id=one.incident.id
    )


def _what(one: Recovery) -> str:
    return f"after rollback {one.past.name}"


def _elapsed_s(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds()


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.0f} min"
