"""What a watch says of the traffic now."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from alerts.finding import Label

from . import confidence
from .calls import CostBasis
from .config import MatchConfig, Measure, Unit, WatchConfig, fits
from .histogram import Histogram, merged
from .series import MINUTE_S, Series, minute_of
from .windows import Window

NAMED_MAX = 10
"""How many kinds of failures a sentence names, the most frequent ones; there are fewer classes of errors than that."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a watch says now.

    ``value`` is that of the ``n`` calls that were seen. What the application does now is at least ``low`` and
    at most ``high``, each with the certainty of ``confidence``; ``high`` is ``None`` when the calls are too few to
    say. ``is_doubtful`` tells that it is steady only because ``value``, which is beyond the threshold, is not surely
    so.
    """

    label: Label
    value: float | None
    low: float | None
    high: float | None
    n: int
    reason: str
    is_doubtful: bool = False


@dataclass(frozen=True, slots=True)
class _Measured:
    value: float
    low: float
    high: float | None
    n: int
    remark: str = ""


def look_back(watch: WatchConfig, now: datetime) -> tuple[int, int]:
    """The first and the last minute that the watch looks at, by their starts in unix seconds.

    The look-back is rounded out to whole minutes and holds the minute that is still running: a breach is seen
    as soon as its calls are here.
    """
    at = now.timestamp()
    return minute_of(at - watch.over), minute_of(at)


def judge(watch: WatchConfig, windows: Iterable[Window], now: datetime) -> Judgement:
    """What ``watch`` says at ``now`` of ``windows``, which may hold more than it looks at.

    ``for:`` is not looked at here: it is about how long this answer stays the same.
    """
    first, last = look_back(watch, now)
    mine = [one for one in windows if first <= one.minute <= last and matches(watch.match, one.series)]
    measured = _measure(watch.measure, mine)
    needed, calls = calls_needed(watch), calls_of(watch.measure)
    span = f"the last {(last - first) // MINUTE_S + 1} minutes"
    if measured is None or measured.n < needed:
        n = measured.n if measured else 0
        return Judgement(
            Label.NO_DATA,
            None,
            None,
            None,
            n,
            f"{n} {calls} to judge in {span}, {needed} are needed{_why(watch)}{_unchecked(watch.measure, mine)}",
        )
    return _compare(watch, measured, span)


def calls_needed(watch: WatchConfig) -> int:
    """How many calls the watch needs before it says anything.

    At least so many that the quantile is not just the largest value: 20 for p95, 100 for p99.
    """
    quantile = watch.measure.quantile
    return (
        watch.min_calls if quantile is None else max(watch.min_calls, math.ceil(round(1 / (1 - quantile), 6)))
    )


def _why(watch: WatchConfig) -> str:
    is_more = calls_needed(watch) > watch.min_calls
    return f" for {watch.measure.value} (min_calls is {watch.min_calls})" if is_more else ""


def calls_of(measure: Measure) -> str:
    """What the calls are called that the measure is of."""
    return "checked calls" if measure is Measure.VALIDATOR_FAILURES else "calls"


def _unchecked(measure: Measure, windows: list[Window]) -> str:
    """Why there may be nothing to judge although there are calls."""
    calls = sum(window.calls for window in windows)
    if measure is not Measure.VALIDATOR_FAILURES or not calls or any(window.checked for window in windows):
        return ""
    return (
        f"; of {calls} calls none was checked: a validator must match them, and their spans carry the answers"
    )


def matches(match: MatchConfig, series: Series) -> bool:
    """Whether a watch with this ``match`` looks at calls of this series."""
    return (
        fits(match.service, series.service)
        and fits(match.environment, series.environment)
        and fits(match.version, series.version)
        and fits(match.operation, series.operation)
        and fits(match.provider, series.provider)
        and (fits(match.model, series.request_model) or fits(match.model, series.response_model))
    )


def show(value: float, unit: Unit) -> str:
    """The value as a person would write it: ``8.12 s``, ``2.3 %``, ``$0.0204``."""
    if unit is Unit.SHARE:
        return f"{value * 100:.3g} %"
    return f"${value:.3g}" if unit is Unit.DOLLARS else f"{value:.3g} s"


def _compare(watch: WatchConfig, measured: _Measured, span: str) -> Judgement:
    """Breached is what is so beyond doubt: a quantile of a few calls jumps about, and people sleep."""
    unit, low, high = watch.measure.unit, measured.low, measured.high
    if watch.above is not None:
        threshold, relation = watch.above, "above"
        seems, is_sure = measured.value > threshold, low > threshold
        bound = f" (at least {show(low, unit)})"
    else:
        threshold, relation = watch.below or 0.0, "below"
        seems, is_sure = measured.value < threshold, high is not None and high < threshold
        bound = " (too few to say how much at most)" if high is None else f" (at most {show(high, unit)})"
    certainty = "" if is_sure else "not surely " if seems else "not "
    reason = (
        f"{watch.measure.value} is {show(measured.value, unit)}{bound if seems else ''} over {measured.n} "
        f"{calls_of(watch.measure)} of {span}, {certainty}{relation} {show(threshold, unit)}{measured.remark}"
    )
    label = Label.BREACHED if is_sure else Label.STEADY
    return Judgement(label, measured.value, low, high, measured.n, reason, seems and not is_sure)


def _measure(measure: Measure, windows: list[Window]) -> _Measured | None:
    if measure is Measure.ERROR_SHARE:
        return _error_share(windows)
    if measure is Measure.VALIDATOR_FAILURES:
        return _validator_failures(windows)
    remark = _costs_remark(windows) if measure.unit is Unit.DOLLARS else ""
    histogram = merged(histogram_of(measure, window) for window in windows)
    if measure.quantile is None:
        return _mean(histogram, remark)
    return _quantile(histogram, measure.quantile, remark)


def _quantile(histogram: Histogram, q: float, remark: str) -> _Measured | None:
    found = histogram.quantile(q)
    if found is None:
        return None
    lowest, highest = confidence.lower_rank(found.n, q), confidence.upper_rank(found.n, q)
    # The outer edges of the buckets: what a bucket hides makes nothing surer.
    low = histogram.at_rank(lowest).low if lowest else 0.0
    high = None if highest is None else histogram.at_rank(highest).high
    return _Measured(found.value, low, high, found.n, remark)


def _mean(histogram: Histogram, remark: str) -> _Measured | None:
    spread = histogram.spread
    if spread is None:
        return None
    margin = confidence.Z * spread.deviation / math.sqrt(spread.n)
    return _Measured(spread.mean, max(0.0, spread.mean - margin), spread.mean + margin, spread.n, remark)


def histogram_of(measure: Measure, window: Window) -> Histogram:
    """The distribution that the measure is of; that of a share there is none, and latency is given."""
    if measure.unit is Unit.DOLLARS:
        return window.cost_usd
    return window.ttft_s if measure.startswith("ttft") else window.latency_s


def _error_share(windows: list[Window]) -> _Measured | None:
    calls = sum(window.calls for window in windows)
    if not calls:
        return None
    return _share(
        sum(window.failed for window in windows), calls, _by_name(window.errors for window in windows)
    )


def _validator_failures(windows: list[Window]) -> _Measured | None:
    checked = sum(window.checked for window in windows)
    if not checked:
        return None
    return _share(
        sum(window.unsound for window in windows),
        checked,
        _by_name(window.failed_checks for window in windows),
    )


def _share(hits: int, calls: int, remark: str) -> _Measured:
    low, high = confidence.share_bounds(hits, calls)
    return _Measured(hits / calls, low, high, calls, remark)


def _by_name(counts: Iterable[Mapping[str, int]]) -> str:
    """What was counted under which name, the most frequent first and a few of them: ``(3 format, 1 language)``."""
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    by_count = sorted(total.items(), key=lambda item: (-item[1], item[0]))
    named = [f"{count} {name}" for name, count in by_count[:NAMED_MAX]]
    if len(by_count) > NAMED_MAX:
        named.append(f"{sum(count for _, count in by_count[NAMED_MAX:])} of others")
    return f" ({', '.join(named)})" if named else ""


def _costs_remark(windows: list[Window]) -> str:
    """How far the costs can be trusted, where not all of them are known for sure."""
    ambiguous = sum(window.cost_bases.get(CostBasis.AMBIGUOUS, 0) for window in windows)
    unpriced = sum(window.unpriced for window in windows)
    remarks = (
        f"; of {ambiguous} calls the cost is ambiguous" if ambiguous else "",
        f"; {unpriced} more calls have no known price" if unpriced else "",
    )
    return "".join(remarks)
