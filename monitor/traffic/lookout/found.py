"""What a request holds, and what is looked for in it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..dialects import Report
from ..otlp import Span
from ..otlp_size import check_spans
from ..rows import RowsWriter
from ..sightings import Shape, Sighting
from ..silence.ingest_counts import Loss

FUTURE_MAX_S = 300.0
"""A call that began or ended so far after now has a wrong clock: it is rejected, for its minute has not come yet."""

AGE_MAX_S = 86_400.0
"""A call that ended so long ago is rejected: no watch looks back so far, no exporter retries so long."""

TOO_LATE = f"ended more than {AGE_MAX_S / 3600:.0f} hours ago"
TOO_EARLY = f"timed more than {FUTURE_MAX_S / 60:.0f} minutes in the future: is the sender's clock right?"

_LOSSES = {TOO_EARLY: Loss.FUTURE, TOO_LATE: Loss.TOO_OLD}


class Checks(Protocol):
    """What checks answers in passing, while their texts are at hand."""

    @property
    def keys(self) -> frozenset[str]:
        """Attributes that tell of a check themselves: the spans of calls that have one are needed."""

    @property
    def beginnings(self) -> tuple[str, ...]:
        """How the names of others begin that do."""

    def is_wanted(self, shape: Shape) -> bool:
        """Whether answers of calls of this shape are checked, for which their spans are needed."""

    def of(self, report: Report, span: Span) -> Sequence[tuple[str, bool]]:
        """What became of the checks of the answer in a span, by their names."""


class NoChecks:
    """Nothing is checked."""

    keys: frozenset[str] = frozenset()
    beginnings: tuple[str, ...] = ()

    def is_wanted(self, shape: Shape) -> bool:
        """Nothing is."""
        return False

    def of(self, report: Report, span: Span) -> Sequence[tuple[str, bool]]:
        """Nothing was."""
        return ()


@dataclass(frozen=True, slots=True)
class Watch:
    """What is looked for in spans beside the calls."""

    chosen_keys: Sequence[str] = ()
    """Attributes whose values are kept."""
    checks: Checks = field(default_factory=NoChecks)


@dataclass(slots=True)
class Found:
    """What is in a request so far: its reports, how many spans are no calls, and how many were left out and why."""

    earliest_ns: int
    latest_ns: int
    rows: RowsWriter = field(default_factory=RowsWriter)
    others: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    spans: int = 0
    """How many spans were seen."""
    by_service: Counter[str] = field(default_factory=Counter)
    """The same by the service that sent them."""
    lost: Counter[tuple[str, Loss]] = field(default_factory=Counter)
    """How many spans of a service lost something, or were left out."""
    read_slowly: int = 0
    """How many of them were decoded whole."""
    slow_bytes: int = 0
    """How many bytes those took."""

    def came(self, spans: int, service: str | None) -> None:
        """Count spans of a service, whatever they tell. Raises OversizeError when a request holds too many."""
        self.spans += spans
        self.by_service[service or ""] += spans
        check_spans(self.spans)

    def add(self, sighting: Sighting | None) -> None:
        """Count a span by what it tells: a call, which may have ended at no possible time, or none."""
        if (admitted := self.admitted(sighting)) is not None:
            self.rows.add(admitted)

    def call(self, sighting: Sighting | None) -> Sighting | None:
        """The sighting; it is counted when there is none."""
        self.others += sighting is None
        return sighting

    def admitted(self, sighting: Sighting | None) -> Sighting | None:
        """The sighting, where it counts; otherwise it is counted why not."""
        if sighting is None:
            self.others += 1
        elif sighting.end_ns > self.latest_ns or sighting.start_ns > self.latest_ns:
            self.refuse(TOO_EARLY, sighting.shape.service_name)
        elif sighting.end_ns < self.earliest_ns:
            self.refuse(TOO_LATE, sighting.shape.service_name)
        else:
            return sighting
        return None

    def refuse(self, reason: str, service: str | None, spans: int = 1) -> None:
        """Leave spans out."""
        self.rejected[reason] += spans
        self.lost[service or "", _LOSSES.get(reason, Loss.INVALID)] += spans

    def lose(self, service: str | None, loss: Loss, spans: int = 1) -> None:
        """Count spans of which the sender dropped something."""
        self.lost[service or "", loss] += spans
