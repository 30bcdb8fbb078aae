"""Calls that wait to be counted in their windows: many are counted together in hardly more time than a few.

A call takes microseconds to be counted in six histograms by itself, and a tenth of that among thousands. What is
heaped here is counted when somebody looks, or when there is enough of it: then in steps, as requests wait for the
thread that does it, and all of a heap at once would take tens of milliseconds.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from ..calls import BASES, CostBasis, ErrorClass
from ..rows import Floats, Integers, Marks, Records, Rows, tokens_per_s
from ..sightings import Shape
from .exemplars import EXEMPLARS_MAX, Exemplar, Exemplars, Kind
from .groups import Groups, Place
from .histogram import Histogram, buckets_of, nano
from .series import Series
from .tallies import count
from .window import Window

HEAP_MAX = 32_768
"""How many calls may be heaped; beyond it they are counted. Some 3 MB, and twice as many again while they are."""

RANKED_MAX = 8_192
"""So many calls at a time are looked through for the slowest and dearest: sorting takes longer than all else does."""

TABLE_MAX = 16
"""So many places for each value a table of counts has at most."""

_CALL = np.dtype(
    [
        ("ids", "V24"),
        ("duration_s", "f8"),
        ("ttft_s", "f8"),
        ("cost_usd", "f8"),
        ("end_ns", "i8"),
        ("input_tokens", "i4"),
        ("cached_input_tokens", "i4"),
        ("output_tokens", "i4"),
        ("group", "i4"),
        ("basis", "i4"),
        ("", "i4"),
    ]
)
"""What is heaped of a call: few enough tokens for 32 bits, for others are counted by themselves."""


class Heap:
    """Calls to be counted."""

    def __init__(self, groups: Groups) -> None:
        """Start with none. Calls will be of these groups."""
        self._groups = groups
        self._chunks: list[Records] = []
        self._n = self._windows = 0
        self._steps: Iterator[None] = iter(())
        self.is_counting = False
        """Whether some calls are counted in part: ``step`` goes on with them."""

    def __len__(self) -> int:
        """How many windows the calls belong to that were not asked for yet."""
        return len(self._groups.places) - self._windows

    @property
    def is_empty(self) -> bool:
        """No call waits to be counted, but for those that ``step`` goes on with."""
        return not self._chunks

    @property
    def is_full(self) -> bool:
        """There is enough to be counted."""
        return self._n >= HEAP_MAX

    def add(self, rows: Rows, group: Integers, cost_usd: Floats, basis: Integers) -> None:
        """Heap the calls of the rows, each in its group, with what it cost and how sure that is, by number."""
        calls = np.empty(len(rows), _CALL)
        calls["ids"] = np.ndarray(len(rows), "V24", rows.records.data, 0, rows.records.strides)
        for name in ("ttft_s", "end_ns", "input_tokens", "cached_input_tokens", "output_tokens"):
            calls[name] = rows.column(name)
        calls["duration_s"] = rows.duration_s
        calls["cost_usd"], calls["basis"], calls["group"] = cost_usd, basis, group
        self._chunks.append(calls)
        self._n += len(rows)

    def begin(self, window_of: Callable[[int, Series], Window]) -> None:
        """Begin to count all calls in the windows of their minutes and series; follow with ``step``."""
        self._finish()
        if self._chunks:
            self._steps = _steps(self._chunks, self._groups, window_of)
            self.is_counting = True
        self._chunks, self._n, self._windows = [], 0, len(self._groups.places)

    def step(self) -> None:
        """Go on with what was begun, for a few milliseconds."""
        self.is_counting = next(self._steps, _NO_MORE) is not _NO_MORE

    def count(self, window_of: Callable[[int, Series], Window]) -> None:
        """Count all calls now; none is left."""
        self.begin(window_of)
        self._finish()

    def _finish(self) -> None:
        while self.is_counting:
            self.step()


_NO_MORE = object()


def _steps(
    chunks: Sequence[Records], groups: Groups, window_of: Callable[[int, Series], Window]
) -> Iterator[None]:
    counting = _Count(chunks, groups)
    yield
    yield from counting.into(window_of)


class _Count:
    """The calls of all chunks, one after the other."""

    def __init__(self, chunks: Sequence[Records], groups: Groups) -> None:
        calls = self._calls = np.concatenate(chunks)
        of_all = calls["group"]
        used = np.flatnonzero(np.bincount(of_all, minlength=len(groups)))
        self._shapes = [groups.shapes[number] for number in used.tolist()]
        place = np.zeros(int(used[-1]) + 1, np.int64)
        place[used] = np.arange(len(used))
        # Several groups are counted in one window: they tell apart how calls ended.
        places: dict[Place, int] = {}
        self._place_of = [places.setdefault(groups.place(number), len(places)) for number in used.tolist()]
        self._places = list(places)
        self._group = place[of_all]
        self._window = np.array(self._place_of, np.int64)[self._group]
        self._cost, self._basis = calls["cost_usd"], calls["basis"]
        self._input, self._output = calls["input_tokens"], calls["output_tokens"]
        self._cached = calls["cached_input_tokens"]
        self._duration, self._ttft, self._end = calls["duration_s"], calls["ttft_s"], calls["end_ns"]
        self._speed = tokens_per_s(self._output, self._duration, self._ttft)
        self._is_error = np.array([shape.error for shape in self._shapes], np.bool_)[self._group]

    def into(self, window_of: Callable[[int, Series], Window]) -> Iterator[None]:
        windows = [window_of(minute, series) for minute, series in self._places]
        self._count_kinds([windows[place] for place in self._place_of])
        yield
        for name, values, is_told in self._measures():
            self._fill([getattr(window, name) for window in windows], values, is_told)
            yield
        for kind, values, is_meant in (
            (Kind.SLOWEST, self._duration, ~self._is_error),
            (Kind.DEAREST, self._cost, self._cost > 0),
            (Kind.FAILED, self._end / 1e9, self._is_error),
        ):
            for begin in range(0, len(values), RANKED_MAX):
                # Hardly any of those that come behind is slower than the slowest before.
                few = slice(begin, begin + RANKED_MAX)
                least = np.array([window.exemplars.least(kind) for window in windows])
                meant = np.flatnonzero(is_meant[few] & (values[few] >= least[self._window[few]])) + begin
                for place, best in self._best(values, meant):
                    self._offer(windows[place].exemplars, kind, best)
            yield

    def _measures(self) -> Iterator[tuple[str, Floats, Marks]]:
        is_timeout = [shape.error_class is ErrorClass.TIMEOUT for shape in self._shapes]
        yield "latency_s", self._duration, ~self._is_error | np.array(is_timeout, np.bool_)[self._group]
        yield "ttft_s", self._ttft, ~np.isnan(self._ttft)
        yield "cost_usd", self._cost, ~np.isnan(self._cost)
        yield "input_tokens", self._input.astype(np.float64), self._input >= 0
        yield "output_tokens", self._output.astype(np.float64), self._output >= 0
        yield "tokens_per_s", self._speed, ~(self._is_error | np.isnan(self._speed))

    def _count_kinds(self, windows: Sequence[Window]) -> None:
        """Count what all calls of a group have in common, and how sure their costs are."""
        n = len(self._shapes)
        calls = np.bincount(self._group, minlength=n).tolist()
        cached = np.bincount(self._group, np.maximum(self._cached, 0), n).tolist()
        keys = self._group * len(BASES) + self._basis
        bases = np.bincount(keys, minlength=n * len(BASES)).reshape(n, -1).tolist()
        for place, (window, shape) in enumerate(zip(windows, self._shapes, strict=True)):
            window.cached_tokens += int(cached[place])
            count_kind(window, shape, calls[place], bases[place])

    def _fill(self, histograms: Sequence[Histogram], values: Floats, is_told: Marks) -> None:
        """Count the values that are told, each in the histogram of its window."""
        values, window = values[is_told], self._window[is_told]
        if not len(values):
            return
        totals = np.zeros(len(histograms), np.int64)
        np.add.at(totals, window, nano(values))
        buckets = buckets_of(values)
        lowest = int(buckets.min())
        width = int(buckets.max()) - lowest + 1
        keys, counts = _counted(window * width + (buckets - lowest))
        places, found = np.divmod(keys, width)
        numbers, times, sums = (found + lowest).tolist(), counts.tolist(), totals.tolist()
        for place, begin, end in _runs(places):
            counted = dict(zip(numbers[begin:end], times[begin:end], strict=True))
            histograms[place].add_counts(counted, sums[place])

    def _best(self, values: Floats, meant: Integers) -> Iterator[tuple[int, list[tuple[float, int]]]]:
        """The largest values of each window among those that are meant, with the places of the calls that have them."""
        order = meant[np.argsort(values[meant])]
        # Small numbers are sorted by their digits, in a tenth of the time.
        windows = self._window[order]
        if len(self._places) < 2**16:
            windows = windows.astype(np.uint16)
        order = order[np.argsort(windows, kind="stable")]
        rows, ordered = order.tolist(), values[order].tolist()
        for place, begin, end in _runs(self._window[order]):
            begin = max(begin, end - EXEMPLARS_MAX)
            yield place, list(zip(ordered[begin:end], rows[begin:end], strict=True))

    def _offer(self, exemplars: Exemplars, kind: Kind, best: Iterable[tuple[float, int]]) -> None:
        found = []
        for value, row in best:
            ids = self._calls["ids"][row].tobytes()
            found.append(Exemplar(value, ids[:16].hex(), ids[16:].hex()))
        exemplars.offer(kind, found)


def count_kind(window: Window, shape: Shape, calls: int, bases: Sequence[int]) -> None:
    """Count what all calls of a group have in common, and how many there are of each basis of a cost.

    Failed calls that have no price are not asked for one. ``shape`` is that of one of the calls: whatever is asked of
    it here, ``groups`` has to tell groups apart by.
    """
    window.calls += calls
    if shape.error:
        count(window.errors, (shape.error_class or ErrorClass.OTHER).value, calls)
    if shape.finish_reason:
        count(window.finish_reasons, shape.finish_reason.value, calls)
    for basis, by in zip(BASES, bases, strict=True):
        if not (shape.error and basis is CostBasis.UNPRICED):
            count(window.cost_bases, basis.value, by)


def _counted(keys: Integers) -> tuple[Integers, Integers]:
    """The keys, which are not negative, in their order, and how many there are of each."""
    if int(keys.max()) < TABLE_MAX * len(keys):
        # Counted in a table, which takes a third of the time; where it would be nearly empty, they are sorted.
        counts = np.bincount(keys)
        found = np.flatnonzero(counts)
        return found, counts[found]
    return np.unique(keys, return_counts=True)


def _runs(groups: Integers) -> Iterator[tuple[int, int, int]]:
    """Each group among the sorted groups, with where it begins and ends."""
    if len(groups):
        edges = (np.flatnonzero(np.diff(groups)) + 1).tolist()
        begins = [0, *edges]
        yield from zip(groups[begins].tolist(), begins, [*edges, len(groups)], strict=True)
