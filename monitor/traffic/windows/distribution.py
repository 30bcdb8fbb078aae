"""How values are distributed, to be looked at: the buckets of histograms as arrays, a twentieth of their memory."""

import math
from collections.abc import Iterable
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


def together(parts: Iterable[Distribution]) -> Distribution:
    """How all the values of the parts are distributed."""
    parts = [one for one in parts if one.n or len(one.counts)]
    if len(parts) <= 1:
        return parts[0] if parts else EMPTY
    lowest = min((one.first for one in parts if len(one.counts)), default=0)
    highest = max((one.first + len(one.counts) for one in parts if len(one.counts)), default=0)
    counts = np.zeros(highest - lowest, np.int64)
    for one in parts:
        if len(one.counts):
            counts[one.first - lowest : one.first - lowest + len(one.counts)] += one.counts
    return distribution(sum(one.zeros for one in parts), lowest, counts)
