"""What watches keep that look further back than a day: hours of calls added up to a few numbers.

Minute windows of a month are too many to read every minute. What such a watch needs of an hour is small, adds up in any
order, and is read from the windows a bounded number of times.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..calls import ErrorClass
from ..windows.tallies import OTHER_VALUES
from ..windows.window import Window
from .config import Looks, WatchConfig
from .marking import ambiguous_of
from .match import matches
from .sections import GoodConfig, TrafficBudgetConfig

HOUR_S = 3_600

DAY_S = 86_400

SPENDERS_MAX = 5_000
"""Of how many values of an attribute a budget keeps the sums; what further ones use is added up together."""


@dataclass(slots=True)
class Spent:
    """What calls used, in dollars or tokens, by the values of the budget's attribute; of all calls under ``""``.

    ``unsure`` are dollars that are ambiguous and in no sum, ``unpriced`` counts the calls without a known price,
    ``unnamed`` those that do not have the attribute.
    """

    by_value: dict[str, float] = field(default_factory=dict)
    calls: int = 0
    unsure: float = 0.0
    unpriced: int = 0
    unnamed: int = 0

    def add(self, value: str, amount: float) -> None:
        """Count what calls with this value used."""
        has_room = value in self.by_value or len(self.by_value) < SPENDERS_MAX
        name = value if has_room else OTHER_VALUES
        self.by_value[name] = self.by_value.get(name, 0.0) + amount

    def merge(self, other: "Spent") -> None:
        """Count everything that ``other`` counted."""
        for value, amount in other.by_value.items():
            self.add(value, amount)
        self.calls += other.calls
        self.unsure += other.unsure
        self.unpriced += other.unpriced
        self.unnamed += other.unnamed


@dataclass(slots=True)
class Outcomes:
    """How many calls there were, and how many of them were bad, by the start of the minute or hour."""

    by_start: dict[int, tuple[int, int]] = field(default_factory=dict)

    def add(self, start: int, calls: int, bad: int) -> None:
        """Count calls."""
        was_calls, was_bad = self.by_start.get(start, (0, 0))
        self.by_start[start] = (was_calls + calls, was_bad + bad)

    def merge(self, other: "Outcomes") -> None:
        """Count everything that ``other`` counted."""
        for start, (calls, bad) in other.by_start.items():
            self.add(start, calls, bad)

    def since(self, start: float) -> tuple[int, int]:
        """How many calls, and bad ones, there were in what began at ``start`` or later."""
        counts = [count for began, count in self.by_start.items() if began >= start]
        return sum(calls for calls, _ in counts), sum(bad for _, bad in counts)


Sums = Spent | Outcomes
"""What a watch keeps of a while."""


def is_long(watch: WatchConfig) -> bool:
    """Whether the watch looks further back than windows are read every time."""
    return watch.looks in (Looks.BUDGET, Looks.SLO)


def sums_of(watch: WatchConfig, windows: Iterable[Window], *, by_hour: bool) -> Sums:
    """What the watch keeps of these windows; outcomes by hour, or else by minute."""
    mine = [one for one in windows if matches(watch.match, one.series)]
    if watch.budget is not None:
        return _spent(watch.budget, mine)
    if watch.slo is None:
        raise ValueError(f"the watch {watch.name} keeps nothing of calls that are long gone")
    outcomes = Outcomes()
    for window in mine:
        start = window.minute // HOUR_S * HOUR_S if by_hour else window.minute
        outcomes.add(start, window.calls, bad_calls(watch.slo.good, window))
    return outcomes


def merge(one: Sums, other: Sums) -> None:
    """Add ``other`` to ``one``, which is of the same watch."""
    if isinstance(one, Spent) and isinstance(other, Spent):
        one.merge(other)
        return
    if isinstance(one, Outcomes) and isinstance(other, Outcomes):
        one.merge(other)


def bad_calls(good: GoodConfig, window: Window) -> int:
    """How many calls of the window were not good; limits are those of histograms, which have them to one percent."""
    failed = window.failed if good.no_error else 0
    if good.latency_below is not None:
        slow = window.latency_s.above(good.latency_below)
        # Timeouts are among the slow and among the failed: each is one bad call.
        return failed + max(0, slow - (window.errors.get(ErrorClass.TIMEOUT, 0) if good.no_error else 0))
    if good.ttft_below is not None:
        return min(window.calls, failed + window.ttft_s.above(good.ttft_below))
    return failed


def _spent(budget: TrafficBudgetConfig, windows: Iterable[Window]) -> Spent:
    spent = Spent()
    for window in windows:
        spent.calls += window.calls
        spent.unpriced += window.unpriced if budget.usd else 0
        if budget.per is not None:
            _add_by_value(spent, budget, budget.per, window)
        elif budget.usd:
            unsure = window.ambiguous_usd
            spent.unsure += unsure
            spent.add("", window.cost_usd.total - unsure)
        else:
            spent.add("", window.input_tokens.total + window.output_tokens.total)
    return spent


def _add_by_value(spent: Spent, budget: TrafficBudgetConfig, attribute: str, window: Window) -> None:
    ambiguous = window.chosen.of(ambiguous_of(attribute))
    named = 0
    for value, tally in window.chosen.of(attribute).items():
        named += tally.calls
        if not budget.usd:
            spent.add(value, float(tally.tokens))
            continue
        unsure = ambiguous[value].cost_usd if value in ambiguous else 0.0
        spent.unsure += unsure
        spent.add(value, tally.cost_usd - unsure)
    spent.unnamed += max(0, window.calls - named)
