"""The way of a rollback from the wish of an incident to the order: past the guard, past a person, into the outbox.

Every function takes the session of the caller's transaction and never commits: a decision, the order that follows from
it and what people are told of it are saved together or not at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlmodel import Session

from . import AlertError, group_store, outbox_store, rollback_store, store
from .actions import UnknownError, found, person
from .decisions import record
from .dispatch import Dispatcher
from .finding import Finding, Severity, Source
from .incident import Incident, NoticeKind, State
from .message import ROLLBACK_PREFIX, Message, about_incident, addressed
from .rollback import (
    EVERY_ROLLBACK,
    Action,
    Decision,
    Lock,
    Mode,
    PastRollback,
    RollbackReason,
    RollbackRequest,
    RollbackRule,
    answer_problem,
    approval_problem,
    decide,
    held_back,
)

BY_HAND = "Roll back by hand if that is right."

COMMENT_LENGTH_MAX = 1000
"""How much of the comment of a lock is kept."""


def ask(dispatcher: Dispatcher, incident: Incident, name: str, rules: Mapping[str, RollbackRule]) -> int:
    """How many pages it made that an incident asked for a rollback: people hear of it in the incident's thread."""
    session, now = dispatcher.session, dispatcher.now
    if name not in rules:
        raise AlertError(f"rollback {name!r} is not configured; known: {', '.join(sorted(rules)) or 'none'}")
    rule = rules[name]
    decision = would_be(session, name, incident, rule, now)
    if decision.reason is RollbackReason.OTHER_QUESTION:
        _record(session, incident, name, f"not asked for now: {decision.reason.value}", now)
    if not decision.settles_incident:
        return 0
    if silence := dispatcher.silence_of(incident):
        # Whoever silenced it works on it: a release that goes back under their hands would be a surprise.
        _record(
            session,
            incident,
            name,
            f"not asked for while silence {silence.id} of {silence.author} holds",
            now,
        )
        return 0
    past = PastRollback(name, incident.id, now, decision.action, decision.reason)
    if decision.action is Action.ASK:
        past = replace(past, answer_by=now + timedelta(seconds=rule.answer_within_s))
    rollback_store.save(session, past)
    _record(session, incident, name, held_back(decision) if decision.lock else past.said, now)
    pages = dispatcher.tell_at_once(incident)
    if decision.action is Action.SEND:
        _order(session, incident, name, now)
    elif decision.action is Action.ASK:
        tell_people(session, incident, name, _question(past, rule), now, NoticeKind.ROLLBACK_QUESTION)
    else:
        tell_people(session, incident, name, _not_sent(decision, name, rule.mode), now)
    return pages


def would_be(session: Session, name: str, incident: Incident, rule: RollbackRule, now: datetime) -> Decision:
    """What the guard would say if this incident asked for the rollback now."""
    request = RollbackRequest(name, incident.id, incident.severity)
    earlier, lock = rollback_store.weighed(session, name, incident.id), rollback_store.lock_on(session, name)
    return decide(request, earlier, rule, now, lock)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What would happen if a rollback was asked for now, and the order that would be sent."""

    decision: Decision
    order: Message


def rehearse(
    session: Session, name: str, rule: RollbackRule, now: datetime, asked: str | None = None
) -> Rehearsal:
    """What would happen if ``asked`` (an incident by its id or key, or a made-up page) asked for the rollback now.

    Nothing is changed. Raises AlertError when there is no such incident.
    """
    incident = found(session, asked) if asked else _made_up(now)
    order = about_incident(incident, NoticeKind.ROLLBACK, now, rollback=name)
    row = addressed(order, ROLLBACK_PREFIX + name, incident.notices)
    return Rehearsal(would_be(session, name, incident, rule, now), row.message)


def approve(
    session: Session,
    asked: str,
    by: str,
    rules: Mapping[str, RollbackRule],
    now: datetime,
    name: str | None = None,
) -> PastRollback:
    """The rollback that ``asked`` (an incident by its id or key) waited with, whose order is now on its way.

    The first answer counts. Raises AlertError with who was faster, or with what keeps it from being sent.
    """
    incident, question = _asked(session, asked, name)
    earlier = rollback_store.weighed(session, question.name, incident.id)
    lock = rollback_store.lock_on(session, question.name)
    if problem := approval_problem(question, earlier, rules.get(question.name), now, lock):
        raise AlertError(problem)
    if not incident.is_firing:
        raise AlertError(f"the incident is over: rollback {question.name!r} is not sent any more")
    approved = _answered(session, question, Action.SEND, RollbackReason.APPROVED, by, now)
    note = f"Rollback {question.name!r} was approved by {approved.answered_by}; the order is on its way."
    tell_people(session, incident, question.name, note, now)
    _order(session, incident, question.name, now, approved_by=approved.answered_by)
    return approved


def reject(session: Session, asked: str, by: str, now: datetime, name: str | None = None) -> PastRollback:
    """The rollback that ``asked`` (an incident by its id or key) waited with, which is not sent now or later.

    The first answer counts. Raises AlertError with who was faster.
    """
    incident, question = _asked(session, asked, name)
    if problem := answer_problem(question, now):
        raise AlertError(problem)
    rejected = _answered(session, question, Action.SUPPRESSED, RollbackReason.REJECTED, by, now)
    note = f"Rollback {question.name!r} was rejected by {rejected.answered_by}; it is not sent for this incident."
    tell_people(session, incident, question.name, note, now)
    return rejected


def next_closing(session: Session, now: datetime) -> datetime | None:
    """When ``close_questions`` has something to do next, which may be now; ``None`` while no question is open."""
    return min(
        (_closing_at(session, one, now) for one in rollback_store.open_questions(session)), default=None
    )


def close_questions(session: Session, now: datetime) -> tuple[PastRollback, ...]:
    """The questions that nobody can answer any more: the incident is over, or it has taken too long."""
    closed = []
    for question in rollback_store.open_questions(session):
        incident = store.incident(session, question.incident_id)
        if incident is None or not incident.is_firing:
            reason = RollbackReason.WITHDRAWN
            note = (
                f"Rollback {question.name!r} needs no answer any more: the incident is over. It is not sent."
            )
        elif answer_problem(question, now):
            reason = RollbackReason.UNANSWERED
            note = f"Rollback {question.name!r} was not sent: nobody answered in time. {BY_HAND}"
        else:
            continue
        closed.append(_answered(session, question, Action.SUPPRESSED, reason, "", now))
        if incident is not None:
            tell_people(session, incident, question.name, note, now)
    return tuple(closed)


def lock(session: Session, name: str, by: str, comment: str, now: datetime) -> Lock:
    """The lock that keeps a rollback (or each, by ``EVERY_ROLLBACK``) from acting until somebody unlocks it.

    Raises AlertError with who has locked it already, or where there is no name.
    """
    wanted = Lock(name, person(by), now, comment.strip()[:COMMENT_LENGTH_MAX])
    known = next((one for one in rollback_store.locks(session) if one.name == name), None)
    if known is not None:
        raise AlertError(f"{lockable(name)} is {known.said}")
    rollback_store.save_lock(session, wanted)
    record(session, now, f"lock {lockable(name)}", wanted.said, key=f"rollback/{name}")
    return wanted


def unlock(session: Session, name: str, by: str, now: datetime) -> Lock:
    """The lock, which ``by`` has taken back now. Raises AlertError when there is none of this name."""
    who = person(by)
    known = rollback_store.end_lock(session, name, who, now)
    if known is None:
        others = ", ".join(lockable(one.name) for one in rollback_store.locks(session)) or "nothing"
        raise UnknownError(f"{lockable(name)} is not locked by itself; locked: {others}")
    record(session, now, f"unlock {lockable(name)}", f"by {who}", key=f"rollback/{name}")
    return known


def lockable(name: str) -> str:
    """What a lock is on, as people read it."""
    return "every rollback" if name == EVERY_ROLLBACK else f"rollback {name!r}"


def tell_people(
    session: Session,
    incident: Incident,
    name: str,
    note: str,
    now: datetime,
    kind: NoticeKind = NoticeKind.ROLLBACK_NEWS,
) -> None:
    """Tell everyone who knows of the incident what becomes of its rollback."""
    news = about_incident(incident, kind, now, note=note, rollback=name)
    threads = outbox_store.threads_of(session, incident.id)
    if not threads:
        # Something kept people from hearing of the incident: that a release went back they are to hear all the same.
        groups = group_store.groups_of(session, incident.id)
        threads = {receiver: group.id for group in groups for receiver in group.policy.receivers}
    for receiver, group_id in threads.items():
        row = addressed(replace(news, group_id=group_id), receiver, incident.notices)
        outbox_store.enqueue(session, [row])


def _made_up(now: datetime) -> Incident:
    finding = Finding(Severity.PAGE, Source.SELF_CHECK, "This is a rehearsal. Nothing is wrong.")
    return Incident("rehearsal", "rehearsal", State.FIRING, Severity.PAGE, finding, now, now)


def _order(session: Session, incident: Incident, name: str, now: datetime, *, approved_by: str = "") -> None:
    order = about_incident(incident, NoticeKind.ROLLBACK, now, rollback=name)
    order = replace(order, approved_by=approved_by)
    outbox_store.enqueue(session, [addressed(order, ROLLBACK_PREFIX + name, incident.notices)])


def _asked(session: Session, asked: str, name: str | None) -> tuple[Incident, PastRollback]:
    """The incident, and the rollback that it waits with; else the last one that it asked for."""
    incident = found(session, asked)
    theirs = rollback_store.of_incident(session, incident.id)
    fitting = [one for one in theirs if name in (None, one.name)]
    if not fitting:
        of = f"for rollback {name!r}" if name else "for a rollback"
        raise UnknownError(f"incident {incident.id} ({incident.key}) has not asked {of}")
    return incident, next((one for one in fitting if one.is_open), fitting[-1])


def _answered(
    session: Session,
    question: PastRollback,
    action: Action,
    reason: RollbackReason,
    by: str,
    now: datetime,
) -> PastRollback:
    is_person = reason in (RollbackReason.APPROVED, RollbackReason.REJECTED)
    who = person(by) if is_person else ""
    answered = replace(question, action=action, reason=reason, answered_at=now, answered_by=who)
    rollback_store.save(session, answered)
    incident = store.incident(session, question.incident_id)
    if incident is not None:
        _record(session, incident, question.name, answered.said, now)
    return answered


def _closing_at(session: Session, question: PastRollback, now: datetime) -> datetime:
    incident = store.incident(session, question.incident_id)
    if incident is None or not incident.is_firing or question.answer_by is None:
        return now
    return question.answer_by


def _record(session: Session, incident: Incident, name: str, why: str, now: datetime) -> None:
    record(session, now, f"rollback {name}", why, key=incident.key, incident_id=incident.id)


def _question(past: PastRollback, rule: RollbackRule) -> str:
    minutes = f"{rule.answer_within_s / 60:.3g} min"
    until = f"{past.answer_by:%Y-%m-%d %H:%M} UTC" if past.answer_by else ""
    return (
        f"Rollback {past.name!r} waits for a person. Approve or reject it by {until} (within {minutes}). "
        f"After that, or when the incident is over, it is not sent. "
        f"In a terminal: `anchorwatch rollback approve {past.incident_id}`, or reject."
    )


def _not_sent(decision: Decision, name: str, mode: Mode) -> str:
    if decision.action is Action.DRY_RUN:
        return f"Rollback {name!r} would have been sent now (dry run). Set its mode to ask or live to let it act."
    until = f"{decision.not_before:%Y-%m-%d %H:%M} UTC" if decision.not_before else ""
    if decision.reason is RollbackReason.COOLDOWN and mode is Mode.DRY_RUN:
        return (
            f"Rollback {name!r} would not have been sent now (dry run): it was rehearsed a short time ago, and a live "
            f"one would rest until {until}."
        )
    if decision.reason is RollbackReason.COOLDOWN:
        why = f"it was used a short time ago and rests until {until}"
    else:
        why = held_back(decision)
    if mode is Mode.DRY_RUN:
        return f"Rollback {name!r} would not have been sent now (dry run): {why}."
    return f"Rollback {name!r} was not sent: {why}. {BY_HAND}"
