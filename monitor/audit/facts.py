"""What an audit is made of: gathered by ``gathering``, judged by ``auditing``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from dashboards.audit.report import Against, BudgetLine, Paging, Unseen

from .tally import Tally

HOUR_S, DAY_S = 3_600, 86_400

DAYS = 28
"""How many days before the period services are compared with: four whole weeks."""


@dataclass(frozen=True, slots=True)
class Span:
    """A while, in whole minutes of unix time, and the length of the blocks that it is looked at in."""

    first: int
    end: int
    block_s: int

    @property
    def seconds(self) -> int:
        """How long it is."""
        return self.end - self.first

    @property
    def days(self) -> float:
        """The same in days."""
        return self.seconds / DAY_S

    def block(self, start: int) -> int:
        """The start of the block that holds this minute."""
        return start // self.block_s * self.block_s

    def blocks(self) -> range:
        """The starts of its blocks; the first and the last can reach beyond it."""
        return range(self.block(self.first), self.end, self.block_s)

    def before(self) -> "Span":
        """The span of the same length that ends where this one begins."""
        return Span(self.first - self.seconds, self.first, self.block_s)

    @property
    def is_of_whole_days(self) -> bool:
        """Whether the one before has the same times of day, so that blocks go together in pairs."""
        return self.seconds % DAY_S == 0


BLOCKS_S = ((DAY_S, 5 * DAY_S), (HOUR_S, 12 * HOUR_S), (900, 3 * HOUR_S), (300, 0))
"""How long the blocks are of a period of which length at least: few enough to read, and enough to vary."""


def span_of(since: datetime, until: datetime) -> Span:
    """The whole minutes from ``since`` to ``until``, in blocks of a fitting length."""
    first, end = int(since.timestamp() // 60) * 60, int(until.timestamp() // 60) * 60
    return Span(first, end, next(block_s for block_s, least_s in BLOCKS_S if end - first >= least_s))


def moment(seconds: float) -> datetime:
    """The time of these unix seconds, in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def days_before(span: Span) -> Span:
    """The whole days of UTC before a span."""
    end = span.first // DAY_S * DAY_S
    return Span(end - DAYS * DAY_S, end, DAY_S)


ByBlock = Mapping[int, Tally]
"""Tallies by the starts of their blocks."""


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """A service of one environment: its calls in the period, in the one before, and on the days before that."""

    service: str
    environment: str
    now: ByBlock = field(default_factory=dict)
    previous: ByBlock = field(default_factory=dict)
    days: ByBlock = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """A target: a tally for each run of the period, of the one before, and of its baseline."""

    name: str
    model: str
    suite: str
    now: Sequence[Tally] = ()
    previous: Sequence[Tally] = ()
    baseline: Sequence[Tally] = ()


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model version: its calls, when it was seen, by whom it was used, and what was noted of it."""

    model: str
    provider: str
    asked_as: tuple[str, ...]
    first_seen: datetime | None
    last_seen: datetime | None
    services: tuple[str, ...]
    targets: tuple[str, ...]
    use: str
    now: Tally
    days: Tally
    canary_checked: int = 0
    canary_broken: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """All that one audit is made of."""

    at: datetime
    since: datetime
    until: datetime
    against: Against
    span: Span
    services: Sequence[ServiceFacts] = ()
    targets: Sequence[TargetFacts] = ()
    models: Sequence[ModelFacts] = ()
    budgets: Sequence[BudgetLine] = ()
    paging: Paging = field(default_factory=Paging)
    unseen: Sequence[Unseen] = ()
    night: str = ""
