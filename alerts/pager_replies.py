"""What people do to our alarms in a pager, done to our incidents as well: each event once, however often it comes.

Every function takes the session of the caller's transaction and never commits.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlmodel import Session

from . import AlertError, actions, group_store
from .decisions import has_recorded, record
from .incident import Incident, State

PAGER_SUFFIX = " in PagerDuty"
"""How the names of those end who acknowledged it there: they alone can be taken back from there."""


class ReplyKind(StrEnum):
    """What somebody did."""

    SEEN = "acknowledged"
    SETTLED = "resolved"
    """They take it for over. While it fires that is no end: somebody has seen it, no more."""
    UNSEEN = "nobody sees to it any more"


@dataclass(frozen=True, slots=True)
class PagerReply:
    """One event. ``subject`` is the group that the alarm is about, or the incident."""

    event_id: str
    kind: ReplyKind
    subject: str
    by: str


def heed(session: Session, reply: PagerReply, now: datetime) -> int:
    """How many incidents it changed: none where the event was heard before, or is about nothing that still fires."""
    incidents = _about(session, reply.subject)
    what = f"PagerDuty event {reply.event_id}"
    if not incidents or has_recorded(session, f"group/{reply.subject}", what):
        return 0
    if reply.kind is ReplyKind.UNSEEN:
        # What somebody saw to elsewhere they still see to, whatever a time limit in the pager says.
        changed = [one for one in incidents if _was_seen_there(one)]
        for incident in changed:
            actions.unacknowledge(session, incident.id, reply.by, now)
    else:
        changed = [one for one in incidents if one.state is State.FIRING]
        for incident in changed:
            actions.acknowledge(session, incident.id, reply.by, now)
    why = f"{reply.kind.value}: {reply.by}; of {len(incidents)} it changed {len(changed)}"
    record(session, now, what, why, group_id=reply.subject)
    return len(changed)


def _was_seen_there(incident: Incident) -> bool:
    return incident.state is State.ACKNOWLEDGED and incident.acknowledged_by.endswith(PAGER_SUFFIX)


def _about(session: Session, subject: str) -> tuple[Incident, ...]:
    members = group_store.members(session, subject)
    if members:
        # What joined a moment ago nobody there has heard of yet: it must still wake somebody.
        return tuple(one.incident for one in members if one.is_known)
    try:
        return (actions.found(session, subject),)
    except AlertError:
        # An alarm of another system under the same service, or one of ours that is long forgotten.
        return ()
