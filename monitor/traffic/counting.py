"""What is counted and not folded yet, and how it got there: settled, priced, admitted to its series.

Nothing here waits for anything: ``intake`` calls one method after the other, and stores in between.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from . import StoreError
from .calls import Call, CostBasis, ErrorClass
from .entries import decode, encode
from .joining.recent import Counted, Recent, Settled
from .pricing import book as pricing
from .pricing.book import PriceBook
from .sightings import SHAPES_MAX, Shape, Shapes, Sighting
from .watches.marking import Marking
from .windows.rows import Floats, Rows, rows_of
from .windows.series import OVERFLOW, Admission, Series, minute_of, series_of
from .windows.tallies import ALL_VALUES, Tally, nano
from .windows.window_book import WindowBook

LATE_S = 120.0
"""A call that ended so long before it came is late: the watches have looked at its minute already."""


class CallMetrics(Protocol):
    """What is counted about calls, at the first report of each: a counter cannot go back."""

    def count_call(self, labels: Mapping[str, str], by: int = 1) -> None:
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


@dataclass(frozen=True, slots=True)
class Many:
    """Calls that are counted together: each with its series, what it cost, and how sure that is."""

    rows: Rows
    series: Sequence[Series]
    cost_usd: Floats
    bases: Sequence[CostBasis]


@dataclass(frozen=True, slots=True)
class Batch:
    """What was settled, and how its calls are counted.

    Most are told by one report and of everyday size: they are ``many``. ``others`` are counted one by one.
    ``marked`` are those of the many that fit a filter or have a chosen attribute.
    """

    settled: Settled
    others: Sequence[Counted]
    many: Many | None
    marked: Sequence[Counted]


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
    ) -> None:
        """Start with nothing counted."""
        self.shapes = Shapes()
        self._prices = prices
        self._marking = marking or Marking()
        self._recent = Recent() if recent is None else recent
        self._series_of = lru_cache(maxsize=SHAPES_MAX)(series_of)
        self._admission = Admission()
        self._unfolded = WindowBook(values_max=ALL_VALUES)
        self._through = 0
        self._is_whole = True

    def __len__(self) -> int:
        """How many windows are not folded yet."""
        return len(self._unfolded)

    def settle(self, sightings: Iterable[Sighting], now: float) -> Batch:
        """What these reports are counted as. Follow with ``count`` once that is stored, or with ``undo``."""
        settled = self._recent.settle(sightings, now)
        try:
            return self._valued(settled)
        except BaseException:
            self._recent.undo(settled)
            raise

    def _valued(self, settled: Settled) -> Batch:
        """What was settled, with what each call cost and where it is counted."""
        singles, rows, others = _divided(settled.admitted)
        for counted in others:
            self._value(counted)
        many = self._value_all(singles, rows) if rows is not None else None
        if self._marking.is_wanted:
            self._mark(settled.admitted)
        marked = [one for one in singles if one.matched or one.chosen_first]
        return Batch(settled, others, many, marked)

    def _mark(self, admitted: Iterable[Counted]) -> None:
        """Say what windows are to count of the calls, in the order in which they came."""
        of_kind: dict[object, Counted] = {}
        for counted in admitted:
            if not counted.is_call:
                continue
            first = counted.sightings[0]
            is_plain = self._marking.is_by_kind and len(counted.sightings) == 1 and not first.checks
            kind = first.shape, counted.cost_basis, first.chosen
            # Most calls differ from others in their numbers only, which most filters do not look at.
            if is_plain and (like := of_kind.get(kind)) is not None:
                counted.matched, counted.chosen = like.matched, like.chosen
                continue
            call = counted.call()
            chosen, counted.matched = self._marking.mark(call)
            counted.chosen = None if chosen == call.chosen else chosen
            if is_plain:
                of_kind[kind] = counted

    def _value(self, counted: Counted) -> None:
        """Say what a call cost, and in which series it is counted."""
        call = counted.call()
        counted.series = self._admission.admit(series_of(call), minute_of(call.ended_at))
        if counted.is_call:
            counted.cost_usd, counted.cost_basis = self._prices.cost_of(call)

    def _value_all(self, singles: Sequence[Counted], rows: Rows) -> Many:
        """The same for many calls, which are those of the rows."""
        many = Many(rows, self._admit(rows), *self._prices.costs_of(rows))
        valued = zip(singles, many.cost_usd.tolist(), many.bases, many.series, strict=True)
        for counted, cost, basis, series in valued:
            counted.cost_usd, counted.cost_basis, counted.series = _known(cost), basis, series
        return many

    def _admit(self, rows: Rows) -> list[Series]:
        own = [self._series_of(shape) for shape in rows.shapes]
        places = list(zip(rows.kind.tolist(), rows.minute.tolist(), strict=True))
        admitted = {
            (kind, minute): self._admission.admit(own[kind], minute) for kind, minute in dict.fromkeys(places)
        }
        return [admitted[place] for place in places]

    def entry(self, batch: Batch) -> bytes:
        """What is to be written to the journal of it."""
        rows = batch.many.rows if batch.many and not batch.others else None
        return encode(batch.settled, rows)

    def undo(self, batch: Batch) -> None:
        """Be as before ``settle``."""
        self._recent.undo(batch.settled)

    def count(self, batch: Batch, entry_id: int, now: float) -> None:
        """Count what was settled and is stored in this entry of the journal."""
        self._recent.keep(batch.settled, entry_id, now)
        is_whole, self._is_whole = self._is_whole, False
        self._add_batch(batch)
        self._is_whole = is_whole
        self._through = entry_id

    def _add_batch(self, batch: Batch) -> None:
        if many := batch.many:
            self._unfolded.add_rows(many.rows, many.series, many.cost_usd, many.bases)
        self._add_marks(batch.marked)
        self._add(batch.others, batch.settled.withdrawn)

    def _add_marks(self, marked: Iterable[Counted]) -> None:
        """Count what rows do not say of calls: which filters they fit, and their chosen attributes."""
        matched: Counter[tuple[int, Series, tuple[str, ...]]] = Counter()
        for counted in marked:
            if counted.series is None:
                continue
            matched[counted.minute, counted.series, counted.matched] += 1
            if chosen := counted.chosen_first:
                self._unfolded.add_chosen(counted.minute, counted.series, chosen, _tally(counted))
        for (minute, series, names), calls in matched.items():
            self._unfolded.add_matched(minute, series, names, calls)

    def restore(self, entry_id: int, at: float, body: bytes, *, is_folded: bool) -> int:
        """Count again what an entry says, unless it is in the stored windows; gives how many calls were counted."""
        entry = decode(body, self.shapes)
        settled = self._recent.restore(entry.admitted, entry.withdrawn, entry_id, at)
        self._through = entry_id
        if is_folded:
            return 0
        singles, rows, others = _divided(settled.admitted)
        many = _as_they_were(singles, rows) if rows is not None else None
        marked = [one for one in singles if one.matched or one.chosen_first]
        self._add_batch(Batch(settled, others, many, marked))
        return sum(one.is_call for one in settled.admitted)

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
        windows, self._unfolded = self._unfolded, WindowBook(values_max=ALL_VALUES)
        oldest = self._recent.oldest_entry
        cut_before = self._through + 1 if oldest is None else min(oldest, self._through + 1)
        return Unfolded(windows, self._through, cut_before)

    def put_back(self, unfolded: Unfolded) -> None:
        """Count what could not be folded, for the next time."""
        self._unfolded.merge(unfolded.windows)

    def copy_to(self, book: WindowBook, first_minute: int, last_minute: int) -> None:
        """Add to ``book`` what is not folded of the minutes from one to another, both included."""
        book.merge(one for one in self._unfolded if first_minute <= one.minute <= last_minute)

    def active_minutes(self, first_minute: int, last_minute: int) -> set[tuple[int, str]]:
        """The minutes that are not folded, from one to another, in which a service had calls: each with its name."""
        return {
            (one.minute, one.series.service)
            for one in self._unfolded
            if first_minute <= one.minute <= last_minute and one.calls > 0
        }


def _tally(counted: Counted) -> Tally:
    """What a call that is told by one report adds to a tally, as ``Tally.count`` has it."""
    (sighting,), cost = counted.sightings, counted.cost_usd
    is_error = sighting.shape.error
    return Tally(
        1,
        int(is_error),
        int(cost is None and not is_error),
        (sighting.input_tokens or 0) + (sighting.output_tokens or 0),
        nano(cost),
    )


def tell(batch: Batch, metrics: CallMetrics, now: float) -> None:
    """Count in the metrics what was settled at ``now``."""
    told, late, over = _Told(), 0, 0
    if many := batch.many:
        late = int((many.rows.end_ns < (now - LATE_S) * 1e9).sum())
        over = sum(one is OVERFLOW for one in many.series)
        for (kind, basis), by in Counter(zip(many.rows.kind.tolist(), many.bases, strict=True)).items():
            told.count(many.rows.shapes[kind], basis, by)
    before = {one.key: gone for gone in batch.settled.withdrawn for one in gone.sightings}
    for counted in batch.others:
        if not counted.is_call:
            continue
        call = counted.call()
        replaced = [before[one.key] for one in counted.sightings if one.key in before]
        told.checks.update(_checks(call, [one.call() for one in replaced]))
        if not replaced:
            told.count(call, call.cost_basis, 1)
            late += call.ended_at < now - LATE_S
            over += counted.series is OVERFLOW
    told.to(metrics)
    if late:
        metrics.count_late(late)
    if over:
        metrics.count_overflow(over)
    if batch.settled.withdrawn:
        metrics.count_joined(len(batch.settled.withdrawn))


class _Told:
    """Calls by what the metrics tell them apart by."""

    def __init__(self) -> None:
        self._calls: Counter[tuple[str, ...]] = Counter()
        self._costs: Counter[tuple[str, str]] = Counter()
        self._unpriced: Counter[tuple[str, str]] = Counter()
        self.checks: Counter[tuple[str, str, str]] = Counter()

    def count(self, call: Call | Shape, basis: CostBasis, by: int) -> None:
        service, model = call.service_name or "", call.response_model or call.request_model or ""
        outcome = (call.error_class or ErrorClass.OTHER).value if call.error else "ok"
        self._calls[service, call.operation.value, call.provider or "", model, outcome] += by
        is_priced = basis is not CostBasis.UNPRICED
        if is_priced or not call.error:
            self._costs[service, basis] += by
        if not is_priced and not call.error:
            self._unpriced[service, model] += by

    def to(self, metrics: CallMetrics) -> None:
        for labels, by in self._calls.items():
            metrics.count_call(dict(zip(LABELS, labels, strict=True)), by)
        for (service, basis), by in self._costs.items():
            metrics.count_cost(service, basis, by)
        for (service, model), by in self._unpriced.items():
            metrics.count_unpriced(service, model, by)
        for (service, name, result), by in self.checks.items():
            metrics.count_check(service, name, result, by)


LABELS = ("service", "operation", "provider", "model", "outcome")


def _checks(call: Call, replaced: Sequence[Call]) -> Iterable[tuple[str, str, str]]:
    """The checks of a call that no report of it that came before told."""
    known = {name for one in replaced for name in (*one.checks_passed, *one.checks_failed)}
    for result, names in (("passed", call.checks_passed), ("failed", call.checks_failed)):
        for name in names:
            if name not in known:
                yield call.service_name or "", name, result


def _divided(admitted: Sequence[Counted]) -> tuple[Sequence[Counted], Rows | None, Sequence[Counted]]:
    """Calls that are counted together, as rows as well, and those that are counted one by one."""
    singles = [one for one in admitted if one.is_call and len(one.sightings) == 1]
    others = [one for one in admitted if not one.is_call or len(one.sightings) > 1]
    rows = _rows_of(singles)
    if rows is not None and not (is_everyday := rows.is_everyday).all():
        others += [one for one, is_one in zip(singles, is_everyday, strict=True) if not is_one]
        singles = [one for one, is_one in zip(singles, is_everyday, strict=True) if is_one]
        rows = _rows_of(singles)
    return singles, rows, others


def _as_they_were(singles: Sequence[Counted], rows: Rows) -> Many:
    """Calls that were valued before: prices and limits may have changed since."""
    costs = np.array([math.nan if one.cost_usd is None else one.cost_usd for one in singles], np.float64)
    return Many(rows, [one.series or OVERFLOW for one in singles], costs, [one.cost_basis for one in singles])


def _rows_of(singles: Sequence[Counted]) -> Rows | None:
    return rows_of([one.sightings[0] for one in singles]) if singles else None


def _known(value: float) -> float | None:
    return None if value != value else value
