"""What people do to incidents over HTTP, and ask about them: the values of its JSON, and who does it.

``monitor`` implements ``IncidentDesk``. None of these values holds a prompt, an answer or a secret.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from dashboards.view import IncidentState, SeverityName


class DeskError(Exception):
    """What was asked cannot be done; the text says what would be right. ``is_unknown``: there is no such thing."""

    def __init__(self, text: str, *, is_unknown: bool = False) -> None:
        super().__init__(text)
        self.is_unknown = is_unknown


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
class SilenceView:
    """A silence: ``state`` is pending, active or expired."""

    id: str
    state: str
    matchers: tuple[str, ...]
    author: str
    comment: str
    starts_at: datetime
    ends_at: datetime


class IncidentDesk(Protocol):
    """Where incidents are seen to. Everything raises ``DeskError`` with what is wrong, and ``StatusError``."""

    async def incidents(self, match: Sequence[str], everything: bool, limit: int) -> tuple[IncidentLine, ...]:
        """The open incidents that fit all matchers (or all incidents), the newest first."""
        ...

    async def explain(self, asked: str) -> ExplanationView:
        """Why people were told of an incident or a key, or not."""
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

    async def silence(self, matchers: Sequence[str], for_s: float, comment: str, by: str) -> SilenceView:
        """The silence, which holds from now on for so long."""
        ...

    async def expire(self, silence: str) -> SilenceView:
        """The silence, which is over now."""
        ...
