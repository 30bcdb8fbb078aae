"""Whether a measure has changed: tests whose unit is a block of time, or a run, and never a single call.

Calls of one hour share a load, a deployment and a mix of questions: as independent samples they would call every
night's noise a change. So sums are compared by blocks: two periods hour by hour, each with the hour of the same time
of day; runs by runs; a period with whole days before it. Where several of these say something, the least sure one
counts. Shares must also be surely different by their counts alone, as a few rare events tell blocks nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..traffic.watches.confidence import binomial_at_most

Floats = NDArray[np.float64]

BLOCKS_MIN = 4
"""With fewer blocks or runs on a side nothing is said."""

DAYS_MIN = 7
"""With fewer days before it a period is not compared with days: a week has two kinds of them."""

ALPHA = 0.05
"""How often a night on which nothing moved may say that something has, and how often an interval is wrong."""

RARE_SHARE = 0.1
"""Shares below this are compared by an exact test, above by a normal one."""

_STEPS, _TINY = 300, 1e-300


@dataclass(frozen=True, slots=True)
class Blocks:
    """What was counted in each block: the measure is all ``sums`` over all ``counts``."""

    sums: Floats
    counts: Floats

    @property
    def n(self) -> float:
        """How many calls, answers or blocks the measure is of."""
        return float(self.counts.sum())

    @property
    def value(self) -> float:
        """The measure; 0 of nothing."""
        return float(self.sums.sum()) / self.n if self.n else 0.0

    @property
    def filled(self) -> int:
        """How many blocks have any."""
        return int((self.counts > 0).sum())

    def deviations(self) -> Floats:
        """What each block adds to the measure beyond its part; they sum to nothing."""
        return (self.sums - self.value * self.counts) / self.n


class Moved(NamedTuple):
    """A difference, now less before, with what is as good as sure of it: half the width of its interval, and p."""

    difference: float
    half: float
    p_value: float

    def or_less_sure(self, other: "Moved | None") -> "Moved":
        """The same with the wider interval and the larger p-value of both."""
        if other is None:
            return self
        return Moved(self.difference, max(self.half, other.half), max(self.p_value, other.p_value))


def by_pairs(now: Blocks, before: Blocks) -> Moved | None:
    """The difference of two periods whose blocks go together, each with the one of the same time before it."""
    both = (now.counts > 0) | (before.counts > 0)
    blocks = int(both.sum())
    if min(now.filled, before.filled) < BLOCKS_MIN:
        return None
    apart = now.deviations() - before.deviations()
    variance = blocks / (blocks - 1) * float((apart**2).sum())
    return _moved(now.value - before.value, variance, blocks - 1)


def by_groups(now: Blocks, before: Blocks) -> Moved | None:
    """The difference of two groups of blocks or runs that have nothing to do with each other (Welch)."""
    if min(now.filled, before.filled) < BLOCKS_MIN:
        return None
    parts = [(one.filled, _variance(one)) for one in (now, before)]
    variance = sum(part for _, part in parts)
    down = sum(part**2 / (blocks - 1) for blocks, part in parts)
    freedom = variance**2 / down if down else min(blocks for blocks, _ in parts) - 1
    return _moved(now.value - before.value, variance, freedom)


def by_days(now: float, days: Blocks, length_days: float) -> Moved | None:
    """How far ``now``, the measure of ``length_days``, is from the days before, as they vary among themselves."""
    spread = day_spread(days)
    if spread is None:
        return None
    variance = spread**2 * (1 / max(1.0, length_days) + 1 / days.filled)
    return _moved(now - days.value, variance, days.filled - 1)


def by_two_days(now: float, before: float, days: Blocks, length_days: float) -> Moved | None:
    """How sure the difference of two such periods is, if all that is known is how days vary.

    What is larger varies more: days tell it in relation to their own level. That of two is their geometric mean, as
    one alone, grown large, would make the other seem to vary as much.
    """
    spread = day_spread(days)
    if spread is None:
        return None
    level = max(math.sqrt(max(0.0, now * before)), (now + before) / 8)
    scale = level / days.value if days.value else 1.0
    return _moved(now - before, 2 * (scale * spread) ** 2 / max(1.0, length_days), days.filled - 1)


def day_spread(days: Blocks) -> float | None:
    """The standard deviation of the measure from day to day; ``None`` with too few days."""
    has = days.counts > 0
    if has.sum() < DAYS_MIN:
        return None
    return float((days.sums[has] / days.counts[has]).std(ddof=1))


def by_counts(now: Blocks, before: Blocks) -> Moved | None:
    """The difference of two shares as if calls were independent: the least that must be there to call it real."""
    hits, n = round(float(now.sums.sum())), round(now.n)
    hits_before, n_before = round(float(before.sums.sum())), round(before.n)
    if not n or not n_before:
        return None
    share = (hits + hits_before + 1) / (n + n_before + 2)
    error = math.sqrt(share * (1 - share) * (1 / n + 1 / n_before))
    difference = now.value - before.value
    if min(share, 1 - share) <= RARE_SHARE:
        p_value = _conditional(hits, n, hits_before, n_before, is_rare=share < 0.5)
    else:
        correction = (1 / n + 1 / n_before) / 2
        p_value = math.erfc(max(0.0, abs(difference) - correction) / error / math.sqrt(2))
    return Moved(difference, 1.96 * error, p_value)


def share_half(blocks: Blocks) -> float:
    """Half the width of a share's interval: as it varies from block to block, and at least as single calls vary."""
    if blocks.filled < 2:
        return 1.0
    share = (blocks.value * blocks.n + 1) / (blocks.n + 2)
    alone = 1.96 * math.sqrt(share * (1 - share) / blocks.n)
    return max(alone, t_limit(blocks.filled - 1.0) * math.sqrt(_variance(blocks)))


def adjusted(p_values: Sequence[float]) -> list[float]:
    """The p-values as they are when all of them are looked at together (Holm), in their order."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    result, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, p_values[index] * (len(p_values) - rank)))
        result[index] = highest
    return result


def _variance(blocks: Blocks) -> float:
    return blocks.filled / (blocks.filled - 1) * float((blocks.deviations() ** 2).sum())


def _moved(difference: float, variance: float, freedom: float) -> Moved:
    error = math.sqrt(variance)
    # What never varies has moved whenever it is another; rounding is no difference.
    if error <= 1e-12 * max(abs(difference), 1e-12):
        return Moved(difference, 0.0, 0.0 if abs(difference) > 1e-12 else 1.0)
    return Moved(difference, t_limit(round(freedom, 1)) * error, t_tails(abs(difference) / error, freedom))


def _conditional(hits: int, n: int, hits_before: int, n_before: int, *, is_rare: bool) -> float:
    """The p-value of two counts, given how many there are together; of the misses where hits are the rule."""
    if not is_rare:
        hits, hits_before = n - hits, n_before - hits_before
    together, part = hits + hits_before, n / (n + n_before)
    below = binomial_at_most(hits, together, part)
    above = 1 - binomial_at_most(hits - 1, together, part)
    return min(1.0, 2 * max(0.0, min(below, above)))


def t_tails(t: float, freedom: float) -> float:
    """The chance that Student's t with so many degrees of freedom is further from 0 than ``t``."""
    return _beta(freedom / 2, 0.5, freedom / (freedom + t * t))


@lru_cache(maxsize=512)
def t_limit(freedom: float) -> float:
    """What Student's t exceeds, either way, with a chance of ``ALPHA``."""
    low, high = 0.0, 1e4
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if t_tails(middle, freedom) > ALPHA else (low, middle)
    return high


def _beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(b, a, 1 - x)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(front) * _fraction(a, b, x) / a


def _fraction(a: float, b: float, x: float) -> float:
    """Its continued fraction, worked out from the front (Lentz)."""
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d = 1 / _away(1 + step * d)
            c = _away(1 + step / c)
            result *= c * d
        if abs(c * d - 1) < 1e-12:
            break
    return result


def _away(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
