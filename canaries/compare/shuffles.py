"""Which answers might as well have come from the other side: the permutations, the observed one first."""

from collections.abc import Sequence
from itertools import combinations, product
from math import comb

import numpy as np
from numpy.typing import NDArray

from .pairing import Bools, Group

Floats = NDArray[np.float32]

ENOUGH = 10**15
"""More arrangements than anybody draws permutations: beyond, nobody counts."""

UNITS_ENOUGH = 30
"""So many units on each side have more arrangements than that."""


class Shuffles:
    """The sides of every unit in the data as they are (row 0) and under each permutation.

    Units change sides within their group, so that each side keeps its number of them. When there are no more
    arrangements than were asked for, each comes exactly once, and the p-values are those of the exact test.
    """

    def __init__(self, groups: Sequence[Group], permutations: int, rng: np.random.Generator) -> None:
        self._groups, self._permutations = groups, permutations
        arrangements = arrangements_of(groups)
        self.is_exact = arrangements <= permutations + 1
        self.count = arrangements if self.is_exact else permutations + 1
        self._every = _every(groups) if self.is_exact else None
        self._seeds = rng.integers(1 << 62, size=len(groups))
        self._last: tuple[int, Bools] | None = None

    def of(self, group: int) -> Bools:
        """Whether each unit of the group is on the current side: permutations by units."""
        if self._every is not None:
            return self._every[group]
        # Made when asked for: those of all groups at once can take gigabytes.
        if self._last is None or self._last[0] != group:
            rng = np.random.default_rng(self._seeds[group])
            self._last = group, dealt(self._groups[group].is_current, self._permutations, rng)
        return self._last[1]


def arrangements_of(groups: Sequence[Group], more: int = 0) -> int:
    """In how many ways the units can be put on the sides, up to ``ENOUGH``; with so many ``more`` units on each."""
    arrangements = 1
    for group in groups:
        current = int(group.is_current.sum()) + more
        base = len(group.is_current) + 2 * more - current
        arrangements *= comb(base + current, current) if min(base, current) < UNITS_ENOUGH else ENOUGH
        if arrangements >= ENOUGH:
            return ENOUGH
    return arrangements


def smallest_p_value(groups: Sequence[Group], more: int = 0) -> float:
    """The smallest p-value that the arrangements allow: exchanging both sides as a whole changes no distance."""
    is_symmetric = all(2 * int(group.is_current.sum()) == len(group.is_current) for group in groups)
    return min(1.0, (2 if is_symmetric else 1) / arrangements_of(groups, more))


def dealt(is_current: Bools, permutations: int, rng: np.random.Generator) -> Bools:
    """The sides as they are, and so many random permutations of them."""
    base = int((~is_current).sum())
    keys = rng.random((permutations, len(is_current)))
    # The units with the smallest keys are the base's: any of them, as likely as any other.
    largest = np.partition(keys, base - 1, axis=1)[:, base - 1 : base]
    return np.concatenate([is_current[None], keys > largest])


def _every(groups: Sequence[Group]) -> list[Bools]:
    choices = []
    for group in groups:
        size, current = len(group.is_current), int(group.is_current.sum())
        sides = np.zeros((comb(size, current), size), dtype=bool)
        for row, chosen in enumerate(combinations(range(size), current)):
            sides[row, list(chosen)] = True
        observed = int(np.flatnonzero((sides == group.is_current).all(axis=1))[0])
        sides[[0, observed]] = sides[[observed, 0]]
        choices.append(sides)
    # The first of the product is the first of each: what was observed.
    rows = np.array(list(product(*(range(len(sides)) for sides in choices))), dtype=np.intp)
    return [sides[rows[:, number]] for number, sides in enumerate(choices)]


def weights(sides: Bools, known: Bools | None = None) -> tuple[Floats, Floats]:
    """The weight of each answer in "mean of current minus mean of base", and the size of each comparison.

    The size is the harmonic ``n m / (n + m)``, 0 where one side is empty (and the weights are then 0, too).
    ``known`` says which answers have a value at all.
    """
    current = sides.astype(np.float32)
    if known is not None:
        current *= known
    n = current.sum(axis=1, keepdims=True)
    m = np.float32(sides.shape[1] if known is None else known.sum()) - n
    is_there = (n > 0) & (m > 0)
    of_current, of_base = (np.where(is_there, 1 / np.maximum(side, 1), np.float32(0)) for side in (n, m))
    difference = current * (of_current + of_base) - of_base
    if known is not None:
        difference *= known
    size = np.where(is_there, n * m / np.maximum(n + m, 1), np.float32(0))
    return difference, np.asarray(size[:, 0])
