"""How alike runs near one another are in a score."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .bets import Floats

LAG1_MAX = 0.1
"""Correlation of neighbouring runs above which the promise is in doubt."""

INFLATION_MAX = 2.0
"""The same for how much more the mean of a day of runs varies than that of independent runs: slow wandering shows here
before it shows in neighbours."""

WINDOW = 24
"""Runs of which the means are looked at for slow wandering; a quarter of the runs where they are few."""

LAGS = 24
"""Lags whose correlation is told."""

PERMUTATIONS, PERMUTATIONS_FIRST = 3_999, 399
"""How many there are at most, and how many are enough where they show no sign of anything. With twenty scores each test
may still be significant."""

CLEARLY_NOTHING = 0.1
"""A p-value above which the first permutations are enough."""

BLOCKS = (2, 3, 4, 6, 8, 12, 16, 24, 48)
"""Lengths of blocks, in runs, to choose from."""

MEANS_MIN = 4
"""Block means below which nothing can be said of neighbouring ones."""


@dataclass(frozen=True, slots=True)
class Autocorrelation:
    """How alike runs near one another are in one score.

    ``lag1`` is the correlation of neighbours and ``p_value`` its permutation p-value (one-sided); ``lags`` are the
    correlations at lag 1, 2, ... ``inflation`` is how much more the mean of a ``WINDOW`` of runs varies than if the
    runs came in any order.
    """

    lag1: float
    p_value: float
    lags: tuple[float, ...] = ()
    inflation: float = 1.0
    inflation_p: float = 1.0

    def is_sticky(self, level: float) -> bool:
        """Whether neighbours are alike, more than can be chance and enough to matter."""
        return self.lag1 > LAG1_MAX and self.p_value <= level

    def is_alike(self, level: float) -> bool:
        """The same, or that runs within a day of each other are."""
        return self.is_sticky(level) or (self.inflation > INFLATION_MAX and self.inflation_p <= level)


def autocorrelation(values: Sequence[float] | Floats, seed: int = 0) -> Autocorrelation:
    """The correlations of ``values``, with the share of their orderings that have as large ones.

    Columns, where there are several, are looked at together: each counts by its variance.
    """
    x = np.asarray(values, dtype=np.float64)
    if len(x) < 3:
        return Autocorrelation(0.0, 1.0)
    x = x.reshape(len(x), -1)
    x = x - x.mean(axis=0)
    power = float((x * x).sum())
    if power < 1e-300:
        return Autocorrelation(0.0, 1.0)
    lags = tuple(float((x[:-lag] * x[lag:]).sum()) / power for lag in range(1, min(LAGS, len(x) - 2) + 1))
    window = max(1, min(WINDOW, len(x) // 4))
    observed = np.array([lags[0], float(_inflation(x[None], window)[0])])
    rng = np.random.default_rng(seed)
    drawn, as_large = 0, np.zeros(2, dtype=np.int64)
    for more in (PERMUTATIONS_FIRST, PERMUTATIONS - PERMUTATIONS_FIRST):
        orders = x[rng.permuted(np.tile(np.arange(len(x)), (more, 1)), axis=1)]
        lag1 = (orders[:, :-1] * orders[:, 1:]).sum(axis=(1, 2)) / power
        both = np.stack([lag1, _inflation(orders, window)], axis=1)
        as_large += (both >= observed - 1e-12).sum(axis=0)
        drawn += more
        if ((1 + as_large) / (1 + drawn) > CLEARLY_NOTHING).all():
            break
    p = (1 + as_large) / (1 + drawn)
    return Autocorrelation(float(observed[0]), float(p[0]), lags, float(observed[1]), float(p[1]))


def _inflation(series: Floats, window: int) -> Floats:
    """How much more the means of neighbouring runs vary than those of as many runs drawn at random; by series."""
    n = series.shape[1]
    total = np.concatenate([np.zeros_like(series[:, :1]), np.cumsum(series, axis=1)], axis=1)
    sums = total[:, window:] - total[:, :-window]
    power = (series * series).sum(axis=(1, 2))
    # Drawn without replacement: all of them together always have the same mean.
    expected = power / n * window * (n - window) / (n - 1)
    return np.asarray((sums * sums).sum(axis=2).mean(axis=1) / expected)


def ranks_within(values: Floats, labels: NDArray[np.str_]) -> Floats:
    """The rank of each value among those of its label, from -0.5 to 0.5; equal values have equal ranks."""
    found = np.zeros(len(values))
    for label in sorted(set(labels.tolist())):
        own = labels == label
        _, place, counts = np.unique(values[own], return_inverse=True, return_counts=True)
        middle = np.cumsum(counts) - counts / 2
        found[own] = middle[place] / own.sum() - 0.5
    return found


def block_length(values: Floats) -> int:
    """The shortest blocks whose means are not alike in neighbours; the longest that were tried where none are.

    Blocks are looked at from every run on, not only from each ``b``-th: there are few of them otherwise.
    """
    total = np.concatenate([[0.0], np.cumsum(values - values.mean())])
    for b in BLOCKS:
        sums = total[b:] - total[:-b]
        if len(values) < MEANS_MIN * b:
            return b
        power = float((sums * sums).mean())
        if power < 1e-300 or float((sums[:-b] * sums[b:]).mean()) / power < LAG1_MAX:
            return b
    return BLOCKS[-1]
