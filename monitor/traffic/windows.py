"""A minute of calls of one series, as counts and histograms that can be added up."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .calls import Call, CostBasis, ErrorClass
from .histogram import Histogram

MINUTE_S = 60

SERIES_MAX = 1_000
"""How many series are told apart at a time; calls of further ones are counted together in ``OVERFLOW``."""

SERIES_IDLE_S = 3_600
"""A series without calls for so long, in the time of the spans, makes room for another when it is needed."""

CHECKS_MAX = 50
"""How many names of failed checks a window tells apart, for applications choose them; the rest is counted together."""

OTHER_CHECKS = "(other checks)"


@dataclass(frozen=True, slots=True, order=True)
class Series:
    """What calls are told apart by. An empty string means that the span did not tell."""

    service: str
    environment: str
    version: str
    operation: str
    provider: str
    request_model: str
    response_model: str


OVERFLOW = Series("(other series)", "", "", "", "", "", "")
"""Where the calls of series beyond ``SERIES_MAX`` are counted."""


@dataclass(slots=True)
class Window:
    """The calls of one series that ended within one minute. ``minute`` is its start in unix seconds.

    ``latency_s`` holds the answered calls and the timeouts: a call that timed out took at least so long, and
    leaving it out would make the worst minutes look good, while a refusal in 20 ms must not. ``cost_usd``
    holds the calls with a price; ``cost_bases`` tells how sure those are, and how many answered calls have
    none. ``checked`` is how many answers were checked, ``unsound`` how many of those failed a check, and
    ``failed_checks`` which.
    """

    minute: int
    series: Series
    calls: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    cost_bases: dict[str, int] = field(default_factory=dict)
    latency_s: Histogram = field(default_factory=Histogram)
    ttft_s: Histogram = field(default_factory=Histogram)
    cost_usd: Histogram = field(default_factory=Histogram)
    input_tokens: Histogram = field(default_factory=Histogram)
    output_tokens: Histogram = field(default_factory=Histogram)
    checked: int = 0
    unsound: int = 0
    failed_checks: dict[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """How many calls failed."""
        return sum(self.errors.values())

    @property
    def unpriced(self) -> int:
        """How many answered calls have no known price."""
        return self.cost_bases.get(CostBasis.UNPRICED, 0)

    def add(self, call: Call) -> None:
        """Count one call."""
        self.calls += 1
        if call.error:
            _count(self.errors, (call.error_class or ErrorClass.OTHER).value)
        if not call.error or call.error_class is ErrorClass.TIMEOUT:
            self.latency_s.add(call.duration_s)
        if not call.error or call.cost_usd is not None:
            _count(self.cost_bases, call.cost_basis.value)
        self.checked += call.is_checked
        self.unsound += bool(call.checks_failed)
        for name in call.checks_failed:
            self._count_check(name)
        for histogram, value in (
            (self.ttft_s, call.ttft_s),
            (self.cost_usd, call.cost_usd),
            (self.input_tokens, call.input_tokens),
            (self.output_tokens, call.output_tokens),
        ):
            if value is not None:
                histogram.add(value)

    def merge(self, other: "Window") -> None:
        """Count everything that ``other`` counted; its minute and series are not looked at."""
        self.calls += other.calls
        for mine, theirs in ((self.errors, other.errors), (self.cost_bases, other.cost_bases)):
            for name, count in theirs.items():
                _count(mine, name, count)
        self.checked += other.checked
        self.unsound += other.unsound
        for name, count in other.failed_checks.items():
            self._count_check(name, count)
        for name in HISTOGRAMS:
            getattr(self, name).merge(getattr(other, name))

    def _count_check(self, name: str, by: int = 1) -> None:
        has_room = name in self.failed_checks or len(self.failed_checks) < CHECKS_MAX
        _count(self.failed_checks, name if has_room else OTHER_CHECKS, by)


HISTOGRAMS = ("latency_s", "ttft_s", "cost_usd", "input_tokens", "output_tokens")
"""The fields of a window that are histograms."""


def window_to_json(window: Window) -> dict[str, Any]:
    """What a window counted, as plain data; not its minute and series."""
    counts = {"calls": window.calls, "errors": window.errors, "cost_bases": window.cost_bases}
    counts |= {"checked": window.checked, "unsound": window.unsound, "failed_checks": window.failed_checks}
    return counts | {name: getattr(window, name).to_json() for name in HISTOGRAMS}


def window_from_json(minute: int, series: Series, data: Mapping[str, Any]) -> Window:
    """The window that ``window_to_json`` gave."""
    window = Window(minute, series, data["calls"], dict(data["errors"]), dict(data["cost_bases"]))
    for name in HISTOGRAMS:
        setattr(window, name, Histogram.from_json(data[name]))
    # Windows of earlier versions have no checks.
    window.checked, window.unsound = data.get("checked", 0), data.get("unsound", 0)
    window.failed_checks = dict(data.get("failed_checks", {}))
    return window


def minute_of(at: float) -> int:
    """The start of the minute that holds ``at``, both in unix seconds."""
    return int(at // MINUTE_S) * MINUTE_S


def series_of(call: Call) -> Series:
    """The series that a call belongs to, when there is room for it."""
    return Series(
        service=call.service_name or "",
        environment=call.environment or "",
        version=call.service_version or "",
        operation=call.operation,
        provider=call.provider or "",
        request_model=call.request_model or "",
        response_model=call.response_model or "",
    )


class Admission:
    """Says which series a call is counted in, so that no sender can make us keep series without end."""

    def __init__(self, series_max: int = SERIES_MAX) -> None:
        """Start with no series known."""
        self._series_max = series_max
        self._last_seen: dict[Series, int] = {}

    def admit(self, call: Call) -> Series:
        """The call's own series, or ``OVERFLOW`` when too many others are active."""
        series, minute = series_of(call), minute_of(call.ended_at)
        if series not in self._last_seen and not self._has_room(minute):
            return OVERFLOW
        self._last_seen[series] = max(minute, self._last_seen.get(series, minute))
        return series

    def _has_room(self, minute: int) -> bool:
        if len(self._last_seen) < self._series_max:
            return True
        self._last_seen = {
            one: last for one, last in self._last_seen.items() if minute - last <= SERIES_IDLE_S
        }
        return len(self._last_seen) < self._series_max


class WindowBook:
    """Windows by minute and series: what was counted since the book was opened."""

    def __init__(self, windows: Iterable[Window] = ()) -> None:
        """Start with the given windows; those of one minute and series are added up."""
        self._windows: dict[tuple[int, Series], Window] = {}
        self.merge(windows)

    def add(self, call: Call, series: Series) -> None:
        """Count one call in the minute in which it ended."""
        self._at(minute_of(call.ended_at), series).add(call)

    def merge(self, windows: Iterable[Window]) -> None:
        """Count everything that ``windows`` counted."""
        for window in windows:
            self._at(window.minute, window.series).merge(window)

    def _at(self, minute: int, series: Series) -> Window:
        key = (minute, series)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = Window(minute, series)
        return window

    def __iter__(self) -> Iterator[Window]:
        return iter(self._windows.values())

    def __len__(self) -> int:
        return len(self._windows)


def _count(counts: dict[str, int], name: str, by: int = 1) -> None:
    counts[name] = counts.get(name, 0) + by
