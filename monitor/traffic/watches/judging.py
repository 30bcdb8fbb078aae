"""What a watch with a threshold says of the traffic now."""

import math
from collections.abc import Iterable, Sequence
from datetime import datetime

from alerts.finding import Label

from ..tails.counting import WATERMARK_S
from ..windows.series import MINUTE_S, minute_of
from ..windows.window import Window
from .config import Looks, WatchConfig
from .judgement import Judgement, after_incident, nothing_to_judge
from .match import matching
from .measures import Kind, Measure, Unit, show
from .measuring import Measured, costs_remark, examples, measured, rate
from .served_models import judge_served_models
from .values import judge_values


def look_back(watch: WatchConfig, now: datetime) -> tuple[int, int]:
    """The first and the last minute that the watch looks at, by their starts in unix seconds.

    The look-back is rounded out to whole minutes and holds the minute that is still running: a breach is seen
    as soon as its calls are here. A rate that may be too low needs whole minutes, and time for late calls.
    """
    at = now.timestamp()
    if _is_low_rate(watch):
        last = minute_of(at - WATERMARK_S) - MINUTE_S
        return last + MINUTE_S - _whole_minutes(watch.over), last
    return minute_of(at - watch.over), minute_of(at)


def needs(watch: WatchConfig, now: datetime) -> tuple[int, int]:
    """The first and the last minute that judging the watch takes: more than it looks at where it must know what was."""
    first, last = look_back(watch, now)
    if _is_low_rate(watch):
        return first - _whole_minutes(watch.over), last
    if watch.values is not None and watch.values.tell:
        return minute_of(first - watch.values.before), last
    return first, last


def judge(
    watch: WatchConfig, windows: Iterable[Window], now: datetime, ended_at: datetime | None = None
) -> Judgement:
    """What ``watch`` says at ``now`` of ``windows``, which may hold more than it looks at.

    ``ended_at`` is when its last incident ended; while it has an open one, windows are looked at from the end of the
    one before. ``for:`` is not looked at here: it is about how long this answer stays the same.
    """
    first, last = look_back(watch, now)
    first = min(after_incident(first, ended_at), last)
    earliest, _ = needs(watch, now)
    until = matching(watch.match, (one for one in windows if earliest <= one.minute <= last))
    mine = [one for one in until if one.minute >= first]
    span = f"the last {(last - first) // MINUTE_S + 1} minutes"
    before = [one for one in until if one.minute < first]
    if watch.looks is Looks.VALUES:
        return judge_values(watch, mine, before, span)
    if watch.looks is Looks.SERVED_MODEL:
        return judge_served_models(watch, mine, span)
    if watch.measure.kind is Kind.RATE:
        # A look-back that is still running is as long as it has run so far.
        minutes = (min(now.timestamp(), last + MINUTE_S) - first) / MINUTE_S
        return _judge_rate(watch, mine, before, minutes, span)
    found = measured(watch.measure, mine)
    needed = calls_needed(watch)
    if found is None or found.n < needed:
        n = found.n if found else 0
        reason = f"{n} {watch.measure.calls} to judge in {span}, {needed} are needed"
        return _unknown(watch, n, f"{reason}{_why(watch)}{_uncounted(watch.measure, mine)}")
    return _compare(watch, found, span, mine)


def calls_needed(watch: WatchConfig) -> int:
    """How many calls the watch needs before it says anything.

    At least so many that the quantile is not just the largest value: 20 for p95, 100 for p99.
    """
    quantile = watch.measure.quantile
    return (
        watch.min_calls if quantile is None else max(watch.min_calls, math.ceil(round(1 / (1 - quantile), 6)))
    )


def _is_low_rate(watch: WatchConfig) -> bool:
    return watch.looks is Looks.MEASURE and watch.measure.kind is Kind.RATE and watch.below is not None


def _whole_minutes(length_s: float) -> int:
    return math.ceil(length_s / MINUTE_S) * MINUTE_S


def _judge_rate(
    watch: WatchConfig, mine: Sequence[Window], before: Sequence[Window], minutes: float, span: str
) -> Judgement:
    """Of how many calls there are in a time, the time has to be known: when it is not, it says nothing."""
    calls = sum(one.calls for one in mine)
    if watch.below is not None:
        # Calls from before say that somebody listened all the time; without any, that is silence and not a low rate.
        if not calls or not before:
            earlier = sum(one.calls for one in before)
            return _unknown(watch, calls, f"{calls} calls in {span}, and {earlier} in as long before")
    elif calls < watch.min_calls:
        return _unknown(watch, calls, f"{calls} calls to judge in {span}, {watch.min_calls} are needed")
    return _compare(watch, rate(watch.measure, mine, minutes), span, mine)


def _unknown(watch: WatchConfig, n: int, reason: str) -> Judgement:
    return nothing_to_judge(
        n, reason, watch.measure.unit, watch.above if watch.above is not None else watch.below
    )


def _why(watch: WatchConfig) -> str:
    is_more = calls_needed(watch) > watch.min_calls
    return f" for {watch.measure.value} (min_calls is {watch.min_calls})" if is_more else ""


def _uncounted(measure: Measure, windows: list[Window]) -> str:
    """Why there may be nothing to judge although there are calls."""
    if measure.unit is Unit.DOLLARS:
        return costs_remark(windows)
    calls = sum(window.calls for window in windows)
    if measure is not Measure.VALIDATOR_FAILURES or not calls or any(window.checked for window in windows):
        return ""
    return (
        f"; of {calls} calls none was checked: a validator must match them and their spans carry the answers, "
        "or an evaluation that says passed or failed"
    )


def _compare(watch: WatchConfig, found: Measured, span: str, windows: Sequence[Window]) -> Judgement:
    """Breached is what is so beyond doubt: a quantile of a few calls jumps about, and people sleep."""
    unit, low, high = watch.measure.unit, found.low, found.high
    if watch.above is not None:
        threshold, relation = watch.above, "above"
        seems, is_sure = found.value > threshold, low > threshold
        bound = f" (at least {show(low, unit)})"
    else:
        threshold, relation = watch.below or 0.0, "below"
        seems, is_sure = found.value < threshold, high is not None and high < threshold
        bound = " (too few to say how much at most)" if high is None else f" (at most {show(high, unit)})"
    certainty = "" if is_sure else "not surely " if seems else "not "
    reason = (
        f"{watch.measure.value} is {show(found.value, unit)}{bound if seems else ''} over {found.n} "
        f"{watch.measure.calls} of {span}, {certainty}{relation} {show(threshold, unit)}{found.remark}"
    )
    return Judgement(
        Label.BREACHED if is_sure else Label.STEADY,
        found.value,
        low,
        high,
        found.n,
        reason,
        seems and not is_sure,
        threshold,
        unit,
        evidence=examples(watch.measure, windows) if is_sure else (),
    )
