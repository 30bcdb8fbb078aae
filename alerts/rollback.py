"""The guard in front of a rollback, decided purely: send it, say that it would be sent, or hold it back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from .finding import Severity

DEFAULT_COOLDOWN_S = 6 * 3600.0
"""How long after a rollback the same rollback stays quiet, unless the configuration says otherwise."""


class Mode(StrEnum):
    """Whether a rollback is for real."""

    DRY_RUN = "dry-run"
    LIVE = "live"


class Action(StrEnum):
    """What the guard decided."""

    SEND = "send"
    DRY_RUN = "dry_run"
    SUPPRESSED = "suppressed"


class RollbackReason(StrEnum):
    """Why the guard decided so."""

    ALLOWED = "the incident is a page and nothing holds the rollback back"
    BELOW_PAGE = "only a page may roll back"
    ONCE_PER_INCIDENT = "this incident has had its rollback decision"
    COOLDOWN = "the last rollback was too short a time ago"


@dataclass(frozen=True, slots=True)
class RollbackRule:
    """How one named rollback may be used."""

    mode: Mode = Mode.DRY_RUN
    cooldown_s: float = DEFAULT_COOLDOWN_S


@dataclass(frozen=True, slots=True)
class RollbackRequest:
    """The wish of an incident to use the rollback ``name``."""

    name: str
    incident_id: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class PastRollback:
    """One decision of the guard, as it was recorded.

    ``delivered_at`` is when the deploy system took the order, ``failed_at`` when sending it was given up.
    """

    name: str
    incident_id: str
    at: datetime
    action: Action
    reason: RollbackReason
    delivered_at: datetime | None = None
    failed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with a request and why. ``not_before`` is the end of the cooldown, if that is the reason."""

    action: Action
    reason: RollbackReason
    not_before: datetime | None = None

    @property
    def settles_incident(self) -> bool:
        """Whether the incident now has its one decision, which is then recorded and told.

        A request below page severity is none: the incident may still become a page.
        """
        return self.reason in (RollbackReason.ALLOWED, RollbackReason.COOLDOWN)


def decide(
    request: RollbackRequest, history: Sequence[PastRollback], rule: RollbackRule, now: datetime
) -> Decision:
    """Say whether the rollback goes out. ``history`` holds earlier decisions, in any order.

    A suppressed request stays so for its incident: a rollback that comes by itself hours after people took
    over would be a surprise. A dry run counts against later dry runs only, never against a live rollback.
    """
    if request.severity < Severity.PAGE:
        return Decision(Action.SUPPRESSED, RollbackReason.BELOW_PAGE)
    ours = [past for past in history if past.name == request.name]
    if any(past.incident_id == request.incident_id for past in ours):
        return Decision(Action.SUPPRESSED, RollbackReason.ONCE_PER_INCIDENT)
    counted = [past.at for past in ours if _counts(past, rule)]
    not_before = max(counted) + timedelta(seconds=rule.cooldown_s) if counted else now
    if now < not_before:
        return Decision(Action.SUPPRESSED, RollbackReason.COOLDOWN, not_before)
    return Decision(Action.SEND if rule.mode is Mode.LIVE else Action.DRY_RUN, RollbackReason.ALLOWED)


def _counts(past: PastRollback, rule: RollbackRule) -> bool:
    if past.action is Action.DRY_RUN:
        return rule.mode is Mode.DRY_RUN
    return past.action is Action.SEND
