"""Shapes by number, so that what holds for all calls of a shape is looked up for thousands of calls at once."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from .sightings import SHAPES_MAX, Shape

KINDS_MAX = SHAPES_MAX
"""After so many shapes, whoever reads requests numbers them anew."""

_ROOM = 64

T = TypeVar("T")


class Kinds:
    """The shapes of the calls of many requests, each with the number by which it came; numbers stay."""

    __slots__ = ("_columns", "_shapes", "_told", "numbers")

    def __init__(self) -> None:
        """Start with none."""
        self.numbers: dict[Shape, int] = {}
        """The number of each shape; the scanner writes to it, too."""
        self._shapes: list[Shape] = []
        self._columns: dict[object, tuple[object, int, npt.NDArray[Any]]] = {}
        self._told: dict[object, dict[Any, int]] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self.numbers)

    @property
    def is_full(self) -> bool:
        """Whether further requests should be read with new numbers."""
        return len(self.numbers) >= KINDS_MAX

    @property
    def shapes(self) -> Sequence[Shape]:
        """The shapes by their numbers."""
        if len(self._shapes) < len(self.numbers):
            self._shapes.extend(islice(self.numbers, len(self._shapes), None))
        return self._shapes

    def number(self, shape: Shape) -> int:
        """The number of a shape, which it is given if it has none."""
        return self.numbers.setdefault(shape, len(self.numbers))

    def numbers_of(self, shapes: Iterable[Shape]) -> npt.NDArray[np.uint32]:
        """The numbers of several."""
        return np.array([self.number(shape) for shape in shapes], np.uint32)

    def column(
        self, name: object, of: Callable[[Shape], Any], dtype: npt.DTypeLike, version: object = None
    ) -> npt.NDArray[Any]:
        """What ``of`` says of each shape, by number: it is asked once, and again when the ``version`` is another.

        Each column has a ``name`` of its own.
        """
        n = len(self.numbers)
        known_version, known, column = self._columns.get(name, (None, 0, _NOTHING))
        if known < n or known_version != version:
            known = known if known_version == version else 0
            if len(column) < n:
                longer = np.zeros(n + n // 4 + _ROOM, dtype)
                longer[:known] = column[:known]
                column = longer
            for number in range(known, n):
                column[number] = of(self.shapes[number])
            self._columns[name] = version, n, column
        return column[:n]

    def alike(self, of: Callable[[Shape], T]) -> tuple[npt.NDArray[Any], Sequence[T]]:
        """All that ``of`` says of shapes, and by the numbers of the shapes the place of what it says of each."""
        told = self._told.setdefault(of, {})
        places = self.column(of, lambda shape: told.setdefault(of(shape), len(told)), np.int64)
        return places, list(told)


_NOTHING: npt.NDArray[Any] = np.zeros(0, np.int8)
