"""Distributions that can be added up: counts in buckets of equal relative width."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

GAMMA = 1.02
"""Ratio of a bucket's upper to its lower edge: a quantile is off by at most 1 % (``RELATIVE_ERROR``)."""

RELATIVE_ERROR = (GAMMA - 1) / (GAMMA + 1)
"""How far the middle of a bucket can lie from a value in it, relative to that value."""

SMALLEST = 1e-9
"""What is not above this is counted as zero: a nanosecond, a billionth of a dollar."""

LARGEST = 1e12
"""What is above this is counted as this."""

_NANO = 1_000_000_000
_LOG_GAMMA = math.log(GAMMA)
_FIRST = math.floor(math.log(SMALLEST) / _LOG_GAMMA)
_EDGES = [GAMMA**index for index in range(_FIRST, math.ceil(math.log(LARGEST) / _LOG_GAMMA) + 2)]
"""The upper edges of the buckets from ``_FIRST`` on."""

ZERO_BUCKET = _FIRST - 1
"""Stands for the bucket of what is counted as zero, among the numbers of buckets."""

_EDGE_ARRAY = np.array(_EDGES)

BUCKETS = (_EDGE_ARRAY, SMALLEST, LARGEST, _LOG_GAMMA, _FIRST)
"""All that buckets are found by: their upper edges, between what they lie, and the number of the first."""


def buckets_of(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The numbers of the buckets in which values of zero and more are counted."""
    values = np.clip(values, SMALLEST, LARGEST)
    # The logarithm is off by less than a bucket; to look for each value among the edges takes three times as long.
    near = np.ceil(np.log(values) / _LOG_GAMMA).astype(np.int64) - _FIRST
    near = np.clip(near, 1, len(_EDGES) - 1)
    near += _EDGE_ARRAY[near] < values
    near -= _EDGE_ARRAY[near - 1] >= values
    return np.where(values <= SMALLEST, ZERO_BUCKET, near + _FIRST)


def nano(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """What the values add to a total, in billionths; those that are counted as zero add nothing."""
    return np.where(values <= SMALLEST, 0, np.rint(values * _NANO)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Spread:
    """The mean of ``n`` values, and their standard deviation to one percent."""

    mean: float
    deviation: float
    n: int


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of ``n`` values: the true one lies from ``low`` to ``high``, and ``value`` in the middle."""

    value: float
    low: float
    high: float
    n: int


def quantile_in(bucket: int, n: int) -> Quantile:
    """The quantile of ``n`` values that lies in this bucket."""
    if bucket == ZERO_BUCKET:
        return Quantile(0.0, 0.0, SMALLEST, n)
    return Quantile(_middle(bucket), GAMMA ** (bucket - 1), GAMMA**bucket, n)


def bucket_below(edge: float) -> int:
    """The last bucket whose values are not above ``edge``, which is above ``SMALLEST``."""
    return round(math.log(edge) / _LOG_GAMMA)


class Histogram:
    """How values of zero and more are distributed, for any number of values in bounded space.

    Bucket ``i`` counts the values in ``(GAMMA**(i-1), GAMMA**i]``. Everything inside is a whole number, so
    that adding histograms up gives the same in whatever order it is done. There are at most 2 500 buckets.
    """

    __slots__ = ("_counts", "_total_nano", "_zeros")

    def __init__(self) -> None:
        """Start with no values."""
        self._counts: dict[int, int] = {}
        self._zeros = 0
        self._total_nano = 0

    def add(self, value: float, times: int = 1) -> None:
        """Count one value so many times; -1 takes it back. Raises ValueError when it is negative or not a number."""
        if not value >= 0:
            raise ValueError(f"a histogram holds values of 0 and more, not {value}")
        value = min(value, LARGEST)
        if value <= SMALLEST:
            self._zeros += times
            return
        self._count(_bucket(value), times)
        self._total_nano += times * round(value * _NANO)

    def add_counts(self, buckets: Mapping[int, int], total_nano: int) -> None:
        """Count values of which it is known how many lie in which buckets, and what they add up to in billionths."""
        mine = self._counts
        if mine:
            for index, times in buckets.items():
                if now := mine.get(index, 0) + times:
                    mine[index] = now
                else:
                    mine.pop(index, None)
        else:
            mine.update(buckets)  # in a third of the time
        self._zeros += mine.pop(ZERO_BUCKET, 0)
        self._total_nano += total_nano

    def merge(self, other: "Histogram") -> None:
        """Count everything that ``other`` counted."""
        mine = self._counts
        # Hours are added up of a million buckets: a call for each of them would take twice as long.
        for index, count in other._counts.items():
            now = mine.get(index, 0) + count
            if now:
                mine[index] = now
            else:
                del mine[index]
        self._zeros += other._zeros
        self._total_nano += other._total_nano

    def _count(self, index: int, times: int) -> None:
        now = self._counts.get(index, 0) + times
        if now:
            self._counts[index] = now
        else:
            del self._counts[index]  # taken back, or never more than nothing

    @property
    def n(self) -> int:
        """How many values were counted."""
        return self._zeros + sum(self._counts.values())

    @property
    def total(self) -> float:
        """The sum of all values, each to a billionth."""
        return self._total_nano / _NANO

    @property
    def total_nano(self) -> int:
        """The same in billionths."""
        return self._total_nano

    @property
    def mean(self) -> float | None:
        """The mean of all values; ``None`` when there are none."""
        n = self.n
        return self.total / n if n else None

    def quantile(self, q: float) -> Quantile | None:
        """The smallest value that a share ``q`` of the values does not exceed; ``None`` without values."""
        n = self.n
        if n == 0:
            return None
        return self.at_rank(max(1, math.ceil(q * n)))

    def at_rank(self, rank: int) -> Quantile:
        """The value that is ``rank``-th from below; 1 is the smallest. ``rank`` must not be above ``n``."""
        n, below, index = self.n, self._zeros, 0
        if not 1 <= rank <= n:
            raise ValueError(f"{n} values have no rank {rank}")
        if rank <= self._zeros:
            return quantile_in(ZERO_BUCKET, n)
        for index in sorted(self._counts):
            below += self._counts[index]
            if below >= rank:
                break
        return quantile_in(index, n)

    def above(self, edge: float) -> int:
        """How many values lie in buckets above ``edge``; with the upper edge of a bucket, exactly those above it."""
        if edge <= SMALLEST:
            return self.n - self._zeros
        last = bucket_below(edge)
        return sum(count for index, count in self._counts.items() if index > last)

    def with_largest_as_zero(self, count: int) -> "Histogram":
        """The same with the ``count`` largest values as zeros; to one percent of what these were."""
        result = merged((self,))
        for index in sorted(self._counts, reverse=True):
            times = min(count, self._counts[index])
            if times <= 0:
                break
            result._count(index, -times)
            result._zeros += times
            result._total_nano -= round(times * _middle(index) * _NANO)
            count -= times
        result._total_nano = max(0, result._total_nano)
        return result

    @property
    def spread(self) -> Spread | None:
        """The mean and how far values lie from it; ``None`` when there are none."""
        mean, n = self.mean, self.n
        if mean is None:
            return None
        squares = self._zeros * mean**2
        squares += sum(count * (_middle(index) - mean) ** 2 for index, count in self._counts.items())
        return Spread(mean, math.sqrt(squares / max(1, n - 1)), n)

    def to_json(self) -> list[Any]:
        """The histogram as plain data: zeros, total, and of the buckets the first, the steps between, the counts."""
        indexes = sorted(self._counts)
        first = indexes[0] if indexes else 0
        steps = [later - earlier for earlier, later in pairwise(indexes)]
        # As text: the sum of many large values does not fit in the 64 bits that JSON readers give a number.
        return [self._zeros, str(self._total_nano), first, steps, [self._counts[index] for index in indexes]]

    @classmethod
    def from_json(cls, data: Sequence[Any] | Mapping[str, Any]) -> "Histogram":
        """The histogram that ``to_json`` gave, also in an earlier version: by names, with each bucket's own index."""
        histogram = cls()
        if isinstance(data, Mapping):
            histogram._zeros, histogram._total_nano = data["zeros"], int(data["total_nano"])
            histogram._counts = dict(data["buckets"])
            return histogram
        histogram._zeros, total_nano, first, steps, counts = data
        histogram._total_nano = int(total_nano)
        indexes = accumulate(steps, initial=first)
        histogram._counts = dict(zip(indexes, counts, strict=False))  # without values there is no first
        return histogram

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it, neither counted nor taken back."""
        return not (self._counts or self._zeros or self._total_nano)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return (self._zeros, self._total_nano, self._counts) == (
            other._zeros,
            other._total_nano,
            other._counts,
        )

    __hash__ = None  # type: ignore[assignment]  # it changes; the assignment is how Python says "not hashable"

    def __repr__(self) -> str:
        return f"Histogram(n={self.n}, total={self.total:g})"


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """A new histogram of everything that ``histograms`` counted."""
    result = Histogram()
    for histogram in histograms:
        result.merge(histogram)
    return result


def _middle(index: int) -> float:
    return float(2 * GAMMA**index / (GAMMA + 1))


def _bucket(value: float) -> int:
    return bisect_left(_EDGES, value) + _FIRST
