"""The life of a finding, decided purely: pending, firing, resolved, and what people are told on the way."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2b

from .finding import Finding, Label, Severity, Source, Verdict


class State(StrEnum):
    """Where an incident is in its life. All but ``RESOLVED`` are open."""

    PENDING = "pending"
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    """It fires, and somebody has said that they see to it."""
    RESOLVED = "resolved"


class OnNoData(StrEnum):
    """What it means when there is too little data to tell."""

    HOLD = "hold"
    """Nothing: what fires goes on firing, and it stays as long steady as it was."""
    OK = "ok"
    """The same as steady."""
    ALERT = "alert"
    """Something is wrong: an incident of its own, at the severity of a ticket."""


class NoticeKind(StrEnum):
    """What an outgoing message says."""

    FIRING = "firing"
    ESCALATED = "escalated"
    """What people know of has become more severe."""
    UPDATED = "updated"
    """Others have joined what people know of, or some of it is over."""
    REPEATED = "repeated"
    """What people know of still goes on, and nobody has said that they see to it."""
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    ROLLBACK = "rollback"
    """The order to roll back: goes to the deploy system, not to people."""
    ROLLBACK_QUESTION = "rollback_question"
    """That a rollback waits for a person, for the people who know of the incident."""
    ROLLBACK_NEWS = "rollback_news"
    """What became of a rollback, for the people who know of the incident."""
    DIGEST = "digest"
    """Many messages in one, when too many come at a time."""
    TEST = "test"
    REPORT = "report"
    """Something to read that is no alarm, such as an audit: of no incident, and never a page."""


class Reason(StrEnum):
    """Why a verdict changed an incident, or did not."""

    NOTHING_WRONG = "nothing is wrong"
    NO_DATA = "too little data to tell: the state is held"
    NO_DATA_RESOLVED = "too little data to tell, for as long as the rule wants: it counts as steady"
    NO_DATA_ALERT = "too little data to tell, which the rule wants to be told of"
    PASSING = "wrong before, and not in the last look: it opens nothing"
    WAITING = "wrong, but not yet for as long as the rule wants"
    FIRED = "wrong for as long as the rule wants"
    STILL_FIRING = "still wrong; people know"
    ESCALATED = "worse than what people were told"
    INHIBITED = "wrong, but another incident explains it: the state is held"
    DOUBTFUL = "seems wrong and is not surely so: the state is held"
    KEPT_FIRING = "steady again, but not yet for as long as the rule wants"
    RESOLVED = "steady for as long as the rule wants"
    PASSED = "steady again before it fired: nobody was told"
    REOPENED = "wrong again so soon that it is the same incident"
    ACKNOWLEDGED = "somebody sees to it"
    ACKNOWLEDGED_BEFORE = "somebody already sees to it: the first one stays on record"
    NOT_FIRING = "only what fires can be acknowledged"
    UNACKNOWLEDGED = "nobody sees to it any more"
    NOT_ACKNOWLEDGED = "nobody had acknowledged it"


@dataclass(frozen=True, slots=True)
class AlertRule:
    """When a verdict becomes an incident that people hear of, and who they are.

    ``for_s`` is how long it must be wrong before it fires, ``keep_firing_s`` how long it must be steady
    before it resolves. ``notify`` are names of receivers, ``rollback`` is the name of the rollback to ask
    for, if any. What fires again within ``reopen_s`` of its end is the same incident once more.
    """

    for_s: float = 0.0
    keep_firing_s: float = 0.0
    notify: tuple[str, ...] = ()
    rollback: str | None = None
    on_no_data: OnNoData = OnNoData.HOLD
    reopen_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Incident:
    """One finding from the first breach to its end.

    ``finding`` is the latest one; ``severity`` is the highest one so far, since it never falls while the
    incident is open. ``steady_since`` is set while a firing incident is steady again; it moves on by each time in which
    there was too little data to tell. ``paged_at`` is the moment at which it became a page, if it did: an incident is
    at most one page. ``notices`` counts what people were told. ``pending_since`` is when the wait for firing began: it
    differs from ``opened_at`` where the incident was ``reopened``, as often as that says; ``resolved_at`` then stays
    until it fires. ``no_data_since`` is set while there is too little data to tell. ``note`` says why it ended, where
    that is not that it is steady.
    ``is_true`` is what a person said of it afterwards: something was wrong, or the alarm was false.
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
    pending_since: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    no_data_since: datetime | None = None
    reopened: int = 0
    note: str = ""
    is_true: bool | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is not over."""
        return self.state is not State.RESOLVED

    @property
    def is_firing(self) -> bool:
        """Whether it fires, be it acknowledged or not."""
        return self.state in (State.FIRING, State.ACKNOWLEDGED)

    @property
    def labels(self) -> Mapping[str, str]:
        """What the incident is about: the labels of its finding."""
        return self.finding.labels


@dataclass(frozen=True, slots=True)
class Transition:
    """What a verdict did: the incident now (``None``: there is none), whom to tell what, and why.

    ``inhibited_by`` is the incident for which it did nothing, if there is one. ``pages`` counts the groups that it made
    wake somebody, which whoever tells of it fills in.
    """

    incident: Incident | None
    notifications: tuple[NoticeKind, ...]
    reason: Reason
    inhibited_by: Incident | None = None
    pages: int = 0

    @property
    def is_page(self) -> bool:
        """Whether this very step wakes somebody."""
        is_alarm = NoticeKind.FIRING in self.notifications or NoticeKind.ESCALATED in self.notifications
        return is_alarm and self.incident is not None and self.incident.severity is Severity.PAGE


def step(
    incident: Incident | None,
    verdict: Verdict,
    rule: AlertRule,
    now: datetime,
    earlier: int = 0,
    last: Incident | None = None,
) -> Transition:
    """Say what this verdict does to the open incident of its key, and whom to tell.

    ``earlier`` is how many incidents this key has had before; it only goes into the id of a new one. ``last`` is the
    latest of them: what comes back within the rule's ``reopen_s`` is that one again.
    """
    if verdict.label is Label.NO_DATA:
        return _without_data(incident, verdict, rule, now, earlier, last)
    if verdict.finding is not None:
        if incident is None and verdict.is_passing:
            return Transition(None, (), Reason.PASSING)
        current = incident or _opened(verdict.key, verdict.finding, rule, now, earlier, last)
        return _breached(replace(current, no_data_since=None), verdict.finding, rule, now)
    if incident is None:
        return Transition(None, (), Reason.NOTHING_WRONG)
    incident = _with_data(incident, rule, now)
    if verdict.is_doubtful:
        return Transition(replace(incident, steady_since=None, updated_at=now), (), Reason.DOUBTFUL)
    return _steady(incident, verdict.note, rule, now)


def acknowledge(incident: Incident, by: str, now: datetime) -> Transition:
    """Say that somebody sees to it: until it is over, or gets worse than what they saw."""
    if incident.state is State.ACKNOWLEDGED:
        return Transition(incident, (), Reason.ACKNOWLEDGED_BEFORE)
    if incident.state is not State.FIRING:
        return Transition(incident, (), Reason.NOT_FIRING)
    seen = replace(
        incident, state=State.ACKNOWLEDGED, acknowledged_at=now, acknowledged_by=by, updated_at=now
    )
    return Transition(seen, (NoticeKind.ACKNOWLEDGED,), Reason.ACKNOWLEDGED)


def unacknowledge(incident: Incident, now: datetime) -> Transition:
    """Say that nobody sees to it any more: people hear of it again as of what nobody has acknowledged."""
    if incident.state is not State.ACKNOWLEDGED:
        return Transition(incident, (), Reason.NOT_ACKNOWLEDGED)
    again = replace(_unacknowledged(incident), updated_at=now)
    return Transition(again, (NoticeKind.UPDATED,), Reason.UNACKNOWLEDGED)


def _without_data(
    incident: Incident | None,
    verdict: Verdict,
    rule: AlertRule,
    now: datetime,
    earlier: int,
    last: Incident | None,
) -> Transition:
    if incident is not None:
        # A time that lies ahead of now means that the clock went back.
        incident = replace(incident, no_data_since=min(incident.no_data_since or now, now), updated_at=now)
    if rule.on_no_data is OnNoData.OK and incident is not None:
        held = _steady(incident, verdict.note or "There is too little data to tell", rule, now)
        return replace(held, reason=Reason.NO_DATA_RESOLVED) if held.reason is Reason.RESOLVED else held
    if rule.on_no_data is not OnNoData.ALERT or (incident is not None and incident.is_firing):
        return Transition(incident, (), Reason.NO_DATA)
    finding = _nothing_to_judge(verdict) if incident is None else incident.finding
    current = incident or replace(_opened(verdict.key, finding, rule, now, earlier, last), no_data_since=now)
    found = _breached(current, finding, rule, now)
    return replace(found, reason=Reason.NO_DATA_ALERT) if found.reason is Reason.FIRED else found


def _with_data(incident: Incident, rule: AlertRule, now: datetime) -> Incident:
    """The incident now that it can be told again: meanwhile it was not steady, unless the rule takes it so."""
    blind_since, steady_since = incident.no_data_since, incident.steady_since
    if blind_since is not None and steady_since is not None and rule.on_no_data is not OnNoData.OK:
        # Moved on, not begun anew: what has few calls would else never end.
        steady_since = min(steady_since + max(now - blind_since, timedelta()), now)
    return replace(incident, no_data_since=None, steady_since=steady_since)


def _nothing_to_judge(verdict: Verdict) -> Finding:
    why = f": {verdict.note}" if verdict.note else ""
    return Finding(
        severity=Severity.TICKET,
        source=Source.SELF_CHECK,
        summary=f"{verdict.key} has too little data to tell whether something is wrong{why}",
        labels=dict(verdict.labels),
    )


def _opened(
    key: str, finding: Finding, rule: AlertRule, now: datetime, earlier: int, last: Incident | None
) -> Incident:
    if (
        last is not None
        and last.resolved_at is not None
        and _elapsed_s(last.resolved_at, now) < rule.reopen_s
    ):
        return replace(
            last,
            state=State.PENDING,
            severity=finding.severity,
            finding=finding,
            pending_since=now,
            updated_at=now,
            firing_since=None,
            steady_since=None,
            acknowledged_at=None,
            acknowledged_by="",
            note="",
        )
    return Incident(
        id=incident_id(key, now, earlier),
        key=key,
        state=State.PENDING,
        severity=finding.severity,
        finding=finding,
        opened_at=now,
        updated_at=now,
        pending_since=now,
    )


def incident_id(key: str, opened_at: datetime, earlier: int) -> str:
    """The id of an incident: the same facts give the same id, so a replay makes no second one."""
    facts = f"{key}\n{opened_at.isoformat()}\n{earlier}"
    return blake2b(facts.encode(), digest_size=8).hexdigest()


def _breached(incident: Incident, finding: Finding, rule: AlertRule, now: datetime) -> Transition:
    is_worse = finding.severity > incident.severity
    # A time that lies ahead of now means that the clock went back: the wait starts again, from now.
    pending_since = min(incident.pending_since or incident.opened_at, now)
    current = replace(
        incident,
        finding=finding,
        severity=max(incident.severity, finding.severity),
        opened_at=min(incident.opened_at, now),
        pending_since=pending_since,
        updated_at=now,
        steady_since=None,
    )
    if incident.state is State.PENDING:
        if _elapsed_s(pending_since, now) < rule.for_s:
            return Transition(current, (), Reason.WAITING)
        return _fired(current, now)
    if is_worse:
        kind = NoticeKind.ESCALATED if incident.notices else NoticeKind.FIRING
        return _told(_unacknowledged(current), kind, Reason.ESCALATED, now)
    return Transition(current, (), Reason.STILL_FIRING)


def _fired(incident: Incident, now: datetime) -> Transition:
    fires = replace(incident, state=State.FIRING, firing_since=now)
    if incident.resolved_at is None:
        return _told(fires, NoticeKind.FIRING, Reason.FIRED, now)
    again = _unacknowledged(replace(fires, resolved_at=None, reopened=incident.reopened + 1))
    return _told(again, NoticeKind.FIRING, Reason.REOPENED, now)


def _unacknowledged(incident: Incident) -> Incident:
    # Whoever acknowledged it had seen less than there is now.
    return replace(incident, state=State.FIRING, acknowledged_at=None, acknowledged_by="")


def _steady(incident: Incident, note: str, rule: AlertRule, now: datetime) -> Transition:
    if incident.state is State.PENDING:
        # One that came back keeps the end that people were told of.
        before = replace(incident, state=State.RESOLVED) if incident.resolved_at is not None else None
        return Transition(before, (), Reason.PASSED)
    steady_since = min(incident.steady_since or now, now)
    current = replace(incident, steady_since=steady_since, updated_at=now)
    if _elapsed_s(steady_since, now) < rule.keep_firing_s:
        return Transition(current, (), Reason.KEPT_FIRING)
    resolved = replace(current, state=State.RESOLVED, resolved_at=now, note=note)
    return _told(resolved, NoticeKind.RESOLVED, Reason.RESOLVED, now)


def _told(incident: Incident, kind: NoticeKind, reason: Reason, now: datetime) -> Transition:
    if incident.severity is Severity.INFO:
        return Transition(incident, (), reason)
    becomes_page = kind is not NoticeKind.RESOLVED and incident.severity is Severity.PAGE
    paged_at = incident.paged_at or (now if becomes_page else None)
    told = replace(incident, notices=incident.notices + 1, paged_at=paged_at)
    return Transition(told, (kind,), reason)


def _elapsed_s(since: datetime, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds())
