"""Calls that wait to be counted in their windows: many are counted together in hardly more time than a few.

A call takes microseconds to be counted in six histograms by itself, and a tenth of that among thousands. What is
heaped here is counted when somebody looks, or when there is enough of it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..calls import BASES, ErrorClass
from ..rows import Floats, Integers, Marks, Rows, joined
from ..sightings import Shape
from .exemplars import EXEMPLARS_MAX, Exemplar, Kind
from .histogram import ZERO_BUCKET, Histogram, buckets_of, nano
from .series import Series
from .tallies import count
from .window import Window

HEAP_MAX = 20_000
"""How many calls may be heaped; beyond it they are counted. Some 4 MB, and as many again while they are counted."""

Group = tuple[int, Shape, Series]
"""The minute in which calls ended, their shape, and the series in which they are counted."""

_BUCKETS = 4_096
"""More than there are buckets in a histogram."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Calls that came together: ``group`` tells the minute and the shape of each row."""

    rows: Rows
    group: Integers
    cost_usd: Floats
    basis: Integers


class Heap:
    """Calls to be counted."""

    def __init__(self) -> None:
        """Start with none."""
        self._chunks: list[_Chunk] = []
        self._groups: dict[Group, int] = {}
        self._n = 0

    def __len__(self) -> int:
        """How many windows the calls belong to, at most."""
        return len(self._groups)

    @property
    def is_full(self) -> bool:
        """There is enough to be counted."""
        return self._n >= HEAP_MAX

    def add(
        self, rows: Rows, group: Integers, groups: Sequence[Group], cost_usd: Floats, basis: Integers
    ) -> None:
        """Heap the calls of the rows, each in its group, with what it cost and how sure that is, by number."""
        known = self._groups
        numbers = np.array([known.setdefault(one, len(known)) for one in groups], np.int64)
        self._chunks.append(_Chunk(rows, numbers[group], cost_usd, basis))
        self._n += len(rows)

    def count(self, window_of: Callable[[int, Series], Window]) -> None:
        """Count all calls in the windows of their minutes and series; none is left."""
        if self._chunks:
            _Count(self._chunks, list(self._groups)).into(window_of)
        self._chunks, self._groups, self._n = [], {}, 0


class _Count:
    """The calls of all chunks, one after the other."""

    def __init__(self, chunks: Sequence[_Chunk], groups: Sequence[Group]) -> None:
        self._groups = groups
        rows = self._rows = joined([chunk.rows for chunk in chunks])
        self._group = np.concatenate([chunk.group for chunk in chunks])
        self._cost = np.concatenate([chunk.cost_usd for chunk in chunks])
        self._basis = np.concatenate([chunk.basis for chunk in chunks])
        self._input, self._cached, self._output = (
            rows.column(name) for name in ("input_tokens", "cached_input_tokens", "output_tokens")
        )
        self._duration, self._ttft, self._speed = rows.duration_s, rows.ttft_s, rows.tokens_per_s
        self._end = rows.end_ns
        self._is_error = np.array([shape.error for _, shape, _ in groups], np.bool_)[self._group]

    def into(self, window_of: Callable[[int, Series], Window]) -> None:
        windows = [window_of(minute, series) for minute, _, series in self._groups]
        self._count_kinds(windows)
        for name, values, is_told in self._measures():
            self._fill([getattr(window, name) for window in windows], values, is_told)
        for kind, values, is_meant in (
            (Kind.SLOWEST, self._duration, ~self._is_error),
            (Kind.DEAREST, self._cost, self._cost > 0),
            (Kind.FAILED, self._end / 1e9, self._is_error),
        ):
            for group, best in self._best(values, is_meant):
                windows[group].exemplars.offer(kind, best)

    def _measures(self) -> Iterator[tuple[str, Floats, Marks]]:
        is_timeout = [shape.error_class is ErrorClass.TIMEOUT for _, shape, _ in self._groups]
        yield "latency_s", self._duration, ~self._is_error | np.array(is_timeout, np.bool_)[self._group]
        yield "ttft_s", self._ttft, ~np.isnan(self._ttft)
        yield "cost_usd", self._cost, ~np.isnan(self._cost)
        yield "input_tokens", self._input.astype(np.float64), self._input >= 0
        yield "output_tokens", self._output.astype(np.float64), self._output >= 0
        yield "tokens_per_s", self._speed, ~(self._is_error | np.isnan(self._speed))

    def _count_kinds(self, windows: Sequence[Window]) -> None:
        """Count what all calls of a shape have in common, and how sure their costs are."""
        n = len(self._groups)
        calls = np.bincount(self._group, minlength=n).tolist()
        cached = np.bincount(self._group, np.maximum(self._cached, 0), n).tolist()
        has_basis = ~self._is_error | ~np.isnan(self._cost)
        keys = self._group[has_basis] * len(BASES) + self._basis[has_basis]
        bases = np.bincount(keys, minlength=n * len(BASES)).reshape(n, -1).tolist()
        for place, (window, (_, shape, _)) in enumerate(zip(windows, self._groups, strict=True)):
            window.calls += calls[place]
            window.cached_tokens += int(cached[place])
            if shape.error:
                count(window.errors, (shape.error_class or ErrorClass.OTHER).value, calls[place])
            if shape.finish_reason:
                count(window.finish_reasons, shape.finish_reason.value, calls[place])
            for basis, by in zip(BASES, bases[place], strict=True):
                count(window.cost_bases, basis.value, by)

    def _fill(self, histograms: Sequence[Histogram], values: Floats, is_told: Marks) -> None:
        """Count the values that are told, each in the histogram of its group."""
        values, group = values[is_told], self._group[is_told]
        totals = np.zeros(len(histograms), np.int64)
        np.add.at(totals, group, nano(values))
        keys, counts = np.unique(group * _BUCKETS + buckets_of(values) - ZERO_BUCKET, return_counts=True)
        groups, buckets = np.divmod(keys, _BUCKETS)
        for mine in _runs(groups):
            place = int(groups[mine.start])
            counted = zip((buckets[mine] + ZERO_BUCKET).tolist(), counts[mine].tolist(), strict=True)
            histograms[place].add_counts(counted, int(totals[place]))

    def _best(self, values: Floats, is_meant: Marks) -> Iterator[tuple[int, list[Exemplar]]]:
        """The calls with the largest values of each group."""
        meant = np.flatnonzero(is_meant)
        order = meant[np.lexsort((values[meant], self._group[meant]))]
        for mine in _runs(self._group[order]):
            rows = order[max(mine.start, mine.stop - EXEMPLARS_MAX) : mine.stop].tolist()
            yield (
                int(self._group[rows[0]]),
                [Exemplar(float(values[row]), *self._rows.ids(row)) for row in rows],
            )


def _runs(groups: Integers) -> Iterator[slice]:
    """Where each group lies among the sorted groups."""
    edges = (np.flatnonzero(np.diff(groups)) + 1).tolist()
    yield from map(slice, [0, *edges], [*edges, len(groups)]) if len(groups) else ()
