"""Minutes to hours to days: what is rolled up when, how long each is kept, and which of them tell of a span of time.

An hour is rolled up when no call of it is taken any more, a day (of UTC) when all its hours are. What is later all the
same, because a clock was set, say, is added to the minute and to the roll-ups alike (``windows_at_rest``).
"""

from dataclasses import dataclass
from enum import IntEnum

ROLLED_VALUES_MAX = 5_000
"""How many values of an attribute an hour or a day of a series tells apart, those that cost most."""


class Resolution(IntEnum):
    """How long the windows of a kind are, in seconds."""

    MINUTE = 60
    HOUR = 3_600
    DAY = 86_400

    @property
    def finer(self) -> "Resolution":
        """What windows of this length are rolled up from."""
        return Resolution.HOUR if self is Resolution.DAY else Resolution.MINUTE

    def start_of(self, at: float) -> int:
        """The start of the window that holds ``at``, both in unix seconds."""
        return int(at // self) * self


ROLL_UPS = (Resolution.HOUR, Resolution.DAY)


@dataclass(frozen=True, slots=True)
class Keep:
    """How long windows are kept, in seconds."""

    minutes_s: float = 35 * 86_400.0
    hours_s: float = 400 * 86_400.0
    days_s: float = 5 * 365 * 86_400.0
    as_seen_s: float = 35 * 86_400.0
    """What looks saw of minutes; with 0 it is not kept at all."""

    @property
    def seen_s(self) -> float:
        """How long it is kept what looks saw: never longer than the minutes themselves."""
        return min(self.as_seen_s, self.minutes_s)

    def until(self, resolution: Resolution, rolled: "Rolled", now: float) -> int:
        """Before what windows may be deleted: they are old enough, and rolled up where there is a coarser one."""
        if resolution is Resolution.DAY:
            return resolution.start_of(now - self.days_s)
        if resolution is Resolution.HOUR:
            return min(resolution.start_of(now - self.hours_s), rolled.days)
        return min(resolution.start_of(now - self.minutes_s), rolled.hours)


@dataclass(frozen=True, slots=True)
class Rolled:
    """Up to where hours and days are rolled up: everything before, nothing from there on. 0 where nothing is."""

    hours: int = 0
    days: int = 0

    def through(self, resolution: Resolution) -> int:
        """Up to where windows of this length are there; minutes are never rolled up."""
        return {Resolution.HOUR: self.hours, Resolution.DAY: self.days}.get(resolution, 0)

    def may_reach(self, resolution: Resolution, final: float) -> int:
        """Up to where can be rolled up when all minutes before ``final`` are stored with all their calls."""
        return resolution.start_of(self.hours if resolution is Resolution.DAY else final)


@dataclass(frozen=True, slots=True)
class Part:
    """A span of time, from ``first`` to before ``end``, that windows of one length tell of."""

    resolution: Resolution
    first: int
    end: int


def parts(first: int, end: int, rolled: Rolled, coarsest: Resolution = Resolution.DAY) -> list[Part]:
    """The parts of a span of whole minutes, each by the longest windows that there are, in their order."""
    if first >= end:
        return []
    if coarsest is Resolution.MINUTE:
        return [Part(coarsest, first, end)]
    inner = -(-first // coarsest) * coarsest
    outer = min(coarsest.start_of(end), rolled.through(coarsest))
    if inner >= outer:
        return parts(first, end, rolled, coarsest.finer)
    return [
        *parts(first, inner, rolled, coarsest.finer),
        Part(coarsest, inner, outer),
        *parts(outer, end, rolled, coarsest.finer),
    ]
