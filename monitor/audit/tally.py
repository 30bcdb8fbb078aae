"""What the calls of a block of time, or the answers of a run, add up to: as much as an audit wants to know."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..traffic.calls import CostBasis, FinishReason
from ..traffic.windows.histogram import Histogram, Pile, counted_in
from ..traffic.windows.tallies import add_up

_NANO = 1_000_000_000

# As they are stored: an enum's member takes longer to be looked up by.
_LENGTH, _UNPRICED = FinishReason.LENGTH.value, CostBasis.UNPRICED.value
_AMBIGUOUS = CostBasis.AMBIGUOUS.value

_SUMS = (
    "calls", "failed", "priced", "cost_nano", "unpriced", "unsure_nano", "asked", "input_tokens", "answered",
    "output_tokens", "checked", "broken", "finished", "truncated",
)  # fmt: skip


@dataclass(slots=True)
class Tally:
    """Counts and sums, to be added up.

    ``priced`` calls cost ``cost_nano`` billionths of a dollar, of which ``unsure_nano`` by ambiguous prices.
    ``asked`` calls tell their input tokens, ``answered`` their output tokens, ``finished`` why they ended, of which
    ``truncated`` were cut off. Of ``checked`` answers ``broken`` failed a check, by name in ``failed_checks``.
    """

    calls: int = 0
    failed: int = 0
    priced: int = 0
    cost_nano: int = 0
    unpriced: int = 0
    unsure_nano: int = 0
    asked: int = 0
    input_tokens: float = 0.0
    answered: int = 0
    output_tokens: float = 0.0
    checked: int = 0
    broken: int = 0
    finished: int = 0
    truncated: int = 0
    failed_checks: dict[str, int] = field(default_factory=dict)
    latency_s: Histogram = field(default_factory=Histogram)
    ttft_s: Histogram = field(default_factory=Histogram)

    @property
    def cost_usd(self) -> float:
        """What the calls with a price cost."""
        return self.cost_nano / _NANO

    def merge(self, other: "Tally") -> None:
        """Count everything that ``other`` counted."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        add_up(self.failed_checks, other.failed_checks)
        self.latency_s.merge(other.latency_s)
        self.ttft_s.merge(other.ttft_s)


class Counting:
    """Counts stored windows, given as plain data: to make windows of them first takes four times as long."""

    __slots__ = ("_latency_s", "_tally", "_ttft_s")

    def __init__(self) -> None:
        """Start with none."""
        self._tally = Tally()
        self._latency_s, self._ttft_s = Pile(), Pile()

    def count(self, window: Mapping[str, Any]) -> None:
        """Count what the window counted."""
        get, tally = window.get, self._tally
        tally.calls += get("calls", 0)
        if checked := get("checked"):
            tally.checked += checked
            tally.broken += get("unsound", 0)
            add_up(tally.failed_checks, get("failed_checks", {}))
        if errors := get("errors"):
            tally.failed += sum(errors.values())
        if reasons := get("finish_reasons"):
            tally.finished += sum(reasons.values())
            tally.truncated += reasons.get(_LENGTH, 0)
        if asked := get("input_tokens"):
            n, nano = counted_in(asked)
            tally.asked += n
            tally.input_tokens += nano / _NANO
        if given := get("output_tokens"):
            n, nano = counted_in(given)
            tally.answered += n
            tally.output_tokens += nano / _NANO
        if latency := get("latency_s"):
            self._latency_s.add(latency)
        if ttft := get("ttft_s"):
            self._ttft_s.add(ttft)
        self._count_cost(window)

    def _count_cost(self, window: Mapping[str, Any]) -> None:
        tally, bases = self._tally, window.get("cost_bases", {})
        tally.unpriced += bases.get(_UNPRICED, 0)
        if cost := window.get("cost_usd"):
            n, nano = counted_in(cost)
            tally.priced += n
            tally.cost_nano += nano
            # A minute has only one model: where some of its costs are ambiguous, all are.
            unsure = nano if bases.get(_AMBIGUOUS, 0) > 0 else 0
            tally.unsure_nano += int(window["ambiguous_nano"]) if "ambiguous_nano" in window else unsure

    def tally(self) -> Tally:
        """All that was counted; nothing more is to be counted after."""
        self._tally.latency_s, self._tally.ttft_s = self._latency_s.histogram(), self._ttft_s.histogram()
        return self._tally
