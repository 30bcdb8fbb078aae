"""Calls that are counted as they come: what ``heap`` does for thousands at a time, the scanner in C does at once.

What it counted becomes windows when somebody looks, one by one: as Python objects they take ten times as much room.
"""

from types import ModuleType
from typing import Any

import numpy as np

from ..calls import BASES, ErrorClass
from ..rows import Floats, Integers, Rows
from .exemplars import Exemplar, Kind
from .groups import Groups
from .heap import count_kind
from .histogram import BUCKETS
from .window import HISTOGRAMS, Window

_IS_ERROR, _HAS_LATENCY = 1, 2
_TELLING = (Kind.SLOWEST, Kind.DEAREST, Kind.FAILED)


class AtOnce:
    """Calls that were counted and are in no window."""

    def __init__(self, groups: Groups, scanner: ModuleType) -> None:
        """Start with none. Calls will be of these groups; ``scanner`` is the one in C."""
        self._groups = groups
        self._counts = scanner.Counts(*BUCKETS)
        self._known = 0

    def __len__(self) -> int:
        """How many windows the calls belong to, or a few more."""
        return len(self._groups.places)

    def add(self, rows: Rows, group: Integers, cost_usd: Floats, basis: Integers) -> None:
        """Count the calls of the rows, each in its group, with what it cost and how sure that is, by number."""
        self._know()
        self._counts.add(rows.records, group, cost_usd, basis)

    def _know(self) -> None:
        new = self._groups.shapes[self._known :]
        if new:
            flags = [
                _IS_ERROR * shape.error
                | _HAS_LATENCY * (not shape.error or shape.error_class is ErrorClass.TIMEOUT)
                for shape in new
            ]
            self._counts.know(self._groups.windows[self._known :], bytes(flags))
            self._known = len(self._groups)

    def look(self) -> "Look":
        """What was counted until now. Nothing must be counted while it is looked at."""
        self._know()
        return Look(self._groups, self._counts)


class Look:
    """What was counted of windows, each of which is filled when it is asked for."""

    def __init__(self, groups: Groups, counts: Any) -> None:
        """Look at the counts in C of the calls of these groups."""
        self._shapes, self._counts = groups.shapes, counts
        self._bases = np.frombuffer(counts.calls(), np.int64).reshape(-1, len(BASES))
        self._calls = self._bases.sum(axis=1)
        windows, n = np.array(groups.windows, np.int64), len(groups.places)
        # The groups of each window one after the other, and where those of each begin.
        self._order = np.argsort(windows, kind="stable")
        self._begins = np.searchsorted(windows[self._order], np.arange(n + 1))
        counted = np.flatnonzero(np.bincount(windows, self._calls, n))
        self.windows = {groups.places[number]: number for number in counted.tolist()}
        """The numbers of the windows in which calls were counted."""

    def add_to(self, window: Window) -> None:
        """Count in the window what was counted of its minute and series."""
        number = self.windows.get((window.minute, window.series))
        if number is None:
            return
        for group in self._order[self._begins[number] : self._begins[number + 1]].tolist():
            if calls := int(self._calls[group]):
                count_kind(window, self._shapes[group], calls, self._bases[group].tolist())
        measures, cached, telling = self._counts.window(number)
        window.cached_tokens += cached
        for name, (buckets, total_nano) in zip(HISTOGRAMS, measures, strict=True):
            if buckets:
                getattr(window, name).add_counts(buckets, total_nano)
        for kind, found in zip(_TELLING, telling, strict=True):
            if found:
                window.exemplars.offer(
                    kind, [Exemplar(value, ids[:16].hex(), ids[16:].hex()) for value, ids in found]
                )
