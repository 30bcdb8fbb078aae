"""The guard in front of a rollback, decided purely: send it, ask a person, rehearse it, or hold it back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from .finding import Severity

DEFAULT_COOLDOWN_S = 6 * 3600.0
"""How long after a rollback the same rollback stays quiet, unless the configuration says otherwise."""

DEFAULT_ANSWER_WITHIN_S = 1800.0
"""How long a rollback waits for a person, unless the configuration says otherwise: later it would be a surprise."""

DEFAULT_PER_WEEK_MAX = 3
"""How often a rollback is used in seven days, unless the configuration says otherwise: more is a loop, not a cure."""

DEFAULT_REPLAY_AFTER_S = 300.0
"""How soon after an order the canaries are replayed, unless the configuration says otherwise: deploying takes time."""

DEFAULT_RECOVER_WITHIN_S = 3600.0
"""How long after an order its incident may go on, unless the configuration says otherwise, until it has not helped."""

WEEK = timedelta(days=7)

EVERY_ROLLBACK = "*"
"""The name under which all rollbacks are locked, those too that are configured later."""


class Mode(StrEnum):
    """Whether a rollback is for real, and who decides."""

    DRY_RUN = "dry-run"
    ASK = "ask"
    LIVE = "live"


class Action(StrEnum):
    """What the guard decided. ``ASK`` is a question that is open until it becomes ``SEND`` or ``SUPPRESSED``."""

    SEND = "send"
    ASK = "ask"
    DRY_RUN = "dry_run"
    SUPPRESSED = "suppressed"


class RollbackReason(StrEnum):
    """Why it was decided so."""

    ALLOWED = "the incident is a page and nothing holds the rollback back"
    BELOW_PAGE = "only a page may roll back"
    ONCE_PER_INCIDENT = "this incident has had its rollback decision"
    LOCKED = "the rollback is locked"
    COOLDOWN = "the last rollback was too short a time ago"
    USED_UP = "it was used as often in a week as the configuration allows"
    OTHER_QUESTION = "another incident has asked for it, and nobody has answered yet"
    MUST_BE_APPROVED = "a person has to approve it"
    APPROVED = "a person has approved it"
    REJECTED = "a person has rejected it"
    UNANSWERED = "nobody answered in time"
    WITHDRAWN = "the incident was over before anybody answered"


_SETTLING = (
    RollbackReason.ALLOWED,
    RollbackReason.LOCKED,
    RollbackReason.COOLDOWN,
    RollbackReason.USED_UP,
    RollbackReason.MUST_BE_APPROVED,
)


@dataclass(frozen=True, slots=True)
class RollbackRule:
    """How one named rollback may be used."""

    mode: Mode = Mode.DRY_RUN
    cooldown_s: float = DEFAULT_COOLDOWN_S
    answer_within_s: float = DEFAULT_ANSWER_WITHIN_S
    per_week_max: int = DEFAULT_PER_WEEK_MAX
    replay_after_s: float = DEFAULT_REPLAY_AFTER_S
    recover_within_s: float = DEFAULT_RECOVER_WITHIN_S


@dataclass(frozen=True, slots=True)
class Lock:
    """That nobody wants a rollback to act: ``name`` is its name, or ``EVERY_ROLLBACK``.

    ``ended_at`` is when somebody took it back, and ``ended_by`` who; until then it holds.
    """

    name: str
    by: str
    at: datetime
    comment: str = ""
    ended_at: datetime | None = None
    ended_by: str = ""

    @property
    def said(self) -> str:
        """Who locked it, when and why, in a few words."""
        why = f": {self.comment}" if self.comment else ""
        return f"locked by {self.by} since {self.at:%Y-%m-%d %H:%M} UTC{why}"


@dataclass(frozen=True, slots=True)
class RollbackRequest:
    """The wish of an incident to use the rollback ``name``."""

    name: str
    incident_id: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class PastRollback:
    """One decision, as it was recorded.

    ``answer_by`` is until when a person could answer, ``answered_by`` who did. ``delivered_at`` is when the deploy
    system took the order, ``failed_at`` when sending it was given up.
    """

    name: str
    incident_id: str
    at: datetime
    action: Action
    reason: RollbackReason
    delivered_at: datetime | None = None
    failed_at: datetime | None = None
    answer_by: datetime | None = None
    answered_at: datetime | None = None
    answered_by: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it waits for a person."""
        return self.action is Action.ASK

    @property
    def used_at(self) -> datetime:
        """When it was decided for good."""
        return self.answered_at or self.at

    @property
    def said(self) -> str:
        """Why it was decided so, with the name of the person who did, in a few words."""
        if self.reason in (RollbackReason.APPROVED, RollbackReason.REJECTED) and self.answered_at:
            verb = self.reason.name.lower()
            return f"{self.answered_by} {verb} it at {self.answered_at:%Y-%m-%d %H:%M:%S} UTC"
        if self.is_open and self.answer_by:
            return f"{self.reason.value} by {self.answer_by:%Y-%m-%d %H:%M} UTC"
        return self.reason.value


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with a request and why. ``not_before`` is when what holds it back ends, where that is known."""

    action: Action
    reason: RollbackReason
    not_before: datetime | None = None
    lock: Lock | None = None

    @property
    def settles_incident(self) -> bool:
        """Whether the incident now has its one decision, which is then recorded and told.

        A request below page severity is none: the incident may still become a page. Nor is one that comes while
        another incident waits for the answer: that may be no, and for a reason of its own.
        """
        return self.reason in _SETTLING


def decide(
    request: RollbackRequest,
    history: Sequence[PastRollback],
    rule: RollbackRule,
    now: datetime,
    lock: Lock | None = None,
) -> Decision:
    """Say whether the rollback goes out. ``history`` holds earlier decisions, in any order.

    A suppressed request stays so for its incident: a rollback that comes by itself hours after people took
    over would be a surprise. A dry run counts against later dry runs only, never against a live rollback.
    """
    if request.severity < Severity.PAGE:
        return Decision(Action.SUPPRESSED, RollbackReason.BELOW_PAGE)
    ours = [past for past in history if past.name == request.name]
    if any(past.incident_id == request.incident_id and _has_settled(past) for past in ours):
        return Decision(Action.SUPPRESSED, RollbackReason.ONCE_PER_INCIDENT)
    if lock is not None:
        return Decision(Action.SUPPRESSED, RollbackReason.LOCKED, lock=lock)
    if (held := _used_too_much(ours, rule, now)) is not None:
        return held
    if rule.mode is Mode.ASK and any(past.is_open for past in ours):
        return Decision(Action.SUPPRESSED, RollbackReason.OTHER_QUESTION)
    if rule.mode is Mode.ASK:
        return Decision(Action.ASK, RollbackReason.MUST_BE_APPROVED)
    return Decision(Action.SEND if rule.mode is Mode.LIVE else Action.DRY_RUN, RollbackReason.ALLOWED)


def approval_problem(
    question: PastRollback,
    history: Sequence[PastRollback],
    rule: RollbackRule | None,
    now: datetime,
    lock: Lock | None,
) -> str:
    """Why a rollback that a person approves is not sent all the same; nothing where it is.

    Much may have happened since it was asked: a lock, the same rollback for another incident, another configuration.
    """
    if problem := answer_problem(question, now):
        return problem
    if rule is None:
        return f"there is no rollback {question.name!r} in the configuration any more"
    if rule.mode is Mode.DRY_RUN:
        return f"rollback {question.name!r} has been set to dry-run"
    others = [past for past in history if past.incident_id != question.incident_id]
    request = RollbackRequest(question.name, question.incident_id, Severity.PAGE)
    found = decide(request, others, replace(rule, mode=Mode.LIVE), now, lock)
    if found.action is Action.SEND:
        return ""
    why = held_back(found)
    if lock is None:
        return why
    unlock = "anchorwatch rollback unlock" + ("" if lock.name == EVERY_ROLLBACK else f" {lock.name}")
    return f"{why}. The question stays open: `{unlock}`, and approve again"


def answer_problem(question: PastRollback, now: datetime) -> str:
    """Why nobody can answer this question any more; nothing where it is open."""
    if not question.is_open:
        return f"rollback {question.name!r} waits for nobody: {question.said}"
    if question.answer_by is not None and now >= question.answer_by:
        return f"it is too late: it waited for an answer until {question.answer_by:%Y-%m-%d %H:%M} UTC"
    return ""


def held_back(decision: Decision) -> str:
    """Why it is not sent, in a few words: with the lock, and with the end of what holds it."""
    if decision.lock is not None:
        return f"it is {decision.lock.said}"
    until = f"; it rests until {decision.not_before:%Y-%m-%d %H:%M} UTC" if decision.not_before else ""
    return f"{decision.reason.value}{until}"


def _has_settled(past: PastRollback) -> bool:
    # What was withdrawn was never answered: if the same incident fires again, it may ask again.
    return past.reason is not RollbackReason.WITHDRAWN


def _used_too_much(ours: Sequence[PastRollback], rule: RollbackRule, now: datetime) -> Decision | None:
    counted = sorted(past.used_at for past in ours if _counts(past, rule))
    if counted and now < (rested := counted[-1] + timedelta(seconds=rule.cooldown_s)):
        return Decision(Action.SUPPRESSED, RollbackReason.COOLDOWN, rested)
    in_week = [at for at in counted if at > now - WEEK]
    if len(in_week) >= rule.per_week_max:
        return Decision(Action.SUPPRESSED, RollbackReason.USED_UP, in_week[-rule.per_week_max] + WEEK)
    return None


def _counts(past: PastRollback, rule: RollbackRule) -> bool:
    if past.action is Action.DRY_RUN:
        return rule.mode is Mode.DRY_RUN
    return past.action is Action.SEND
