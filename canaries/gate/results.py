"""What a gate comes to, and every check that it stands on."""

from dataclasses import dataclass
from enum import StrEnum

from ..compare import Comparison

EXCERPT_CHARS = 200
"""How much of an answer is quoted."""


class Status(StrEnum):
    """What a check comes to."""

    PASS = "pass"  # noqa: S105 - no password
    WARN = "warn"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class Kind(StrEnum):
    """What a check is about."""

    CANARY = "canary"
    REQUESTS = "requests"
    STATISTICS = "statistics"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class Check:
    """One question to the candidate with its answer: ``summary`` in a sentence, ``details`` a line each."""

    kind: Kind
    name: str
    status: Status
    summary: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether the candidate may pass. ``notes`` are what else to know; they decide nothing."""

    suite: str
    target: str
    against: str | None
    checks: tuple[Check, ...]
    notes: tuple[str, ...]
    comparison: Comparison | None
    answers: int
    took_s: float | None = None
    spent_usd: float | None = None

    @property
    def verdict(self) -> Status:
        """``FAIL`` when a check failed, else ``INCONCLUSIVE`` when one could not be made, else ``PASS``."""
        found = {check.status for check in self.checks}
        return next((one for one in (Status.FAIL, Status.INCONCLUSIVE) if one in found), Status.PASS)

    def of(self, *statuses: Status) -> tuple[Check, ...]:
        """The checks that came to one of these, the worst first."""
        return tuple(check for status in statuses for check in self.checks if check.status is status)
