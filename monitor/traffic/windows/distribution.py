"""How values are distributed, to be looked at: the buckets of histograms as arrays, a twentieth of their memory."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .histogram import SMALLEST, ZERO_BUCKET, Quantile, bucket_below, buckets_of, quantile_in

Counts = npt.NDArray[np.signedinteger[npt.NBitBase]]


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """How many of ``n`` values are ``zeros``, and how many lie in each bucket from ``first`` on."""

    n: int
    zeros: int
    first: int
    counts: Counts

    def quantile(self, q: float) -> Quantile | None:
        """The smallest value that a share ``q`` of the values does not exceed; ``None`` without values."""
        if self.n == 0:
            return None
        rank = max(1, math.ceil(q * self.n))
        if rank > self.n:
            raise ValueError(f"{q} is no share of the values")
        if rank <= self.zeros:
            return quantile_in(ZERO_BUCKET, self.n)
        reached = self.zeros + np.cumsum(self.counts, dtype=np.int64) >= rank
        return quantile_in(self.first + int(reached.argmax()), self.n)

    def above(self, edge: float) -> int:
        """How many values lie in buckets above ``edge``; with the upper edge of a bucket, exactly those above it."""
        if edge <= SMALLEST:
            return self.n - self.zeros
        beyond = max(0, bucket_below(edge) + 1 - self.first)
        return int(self.counts[beyond:].sum())


def distribution(zeros: int, first: int, counts: npt.NDArray[np.int64]) -> Distribution:
    """The distribution with these counts in the buckets from ``first`` on, kept as small as it can be."""
    filled = np.flatnonzero(counts)
    if not len(filled):
        return Distribution(zeros, zeros, 0, _NO_COUNTS)
    kept = counts[filled[0] : filled[-1] + 1]
    # Signed, as what was taken back can be counted in another window than the call itself.
    smallest = np.min_scalar_type(-int(np.abs(kept).max()) - 1)
    return Distribution(zeros + int(kept.sum()), zeros, first + int(filled[0]), kept.astype(smallest))


_NO_COUNTS: Counts = np.zeros(0, np.int8)

EMPTY = Distribution(0, 0, 0, _NO_COUNTS)
"""Of no values."""


def distribution_of(values: npt.NDArray[np.float64]) -> Distribution:
    """How these values, of zero and more, are distributed."""
    buckets = buckets_of(values)
    above = buckets[buckets != ZERO_BUCKET]
    if not len(above):
        return distribution(len(values), 0, np.zeros(0, np.int64))
    lowest = int(above.min())
    return distribution(len(values) - len(above), lowest, np.bincount(above - lowest))


class Row:
    """Distributions side by side: the same questions as to one, answered for each of them at once."""

    __slots__ = ("_beyond", "_first", "_zeros", "n")

    def __init__(self, parts: Sequence[Distribution]) -> None:
        """Of these, in their order."""
        self.n = np.array([one.n for one in parts], dtype=np.int64)
        """How many values each has."""
        self._zeros = np.array([one.zeros for one in parts], dtype=np.int64)
        filled = [one for one in parts if len(one.counts)]
        self._first = min((one.first for one in filled), default=0)
        end = max((one.first + len(one.counts) for one in filled), default=0)
        # One more than there are buckets: beyond the last there is nothing.
        self._beyond = np.zeros((len(parts), end - self._first + 1), np.int64)
        for row, one in zip(self._beyond, parts, strict=True):
            if len(one.counts):
                row[one.first - self._first : one.first - self._first + len(one.counts)] = one.counts
        self._beyond = self._beyond[:, ::-1].cumsum(axis=1)[:, ::-1]

    def above(self, edge: float) -> npt.NDArray[np.int64]:
        """How many values of each lie in buckets above ``edge``."""
        if edge <= SMALLEST:
            return self.n - self._zeros
        beyond = bucket_below(edge) + 1 - self._first
        return self._beyond[:, min(max(0, beyond), self._beyond.shape[1] - 1)]

    @property
    def together(self) -> Distribution:
        """All of their values."""
        total = self._beyond.sum(axis=0)
        return distribution(int(self._zeros.sum()), self._first, total[:-1] - total[1:])


def together(parts: Iterable[Distribution]) -> Distribution:
    """How all the values of the parts are distributed."""
    return Row(list(parts)).together
