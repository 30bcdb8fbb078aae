"""What a shift watch looks at: how many calls of a period lie beyond a limit that was frozen with its baseline.

Counts add up over series, minutes and processes, and are exact where a quantile of a period is a guess: the limit is
the upper edge of a histogram's bucket, so a call is beyond it or is not. Scores are the variance-stabilised share
(Anscombe 1948), so that a quiet hour and a busy one can be ranked together.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..watches.config import WatchConfig
from ..watches.match import MatchConfig, matches
from ..watches.measures import Kind, Measure
from ..watches.sections import ShiftConfig
from ..windows.histogram import Histogram, merged
from ..windows.series import MINUTE_S
from ..windows.window import Window

WATERMARK_S = 120.0
"""How long after its end a period is judged: exporters send in batches. What comes later is not in it."""


@dataclass(frozen=True, slots=True)
class Tally:
    """The calls of one period: how many there are to judge, how many of them are hits, and the mean.

    A hit is a call beyond the limit, or of a share one that failed. ``mean`` is that of the measured values.
    """

    calls: int = 0
    hits: int = 0
    mean: float = 0.0

    @property
    def share(self) -> float:
        """The share of hits."""
        return self.hits / self.calls if self.calls else 0.0


@dataclass(frozen=True, slots=True)
class Counted:
    """The calls of one period before there is a limit: their distribution, and how many failed of how many.

    For a share those failed that it counts, of the calls that it is of: of checked ones for validator failures.
    """

    calls: int = 0
    failed: int = 0
    values: Histogram = field(default_factory=Histogram)

    def tally(self, measure: Measure, limit: float | None) -> Tally:
        """What ``measure`` makes of the period, with hits beyond ``limit``."""
        if measure.is_share:
            return Tally(self.calls, self.failed)
        hits = 0 if limit is None else self.values.above(limit)
        return Tally(self.values.n, hits, self.values.mean or 0.0)


def count(measure: Measure, match: MatchConfig, windows: Iterable[Window]) -> Counted:
    """The calls of ``windows`` that ``match`` looks at."""
    mine = [one for one in windows if matches(match, one.series)]
    if measure.counts is not None:
        counts = [measure.counts(one) for one in mine]
        return Counted(sum(calls for _, calls in counts), sum(hits for hits, _ in counts))
    values = merged(getattr(one, measure.histogram) for one in mine)
    return Counted(sum(one.calls for one in mine), sum(one.failed for one in mine), values)


def together(one: Counted, other: Counted) -> Counted:
    """The calls of both."""
    return Counted(one.calls + other.calls, one.failed + other.failed, merged((one.values, other.values)))


def score(measure: Measure, tally: Tally) -> float:
    """The number that ranks a period among others of its watch; a larger one is slower, dearer, or fails more."""
    if is_mean(measure):
        return tally.mean
    return math.asin(math.sqrt((tally.hits + 0.375) / (tally.calls + 0.75)))


def is_mean(measure: Measure) -> bool:
    """Whether the measure is a mean, which has no hits."""
    return measure.kind is Kind.MEAN


def limit_of(measure: Measure, train: Iterable[Counted]) -> float | None:
    """The frozen limit: the upper edge of the bucket that holds the quantile of all train calls.

    ``None`` where none is needed, and where there were no calls.
    """
    if measure.quantile is None:
        return None
    found = merged(one.values for one in train).quantile(measure.quantile)
    return None if found is None else found.high


def shift_of(watch: WatchConfig) -> ShiftConfig:
    """What the watch compares with. Raises ValueError for a watch with a threshold."""
    if watch.shift is None:
        raise ValueError(f"the watch {watch.name} has a threshold, and nothing to compare with")
    return watch.shift


def is_due(start_s: int, watch: WatchConfig, now_s: float) -> bool:
    """Whether the period that began at ``start_s`` is over, and late calls have had their time."""
    return start_s + shift_of(watch).every + WATERMARK_S <= now_s


def minutes_of(start_s: int, watch: WatchConfig) -> tuple[int, int]:
    """The first and the last minute of the period, by their starts in unix seconds."""
    return start_s, start_s + int(shift_of(watch).every) - MINUTE_S
