"""Calls that are counted as they come: what ``heap`` does for thousands at a time, the scanner in C does at once.

What it counted is taken out when somebody looks, window by window.
"""

from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np

from ..calls import BASES, ErrorClass
from ..rows import Floats, Integers, Rows
from .exemplars import Exemplar, Kind
from .groups import Groups
from .heap import count_kind
from .histogram import BUCKETS
from .series import Series
from .window import HISTOGRAMS, Window

TAKEN_AT_A_TIME = 32
"""Of so many windows it is taken out in one step, which takes a few milliseconds."""

_IS_ERROR, _HAS_LATENCY = 1, 2
_TELLING = (Kind.SLOWEST, Kind.DEAREST, Kind.FAILED)

WindowOf = Callable[[int, Series], Window]


class AtOnce:
    """Calls that were counted and are in no window yet."""

    def __init__(self, groups: Groups, scanner: ModuleType) -> None:
        """Start with none. Calls will be of these groups; ``scanner`` is the one in C."""
        self._groups = groups
        self._counts = scanner.Counts(*BUCKETS)
        self._known = self._windows = 0
        self._steps: Iterator[None] = iter(())
        self.is_empty = True
        """Nothing was counted but what ``step`` goes on with."""
        self.is_counting = False
        """Whether some of what was counted is taken out: ``step`` goes on with it."""

    def __len__(self) -> int:
        """How many windows the calls belong to that were not asked for yet."""
        return len(self._groups.windows) - self._windows

    @property
    def is_full(self) -> bool:
        """Nothing waits, however much was counted."""
        return False

    def add(self, rows: Rows, group: Integers, cost_usd: Floats, basis: Integers) -> None:
        """Count the calls of the rows, each in its group, with what it cost and how sure that is, by number."""
        self._know()
        self._counts.add(rows.records, group, cost_usd, basis)
        self.is_empty = False

    def _know(self) -> None:
        new = self._groups.all[self._known :]
        if new:
            flags = [
                _IS_ERROR * shape.error
                | _HAS_LATENCY * (not shape.error or shape.error_class is ErrorClass.TIMEOUT)
                for _, shape, _ in new
            ]
            windows = [self._groups.windows[minute, series] for minute, _, series in new]
            self._counts.know(np.array(windows, np.int32), bytes(flags))
            self._known = len(self._groups.all)

    def begin(self, window_of: WindowOf) -> None:
        """Begin to take out what was counted to the windows of its minutes and series; follow with ``step``."""
        self._finish()
        if not self.is_empty:
            self._steps = self._take(window_of)
            self.is_counting = True
        self.is_empty, self._windows = True, len(self._groups.windows)

    def step(self) -> None:
        """Go on with what was begun, for a few milliseconds."""
        self.is_counting = next(self._steps, _NO_MORE) is not _NO_MORE

    def count(self, window_of: WindowOf) -> None:
        """Take out all of it now; nothing is left."""
        self.begin(window_of)
        self._finish()

    def _finish(self) -> None:
        while self.is_counting:
            self.step()

    def _take(self, window_of: WindowOf) -> Iterator[None]:
        bases = np.frombuffer(self._counts.calls(), np.int64).reshape(-1, len(BASES))
        calls = bases.sum(axis=1)
        used = np.flatnonzero(calls).tolist()
        numbers: dict[int, Window] = {}
        for number in used:
            minute, shape, series = self._groups.all[number]
            window = window_of(minute, series)
            numbers[self._groups.windows[minute, series]] = window
            count_kind(window, shape, int(calls[number]), bases[number].tolist())
        yield
        for place, (number, window) in enumerate(numbers.items()):
            self._take_window(number, window)
            if place % TAKEN_AT_A_TIME == TAKEN_AT_A_TIME - 1:
                yield

    def _take_window(self, number: int, window: Window) -> None:
        measures, cached, telling = self._counts.take(number)
        window.cached_tokens += cached
        for name, (buckets, total_nano) in zip(HISTOGRAMS, measures, strict=True):
            if buckets:
                getattr(window, name).add_counts(buckets, total_nano)
        for kind, found in zip(_TELLING, telling, strict=True):
            if found:
                window.exemplars.offer(
                    kind, [Exemplar(value, ids[:16].hex(), ids[16:].hex()) for value, ids in found]
                )


_NO_MORE = object()
