"""Calls in groups that are counted alike: those of one minute and series that ended in the same way.

All shapes of a group say the same of how a call ended, which is what is counted of a shape: shapes may be without
number, as where each call has a service of its own, and groups are not.
"""

from array import array
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..kinds import Kinds
from ..rows import Integers, Marks, Rows, distinct
from ..sightings import Shape
from .series import OVERFLOW, Series, minute_of

Place = tuple[int, Series]
"""The minute and the series of a window."""

SeriesOf = Callable[[Shape, int], Series]
"""In which series calls of a shape are counted that ended in a minute."""

_ENDINGS_MAX = 1_024
"""More ways for a call to end than there are."""

_NONE = -1
_NANO = 1e9


class Groups:
    """Groups by number, from one fold to the next."""

    def __init__(self) -> None:
        """Start with none."""
        self.shapes: list[Shape] = []
        """A shape of the calls of each."""
        self.windows = array("i")
        """The number of the window in which the calls of each are counted."""
        self.places: list[Place] = []
        """The windows by their numbers."""
        self._window_at: dict[Place, int] = {}
        self._numbers: dict[int, int] = {}
        self._endings: dict[object, int] = {}
        self._minutes: dict[int, int] = {}
        self._over: set[int] = set()
        self._kinds: Kinds | None = None
        self._tables: dict[int, npt.NDArray[np.int32]] = {}

    def __len__(self) -> int:
        return len(self.shapes)

    def place(self, number: int) -> Place:
        """Where the calls of a group are counted."""
        return self.places[self.windows[number]]

    def close(self) -> None:
        """Let go of all that finds the groups of calls: there will be no more of them."""
        self._window_at, self._numbers, self._tables, self._kinds = {}, {}, {}, None

    def of(self, rows: Rows, series_of: SeriesOf, is_over: Marks | None = None) -> Integers:
        """The numbers of the groups of rows. ``series_of`` is asked in the order in which they came, once for most.

        Those that ``is_over`` marks are in the series for all that there is no other for.
        """
        kind = rows.kind
        numbers = np.full(len(rows), _NONE, np.int64)
        if is_over is None or not is_over.any():
            self._find(rows, kind, numbers)
            is_over = None
        left = np.flatnonzero(numbers == _NONE)
        if len(left):
            minutes = rows.minute[left].tolist()
            over = [False] * len(left) if is_over is None else is_over[left].tolist()
            of: dict[tuple[int, int, bool], int] = {}
            found = []
            for one in zip(minutes, kind[left].tolist(), over, strict=True):
                number = of.get(one)
                if number is None:
                    number = of[one] = self._number(rows, *one, series_of)
                found.append(number)
            numbers[left] = found
        return numbers

    def _find(self, rows: Rows, kind: npt.NDArray[np.uint32], numbers: Integers) -> None:
        """Find the groups that are known."""
        if self._kinds is not rows.kinds:
            self._kinds, self._tables = rows.kinds, {}
        ends = rows.end_ns
        first, last = (minute_of(int(at) / _NANO) for at in (ends.min(), ends.max()))
        if first == last:
            numbers[:] = self._table(first)[kind]
            return
        minutes = rows.minute
        for minute in distinct(minutes):
            is_here = minutes == minute
            numbers[is_here] = self._table(minute)[kind[is_here]]

    def _table(self, minute: int) -> npt.NDArray[np.int32]:
        """The numbers of the groups of a minute, by the numbers of the shapes."""
        known = 0 if self._kinds is None else len(self._kinds)
        table = self._tables.get(minute)
        if table is None or len(table) < known:
            longer = np.full(2 * known, _NONE, np.int32)
            if table is not None:
                longer[: len(table)] = table
            table = self._tables[minute] = longer
        return table

    def _number(self, rows: Rows, minute: int, kind: int, is_over: bool, series_of: SeriesOf) -> int:
        minute = self._minutes.setdefault(minute, minute)  # one object for all windows of it
        shape = rows.shapes[kind]
        series = OVERFLOW if is_over else series_of(shape, minute)
        window = self._window(minute, series)
        ending = (shape.error, shape.error_class, shape.finish_reason)
        # One number for both: tuples would take several times the room.
        key = window * _ENDINGS_MAX + self._endings.setdefault(ending, len(self._endings))
        number = self._numbers.setdefault(key, len(self.shapes))
        if number == len(self.shapes):
            self.shapes.append(shape)
            self.windows.append(window)
        if series is OVERFLOW:
            # Not kept in the table: when it is asked again, there may be room.
            self._over.add(number)
        elif self._kinds is rows.kinds:
            self._table(minute)[kind] = number
        return number

    def _window(self, minute: int, series: Series) -> int:
        place = (minute, series)
        window = self._window_at.setdefault(place, len(self.places))
        if window == len(self.places):
            self.places.append(place)
        return window

    def are_over(self, numbers: Integers) -> Marks:
        """Which of the calls in these groups are counted in the series for all that there is no other for."""
        return np.isin(numbers, list(self._over)) if self._over else np.zeros(len(numbers), np.bool_)
