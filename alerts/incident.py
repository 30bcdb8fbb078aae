"""The life of a finding, decided purely: pending, firing, resolved, and what people are told on the way."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b

from .finding import Finding, Label, Severity, Verdict


class State(StrEnum):
    """Where an incident is in its life. All but ``RESOLVED`` are open."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


class NoticeKind(StrEnum):
    """What an outgoing message says."""

    FIRING = "firing"
    ESCALATED = "escalated"
    RESOLVED = "resolved"
    ROLLBACK = "rollback"
    """The order to roll back: goes to the deploy system, not to people."""
    ROLLBACK_NEWS = "rollback_news"
    """What became of a rollback, for the people who know of the incident."""
    TEST = "test"
    REPORT = "report"
    """Something to read that is no alarm, such as an audit: of no incident, and never a page."""


class Reason(StrEnum):
    """Why a verdict changed an incident, or did not."""

    NOTHING_WRONG = "nothing is wrong"
    NO_DATA = "too little data to tell: the state is held"
    WAITING = "wrong, but not yet for as long as the rule wants"
    FIRED = "wrong for as long as the rule wants"
    STILL_FIRING = "still wrong; people know"
    ESCALATED = "worse than what people were told"
    INHIBITED = "wrong, but another incident explains it: the state is held"
    DOUBTFUL = "seems wrong and is not surely so: the state is held"
    KEPT_FIRING = "steady again, but not yet for as long as the rule wants"
    RESOLVED = "steady for as long as the rule wants"
    PASSED = "steady again before it fired: nobody was told"


@dataclass(frozen=True, slots=True)
class AlertRule:
    """When a verdict becomes an incident that people hear of, and who they are.

    ``for_s`` is how long it must be wrong before it fires, ``keep_firing_s`` how long it must be steady
    before it resolves. ``notify`` are names of receivers, ``rollback`` is the name of the rollback to ask
    for, if any.
    """

    for_s: float = 0.0
    keep_firing_s: float = 0.0
    notify: tuple[str, ...] = ()
    rollback: str | None = None


@dataclass(frozen=True, slots=True)
class Incident:
    """One finding from the first breach to its end.

    ``finding`` is the latest one; ``severity`` is the highest one so far, since it never falls while the
    incident is open. ``steady_since`` is set while a firing incident is steady again. ``paged_at`` is the
    moment at which it became a page, if it did: an incident is at most one page. ``notices`` counts what
    people were told.
    """

    id: str
    key: str
    state: State
    severity: Severity
    finding: Finding
    opened_at: datetime
    updated_at: datetime
    firing_since: datetime | None = None
    steady_since: datetime | None = None
    resolved_at: datetime | None = None
    paged_at: datetime | None = None
    notices: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it is pending or firing."""
        return self.state is not State.RESOLVED

    @property
    def labels(self) -> Mapping[str, str]:
        """What the incident is about: the labels of its finding."""
        return self.finding.labels


@dataclass(frozen=True, slots=True)
class Transition:
    """What a verdict did: the incident now (``None``: there is none), whom to tell what, and why.

    ``inhibited_by`` is the incident for which it did nothing, if there is one.
    """

    incident: Incident | None
    notifications: tuple[NoticeKind, ...]
    reason: Reason
    inhibited_by: Incident | None = None

    @property
    def is_page(self) -> bool:
        """Whether this very step wakes somebody."""
        is_alarm = NoticeKind.FIRING in self.notifications or NoticeKind.ESCALATED in self.notifications
        return is_alarm and self.incident is not None and self.incident.severity is Severity.PAGE


def step(
    incident: Incident | None, verdict: Verdict, rule: AlertRule, now: datetime, earlier: int = 0
) -> Transition:
    """Say what this verdict does to the open incident of its key, and whom to tell.

    ``earlier`` is how many incidents this key has had before; it only goes into the id of a new one.
    """
    if verdict.label is Label.NO_DATA:
        return Transition(incident, (), Reason.NO_DATA)
    if incident is None:
        if verdict.finding is None:
            return Transition(None, (), Reason.NOTHING_WRONG)
        return _breached(_opened(verdict.key, verdict.finding, now, earlier), verdict.finding, rule, now)
    if verdict.is_doubtful:
        return Transition(replace(incident, steady_since=None, updated_at=now), (), Reason.DOUBTFUL)
    if verdict.finding is None:
        return _steady(incident, rule, now)
    return _breached(incident, verdict.finding, rule, now)


def _opened(key: str, finding: Finding, now: datetime, earlier: int) -> Incident:
    return Incident(
        id=incident_id(key, now, earlier),
        key=key,
        state=State.PENDING,
        severity=finding.severity,
        finding=finding,
        opened_at=now,
        updated_at=now,
    )


def incident_id(key: str, opened_at: datetime, earlier: int) -> str:
    """The id of an incident: the same facts give the same id, so a replay makes no second one."""
    facts = f"{key}\n{opened_at.isoformat()}\n{earlier}"
    return blake2b(facts.encode(), digest_size=8).hexdigest()


def _breached(incident: Incident, finding: Finding, rule: AlertRule, now: datetime) -> Transition:
    is_worse = finding.severity > incident.severity
    # A time that lies ahead of now means that the clock went back: the wait starts again, from now.
    current = replace(
        incident,
        finding=finding,
        severity=max(incident.severity, finding.severity),
        opened_at=min(incident.opened_at, now),
        updated_at=now,
        steady_since=None,
    )
    if incident.state is State.PENDING:
        if _elapsed_s(current.opened_at, now) < rule.for_s:
            return Transition(current, (), Reason.WAITING)
        return _told(
            replace(current, state=State.FIRING, firing_since=now), NoticeKind.FIRING, Reason.FIRED, now
        )
    if is_worse:
        kind = NoticeKind.ESCALATED if incident.notices else NoticeKind.FIRING
        return _told(current, kind, Reason.ESCALATED, now)
    return Transition(current, (), Reason.STILL_FIRING)


def _steady(incident: Incident, rule: AlertRule, now: datetime) -> Transition:
    if incident.state is State.PENDING:
        return Transition(None, (), Reason.PASSED)
    steady_since = min(incident.steady_since or now, now)
    current = replace(incident, steady_since=steady_since, updated_at=now)
    if _elapsed_s(steady_since, now) < rule.keep_firing_s:
        return Transition(current, (), Reason.KEPT_FIRING)
    resolved = replace(current, state=State.RESOLVED, resolved_at=now)
    return _told(resolved, NoticeKind.RESOLVED, Reason.RESOLVED, now)


def _told(incident: Incident, kind: NoticeKind, reason: Reason, now: datetime) -> Transition:
    if incident.severity is Severity.INFO:
        return Transition(incident, (), reason)
    becomes_page = kind is not NoticeKind.RESOLVED and incident.severity is Severity.PAGE
    told = replace(
        incident, notices=incident.notices + 1, paged_at=now if becomes_page else incident.paged_at
    )
    return Transition(told, (kind,), reason)


def _elapsed_s(since: datetime, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds())
