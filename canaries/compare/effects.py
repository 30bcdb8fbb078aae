"""How large the differences are, with intervals: units are drawn again, with replacement, from each side."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from . import scores as names
from .features import TIMES, CanaryFeatures, as_compared
from .pairing import CanaryPair, Group
from .scores import SCORES, Unit

Floats = NDArray[np.float64]
Times = NDArray[np.float32]

RESAMPLES = 200
"""How often the units are drawn again for an interval: its ends are then known to a tenth of its length."""

UNITS_MIN = 3
"""With fewer units of a side in a group, whole groups are drawn again instead: of one answer each, say."""

INTERVAL = (2.5, 97.5)
"""The percentiles that an interval reaches from and to."""


@dataclass(frozen=True, slots=True)
class Effect:
    """The size of a difference, in the score's unit; of numbers the mean of each side, too."""

    value: float
    low: float
    high: float
    base: float | None = None
    current: float | None = None


class Resamples:
    """How often each unit was drawn (columns) in the data as they are (row 0: once each) and when drawn again."""

    def __init__(self, groups: Sequence[Group], count: int, rng: np.random.Generator) -> None:
        self.count = count + 1
        fewest = min((int(s) for g in groups for s in (g.is_current.sum(), (~g.is_current).sum())), default=0)
        self._draws_groups = fewest < UNITS_MIN and len(groups) > 1
        self._times: list[Times] = []
        if self._draws_groups:
            drawn = _drawn(len(groups), count, rng)
            self._times = [
                np.repeat(drawn[:, i : i + 1], len(g.is_current), axis=1) for i, g in enumerate(groups)
            ]
            return
        for group in groups:
            times = np.empty((self.count, len(group.is_current)), dtype=np.float32)
            for side in (False, True):
                own = np.flatnonzero(group.is_current == side)
                times[:, own] = _drawn(len(own), count, rng)
            self._times.append(times)

    def of(self, pair: CanaryPair) -> Times:
        """How often each answer of a canary was drawn."""
        return self._times[pair.group][:, pair.units]


def _drawn(units: int, count: int, rng: np.random.Generator) -> Times:
    if not units:
        return np.ones((count + 1, 0), dtype=np.float32)
    drawn = rng.integers(units, size=(count, units)) + units * np.arange(count)[:, None]
    again = np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units)
    return np.concatenate([np.ones((1, units)), again]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Side:
    """How often each answer of one side was drawn: the times, their squares and sums, and how many pairs they make.

    An answer that was drawn twice is not two answers, and makes no pair with itself.
    """

    times: Times
    squares: Times
    total: Floats
    pairs: Floats

    @classmethod
    def of(cls, times: Times) -> "_Side":
        squares, total = times**2, times.sum(axis=1, dtype=np.float64)
        return cls(times, squares, total, total**2 - squares.sum(axis=1))


class Effects:
    """Takes one canary after the other, and measures the differences over all of them."""

    def __init__(self, resamples: Resamples) -> None:
        self._resamples = resamples
        self._sums: dict[str, list[Floats]] = {}
        self._words: list[Floats] = []

    def add(self, pair: CanaryPair, features: CanaryFeatures) -> None:
        """Measure one canary. Canaries count by the harmonic mean of how many answers both sides have."""
        times = self._resamples.of(pair)
        sides = (_Side.of(times * ~pair.is_current), _Side.of(times * pair.is_current))
        base, current = sides[0].times, sides[1].times
        size = _size(sides[0].total, sides[1].total)
        for name, kernel in features.kernels.items():
            self._add_distance(name, kernel, sides, size)
        for name, values in features.numbers.items():
            self._add_number(name, as_compared(name, values), sides, size)
        if features.first_tokens is not None:
            rows = features.first_tokens.logprobs
            moved = np.abs(_mean(current, rows) - _mean(base, rows)).mean(axis=1)
            self._sum(names.FIRST_LOGPROBS, size * moved, size)
        if names.VOCABULARY in features.pooled:
            self._add_words(features.pooled[names.VOCABULARY], base, current, size)

    def _add_distance(
        self, name: str, kernel: NDArray[np.float32], sides: "tuple[_Side, _Side]", size: Floats
    ) -> None:
        alone = np.diag(kernel)
        products = [side.times @ kernel for side in sides]
        between = 1 - _ratio(_rowwise(products[0], sides[1].times), sides[0].total * sides[1].total)
        own = [
            1 - _ratio(_rowwise(product, side.times) - side.squares @ alone, side.pairs)
            for product, side in zip(products, sides, strict=True)
        ]
        is_known = np.isfinite(own[0]) & np.isfinite(own[1]) & (size > 0)
        weight = np.where(is_known, size, 0.0)
        apart = np.where(is_known, 2 * between - own[0] - own[1], 0.0)
        self._sum(name, weight * apart, weight * 2 * np.where(is_known, between, 0.0))

    def _add_number(self, name: str, values: Floats, sides: "tuple[_Side, _Side]", size: Floats) -> None:
        known = ~np.isnan(values)
        base, current = sides[0].times, sides[1].times
        n, m = sides[0].total, sides[1].total
        spread = float(values[known].std())
        if not known.all():
            base, current = base * known, current * known
            n, m = base.sum(axis=1, dtype=np.float64), current.sum(axis=1, dtype=np.float64)
            size, values = _size(n, m), np.where(known, values, 0.0)
        before, after = base @ values / np.maximum(n, 1), current @ values / np.maximum(m, 1)
        self._sum(name, size * before, size * after, size, size * spread)

    def _add_words(self, rows: NDArray[np.float32], base: Times, current: Times, size: Floats) -> None:
        """Sums of words over the canaries, and what to take off again: pairs of answers to the same canary."""
        sums = [_mean(times, rows) * size[:, None] for times in (base, current)]
        own = [(a * b).sum(axis=1) for a, b in combinations_with_replacement(sums, 2)]
        parts = [*sums, *own, size, size**2]
        had = self._words
        self._words = parts if not had else [a + b for a, b in zip(had, parts, strict=True)]

    def _sum(self, name: str, *parts: Floats) -> None:
        had = self._sums.get(name)
        self._sums[name] = list(parts) if had is None else [a + b for a, b in zip(had, parts, strict=True)]

    def of(self, name: str) -> Effect | None:
        """The effect of a score; ``None`` where it cannot be told: a distance needs two answers a side."""
        if name == names.VOCABULARY and self._words:
            return _effect(self._words_apart())
        parts = self._sums.get(name)
        if parts is None:
            return None
        unit = SCORES[name].unit
        if len(parts) == 2:
            return _effect(_ratio(parts[0], parts[1]))
        before, after = _ratio(parts[0], parts[2]), _ratio(parts[1], parts[2])
        if name in TIMES:
            before, after = np.exp(before), np.exp(after)
        if unit is Unit.RATIO:
            moved = _ratio(after, before) - 1
        elif unit is Unit.DEVIATIONS:
            moved = _ratio(after - before, _ratio(parts[3], parts[2]))
        else:
            moved = after - before
        return _effect(moved, before, after)

    def _words_apart(self) -> Floats:
        """How far the sides' words are apart, between answers to different canaries: one answer of each is enough."""
        base, current, of_base, between, of_current, size, size_squared = self._words
        pairs = size**2 - size_squared
        alike_base = _ratio((base**2).sum(axis=1) - of_base, pairs)
        alike_between = _ratio((base * current).sum(axis=1) - between, pairs)
        alike_current = _ratio((current**2).sum(axis=1) - of_current, pairs)
        return _ratio(alike_base + alike_current - 2 * alike_between, 2 * (1 - alike_between))


def _effect(values: Floats, base: Floats | None = None, current: Floats | None = None) -> Effect | None:
    drawn = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or not len(drawn):
        return None
    low, high = np.percentile(drawn, INTERVAL)
    means = [None if side is None else float(side[0]) for side in (base, current)]
    return Effect(float(values[0]), float(low), float(high), *means)


def _size(n: Floats, m: Floats) -> Floats:
    """The harmonic ``n m / (n + m)``, 0 where a side is empty."""
    return np.asarray(np.where((n > 0) & (m > 0), n * m / np.maximum(n + m, 1), 0.0))


def _rowwise(left: Times, right: Times) -> Floats:
    """The scalar product of each row with that of the other."""
    return np.asarray(np.einsum("ij,ij->i", left, right), dtype=np.float64)


def _mean(times: Times, rows: NDArray[np.float32]) -> Floats:
    return np.asarray(times @ rows / np.maximum(times.sum(axis=1), 1)[:, None])


def _ratio(above: Floats, below: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(np.abs(below) > 1e-12, above / below, np.nan))
