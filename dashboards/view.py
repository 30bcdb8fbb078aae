"""What the deployment looks like at one moment: the values the page and the JSON API show.

``monitor`` implements ``StatusView``. These values are also the published JSON of ``/api/v1/status``, so a
field that goes away or changes its meaning is a change that users notice. They hold no prompt, answer or
secret.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Protocol

from pydantic import PlainSerializer, WithJsonSchema

from alerts.finding import Severity
from dashboards.audit.report import Audit, AuditSummary

SeverityName = Annotated[
    Severity,
    PlainSerializer(lambda severity: severity.name.lower(), return_type=str),
    WithJsonSchema({"type": "string", "enum": [severity.name.lower() for severity in Severity]}),
]
"""A severity that a reader of the JSON sees by its name."""


class TargetState(StrEnum):
    """What the watch over a target is doing."""

    COLLECTING = "collecting"
    """The baseline is not frozen yet: nothing is compared."""
    WATCHING = "watching"
    """Every run is compared with the frozen baseline."""
    REFUSED = "refused"
    """The suite or the target is not the one of the baseline: comparing would be wrong."""
    DOWN = "down"
    """The endpoint does not answer."""


class WatchState(StrEnum):
    """What a watch over production traffic says."""

    STEADY = "steady"
    PENDING = "pending"
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    NO_DATA = "no_data"
    INHIBITED = "inhibited"
    """It is beyond its threshold, and another incident explains that."""


class Hearing(StrEnum):
    """What is known of a service that sends traces."""

    HEARD = "heard"
    """It makes calls as it usually does, pauses included."""
    SILENT = "silent"
    HELD = "held"
    """It is quiet for too long, and part of that time nobody listened."""
    NOT_JUDGED = "not_judged"
    """It has no rhythm that a silence could be told from."""
    RETIRED = "retired"
    """It was silent for so long that it counts as gone."""
    IGNORED = "ignored"


class IncidentState(StrEnum):
    """The life of an incident."""

    PENDING = "pending"
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class DeliveryState(StrEnum):
    """Where a message to people is."""

    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"


class ReceiverState(StrEnum):
    """Whether a receiver works, as far as anybody knows."""

    CONFIRMED = "confirmed"
    UNCONFIRMED = "unconfirmed"
    """Nothing has arrived there since it was set up as it is now."""
    FAILING = "failing"
    """The last message there was given up."""


class RollbackMode(StrEnum):
    """Whether a rollback is only rehearsed or really asked for, and whether a person has to approve it."""

    DRY_RUN = "dry-run"
    ASK = "ask"
    LIVE = "live"


class RollbackState(StrEnum):
    """What became of a rollback. ``ASKED``: it waits for a person."""

    ASKED = "asked"
    WAITING = "waiting"
    DELIVERED = "delivered"
    REHEARSED = "rehearsed"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RulePrecision:
    """How often a rule's incidents were pages this quarter, and how many of these people found right or false.

    ``precision`` is the share of right ones among those that somebody has judged.
    """

    rule: str
    pages: int
    right: int = 0
    false: int = 0
    precision: float | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """How many false pages the operator allows, how many pages there were, and how right each rule was."""

    pages_per_quarter: float
    pages_this_quarter: int = 0
    rules: tuple[RulePrecision, ...] = ()


@dataclass(frozen=True, slots=True)
class LastRun:
    """The latest run over a target; ``outcomes`` counts its requests by how they ended."""

    at: datetime
    answered_share: float
    outcomes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScoreEvidence:
    """How far one score's evidence has come to a page: 0 is none, 1 is the page."""

    score: str
    evidence: float


@dataclass(frozen=True, slots=True)
class ScorePoint:
    """One run's value of a score."""

    at: datetime
    value: float


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """A target under watch. ``notes`` are sentences: what was refused, what is not guaranteed.

    ``is_in_force`` tells whether the page budget's guarantee holds, ``ranked_within`` what its runs are ranked within.
    ``minimum_detectable_effect`` is the smallest share of moved answers that would be paged in time in half of the
    cases, 1 for all of them and nothing where not even that would; ``sees`` says so in sentences, none while unknown.
    """

    name: str
    model: str
    suite: str
    state: TargetState
    runs_collected: int = 0
    runs_needed: int = 0
    last_run: LastRun | None = None
    next_run_at: datetime | None = None
    evidence: tuple[ScoreEvidence, ...] = ()
    baseline_id: str | None = None
    baseline_frozen_at: datetime | None = None
    suite_scores: tuple[ScorePoint, ...] = ()
    notes: tuple[str, ...] = ()
    is_in_force: bool | None = None
    ranked_within: str = ""
    minimum_detectable_effect: float | None = None
    sees: tuple[str, ...] = ()

    @property
    def strongest(self) -> ScoreEvidence | None:
        """The score that has come nearest to a page."""
        return max(self.evidence, key=lambda score: score.evidence, default=None)


@dataclass(frozen=True, slots=True)
class WatchStatus:
    """A rule over production traffic with what it last saw: ``value`` of ``n`` calls, in ``unit``."""

    name: str
    state: WatchState
    threshold: float
    unit: str = ""
    value: float | None = None
    n: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class EvidenceLine:
    """One line of an incident's evidence."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class NotificationStatus:
    """One message about an incident. ``at`` is when it was sent, or when it was last tried."""

    receiver: str
    state: DeliveryState
    at: datetime | None = None
    attempts: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class IncidentStatus:
    """Something that was or is wrong, and who was told. ``subject`` names the target or watch it is about.

    ``inhibited_by`` is the key of the firing incident that explains it, and for which it is held as it is.
    """

    id: str
    key: str
    severity: SeverityName
    state: IncidentState
    summary: str
    started_at: datetime
    fired_at: datetime | None = None
    resolved_at: datetime | None = None
    subject: str = ""
    evidence: tuple[EvidenceLine, ...] = ()
    notifications: tuple[NotificationStatus, ...] = ()
    inhibited_by: str = ""
    acknowledged_by: str = ""
    acknowledged_at: datetime | None = None
    no_data_since: datetime | None = None
    reopened: int = 0
    is_true: bool | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is not over yet."""
        return self.state is not IncidentState.RESOLVED


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """Messages that are written down but not delivered."""

    waiting: int = 0
    failed: int = 0
    oldest_age_s: float | None = None


@dataclass(frozen=True, slots=True)
class ReceiverStatus:
    """A receiver and whether it works, as far as anybody knows: ``reason`` says why in a sentence.

    ``confirmed_at`` is when it last took a message, since it was set up as it is now; ``next_test_at`` when it is
    tested by itself, if it is.
    """

    name: str
    kind: str
    state: ReceiverState
    reason: str = ""
    confirmed_at: datetime | None = None
    next_test_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RollbackStatus:
    """One rollback that was asked for; ``incident_id`` is the incident that asked."""

    name: str
    mode: RollbackMode
    state: RollbackState
    at: datetime
    reason: str = ""
    incident_id: str | None = None


@dataclass(frozen=True, slots=True)
class IngestStatus:
    """What came in from production since the start.

    ``refused_share`` is that of the export requests of the last minutes; ``note`` says what is wrong with them, or that
    nobody has sent anything.
    """

    spans: int = 0
    calls: int = 0
    rejected: int = 0
    last_span_at: datetime | None = None
    refused_share: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """A service that sends traces: whether it is heard, since when it is quiet, and what is said of that."""

    name: str
    hearing: Hearing
    quiet_s: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DeploymentStatus:
    """Everything under watch, as it was ``at`` this moment.

    ``problems`` are sentences about the watch itself: missed schedules, interrupted runs, messages
    that do not arrive.
    """

    at: datetime
    version: str
    started_at: datetime
    budget: Budget
    targets: tuple[TargetStatus, ...] = ()
    watches: tuple[WatchStatus, ...] = ()
    incidents: tuple[IncidentStatus, ...] = ()
    outbox: OutboxStatus = OutboxStatus()
    receivers: tuple[ReceiverStatus, ...] = ()
    rollbacks: tuple[RollbackStatus, ...] = ()
    ingest: IngestStatus = IngestStatus()
    services: tuple[ServiceStatus, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the daemon can do its work: ready when there is no reason against it."""

    reasons: tuple[str, ...] = ()

    @property
    def is_ready(self) -> bool:
        """Whether nothing stands against it."""
        return not self.reasons


class AuditView(Protocol):
    """Where the pages and the API get the nightly audits."""

    async def audits(self, limit: int) -> tuple[AuditSummary, ...]:
        """The latest ones, newest first. Raises ``StatusError`` when they cannot be read."""
        ...

    async def audit(self, night: str) -> Audit | None:
        """The one of a night, if there is one. Raises ``StatusError`` when it cannot be read."""
        ...


class StatusView(Protocol):
    """Where the page and the API get what they show."""

    async def status(self) -> DeploymentStatus:
        """The deployment as it is now. Raises ``StatusError`` when it cannot be read."""
        ...
