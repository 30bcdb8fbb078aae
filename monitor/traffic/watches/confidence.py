"""How sure a measure of some calls is: exact one-sided bounds, each wrong at most once in a hundred.

The calls of a look-back are a sample of what the application does now. A bound says what holds for that, not
only for the calls that happened to be seen. Calls count as independent of each other.
"""

import math
from collections.abc import Callable
from functools import lru_cache

CONFIDENCE = 0.99
"""How sure each bound is. A watch is looked at all day: 0.95 would page eight times a day exactly at the threshold,
0.99 does so once or twice, and costs half a minute after a jump (``benchmarks.watch_noise``)."""

Z = 2.326
"""The same in standard deviations of a mean. A mean has no exact bound: this one takes it as normal, which for
costs, with their few large values, is careful on the lower side and a little bold on the upper one."""

MANY = 10_000
"""Counts above this are taken as normal: exact bounds differ by less than a thousandth of the margin's width."""

KNOWN_MAX = 20_000
"""How many bounds of each kind are remembered: the same few counts come again at most looks."""

_HALVINGS = 50
_TRIALS = 10**8
_NEGLIGIBLE = 1e-17


@lru_cache(maxsize=KNOWN_MAX)
def lower_rank(n: int, q: float) -> int:
    """The rank (1 is the smallest) of the sample value that the quantile ``q`` surely reaches; 0: no value."""
    # As many values as lie up to the quantile are binomial, whatever the distribution.
    return _first(0, n, lambda rank: binomial_at_most(rank, n, q) > 1 - CONFIDENCE)


@lru_cache(maxsize=KNOWN_MAX)
def upper_rank(n: int, q: float) -> int | None:
    """The rank of the sample value that the quantile ``q`` surely does not exceed; ``None``: no value."""
    rank = 1 + _first(0, n, lambda below: binomial_at_most(below, n, q) >= CONFIDENCE)
    return rank if rank <= n else None


@lru_cache(maxsize=KNOWN_MAX)
def share_bounds(hits: int, n: int, bounds: int = 1) -> tuple[float, float]:
    """What the share behind ``hits`` of ``n`` surely reaches, and surely does not exceed (Clopper and Pearson).

    Where so many ``bounds`` are looked at together, all of them are right with the certainty of one.
    """
    wrong = (1 - CONFIDENCE) / bounds
    low = _root(lambda share: 1 - binomial_at_most(hits - 1, n, share) >= wrong) if hits else 0.0
    high = _root(lambda share: binomial_at_most(hits, n, share) <= wrong) if hits < n else 1.0
    return min(low, hits / n), max(high, hits / n)


def count_bounds(n: int) -> tuple[float, float]:
    """What is surely expected at least, and at most, where ``n`` came by chance in a while (Garwood)."""
    if n > MANY:
        return n - Z * math.sqrt(n), n + Z * math.sqrt(n)
    # Counts of rare things are what is left of binomial ones when there are ever more trials.
    low, high = share_bounds(n, _TRIALS)
    return low * _TRIALS, high * _TRIALS


def binomial_at_most(k: int, n: int, p: float) -> float:
    """The chance of at most ``k`` hits in ``n`` trials that each hit with chance ``p``."""
    if k < 0:
        return 0.0
    if k >= n or p <= 0:
        return 1.0
    if p >= 1:
        return 0.0
    # The smaller tail is summed, from its largest term outwards: exact, and short even for a million trials.
    odds = p / (1 - p)
    if k < n * p:
        return _tail(k, n, p, lambda i: i / ((n - i + 1) * odds), -1)
    return 1 - _tail(k + 1, n, p, lambda i: (n - i) * odds / (i + 1), +1)


def _tail(start: int, n: int, p: float, ratio: Callable[[int], float], step: int) -> float:
    """The chances of ``start`` hits and of all counts beyond it; ``ratio`` leads from one to the next."""
    log_chance = (
        math.lgamma(n + 1)
        - math.lgamma(start + 1)
        - math.lgamma(n - start + 1)
        + start * math.log(p)
        + (n - start) * math.log1p(-p)
    )
    chance = total = math.exp(log_chance)
    i = start
    while chance > _NEGLIGIBLE * total and 0 <= i <= n:
        chance *= ratio(i)
        total += chance
        i += step
    return min(total, 1.0)


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The first whole number from ``low`` for which ``holds``, which then holds for all above; at most ``high``."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _root(holds: Callable[[float], bool]) -> float:
    """The smallest share for which ``holds``, which then holds for all above."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return (low + high) / 2
