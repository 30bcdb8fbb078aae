"""One call as it is counted, whatever tells it."""

from collections.abc import Iterable
from dataclasses import replace

from ..calls import Call, CostBasis
from ..dialects import Report
from ..sightings import Sighting, call_of, report_of
from ..windows.series import Series, minute_of
from .uniting import unite

_NANO = 1e9
"""A float, as for rows and calls: whole numbers divide to another last bit, and so to another minute."""


Name = tuple[bytes, int]
"""The key of a span, and when it began in unix nanoseconds."""


class Counted:
    """One call as it is counted, with the reports that tell it, the fullest first.

    ``is_call`` is false where the report wraps calls and is none itself; then nothing is counted. ``cost_usd``,
    ``cost_basis``, ``matched``, ``chosen`` and ``series`` are filled in before it is counted, and do not change after
    that. ``chosen`` is ``None`` where all that its spans hold of the configured attributes counts. ``came`` tells those
    apart that came before others.
    """

    __slots__ = (
        "came",
        "chosen",
        "cost_basis",
        "cost_usd",
        "is_call",
        "matched",
        "reports",
        "series",
        "sightings",
    )

    def __init__(
        self, sightings: tuple[Sighting, ...], *, is_call: bool = True, came: tuple[int, int] = (0, 0)
    ) -> None:
        self.sightings = sightings
        self.came = came
        self.is_call = is_call
        self.cost_usd: float | None = None
        self.cost_basis = CostBasis.UNPRICED
        self.matched: tuple[str, ...] = ()
        self.chosen: tuple[tuple[str, str], ...] | None = None
        self.series: Series | None = None
        self.reports: list[Report] | None = None

    @property
    def name(self) -> Name:
        """What no other counted call has: the key of its first report, and when that began, for ids may be reused."""
        return self.sightings[0].key, self.sightings[0].start_ns

    @property
    def chosen_first(self) -> tuple[tuple[str, str], ...]:
        """By the values of which attributes a call that is told by one report is counted."""
        return self.sightings[0].chosen if self.chosen is None else self.chosen

    @property
    def minute(self) -> int:
        """The start of the minute in which a call that is told by one report ended."""
        return minute_of(self.sightings[0].end_ns / _NANO)

    def call(self) -> Call:
        """The call, united from its reports, with its cost."""
        if len(self.sightings) == 1:
            call = call_of(self.sightings[0])
        else:
            call = unite([one.call for one in self.all_reports()])
        chosen = call.chosen if self.chosen is None else self.chosen
        if self.cost_usd is None and not self.matched and chosen == call.chosen:
            return call
        return replace(
            call, cost_usd=self.cost_usd, cost_basis=self.cost_basis, matched=self.matched, chosen=chosen
        )

    def all_reports(self) -> list[Report]:
        """The reports of its sightings, in their order."""
        if self.reports is None:
            self.reports = [report_of(one) for one in self.sightings]
        return self.reports


def with_keys_of_their_own(around: Iterable[Counted]) -> list[Counted]:
    """The first of those that have a span's key in common: ids may be reused, and reports are joined by them."""
    taken: set[bytes] = set()
    kept = []
    for counted in around:
        keys = keys_of(counted.sightings)
        if taken.isdisjoint(keys):
            taken |= keys
            kept.append(counted)
    return kept


def keys_of(sightings: Iterable[Sighting]) -> frozenset[bytes]:
    """The keys of their spans."""
    return frozenset(one.key for one in sightings)


def span_in(counted: Counted, key: bytes) -> Sighting:
    """The report of a call that has this key."""
    sightings = counted.sightings
    return sightings[0] if len(sightings) == 1 else next(one for one in sightings if one.key == key)


def came_at(counted: Counted) -> tuple[int, int]:
    """When a call came: what calls are sorted by."""
    return counted.came
