"""Whether time went by as it should: a daemon that stood still, or whose clock was set, has a hole in its watch."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from canaries.clock import Clock
from dashboards.words import span

STOOD_STILL_S = 10.0
"""How much longer than planned a pause may take before it is a problem."""

CLOCK_SET_S = 10.0
"""How far the time of day may move against the machine's own count of seconds before it is a problem."""

AWAY_S = 300.0
"""How long the daemon may have been away before its next start says so; a restart takes less."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment by both clocks."""

    at: datetime
    monotonic_s: float

    @classmethod
    def now(cls, clock: Clock) -> "Moment":
        """This moment."""
        return cls(clock.now(), clock.monotonic())


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause that should have taken ``planned_s``, from one moment to another."""

    planned_s: float
    before: Moment
    after: Moment

    @property
    def stood_still_s(self) -> float:
        """How much longer it took, by the machine's own count of seconds."""
        return self.after.monotonic_s - self.before.monotonic_s - self.planned_s

    @property
    def clock_moved_s(self) -> float:
        """How far the time of day went ahead (or back: below zero) of the seconds that passed."""
        passed = self.after.monotonic_s - self.before.monotonic_s
        return (self.after.at - self.before.at).total_seconds() - passed

    @property
    def was_clock_set(self) -> bool:
        """Whether the time of day jumped, so that what was planned by it is no longer right."""
        return abs(self.clock_moved_s) > CLOCK_SET_S

    def standstill(self) -> str | None:
        """A sentence about a pause that was too long, if it was."""
        if self.stood_still_s <= STOOD_STILL_S:
            return None
        return (
            f"The daemon stood still for {span(self.stood_still_s)}: it was stopped, or had no processor time. "
            "Nothing was watched in that time."
        )

    def clock_setting(self) -> str | None:
        """A sentence about a clock that was set, if it was."""
        if not self.was_clock_set:
            return None
        if self.clock_moved_s > 0:
            return (
                f"The machine slept, or its clock was set ahead, by {span(self.clock_moved_s)}. "
                "Runs that were due in that time did not start."
            )
        return f"The clock was set back by {span(-self.clock_moved_s)}; the schedule follows it."

    def problems(self) -> Iterator[str]:
        """A sentence for each thing that was not as it should be."""
        yield from filter(None, (self.standstill(), self.clock_setting()))


def absence(last_alive_at: datetime | None, now: datetime) -> str | None:
    """A sentence about the time in which no daemon ran, when it was long."""
    if last_alive_at is None or now - last_alive_at <= timedelta(seconds=AWAY_S):
        return None
    away = span((now - last_alive_at).total_seconds())
    return f"No daemon ran from {last_alive_at:%Y-%m-%d %H:%M} UTC on, for {away}."
