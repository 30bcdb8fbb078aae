"""Intervals of one target's figures, and tests of the difference between two.

Intervals of quantiles are order statistics, whose ranks the binomial distribution gives, whatever the times are
distributed like (H. A. David and H. N. Nagaraja, Order Statistics, section 7.1). Those of shares are Wilson's, and of
the difference of two shares Newcombe's (1998), which puts two intervals together. Tests permute which target an answer
came from, within each prompt: exact where the targets are alike. The interval of a ratio holds all factors that the
test does not reject.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
"""Of each interval, by itself."""

PERMUTATIONS = 1_999
"""With the one that is observed 2,000: the smallest p-value is 1 in 2,000, which many rows leave enough of."""

INTERVAL_PERMUTATIONS = 499
HALVINGS = 9
"""How finely the ends of a ratio's interval are searched for: to a five-hundredth of the factors tried."""

FACTOR_MAX = 1_000.0
"""Larger ratios are not told apart."""

CELLS_MAX = 30_000_000
"""How many permuted values are held in memory: of very many requests fewer permutations are drawn."""

PERMUTATIONS_MIN = 399
"""But not fewer than these."""

ROUNDING = 1e-9

Floats = NDArray[np.float64]
Statistic = Callable[[Sequence[Floats]], Floats]
"""One figure of each row of values, which come as a table for each prompt."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its interval; without ends where too few values were measured to say."""

    value: float
    low: float | None = None
    high: float | None = None


def quantile_rank(n: int, q: float) -> int:
    """Which of ``n`` values in order, from 1, is the quantile."""
    return max(1, math.ceil(q * n - ROUNDING))


def quantile_of(values: Sequence[float], q: float) -> Interval:
    """The quantile ``q`` of at least one value, as one of the values, with two others as its ends."""
    ordered = sorted(values)
    low, high = quantile_ranks(len(ordered), q)
    return Interval(
        ordered[quantile_rank(len(ordered), q) - 1],
        ordered[low - 1] if low else None,
        ordered[high - 1] if high else None,
    )


def quantile_ranks(n: int, q: float) -> tuple[int | None, int | None]:
    """The ranks of the values, from 1, between which the quantile lies; ``None`` where there is no such value."""
    at_most = np.cumsum(_binomial(n, q))
    outside = (1 - CONFIDENCE) / 2
    # The value of rank r is above the quantile when fewer than r values are below it.
    low = int(np.searchsorted(at_most, outside, side="right"))
    high = int(np.searchsorted(at_most, 1 - outside, side="left")) + 1
    return (low or None), (high if high <= n else None)


def quantile_n_min(q: float) -> int:
    """How many values a quantile needs for an interval with two ends."""
    outside = (1 - CONFIDENCE) / 2
    return math.ceil(math.log(outside) / math.log(max(q, 1 - q)))


def share_of(hits: int, n: int) -> Interval:
    """The share of ``hits`` among ``n``, at least one (Wilson's score interval)."""
    z = 1.959964
    centre, spread = (hits + z * z / 2) / (n + z * z), z / (n + z * z)
    half = spread * math.sqrt(hits * (n - hits) / n + z * z / 4)
    return Interval(hits / n, max(0.0, min(centre - half, hits / n)), min(1.0, max(centre + half, hits / n)))


def mean_of(values: Sequence[float], rng: np.random.Generator, resamples: int = 1_000) -> Interval:
    """The mean of at least one value, with the ends that drawing the values again gives (percentile bootstrap)."""
    array = np.asarray(values, dtype=np.float64)
    if len(array) < 2:
        return Interval(float(array.mean()))
    means = [array[rng.integers(0, len(array), len(array))].mean() for _ in range(resamples)]
    outside = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(means, [outside, 100 - outside])
    return Interval(float(array.mean()), float(low), float(high))


def quantile_statistic(q: float) -> Statistic:
    """The quantile of each row."""

    def statistic(tables: Sequence[Floats]) -> Floats:
        rows = np.concatenate(tables, axis=1)
        place = quantile_rank(rows.shape[1], q) - 1
        return np.asarray(np.partition(rows, place, axis=1)[:, place])

    return statistic


def mean_statistic(tables: Sequence[Floats]) -> Floats:
    """The mean of each row."""
    return np.asarray(np.concatenate(tables, axis=1).mean(axis=1))


def agreement_statistic(tables: Sequence[Floats]) -> Floats:
    """How often two answers to the same prompt agree, where each value is the number of an answer's text.

    The mean over the prompts that have two answers. Unlike a count of different texts it does not depend on how many
    answers there are.
    """
    found = []
    for table in tables:
        n = table.shape[1]
        if n < 2:
            continue
        pairs = np.zeros(len(table))
        for text in np.unique(table):
            times = (table == text).sum(axis=1)
            pairs += times * (times - 1)
        found.append(pairs / (n * (n - 1)))
    return np.mean(found, axis=0) if found else np.zeros(len(tables[0]))


@dataclass(frozen=True, slots=True)
class Groups:
    """The values of two sides, prompt by prompt."""

    first: tuple[Floats, ...]
    second: tuple[Floats, ...]

    @classmethod
    def of(cls, first: Sequence[tuple[str, float]], second: Sequence[tuple[str, float]]) -> "Groups":
        """The values by prompt. A prompt that only one side answered stays, and is never exchanged."""
        prompts = dict.fromkeys(prompt for side in (first, second) for prompt, _ in side)
        sides = [
            tuple(np.array([v for name, v in side if name == prompt], dtype=np.float64) for prompt in prompts)
            for side in (first, second)
        ]
        return cls(*sides)

    def scaled(self, factor: float) -> "Groups":
        """The same, with the first side's values divided by the factor."""
        return Groups(tuple(values / factor for values in self.first), self.second)

    @property
    def size(self) -> int:
        """How many values both sides have."""
        return sum(len(values) for values in (*self.first, *self.second))

    def observed(self) -> tuple[list[Floats], list[Floats]]:
        """The values of each side, as tables of one row."""
        return [values[None] for values in self.first], [values[None] for values in self.second]


class Permutations:
    """Random ways to deal the values of two sides out to them again, prompt by prompt."""

    def __init__(self, groups: Groups, count: int, rng: np.random.Generator) -> None:
        count = min(count, max(PERMUTATIONS_MIN, CELLS_MAX // max(1, groups.size)))
        self._orders = [
            np.argsort(rng.random((count, len(a) + len(b)), dtype=np.float32), axis=1).astype(np.int32)
            for a, b in zip(groups.first, groups.second, strict=True)
        ]

    def p_value(self, groups: Groups, apart: "Apart") -> float:
        """How often values dealt at random are at least as far apart as these, which count as one of the deals."""
        observed = float(apart(*groups.observed())[0])
        first, second = [], []
        for a, b, orders in zip(groups.first, groups.second, self._orders, strict=True):
            dealt = np.concatenate([a, b])[orders]
            first.append(dealt[:, : len(a)])
            second.append(dealt[:, len(a) :])
        found = apart(first, second)
        return float((1 + (found >= observed - ROUNDING).sum()) / (1 + len(found)))


Apart = Callable[[Sequence[Floats], Sequence[Floats]], Floats]
"""How far apart the figures of two sides are, for each row."""


def by_ratio(statistic: Statistic) -> Apart:
    """Apart as a factor."""

    def distance(first: Sequence[Floats], second: Sequence[Floats]) -> Floats:
        a, b = statistic(first), statistic(second)
        with np.errstate(divide="ignore", invalid="ignore"):
            # What timed out on both sides is not farther from each other than anything else.
            return np.asarray(np.nan_to_num(np.abs(np.log(a) - np.log(b)), nan=0.0, posinf=math.inf))

    return distance


def by_difference(statistic: Statistic) -> Apart:
    """Apart as a difference."""

    def distance(first: Sequence[Floats], second: Sequence[Floats]) -> Floats:
        return np.asarray(np.abs(statistic(first) - statistic(second)))

    return distance


def ratio_of(groups: Groups, statistic: Statistic, rng: np.random.Generator) -> Interval:
    """The first side's figure divided by the second's, with all factors that the permutation test does not reject.

    Where a factor is what separates both sides, that is exact.
    """
    first, second = (float(statistic(side)[0]) for side in groups.observed())
    ratio = first / second if second else math.nan
    if not (math.isfinite(ratio) and ratio > 0):
        return Interval(ratio)
    permutations = Permutations(groups, INTERVAL_PERMUTATIONS, rng)

    def is_rejected(factor: float) -> bool:
        return permutations.p_value(groups.scaled(factor), by_ratio(statistic)) <= 1 - CONFIDENCE

    return Interval(ratio, _end(ratio, 1 / FACTOR_MAX, is_rejected), _end(ratio, FACTOR_MAX, is_rejected))


def _end(ratio: float, way: float, is_rejected: Callable[[float], bool]) -> float | None:
    """The last factor on the way that is not rejected; ``None`` where none is found that is."""
    step = math.log(way) / abs(math.log(way)) * 0.1
    inside, outside = 0.0, step
    while not is_rejected(ratio * math.exp(outside)):
        inside, outside = outside, outside * 2
        if abs(outside) > math.log(FACTOR_MAX):
            return None
    for _ in range(HALVINGS):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if is_rejected(ratio * math.exp(middle)) else (middle, outside)
    return ratio * math.exp(inside)


def difference_of(first: Interval, second: Interval) -> Interval:
    """The difference of two figures, by putting their intervals together (Newcombe's method 10)."""
    value = first.value - second.value
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return Interval(value)
    below = math.hypot(first.value - first.low, second.high - second.value)
    above = math.hypot(first.high - first.value, second.value - second.low)
    return Interval(value, value - below, value + above)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values, adjusted for there being several of them (Holm's step-down method)."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    found, largest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        found[index] = largest
    return found


def _binomial(n: int, p: float) -> Floats:
    """The chance of each number of hits from 0 to ``n``."""
    hits = np.arange(n + 1)
    logs = np.array([math.lgamma(k + 1) for k in range(n + 1)])
    chances = logs[n] - logs - logs[::-1] + hits * math.log(p) + (n - hits) * math.log1p(-p)
    return np.asarray(np.exp(chances))
