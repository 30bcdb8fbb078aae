"""Verdicts become incidents, messages and rollbacks, all in the caller's transaction."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlmodel import Session

from . import AlertError, outbox_store, store
from .finding import Verdict
from .incident import AlertRule, Incident, NoticeKind, Reason, State, Transition, step
from .inhibition import InhibitRule, inhibitor
from .message import ROLLBACK_PREFIX, about_incident, addressed
from .rollback import (
    Action,
    Decision,
    Mode,
    PastRollback,
    RollbackReason,
    RollbackRequest,
    RollbackRule,
    decide,
)


def receive(
    session: Session,
    verdicts: Sequence[tuple[Verdict, AlertRule]],
    now: datetime,
    rollbacks: Mapping[str, RollbackRule] | None = None,
    inhibitions: Sequence[InhibitRule] = (),
) -> tuple[Transition, ...]:
    """What each verdict did, in order. Incidents, messages and rollback decisions are saved, not committed.

    ``rollbacks`` holds the rule of every rollback that an alert rule may name. A breach that a firing incident
    inhibits changes nothing; a verdict may inhibit those after it, so what inhibits comes first.
    """
    open_now = {incident.key: incident for incident in store.open_incidents(session)}
    transitions = []
    for verdict, rule in verdicts:
        source = inhibitor(verdict.key, verdict.finding, open_now.values(), inhibitions)
        before = open_now.get(verdict.key)
        if source is not None:
            transitions.append(Transition(before, (), Reason.INHIBITED, source))
            continue
        open_now.pop(verdict.key, None)
        transition = _receive(session, before, verdict, rule, now, rollbacks or {})
        if transition.incident is not None and transition.incident.is_open:
            open_now[verdict.key] = transition.incident
        transitions.append(transition)
    return tuple(transitions)


def _receive(
    session: Session,
    before: Incident | None,
    verdict: Verdict,
    rule: AlertRule,
    now: datetime,
    rollbacks: Mapping[str, RollbackRule],
) -> Transition:
    is_new = before is None and verdict.finding is not None
    earlier = store.count_incidents(session, verdict.key) if is_new else 0
    transition = step(before, verdict, rule, now, earlier)
    incident = transition.incident
    if incident is None:
        if before is not None:
            store.drop_incident(session, before.id)
        return transition
    store.save_incident(session, incident)
    for kind in transition.notifications:
        note = verdict.note if kind is NoticeKind.RESOLVED else ""
        _tell(session, incident, kind, _people(session, incident, kind, rule), now, note)
    if verdict.wants_rollback and rule.rollback is not None and incident.state is State.FIRING:
        _ask_rollback(session, incident, rule.rollback, now, rollbacks)
    return transition


def _people(session: Session, incident: Incident, kind: NoticeKind, rule: AlertRule) -> tuple[str, ...]:
    told = outbox_store.receivers_told(session, incident.id)
    # The end of an incident goes to those who know of it, whatever the rule has come to say since.
    return told if kind is NoticeKind.RESOLVED else tuple(dict.fromkeys((*told, *rule.notify)))


def _tell(
    session: Session,
    incident: Incident,
    kind: NoticeKind,
    receivers: Iterable[str],
    now: datetime,
    note: str = "",
    rollback: str | None = None,
) -> None:
    message = about_incident(incident, kind, now, note=note, rollback=rollback)
    outbox_store.enqueue(session, [addressed(message, receiver, incident.notices) for receiver in receivers])


def _ask_rollback(
    session: Session, incident: Incident, name: str, now: datetime, rollbacks: Mapping[str, RollbackRule]
) -> None:
    if name not in rollbacks:
        raise AlertError(
            f"rollback {name!r} is not configured; known: {', '.join(sorted(rollbacks)) or 'none'}"
        )
    request = RollbackRequest(name, incident.id, incident.severity)
    decision = decide(request, store.rollback_history(session, name), rollbacks[name], now)
    if not decision.settles_incident:
        return
    store.save_rollback(session, PastRollback(name, incident.id, now, decision.action, decision.reason))
    if decision.action is Action.SEND:
        _tell(session, incident, NoticeKind.ROLLBACK, [ROLLBACK_PREFIX + name], now, rollback=name)
    else:
        people = outbox_store.receivers_told(session, incident.id)
        _tell(
            session,
            incident,
            NoticeKind.ROLLBACK_NEWS,
            people,
            now,
            _held_back(decision, name, rollbacks[name].mode),
            name,
        )


def _held_back(decision: Decision, name: str, mode: Mode) -> str:
    if decision.reason is RollbackReason.COOLDOWN and decision.not_before is not None:
        until = f"{decision.not_before:%Y-%m-%d %H:%M} UTC"
        if mode is Mode.DRY_RUN:
            return (
                f"Rollback {name!r} would not have been sent now (dry run): it was rehearsed a short time ago, and a "
                f"live one would rest until {until}."
            )
        return (
            f"Rollback {name!r} was not sent: it was used a short time ago and rests until {until}. "
            "Roll back by hand if that is right."
        )
    return f"Rollback {name!r} would have been sent now (dry run). Set its mode to live to let it act."


def announce_rollback(session: Session, incident_id: str, name: str, note: str, now: datetime) -> None:
    """Tell everyone who knows of the incident what became of its rollback."""
    incident = store.incident(session, incident_id)
    if incident is not None:
        people = outbox_store.receivers_told(session, incident_id)
        _tell(session, incident, NoticeKind.ROLLBACK_NEWS, people, now, note, name)
