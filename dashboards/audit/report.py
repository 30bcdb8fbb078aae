"""An audit as values: what the pages, the files and ``/api/v1/audits`` show.

These are published JSON, so a field that goes away or changes its meaning is a change that users notice. They hold no
prompt, answer or secret.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from math import log


class Against(StrEnum):
    """What the last period is compared with."""

    PREVIOUS = "previous"
    """The period of the same length before it."""
    BASELINE = "baseline"
    """Of a target the runs of its frozen baseline, of a service the days before."""


class Measure(StrEnum):
    """What is compared, by its name in JSON."""

    CALLS = "calls"
    SPEND = "spend"
    COST_PER_CALL = "cost_per_call"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    ERRORS = "errors"
    BROKEN_ANSWERS = "broken_answers"
    TRUNCATED = "truncated"
    LATENCY_P50 = "latency_p50"
    LATENCY_P95 = "latency_p95"
    LATENCY_P99 = "latency_p99"
    TTFT_P95 = "ttft_p95"

    @property
    def unit(self) -> str:
        """``share``, ``s``, ``USD`` and the like."""
        return _UNITS[self]

    @property
    def is_share(self) -> bool:
        """Whether it is a share of calls, whose changes are told in percentage points."""
        return self.unit == "share"

    @property
    def is_worse_up(self) -> bool | None:
        """Whether more of it is worse; ``None`` where neither more nor less is."""
        return None if self in (Measure.CALLS, Measure.OUTPUT_TOKENS) else True


_UNITS = {
    Measure.CALLS: "calls/day",
    Measure.SPEND: "USD/day",
    Measure.COST_PER_CALL: "USD",
    Measure.INPUT_TOKENS: "tokens",
    Measure.OUTPUT_TOKENS: "tokens",
    Measure.ERRORS: "share",
    Measure.BROKEN_ANSWERS: "share",
    Measure.TRUNCATED: "share",
    Measure.LATENCY_P50: "s",
    Measure.LATENCY_P95: "s",
    Measure.LATENCY_P99: "s",
    Measure.TTFT_P95: "s",
}


class Reality(StrEnum):
    """Whether a change is one."""

    REAL = "real"
    NEGLIGIBLE = "real and negligible"
    """Surely there, and too small to matter to anyone."""
    NOISE = "within noise"
    """As large as what comes and goes by itself."""
    UNKNOWN = "too little data"


@dataclass(frozen=True, slots=True)
class Change:
    """What a measure was before, of ``n`` calls or answers, and whether it is another now.

    ``low`` to ``high`` is the 95 % interval of the difference, now less before; a side without a bound is ``None``.
    ``p_adjusted`` is ``p_value`` after all that the audit looks at against the same.
    """

    before: float | None
    n: int
    reality: Reality
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One measure of one subject: its value of ``n`` calls or answers, and how it has changed."""

    measure: Measure
    value: float | None
    n: int
    previous: Change | None = None
    baseline: Change | None = None

    def change(self, against: Against) -> Change | None:
        """How it has changed; ``None`` where there is nothing to compare with."""
        return self.previous if against is Against.PREVIOUS else self.baseline

    def difference(self, against: Against) -> float | None:
        """How much more it is than before."""
        change = self.change(against)
        if change is None or change.before is None or self.value is None:
            return None
        return self.value - change.before

    def is_worse(self, against: Against) -> bool:
        """Whether it has really changed for the worse."""
        return (
            self._is_real(against) and (self.difference(against) or 0) > 0 and bool(self.measure.is_worse_up)
        )

    def is_better(self, against: Against) -> bool:
        """Whether it has really changed for the better."""
        return (
            self._is_real(against) and (self.difference(against) or 0) < 0 and bool(self.measure.is_worse_up)
        )

    def size(self, against: Against) -> float:
        """How large the change is, to put changes of all kinds in order: by how many times, whichever way."""
        change = self.change(against)
        if change is None or change.before is None or self.value is None:
            return 0.0
        # A share of a thousandth that doubles is not more than a cost that doubles.
        ground = 0.01 if self.measure.is_share else 1e-9
        return abs(log((self.value + ground) / (change.before + ground)))

    def _is_real(self, against: Against) -> bool:
        change = self.change(against)
        return change is not None and change.reality is Reality.REAL


class SubjectKind(StrEnum):
    """What is audited."""

    TARGET = "target"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class FailedCheck:
    """A check that answers failed, and how often, now and in the period before."""

    name: str
    failed: int
    before: int


@dataclass(frozen=True, slots=True)
class Subject:
    """A target or a service: its measures, the checks that failed most, and its spend by block of time.

    ``detail`` says what it is: the model and suite of a target, the environment of a service.
    """

    kind: SubjectKind
    name: str
    detail: str = ""
    lines: tuple[Line, ...] = ()
    failed_checks: tuple[FailedCheck, ...] = ()
    calls_by_block: tuple[int, ...] = ()

    def line(self, measure: Measure) -> Line | None:
        """The line of a measure, where there is one."""
        return next((one for one in self.lines if one.measure is measure), None)


@dataclass(frozen=True, slots=True)
class Mover:
    """One measure that moved, with whose it is."""

    kind: SubjectKind
    subject: str
    line: Line


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """What is known of a model's calls in a while; cost and tokens are means of a call, latencies are in seconds."""

    calls: int = 0
    cost_usd: float | None = None
    cost_per_call: float | None = None
    latency_p50: float | None = None
    latency_p95: float | None = None
    latency_p99: float | None = None
    ttft_p95: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    error_share: float | None = None
    checked: int = 0
    broken: int = 0


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model version in the catalogue: figures of the period and of the days before, who uses it, and what for.

    ``asked_as`` are the names it was asked for by. ``canary_checked`` and ``canary_broken`` count the answers that
    canaries got from it in the period.
    """

    model: str
    provider: str = ""
    asked_as: tuple[str, ...] = ()
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    is_new: bool = False
    services: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    use: str = ""
    now: ModelFigures = ModelFigures()
    usual: ModelFigures = ModelFigures()
    canary_checked: int = 0
    canary_broken: int = 0


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """A budget and what is used of it; ``who`` names the value that used most, where each has the budget for itself."""

    name: str
    period: str
    used: float
    limit: float
    unit: str
    who: str = ""
    remark: str = ""

    @property
    def share(self) -> float:
        """The share of the budget that is used."""
        return self.used / self.limit if self.limit else 0.0


@dataclass(frozen=True, slots=True)
class ShortPage:
    """A rule whose pages were over almost at once: how many of how many, and how long they took in the median."""

    rule: str
    short: int
    pages: int
    median_s: float


@dataclass(frozen=True, slots=True)
class FalseRule:
    """A rule whose pages people keep marking false: how many of the quarter's, and how many they found right."""

    rule: str
    false: int
    right: int
    pages: int


@dataclass(frozen=True, slots=True)
class Paging:
    """The pages of the period, by rule, beside the page budget of a quarter; ``false_rules`` are of that quarter."""

    pages: int = 0
    previous: int = 0
    quarter: int = 0
    budget: float = 0.0
    by_rule: tuple[tuple[str, int], ...] = ()
    short: tuple[ShortPage, ...] = ()
    open_now: int = 0
    false_rules: tuple[FalseRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Unseen:
    """Something that could not be seen, and what can be done about it."""

    what: str
    who: str
    detail: str


@dataclass(frozen=True, slots=True)
class Audit:
    """The audit of one period, made at ``at``; ``against`` is what its movers and its headline go by.

    ``baseline_days`` is how many days before the period services are compared with. ``tests`` is how many changes
    were judged at once.
    """

    at: datetime
    since: datetime
    until: datetime
    against: Against = Against.PREVIOUS
    subjects: tuple[Subject, ...] = ()
    movers: tuple[Mover, ...] = ()
    models: tuple[ModelEntry, ...] = ()
    budgets: tuple[BudgetLine, ...] = ()
    paging: Paging = Paging()
    unseen: tuple[Unseen, ...] = ()
    baseline_days: int = 0
    tests: int = 0
    night: str = ""

    def of_kind(self, kind: SubjectKind) -> tuple[Subject, ...]:
        """The targets, or the services."""
        return tuple(one for one in self.subjects if one.kind is kind)

    def worse(self) -> Iterator[Mover]:
        """What has really changed for the worse, the largest first."""
        return (one for one in self.movers if one.line.is_worse(self.against))

    def better(self) -> Iterator[Mover]:
        """What has really changed for the better, the largest first."""
        return (one for one in self.movers if one.line.is_better(self.against))


@dataclass(frozen=True, slots=True)
class AuditSummary:
    """A nightly audit in a line: what a person must know first, and how many measures got worse or better."""

    night: str
    at: datetime
    since: datetime
    until: datetime
    headline: str
    detail: str
    worse: int
    better: int
    pages: int
