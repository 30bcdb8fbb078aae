"""A minute of calls of one series, or an hour or a day, as counts and histograms to be added up and taken back."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from ..calls import Call, CostBasis, ErrorClass
from .exemplars import Exemplars
from .histogram import Histogram
from .series import Series
from .tallies import Tallies, add_up, count

CHECKS_MAX = 50
"""How many names of failed checks a window tells apart, for applications choose them; the rest is counted together."""

OTHER_CHECKS = "(other checks)"


@dataclass(slots=True)
class Window:
    """The calls of one series that ended within one minute. ``minute`` is its start in unix seconds.

    ``latency_s`` holds the answered calls and the timeouts: a call that timed out took at least so long, and
    leaving it out would make the worst minutes look good, while a refusal in 20 ms must not. ``cost_usd``
    holds the calls with a price; ``cost_bases`` tells how sure those are, and how many answered calls have
    none. ``tokens_per_s`` is how fast answers were written, once they had begun. ``cached_tokens`` are those of
    ``input_tokens`` that came from a cache. ``checked`` is how many answers were checked, ``unsound`` how many of
    those failed a check, and ``failed_checks`` which. ``matched`` counts the calls that a configured filter fits,
    by its name, and ``chosen`` the calls by the values of configured attributes. An hour or a day has the same, and in
    ``ambiguous_nano`` what those of its minutes cost in which a cost was ambiguous, in billionths of a dollar.
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
    tokens_per_s: Histogram = field(default_factory=Histogram)
    cached_tokens: int = 0
    finish_reasons: dict[str, int] = field(default_factory=dict)
    checked: int = 0
    unsound: int = 0
    failed_checks: dict[str, int] = field(default_factory=dict)
    matched: dict[str, int] = field(default_factory=dict)
    chosen: Tallies = field(default_factory=Tallies)
    exemplars: Exemplars = field(default_factory=Exemplars)
    ambiguous_nano: int | None = None

    @property
    def ambiguous_usd(self) -> float:
        """Dollars that are not sure: all of a minute in which some are, as its calls are of one model."""
        return self._ambiguous_nano() / _NANO

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
        self._count(call, 1)
        self.exemplars.add(call)

    def take_back(self, call: Call) -> None:
        """Count one call less, which was counted here or in a window that this one will be added to."""
        self._count(call, -1)

    def _count(self, call: Call, times: int) -> None:
        self.calls += times
        if call.error:
            count(self.errors, (call.error_class or ErrorClass.OTHER).value, times)
        if not call.error or call.error_class is ErrorClass.TIMEOUT:
            self.latency_s.add(call.duration_s, times)
        if not call.error or call.cost_usd is not None:
            count(self.cost_bases, call.cost_basis.value, times)
        if call.finish_reason:
            count(self.finish_reasons, call.finish_reason.value, times)
        self.cached_tokens += times * (call.cached_input_tokens or 0)
        self.checked += times * call.is_checked
        self.unsound += times * bool(call.checks_failed)
        for name in call.checks_failed:
            self._count_check(name, times)
        for name in call.matched:
            count(self.matched, name, times)
        self.chosen.count(call, times)
        for histogram, value in (
            (self.ttft_s, call.ttft_s),
            (self.cost_usd, call.cost_usd),
            (self.input_tokens, call.input_tokens),
            (self.output_tokens, call.output_tokens),
            (self.tokens_per_s, call.tokens_per_s),
        ):
            if value is not None:
                histogram.add(value, times)

    def merge(self, other: "Window") -> None:
        """Count everything that ``other`` counted; its minute and series are not looked at."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _COUNTS:
            add_up(getattr(self, name), getattr(other, name))
        for name, by in other.failed_checks.items():
            self._count_check(name, by)
        for name in HISTOGRAMS:
            getattr(self, name).merge(getattr(other, name))
        self.chosen.merge(other.chosen)
        self.exemplars.merge(other.exemplars)
        if self.ambiguous_nano is not None:
            self.ambiguous_nano += other._ambiguous_nano()

    def _ambiguous_nano(self) -> int:
        if self.ambiguous_nano is not None:
            return self.ambiguous_nano
        return self.cost_usd.total_nano if self.cost_bases.get(CostBasis.AMBIGUOUS, 0) > 0 else 0

    def _count_check(self, name: str, by: int) -> None:
        has_room = name in self.failed_checks or len(self.failed_checks) < CHECKS_MAX
        count(self.failed_checks, name if has_room else OTHER_CHECKS, by)


HISTOGRAMS = ("latency_s", "ttft_s", "cost_usd", "input_tokens", "output_tokens", "tokens_per_s")
"""The fields of a window that are histograms."""

_NANO = 1_000_000_000

_PACKED = b"\x01"
"""How a stored window begins that is compressed JSON; no JSON begins like that."""

_SUMS = ("calls", "cached_tokens", "checked", "unsound")
_COUNTS = ("errors", "cost_bases", "finish_reasons", "matched")


def window_to_bytes(window: Window) -> bytes:
    """What a window counted, as it is stored; not its minute and series."""
    # The least effort: more of it makes these short texts hardly shorter.
    return _PACKED + zlib.compress(orjson.dumps(window_to_json(window)), 1)


def window_from_bytes(minute: int, series: Series, body: bytes) -> Window:
    """The window that ``window_to_bytes`` gave, also in an earlier version, which wrote plain JSON."""
    return window_from_json(minute, series, plain_of(body))


def plain_of(body: bytes) -> dict[str, Any]:
    """What ``window_to_json`` gave of the window that is stored as ``body``."""
    counted: dict[str, Any] = orjson.loads(text_of(body))
    return counted


def text_of(body: bytes) -> bytes:
    """The same as the JSON that it is."""
    return zlib.decompress(memoryview(body)[1:]) if body[:1] == _PACKED else body


def window_to_json(window: Window) -> dict[str, Any]:
    """What a window counted, as plain data without what it counted nothing of; not its minute and series."""
    plain = {name: getattr(window, name) for name in (*_SUMS, *_COUNTS, "failed_checks")}
    plain |= {"chosen": window.chosen.to_json(), "exemplars": window.exemplars.to_json()}
    plain |= {name: one.to_json() for name in HISTOGRAMS if not (one := getattr(window, name)).is_empty}
    if window.ambiguous_nano is not None:
        plain["ambiguous_nano"] = str(window.ambiguous_nano)  # as text, as all sums of dollars
    return {name: counted for name, counted in plain.items() if counted}


def window_from_json(minute: int, series: Series, data: Mapping[str, Any]) -> Window:
    """The window that ``window_to_json`` gave, also in an earlier version, which counted less."""
    window = Window(minute, series)
    for name in _SUMS:
        setattr(window, name, data.get(name, 0))
    for name in (*_COUNTS, "failed_checks"):
        setattr(window, name, dict(data.get(name, {})))
    for name in HISTOGRAMS:
        if name in data:
            setattr(window, name, Histogram.from_json(data[name]))
    window.chosen = Tallies.from_json(data.get("chosen", {}))
    window.exemplars = Exemplars.from_json(data.get("exemplars", {}))
    if "ambiguous_nano" in data:
        window.ambiguous_nano = int(data["ambiguous_nano"])
    return window
