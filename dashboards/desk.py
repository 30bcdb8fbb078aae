"""What people do to incidents over HTTP, and ask about them: the values of its JSON, and who does it.

``monitor`` implements ``IncidentDesk``. None of these values holds a prompt, an answer or a secret.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from alerts.finding import Severity, Source
from alerts.inhibition_words import InhibitWords
from alerts.routing_words import RouteWords, ToldWords
from dashboards.view import DeliveryState, EvidenceLine, IncidentState, SeverityName


class DeskError(Exception):
    """What was asked cannot be done; the text says what would be right.

    ``is_unknown``: there is no such thing. ``is_malformed``: it could never be done, whatever there is.
    """

    def __init__(self, text: str, *, is_unknown: bool = False, is_malformed: bool = False) -> None:
        super().__init__(text)
        self.is_unknown, self.is_malformed = is_unknown, is_malformed

    @property
    def status_code(self) -> int:
        """What HTTP says of it."""
        if self.is_unknown:
            return 404
        return 400 if self.is_malformed else 409


@dataclass(frozen=True, slots=True)
class HeldView:
    """What keeps people from hearing of an incident now: it is silenced or muted, or another incident explains it.

    ``why`` says which, ``by`` names what does it, ``until`` when it ends at the latest, where that is known. ``routes``
    are those that it keeps quiet, none where it is all of them.
    """

    why: str
    by: str
    until: datetime | None = None
    routes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IncidentLine:
    """An incident in a list."""

    id: str
    key: str
    severity: SeverityName
    state: IncidentState
    summary: str
    opened_at: datetime
    labels: dict[str, str] = field(default_factory=dict)
    acknowledged_by: str = ""
    acknowledged_at: datetime | None = None
    resolved_at: datetime | None = None
    is_true: bool | None = None
    fired_at: datetime | None = None
    paged_at: datetime | None = None
    no_data_since: datetime | None = None
    reopened: int = 0
    held: tuple[HeldView, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether it is not over."""
        return self.state is not IncidentState.RESOLVED


@dataclass(frozen=True, slots=True)
class DecisionLine:
    """One decision: what was done, why, and from when to when the answer was the same, so many times."""

    at: datetime
    what: str
    why: str
    last_at: datetime
    times: int


@dataclass(frozen=True, slots=True)
class ExplanationView:
    """Everything that was decided about a key, and about its latest incident if it has one."""

    key: str
    incident: IncidentLine | None
    decisions: tuple[DecisionLine, ...]


@dataclass(frozen=True, slots=True)
class MessageLine:
    """One message about an incident: to whom, what it said and ``why`` it was sent, and what became of it.

    ``at`` is when it was written, ``ended_at`` when it arrived or was given up.
    """

    receiver: str
    kind: str
    why: str
    at: datetime
    state: DeliveryState
    ended_at: datetime | None = None
    attempts: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class GroupLine:
    """What an incident is told together with: the route, the labels that all of it shares, and who hears of it.

    ``due_at`` is when it is looked at next whether something is to be said.
    """

    id: str
    route: str
    labels: dict[str, str]
    receivers: tuple[str, ...]
    incidents: int
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class IncidentFile:
    """All that is on record of an incident, as it was ``at`` this moment; decisions and messages the oldest first."""

    at: datetime
    incident: IncidentLine
    evidence: tuple[EvidenceLine, ...]
    groups: tuple[GroupLine, ...]
    messages: tuple[MessageLine, ...]
    decisions: tuple[DecisionLine, ...]
    holds: tuple[IncidentLine, ...] = ()
    """The open incidents that people do not hear of while it fires, as it explains them."""


@dataclass(frozen=True, slots=True)
class SilenceView:
    """A silence: ``state`` is pending, active or expired. ``ended_by`` is who ended it before its time was over."""

    id: str
    state: str
    matchers: tuple[str, ...]
    author: str
    comment: str
    starts_at: datetime
    ends_at: datetime
    ended_by: str = ""


@dataclass(frozen=True, slots=True)
class MuteTimeLine:
    """A weekly time in which routes that name it tell nobody; ``until`` when, if it holds now."""

    name: str
    when: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class UnreachableRoute:
    """A route that nothing ever reaches, and why."""

    route: str
    reason: str


@dataclass(frozen=True, slots=True)
class RoutingView:
    """Who is told of what, and which incidents explain which others away.

    Without ``routes`` each target and watch names its receivers itself.
    """

    routes: tuple[RouteWords, ...]
    mute_times: tuple[MuteTimeLine, ...] = ()
    unreachable: tuple[UnreachableRoute, ...] = ()
    inhibitions: tuple[InhibitWords, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """An incident that might be: what it would be about, how loud, found by which arm, under which key."""

    labels: Mapping[str, str]
    severity: Severity = Severity.PAGE
    source: Source = Source.WATCH
    key: str = "some/incident"


@dataclass(frozen=True, slots=True)
class WouldTell:
    """Who would be told of such an incident, when and why; ``held`` is what would keep it quiet now."""

    told: tuple[ToldWords, ...]
    held: tuple[HeldView, ...] = ()


class IncidentDesk(Protocol):
    """Where incidents are seen to. Everything raises ``DeskError`` with what is wrong, and ``StatusError``."""

    async def incidents(
        self, match: Sequence[str], everything: bool, limit: int, state: IncidentState | None = None
    ) -> tuple[IncidentLine, ...]:
        """The open incidents that fit all matchers (or all incidents, or those in a state), the newest first."""
        ...

    async def incident(self, asked: str) -> IncidentFile:
        """All that is on record of the incident with this id, or of the latest one with this key."""
        ...

    async def explain(self, asked: str) -> ExplanationView:
        """Why people were told of an incident or a key, or not."""
        ...

    async def paged(self) -> tuple[IncidentLine, ...]:
        """The incidents that were pages this quarter, the newest first."""
        ...

    async def routing(self) -> RoutingView:
        """Who is told of what, as the daemon has it."""
        ...

    async def would_tell(self, asked: Asked) -> WouldTell:
        """Who would be told of such an incident now."""
        ...

    async def acknowledge(self, incident: str, by: str) -> IncidentLine:
        """The incident, to which ``by`` sees from now on."""
        ...

    async def mark(self, incident: str, is_true: bool, by: str) -> IncidentLine:
        """The incident, of which ``by`` has said whether something was wrong."""
        ...

    async def silences(self, everything: bool) -> tuple[SilenceView, ...]:
        """The silences that hold or will (or all)."""
        ...

    async def preview(self, matchers: Sequence[str]) -> tuple[IncidentLine, ...]:
        """The open incidents that a silence with these matchers would hold now."""
        ...

    async def silence(
        self,
        matchers: Sequence[str],
        for_s: float,
        comment: str,
        by: str,
        starts_at: datetime | None = None,
    ) -> SilenceView:
        """The silence, which holds for so long from then, or from now on."""
        ...

    async def expire(self, silence: str, by: str) -> SilenceView:
        """The silence, which ``by`` has ended now."""
        ...
