"""How far a statistic is out among its permutations, on one scale for all statistics; and several as one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TAIL = 0.05
"""The share of the permutations beyond which a straight line continues the ranks."""


POWER = 0.5
"""How statistics are put together: 0 would be their sum, which many small moves win, infinity the largest of them."""


def surprise(statistics: NDArray[np.floating]) -> Floats:
    """Minus the log of the p-value of each permutation among all (rows: statistics, columns: permutations).

    Within the bulk it is the rank. In the tail it is an exponential fitted to the largest twentieth, so that a value
    that is far out counts for more than the largest of a thousand: squared distances have such tails. As every
    permutation is treated alike, tests on it keep their level whether the fit is good or not.
    """
    values = np.asarray(statistics, dtype=np.float64)
    count = values.shape[-1]
    ordered = np.sort(values, axis=-1)
    result = np.empty_like(values)
    start = min(count - 1, int(np.ceil(count * (1 - TAIL))))
    of_rank = -np.log(np.arange(1, count + 1) / count)
    for row in range(len(values)):
        own, x = ordered[row], values[row]
        # A hair below, so that equal sums added up in another order stay equal.
        hair = 1e-6 * max(1e-12, abs(own[-1]) + abs(own[0]))
        result[row] = of_rank[count - 1 - np.searchsorted(own, x - hair)]
        threshold = own[start]
        scale = (_middle(own[start:]) - threshold) / np.log(2)
        if scale > hair:
            beyond = x > threshold + hair
            at_threshold = (count - np.searchsorted(own, threshold - hair)) / count
            result[row, beyond] = -np.log(at_threshold) + (x[beyond] - threshold) / scale
    return result


def _middle(ordered: Floats) -> float:
    """The median of numbers in order."""
    return float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def p_values(statistics: NDArray[np.floating]) -> Floats:
    """The exact p-value of what was observed (column 0) for each row of statistics."""
    hair = 1e-9 * np.abs(statistics).max(axis=-1, keepdims=True)
    return np.asarray((statistics >= statistics[..., :1] - hair).mean(axis=-1))


def adjusted(surprises: NDArray[np.floating]) -> Floats:
    """The p-value of each row adjusted for there being several: Westfall and Young's step-down maximum (1993)."""
    order = np.argsort(-surprises[:, 0])
    largest = np.maximum.accumulate(surprises[order[::-1]], axis=0)[::-1]
    steps = (largest >= surprises[order, :1] - 1e-9).mean(axis=1)
    result = np.empty(len(surprises))
    result[order] = np.maximum.accumulate(steps)
    return result


def combined(surprises: Floats, weights: Sequence[float]) -> Floats:
    """The rows as one: the log of the weighted mean of ``1/p`` to the ``POWER``."""
    share = np.asarray(weights)[:, None] / sum(weights)
    high = surprises.max(axis=0)
    return np.asarray(high + np.log((share * np.exp(POWER * (surprises - high))).sum(axis=0)) / POWER)
