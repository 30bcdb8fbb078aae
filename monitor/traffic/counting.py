"""What is counted and not folded yet, and how it got there: settled, priced, admitted to its series.

Nothing here waits for anything: ``intake`` calls one method after the other, and stores in between.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import Protocol, TypeVar

import numpy as np

from . import StoreError
from .calls import BASES, BASIS_NUMBERS, Call, CostBasis, ErrorClass
from .entries import Values, decode, encode
from .joining.counted import Counted
from .joining.recent import Recent, Settled
from .lookout.scanning import scanner
from .pricing import book as pricing
from .pricing.book import PriceBook
from .rows import Floats, Integers, Marks, Rows, distinct
from .sightings import Shape, Shapes
from .watches.marking import Marking
from .windows.groups import Groups
from .windows.series import OVERFLOW, Admission, Series, minute_of, series_of
from .windows.tallies import ALL_VALUES, Tally, nano
from .windows.window_book import WindowBook

T = TypeVar("T")

LATE_S = 120.0
"""A call that ended so long before it came is late: the watches have looked at its minute already."""


class CallMetrics(Protocol):
    """What is counted about calls, at the first report of each: a counter cannot go back."""

    def count_call(self, labels: tuple[str, ...], by: int = 1) -> None:
        """Calls, by service, operation, provider, model and outcome (``ok`` or the class of the error)."""

    def count_unpriced(self, service: str, model: str, by: int = 1) -> None:
        """Answered calls without a known price."""

    def count_cost(self, service: str, basis: str, by: int = 1) -> None:
        """Calls that should have a cost, by how sure it is: answered, or failed after they used tokens."""

    def count_check(self, service: str, validator: str, result: str, by: int = 1) -> None:
        """Checks of answers: ``passed`` or ``failed``."""

    def count_late(self, by: int = 1) -> None:
        """Calls that came long after they ended: the watches had looked at their minute already."""

    def count_overflow(self, by: int = 1) -> None:
        """Calls that are counted in no series of their own, for there are too many."""

    def count_joined(self, by: int = 1) -> None:
        """Calls that were counted anew because a further report of them came, or turned out to be none."""


Marked = tuple[tuple[str, ...], tuple[tuple[str, str], ...] | None]
"""Which filters a call fits, and what of its chosen attributes counts: ``None`` where all of them do."""


@dataclass(frozen=True, slots=True)
class Many:
    """Calls that are counted together: each with its group, what it cost, and how sure that is, by number.

    ``marks`` has those of the calls that fit a filter or have a chosen attribute, by their places.
    """

    rows: Rows
    group: Integers
    groups: Groups
    cost_usd: Floats
    basis: Integers
    marks: dict[int, Marked] = field(default_factory=dict)

    def value(self, place: int, counted: Counted) -> None:
        """Say of a call what it cost and where it is counted, as this has it at that place."""
        counted.cost_usd = _known(float(self.cost_usd[place]))
        counted.cost_basis = BASES[self.basis[place]]
        _, counted.series = self.groups.place(self.group[place])
        counted.matched, counted.chosen = self.marks.get(place, ((), None))


@dataclass(frozen=True, slots=True)
class Batch:
    """What was settled, and how its calls are counted.

    Most are told by one report and of everyday size: they are ``many``, the plain rows. The others are counted one by
    one.
    """

    settled: Settled
    many: Many | None

    def value(self, place: int, counted: Counted) -> None:
        """Say of a call, which was a plain row at that place, what it cost and where it is counted."""
        if self.many is not None:
            self.many.value(int(np.searchsorted(self.settled.plain, place)), counted)


@dataclass(frozen=True, slots=True)
class Unfolded:
    """Windows to be added to the stored ones: with them these hold the journal up to the entry ``through``.

    What lies before the entry ``cut_before`` nobody needs any more then.
    """

    windows: WindowBook
    through: int
    cut_before: int


class Counting:
    """Counts calls. Used by one thread at a time."""

    def __init__(
        self,
        prices: PriceBook = pricing.LIST_PRICES,
        recent: Recent | None = None,
        marking: Marking | None = None,
        scanner: ModuleType | None = scanner,
    ) -> None:
        """Start with nothing counted. ``scanner`` is the one in C, if there is: it counts, too."""
        self._scanner = scanner
        self._new_book = partial(WindowBook, values_max=ALL_VALUES, scanner=scanner)
        self.shapes = Shapes()
        self._prices = prices
        self._marking = marking or Marking()
        self._recent = Recent() if recent is None else recent
        self._admission = Admission()
        self._unfolded = self._new_book()
        self._through = 0
        self._is_whole = True

    def __len__(self) -> int:
        """How many windows are not folded yet."""
        return len(self._unfolded)

    def settle(self, rows: Rows, now: float) -> Batch:
        """What these reports are counted as. Follow with ``count`` once that is stored, or with ``undo``."""
        settled = self._recent.settle(rows, now, ~rows.are_everyday(self._scanner))
        try:
            return self._valued(settled)
        except BaseException:
            self._recent.undo(settled)
            raise

    def _valued(self, settled: Settled) -> Batch:
        """What was settled, with what each call cost and where it is counted."""
        rows = settled.rows.take(settled.plain)
        for counted in settled.admitted:
            self._value(counted)
        many = self._value_all(rows) if len(rows) else None
        batch = Batch(settled, many)
        for place, counted in settled.looked_at.items():
            batch.value(place, counted)
        if self._marking.is_wanted:
            self._mark(settled, many)
        return batch

    def _mark(self, settled: Settled, many: Many | None) -> None:
        """Say what windows are to count of the calls, in the order in which they came."""
        of_kind: dict[object, Marked] = {}
        places: dict[int, int] = {}
        found = [one for one in settled.admitted if one.is_call]
        for place, counted in [] if many is None else self._to_be_marked(settled, many):
            places[id(counted)] = place
            found.append(counted)
        for counted in sorted(found, key=lambda one: one.came):
            first = counted.sightings[0]
            kind = first.shape, BASIS_NUMBERS[counted.cost_basis], first.chosen
            is_plain = self._marking.is_by_kind and len(counted.sightings) == 1 and not first.checks
            if is_plain and (like := of_kind.get(kind)) is not None:
                counted.matched, counted.chosen = like
            else:
                call = counted.call()
                chosen, counted.matched = self._marking.mark(call)
                counted.chosen = None if chosen == call.chosen else chosen
            if is_plain:
                of_kind[kind] = counted.matched, counted.chosen
            if many is not None and id(counted) in places:
                many.marks[places[id(counted)]] = counted.matched, counted.chosen
        if many is not None and self._marking.is_by_kind:
            _mark_alike(many, of_kind)

    def _to_be_marked(self, settled: Settled, many: Many) -> Iterable[tuple[int, Counted]]:
        """The rows that are to be marked by themselves, as calls: those that are like others before are not."""
        seen: set[object] = set()
        for place, row in enumerate(settled.plain.tolist()):
            known = settled.looked_at.get(row)
            if self._marking.is_by_kind and known is None:
                if (kind := _kind(many, place)) in seen:
                    continue
                seen.add(kind)
            if known is None:
                known = Counted((many.rows.sighting(place),), came=(settled.first + row, 0))
                many.value(place, known)
            yield place, known

    def _value(self, counted: Counted) -> None:
        """Say what a call cost, and in which series it is counted."""
        call = counted.call()
        counted.series = self._admission.admit(series_of(call), minute_of(call.ended_at))
        if counted.is_call:
            counted.cost_usd, counted.cost_basis = self._prices.cost_of(call)

    def _value_all(self, rows: Rows) -> Many:
        """The same for many calls, which are those of the rows."""
        groups = self._unfolded.groups
        return Many(rows, groups.of(rows, self._admitted), groups, *self._prices.costs_of(rows))

    def _admitted(self, shape: Shape, minute: int) -> Series:
        return self._admission.admit(series_of(shape), minute)

    def entry(self, batch: Batch) -> bytes | bytearray:
        """What is to be written to the journal of it."""
        many = batch.many
        if many is None:
            return encode(batch.settled)
        values = Values(many.cost_usd, many.basis, many.groups.are_over(many.group), many.marks)
        return encode(batch.settled, values)

    def undo(self, batch: Batch) -> None:
        """Be as before ``settle``."""
        self._recent.undo(batch.settled)

    def count(self, batch: Batch, entry_id: int, now: float) -> None:
        """Count what was settled and is stored in this entry of the journal."""
        self._recent.keep(batch.settled, entry_id, now, batch.value)
        with self._wholly():
            self._add_batch(batch)
        self._through = entry_id

    @contextmanager
    def _wholly(self) -> Iterator[None]:
        """When this fails, no fold passes by the journal any more."""
        is_whole, self._is_whole = self._is_whole, False
        yield
        self._is_whole = is_whole

    def _add_batch(self, batch: Batch) -> None:
        if many := batch.many:
            self._unfolded.add_rows(many.rows, many.group, many.cost_usd, many.basis)
            self._add_marks(many)
        self._add(batch.settled.admitted, batch.settled.withdrawn)

    def _add_marks(self, many: Many) -> None:
        """Count what rows do not say of calls: which filters they fit, and their chosen attributes."""
        fits: Counter[tuple[int, Series, tuple[str, ...]]] = Counter()
        for place in {*many.marks, *many.rows.more}:
            matched, chosen = many.marks.get(place, _UNMARKED)
            minute, series = many.groups.place(many.group[place])
            if matched:
                fits[minute, series, matched] += 1
            if chosen is None and place in many.rows.more:
                chosen = many.rows.more[place][1]
            if chosen:
                self._unfolded.add_chosen(minute, series, chosen, _tally(many, place))
        for (minute, series, names), calls in fits.items():
            self._unfolded.add_matched(minute, series, names, calls)

    def restore(self, entry_id: int, at: float, body: bytes, *, is_folded: bool) -> int:
        """Count again what an entry says, unless it is in the stored windows; gives how many calls were counted."""
        entry = decode(body, self.shapes)
        many = self._as_it_was(entry.rows, entry.values) if len(entry.rows) else None
        value = many.value if many else None
        settled = self._recent.restore(entry.rows, entry.admitted, entry.withdrawn, entry_id, at, value)
        self._through = entry_id
        if is_folded:
            return 0
        self._add_batch(Batch(settled, many))
        return len(entry.rows) + sum(one.is_call for one in settled.admitted)

    def _as_it_was(self, rows: Rows, values: Values) -> Many:
        """Calls that were valued before: prices and limits may have changed since."""
        groups = self._unfolded.groups
        group = groups.of(rows, lambda shape, _: series_of(shape), values.is_over)
        return Many(rows, group, groups, values.cost_usd, values.basis, dict(values.marks))

    def _add(self, admitted: Iterable[Counted], withdrawn: Iterable[Counted]) -> None:
        for counted in admitted:
            if counted.is_call and counted.series is not None:
                self._unfolded.add(counted.call(), counted.series)
        for counted in withdrawn:
            if counted.is_call and counted.series is not None:
                self._unfolded.take_back(counted.call(), counted.series)

    def take(self, now: float) -> Unfolded:
        """What is to be folded; counting goes on without it.

        Raises StoreError once an entry of the journal could not be counted: the mark of a fold would pass it by.
        """
        if not self._is_whole:
            raise StoreError("calls in the journal could not be counted: a restart counts them")
        self._recent.forget(now)
        windows, self._unfolded = self._unfolded, self._new_book()
        windows.close()
        oldest = self._recent.oldest_entry
        cut_before = self._through + 1 if oldest is None else min(oldest, self._through + 1)
        return Unfolded(windows, self._through, cut_before)

    @property
    def is_counting(self) -> bool:
        """Whether something is left to be done of the calls that were counted: ``step`` does a little of it."""
        return self._unfolded.is_counting

    def step(self) -> None:
        """Go on with it, for a few milliseconds. Who reads windows finds them whole in any case."""
        with self._wholly():
            self._unfolded.step()

    def finish(self, unfolded: Unfolded) -> bool:
        """Go on with what is left to be done of windows that were taken; gives whether that was not all."""
        with self._wholly():
            return unfolded.windows.step(with_few=True)

    def put_back(self, unfolded: Unfolded) -> None:
        """Count what could not be folded, for the next time."""
        with self._wholly():
            self._unfolded.merge(unfolded.windows)

    def copy_to(self, book: WindowBook, first_minute: int, last_minute: int) -> None:
        """Add to ``book`` what is not folded of the minutes from one to another, both included."""
        with self._wholly():
            book.merge(one for one in self._unfolded if first_minute <= one.minute <= last_minute)

    def active_minutes(self, first_minute: int, last_minute: int) -> set[tuple[int, str]]:
        """The minutes that are not folded, from one to another, in which a service had calls: each with its name."""
        with self._wholly():
            return {
                (one.minute, one.series.service)
                for one in self._unfolded
                if first_minute <= one.minute <= last_minute and one.calls > 0
            }


def _kind(many: Many, place: int) -> object:
    shape = many.rows.shapes[many.rows.kind[place]]
    chosen = many.rows.more[place][1] if place in many.rows.more else ()
    return shape, int(many.basis[place]), chosen


def _mark_alike(many: Many, of_kind: Mapping[object, Marked]) -> None:
    """Mark the rows as those of their kind: most calls differ in numbers only, which most filters do not see."""
    for place in range(len(many.rows)):
        marked = of_kind[_kind(many, place)]
        if marked != _UNMARKED or place in many.rows.more:
            many.marks[place] = marked


_UNMARKED: Marked = ((), None)


def _tally(many: Many, place: int) -> Tally:
    """What a call of the rows adds to a tally, as ``Tally.count`` has it."""
    record, cost = many.rows.records[place], _known(float(many.cost_usd[place]))
    is_error = many.rows.shapes[record["kind"]].error
    tokens = max(0, int(record["input_tokens"])) + max(0, int(record["output_tokens"]))
    return Tally(1, int(is_error), int(cost is None and not is_error), tokens, nano(cost))


def tell(batch: Batch, metrics: CallMetrics, now: float) -> None:
    """Count in the metrics what was settled at ``now``."""
    told, late, over = _Told(), 0, 0
    if many := batch.many:
        late = int((many.rows.end_ns < (now - LATE_S) * 1e9).sum())
        over = int(many.groups.are_over(many.group).sum())
        _tell_many(many, metrics)
    before = {one.key: gone for gone in batch.settled.withdrawn for one in gone.sightings}
    for counted in batch.settled.admitted:
        if not counted.is_call:
            continue
        call = counted.call()
        replaced = [before[one.key] for one in counted.sightings if one.key in before]
        told.checks.update(_checks(call, [one.call() for one in replaced]))
        if not replaced:
            told.count(_labels(call), call.cost_basis, 1)
            late += call.ended_at < now - LATE_S
            over += counted.series is OVERFLOW
    told.to(metrics)
    if late:
        metrics.count_late(late)
    if over:
        metrics.count_overflow(over)
    if batch.settled.withdrawn:
        metrics.count_joined(len(batch.settled.withdrawn))


def _tell_many(many: Many, metrics: CallMetrics) -> None:
    """Count calls in the metrics by what shapes tell of them: thousands at once, as ``_Told`` does one by one."""
    kinds, kind = many.rows.kinds, many.rows.kind
    for labels, by in _alike(many, _labels):
        metrics.count_call(labels, by)
    is_priced = many.basis != BASIS_NUMBERS[CostBasis.UNPRICED]
    is_answered = ~kinds.column(_is_error, _is_error, np.bool_)[kind]
    for basis in distinct(many.basis):
        is_meant = (is_priced | is_answered) & (many.basis == basis)
        for service, by in _alike(many, _service, is_meant):
            metrics.count_cost(service, BASES[basis], by)
    if not is_priced.all():
        # By all labels, as they are known: what only these two say of thousands of shapes would be held as well.
        for (service, _, _, model, _), by in _alike(many, _labels, is_answered & ~is_priced):
            metrics.count_unpriced(service, model, by)


def _alike(many: Many, of: Callable[[Shape], T], is_meant: Marks | None = None) -> Iterable[tuple[T, int]]:
    """How many of the calls, or of those that are meant, there are for each thing that is said of shapes."""
    alike, said = many.rows.kinds.alike(of)
    kind = many.rows.kind if is_meant is None else many.rows.kind[is_meant]
    calls = np.bincount(alike[kind])
    found = np.flatnonzero(calls)
    return zip([said[place] for place in found.tolist()], calls[found].tolist(), strict=True)


def _is_error(shape: Shape) -> bool:
    return shape.error


def _service(shape: Shape) -> str:
    return shape.service_name or ""


class _Told:
    """Calls by what the metrics tell them apart by."""

    def __init__(self) -> None:
        self._calls: Counter[tuple[str, ...]] = Counter()
        self._costs: Counter[tuple[str, str]] = Counter()
        self._unpriced: Counter[tuple[str, str]] = Counter()
        self.checks: Counter[tuple[str, str, str]] = Counter()

    def count(self, labels: tuple[str, ...], basis: CostBasis, by: int) -> None:
        self._calls[labels] += by
        service, model, is_error = labels[0], labels[3], labels[4] != _OK
        is_priced = basis is not CostBasis.UNPRICED
        if is_priced or not is_error:
            self._costs[service, basis] += by
        if not is_priced and not is_error:
            self._unpriced[service, model] += by

    def to(self, metrics: CallMetrics) -> None:
        for labels, by in self._calls.items():
            metrics.count_call(labels, by)
        for (service, basis), by in self._costs.items():
            metrics.count_cost(service, basis, by)
        for (service, model), by in self._unpriced.items():
            metrics.count_unpriced(service, model, by)
        for (service, name, result), by in self.checks.items():
            metrics.count_check(service, name, result, by)


_OK = "ok"


def _labels(call: Call | Shape) -> tuple[str, ...]:
    outcome = (call.error_class or ErrorClass.OTHER).value if call.error else _OK
    model = call.response_model or call.request_model or ""
    return call.service_name or "", call.operation.value, call.provider or "", model, outcome


def _checks(call: Call, replaced: Sequence[Call]) -> Iterable[tuple[str, str, str]]:
    """The checks of a call that no report of it that came before told."""
    known = {name for one in replaced for name in (*one.checks_passed, *one.checks_failed)}
    for result, names in (("passed", call.checks_passed), ("failed", call.checks_failed)):
        for name in names:
            if name not in known:
                yield call.service_name or "", name, result


def _known(value: float) -> float | None:
    return None if value != value else value
