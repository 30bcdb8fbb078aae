"""What the configured watches want to know of a call, read in passing: chosen attributes, filters, repeated attempts.

Nothing else of a span's attributes is kept. ``keys`` says what is to be taken from spans; when a call is known
whole and priced, ``mark`` turns that into what windows are to count.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ..calls import Call, CostBasis
from ..dialects.values import count
from .config import WatchConfig
from .measures import Kind
from .sections import VERSION

RETRIED = "(after a failed one)"
"""Under what calls are counted that follow a failed one of the same trace, operation and model."""

RESENT = "(sent again)"
"""Under what is counted how often clients say that they sent a request again, by ``http.request.resend_count``."""

RETRY_S = 60.0
"""How long after a call failed another one of its trace is taken for the next attempt."""

RESENT_MAX = 20
"""How often one call counts as sent again, at most."""

FAILED_MAX = 10_000
"""How many failed calls are remembered to know the next attempt; beyond it the oldest are forgotten."""

_RESEND_COUNT = "http.request.resend_count"


def ambiguous_of(attribute: str) -> str:
    """The attribute under which calls with an ambiguous cost are counted once more, by the values of ``attribute``."""
    return f"{attribute} (ambiguous cost)"


class Marks(NamedTuple):
    """What windows are to count of a call: by the values of which attributes, and as what."""

    chosen: tuple[tuple[str, str], ...]
    matched: tuple[str, ...]


class Marking:
    """Marks calls. ``keys`` are the attributes that are wanted of spans and their resources, in their order."""

    def __init__(self, watches: Sequence[WatchConfig] = ()) -> None:
        """Take what these watches want to know."""
        shares = {one.share.name: one.share for one in watches if one.share is not None}
        self._shares = [(name, one.name_of, *one.passing()) for name, one in shares.items()]
        filters = [one for share in shares.values() for one in (share.where, share.of)]
        self._is_by_duration = any(one.slower_than is not None for one in filters)
        # In one order, as read and as counted: where both are the same it is kept once.
        self._chosen = sorted(set(_chosen(watches)))
        self._budgets = {one.budget.per for one in watches if one.budget is not None and one.budget.usd}
        self._attempts = (
            Attempts()
            if any(one.measured is not None and one.measured.kind is Kind.ATTEMPTS for one in watches)
            else None
        )
        resent = {_RESEND_COUNT} if self._attempts is not None else set()
        self.keys = tuple(sorted(resent.union(self._chosen, *(one.keys for one in shares.values()))))

    @property
    def is_wanted(self) -> bool:
        """Whether there is anything to mark."""
        return bool(self.keys or self._shares)

    @property
    def is_by_kind(self) -> bool:
        """Whether calls that differ in their numbers only, and hold nothing of what is wanted, are marked alike."""
        return self._attempts is None and not self._is_by_duration

    def mark(self, call: Call) -> Marks:
        """What windows are to count of a priced call. Its ``chosen`` is what its spans hold."""
        values = dict(call.chosen)
        return Marks(
            tuple(self._counted(call, values)), (*self._matched(call, values), *self._repeated(call, values))
        )

    def _counted(self, call: Call, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        for key in self._chosen:
            if key in values:
                yield key, values[key]
                if key in self._budgets and call.cost_basis is CostBasis.AMBIGUOUS:
                    yield ambiguous_of(key), values[key]

    def _matched(self, call: Call, values: Mapping[str, str]) -> Iterable[str]:
        for name, name_of, where, of in self._shares:
            if of(call, values):
                yield name_of
                if where(call, values):
                    yield name

    def _repeated(self, call: Call, values: Mapping[str, str]) -> Iterable[str]:
        if self._attempts is None:
            return
        if self._attempts.follows(call):
            yield RETRIED
        yield from (RESENT,) * min(count(values.get(_RESEND_COUNT)) or 0, RESENT_MAX)


class Attempts:
    """Knows which calls follow a failed one: the next attempt, as far as spans tell.

    That is a call of the same trace, operation and requested model that starts after the failed one ended, soon. Calls
    made in parallel overlap and are none. Spans that come before those of the failed call are not recognised.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._failed: OrderedDict[tuple[str, ...], float] = OrderedDict()

    def follows(self, call: Call) -> bool:
        """Whether the call is another attempt; remembers it when it failed itself."""
        key = (call.trace_id, call.operation, call.request_model or "")
        failed_at = self._failed.get(key)
        if call.error:
            self._failed[key] = call.ended_at
            self._failed.move_to_end(key)
            if len(self._failed) > FAILED_MAX:
                self._failed.popitem(last=False)
        return failed_at is not None and 0 <= call.started_at - failed_at <= RETRY_S


def _chosen(watches: Iterable[WatchConfig]) -> Iterable[str]:
    for one in watches:
        if one.values is not None:
            yield one.values.attribute
        if one.budget is not None and one.budget.per is not None:
            yield one.budget.per
        # Releases are told apart by their series already.
        if one.against is not None and one.against.attribute != VERSION:
            yield one.against.attribute
