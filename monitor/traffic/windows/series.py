"""What production calls are told apart by, and how many kinds of them at a time."""

from typing import NamedTuple

from ..calls import Call
from ..sightings import Shape

MINUTE_S = 60

SERIES_MAX = 4_000
"""How many series are told apart at a time; calls of further ones are counted together in ``OVERFLOW``."""

SERIES_IDLE_S = 3_600
"""A series without calls for so long, in the time of the spans, makes room for another when it is needed."""


class Series(NamedTuple):
    """What calls are told apart by. An empty string means that the span did not tell.

    A tuple, for it is looked up for every kind of calls of every commit: that takes a fifth of the time.
    """

    service: str
    environment: str
    version: str
    operation: str
    provider: str
    request_model: str
    response_model: str


OVERFLOW = Series("(other series)", "", "", "", "", "", "")
"""Where the calls of series beyond ``SERIES_MAX`` are counted."""


def minute_of(at: float) -> int:
    """The start of the minute that holds ``at``, both in unix seconds."""
    return int(at // MINUTE_S) * MINUTE_S


def series_of(call: Call | Shape) -> Series:
    """The series that a call belongs to, or all calls of a shape, when there is room for it."""
    return Series(
        service=call.service_name or "",
        environment=call.environment or "",
        version=call.service_version or "",
        operation=call.operation,
        provider=call.provider or "",
        request_model=call.request_model or "",
        response_model=call.response_model or "",
    )


class Admission:
    """Says which series a call is counted in, so that no sender can make us keep series without end."""

    def __init__(self, series_max: int = SERIES_MAX) -> None:
        """Start with no series known."""
        self._series_max = series_max
        self._last_seen: dict[Series, int] = {}
        self._held: dict[Series, Series] = {}
        self._looked_at = -1

    def admit(self, series: Series, minute: int) -> Series:
        """The series, always as the same object, or ``OVERFLOW`` when too many others are active in that minute."""
        last = self._last_seen.get(series)
        if last is None and not self._has_room(minute):
            return OVERFLOW
        if last is None or last < minute:
            self._last_seen[series] = minute
        return self._held.setdefault(series, series)

    def _has_room(self, minute: int) -> bool:
        if len(self._last_seen) < self._series_max:
            return True
        # Once a minute: as long as time does not go on, no more of them are idle than at the last look.
        if minute <= self._looked_at:
            return False
        self._looked_at = minute
        self._last_seen = {
            one: last for one, last in self._last_seen.items() if minute - last <= SERIES_IDLE_S
        }
        self._held = {one: one for one in self._last_seen}
        return len(self._last_seen) < self._series_max
