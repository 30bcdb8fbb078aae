"""What people wish who press a button below a message, and what comes of it: done to all that the message was about."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlmodel import Session

from . import AlertError, actions, group_store, rollback_store, rolling_back
from .incident import Incident
from .matcher import KEY, PATTERN_LENGTH_MAX, Matcher, Operator, literal
from .rollback import RollbackRule


class Wish(StrEnum):
    """What a button asks for."""

    ACKNOWLEDGE = "acknowledge"
    SILENCE_HOUR = "silence_1h"
    SILENCE_DAY = "silence_1d"
    RIGHT = "mark_true"
    FALSE = "mark_false"
    APPROVE = "approve_rollback"
    REJECT = "reject_rollback"


SILENCED_S = {Wish.SILENCE_HOUR: 3600.0, Wish.SILENCE_DAY: 86_400.0}
"""For how long the buttons silence."""


@dataclass(frozen=True, slots=True)
class Press:
    """Somebody pressed a button below a message. ``subject`` is the group that it is about, or the incident; for an
    answer about a rollback ``rollback_subject`` made it.
    """

    wish: Wish
    subject: str
    by: str


def rollback_subject(incident_id: str, name: str) -> str:
    """What a press on an answer about this incident's rollback is about."""
    return f"{incident_id}/{name}"


def grant(
    session: Session, press: Press, now: datetime, rollbacks: Mapping[str, RollbackRule] | None = None
) -> str:
    """What was done, in a sentence. Raises AlertError with why it could not be done; never commits.

    ``rollbacks`` are the rules of those that may be approved.
    """
    if press.wish in (Wish.APPROVE, Wish.REJECT):
        return _answer(session, press, now, rollbacks or {})
    if press.wish is Wish.ACKNOWLEDGE:
        return _acknowledge(session, press, now)
    incidents = _about(session, press.subject)
    if press.wish in SILENCED_S:
        return _silence(session, incidents, press.by, now, SILENCED_S[press.wish])
    is_true = press.wish is Wish.RIGHT
    for incident in incidents:
        actions.mark(session, incident.id, is_true, press.by, now)
    return f"Marked as {'right' if is_true else 'a false alarm'} by {press.by}."


def answered(session: Session, press: Press) -> str:
    """What became of the rollback that a press is about, in a few words; nothing while it waits for a person."""
    if press.wish not in (Wish.APPROVE, Wish.REJECT):
        return ""
    incident_id, _, name = press.subject.partition("/")
    theirs = rollback_store.of_incident(session, incident_id)
    past = next((one for one in theirs if one.name == name and not one.is_open), None)
    return f"Rollback {name!r}: {past.said}." if past else ""


def _answer(session: Session, press: Press, now: datetime, rollbacks: Mapping[str, RollbackRule]) -> str:
    incident_id, _, name = press.subject.partition("/")
    if press.wish is Wish.APPROVE:
        rolling_back.approve(session, incident_id, press.by, rollbacks, now, name)
        return f"Approved by {press.by}: the order is on its way."
    rolling_back.reject(session, incident_id, press.by, now, name)
    return f"Rejected by {press.by}: it is not sent for this incident."


def _about(session: Session, subject: str) -> tuple[Incident, ...]:
    """What the message told of: not what has joined its group since, which nobody has seen yet."""
    members = group_store.members(session, subject)
    told = tuple(one.incident for one in members if one.told is not None)
    return told or (actions.found(session, subject),)


def _acknowledge(session: Session, press: Press, now: datetime) -> str:
    unseen = {one.incident.id for one in group_store.members(session, press.subject) if not one.is_known}
    firing = [one for one in _about(session, press.subject) if one.is_firing and one.id not in unseen]
    if not firing:
        raise AlertError("nothing of it fires any more: there is nothing to acknowledge")
    for incident in firing:
        actions.acknowledge(session, incident.id, press.by, now)
    return f"Acknowledged by {press.by}."


def _silence(session: Session, incidents: tuple[Incident, ...], by: str, now: datetime, for_s: float) -> str:
    until = now + timedelta(seconds=for_s)
    for matcher in _matchers(sorted({one.key for one in incidents})):
        actions.silence(session, (matcher,), by, "from a button in Slack", now, until, now)
    return f"Silenced by {by} until {until:%Y-%m-%d %H:%M} UTC."


def _matchers(keys: list[str]) -> list[Matcher]:
    """As few matchers as can name all of these keys and none else."""
    if len(keys) == 1:
        return [Matcher(KEY, Operator.IS, keys[0])]
    patterns: list[str] = []
    for escaped in map(literal, keys):
        if patterns and len(patterns[-1]) + len(escaped) < PATTERN_LENGTH_MAX:
            patterns[-1] += f"|{escaped}"
        else:
            patterns.append(escaped)
    return [Matcher(KEY, Operator.LIKE, pattern) for pattern in patterns]
