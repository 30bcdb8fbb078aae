"""Whether neighbouring periods are more alike than distant ones: then ranks promise more than they can keep."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alerts.evidence.autocorrelation import autocorrelation, block_length

LEVEL = 0.01
"""Chance of calling periods sticky that come in any order: such a watch would find a shift days later, or never."""


@dataclass(frozen=True, slots=True)
class Stickiness:
    """How alike neighbouring periods are: their lag-1 correlation, and how many periods make a block that is not.

    ``block`` is 1 where periods can be ranked one by one.
    """

    lag1: float = 0.0
    block: int = 1


def stickiness(series: Sequence[Sequence[float]]) -> Stickiness:
    """That of the stickiest of several series, each in order of time.

    Beside the scores the mean of the calls is worth looking at: a load that lasts shows there first, as a mean is less
    noisy than a count of a few slow calls.
    """
    found = [(values, autocorrelation(values)) for values in series]
    alike = [(values, one) for values, one in found if one.is_alike(LEVEL / len(found))]
    if not alike:
        return Stickiness()
    blocks = [block_length(np.asarray(values, dtype=np.float64)) for values, _ in alike]
    return Stickiness(max(one.lag1 for _, one in alike), max(blocks))
