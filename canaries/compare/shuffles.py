"""Which answers might as well have come from the other side: the permutations, the observed one first."""

from collections.abc import Sequence
from itertools import combinations, product
from math import comb, prod

import numpy as np
from numpy.typing import NDArray

from .pairing import Bools, Group

Floats = NDArray[np.float32]


class Shuffles:
    """The sides of every unit in the data as they are (row 0) and under each permutation.

    Units change sides within their group, so that each side keeps its number of them. When there are no more
    arrangements than were asked for, each comes exactly once, and the p-values are those of the exact test.
    """

    def __init__(self, groups: Sequence[Group], permutations: int, rng: np.random.Generator) -> None:
        sizes = [(len(group.is_current), int(group.is_current.sum())) for group in groups]
        self.arrangements = prod(comb(size, current) for size, current in sizes)
        self.is_exact = self.arrangements <= permutations + 1
        self._sides = _every(groups) if self.is_exact else _random(groups, permutations, rng)
        self.count = len(self._sides[0]) if self._sides else 1
        is_symmetric = all(2 * current == size for size, current in sizes)
        self.p_min = max(1 / self.count, (2 if is_symmetric else 1) / self.arrangements)
        """The smallest p-value there can be: exchanging the sides as a whole changes no distance between them."""

    def of(self, group: int) -> Bools:
        """Whether each unit of the group is on the current side: permutations by units."""
        return self._sides[group]


def _random(groups: Sequence[Group], permutations: int, rng: np.random.Generator) -> list[Bools]:
    return [dealt(group.is_current, permutations, rng) for group in groups]


def dealt(is_current: Bools, permutations: int, rng: np.random.Generator) -> Bools:
    """The sides as they are, and so many random permutations of them."""
    sides = np.tile(is_current, (permutations + 1, 1))
    sides[1:] = rng.permuted(sides[1:], axis=1)
    return sides


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
    base = 1 - current
    if known is not None:
        current, base = current * known, base * known
    n, m = current.sum(axis=1, keepdims=True), base.sum(axis=1, keepdims=True)
    is_there = (n > 0) & (m > 0)
    difference = np.where(is_there, current / np.maximum(n, 1) - base / np.maximum(m, 1), np.float32(0))
    size = np.where(is_there, n * m / np.maximum(n + m, 1), np.float32(0))
    return difference, np.asarray(size[:, 0])
