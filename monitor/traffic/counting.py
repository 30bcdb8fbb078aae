"""What is counted and not folded yet, and how it got there: settled, priced, admitted to its series.

Nothing here waits for anything: ``intake`` calls one method after the other, and stores in between.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from . import pricing
from .calls import Call, ErrorClass
from .entries import decode
from .pricing import PriceBook
from .recent import Recent, Settled
from .series import Admission
from .sightings import Shapes, Sighting
from .windows import WindowBook

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

    def count_joined(self, by: int = 1) -> None:
        """Calls that were counted anew because a further report of them came, or turned out to be none."""


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

    def __init__(self, prices: PriceBook = pricing.LIST_PRICES, recent: Recent | None = None) -> None:
        """Start with nothing counted."""
        self.shapes = Shapes()
        self._prices = prices
        self._recent = Recent() if recent is None else recent
        self._admission = Admission()
        self._unfolded = WindowBook()
        self._through = 0

    def __len__(self) -> int:
        """How many windows are not folded yet."""
        return len(self._unfolded)

    def settle(self, sightings: Iterable[Sighting], now: float) -> Settled:
        """What these reports are counted as. Follow with ``count`` once that is stored, or with ``undo``."""
        settled = self._recent.settle(sightings, now)
        for counted in settled.admitted:
            call = counted.call()
            counted.series = self._admission.admit(call)
            if counted.is_call:
                counted.cost_usd, counted.cost_basis = self._prices.cost_of(call)
        return settled

    def undo(self, settled: Settled) -> None:
        """Be as before ``settle``."""
        self._recent.undo(settled)

    def count(self, settled: Settled, entry_id: int, now: float) -> None:
        """Count what was settled and is stored in this entry of the journal."""
        self._recent.keep(settled, entry_id, now)
        self._add(settled, entry_id)

    def restore(self, entry_id: int, at: float, body: bytes, *, is_folded: bool) -> int:
        """Count again what an entry says, unless it is in the stored windows; gives how many calls were counted."""
        entry = decode(body, self.shapes)
        settled = self._recent.restore(entry.admitted, entry.withdrawn, entry_id, at)
        if is_folded:
            self._through = entry_id
            return 0
        self._add(settled, entry_id)
        return sum(one.is_call for one in settled.admitted)

    def _add(self, settled: Settled, entry_id: int) -> None:
        for counted in settled.admitted:
            if counted.is_call and counted.series is not None:
                self._unfolded.add(counted.call(), counted.series)
        for counted in settled.withdrawn:
            if counted.is_call and counted.series is not None:
                self._unfolded.take_back(counted.call(), counted.series)
        self._through = entry_id

    def take(self, now: float) -> Unfolded:
        """What is to be folded; counting goes on without it."""
        self._recent.forget(now)
        windows, self._unfolded = self._unfolded, WindowBook()
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


def tell(settled: Settled, metrics: CallMetrics, now: float) -> None:
    """Count in the metrics what was settled at ``now``."""
    before = {one.key: gone for gone in settled.withdrawn for one in gone.sightings}
    calls: Counter[tuple[str, ...]] = Counter()
    costs: Counter[tuple[str, str]] = Counter()
    unpriced: Counter[tuple[str, str]] = Counter()
    checks: Counter[tuple[str, str, str]] = Counter()
    late = 0
    for counted in settled.admitted:
        if not counted.is_call:
            continue
        call = counted.call()
        replaced = [before[one.key] for one in counted.sightings if one.key in before]
        checks.update(_checks(call, [one.call() for one in replaced]))
        if replaced:
            continue
        late += call.ended_at < now - LATE_S
        calls[_labels(call)] += 1
        if call.cost_usd is not None or not call.error:
            costs[call.service_name or "", call.cost_basis] += 1
        if call.cost_usd is None and not call.error:
            unpriced[call.service_name or "", call.model or ""] += 1
    for labels, by in calls.items():
        metrics.count_call(dict(zip(LABELS, labels, strict=True)), by)
    for (service, basis), by in costs.items():
        metrics.count_cost(service, basis, by)
    for (service, model), by in unpriced.items():
        metrics.count_unpriced(service, model, by)
    for (service, name, result), by in checks.items():
        metrics.count_check(service, name, result, by)
    if late:
        metrics.count_late(late)
    if settled.withdrawn:
        metrics.count_joined(len(settled.withdrawn))


LABELS = ("service", "operation", "provider", "model", "outcome")


def _labels(call: Call) -> tuple[str, ...]:
    outcome = (call.error_class or ErrorClass.OTHER).value if call.error else "ok"
    return call.service_name or "", call.operation.value, call.provider or "", call.model or "", outcome


def _checks(call: Call, replaced: Sequence[Call]) -> Iterable[tuple[str, str, str]]:
    """The checks of a call that no report of it that came before told."""
    known = {name for one in replaced for name in (*one.checks_passed, *one.checks_failed)}
    for result, names in (("passed", call.checks_passed), ("failed", call.checks_failed)):
        for name in names:
            if name not in known:
                yield call.service_name or "", name, result
