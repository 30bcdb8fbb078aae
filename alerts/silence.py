"""When nobody wants to hear of something: silences, which somebody asks for, and mute times, which come back. Pure.

Neither hides anything from the record: what is held by them is told when they end, if it still fires.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from hashlib import blake2b
from zoneinfo import ZoneInfo

from .incident import Incident
from .matcher import Matcher, all_fit, facts_of

LONGEST_SILENCE_S = 366 * 86_400.0
"""How long a silence may be: one for ever is a watch that somebody should take out of the configuration."""

WEEK_DAYS = 7


@dataclass(frozen=True, slots=True)
class Silence:
    """A time in which nobody wants to hear of what all of its matchers fit.

    ``ended_by`` is who ended it at ``ends_at``, before its time was over; empty where nobody did.
    """

    id: str
    matchers: tuple[Matcher, ...]
    author: str
    comment: str
    starts_at: datetime
    ends_at: datetime
    created_at: datetime
    ended_by: str = ""

    def is_active(self, now: datetime) -> bool:
        """Whether it holds now."""
        return self.starts_at <= now < self.ends_at

    def state(self, now: datetime) -> str:
        """In a word: pending, active or expired."""
        if self.is_active(now):
            return "active"
        return "pending" if now < self.starts_at else "expired"

    def fits(self, incident: Incident) -> bool:
        """Whether it is about this incident."""
        return all_fit(self.matchers, facts_of(incident.key, incident.finding, incident.severity))

    @property
    def said(self) -> str:
        """What is fitted by it, as a person writes it."""
        return ", ".join(str(matcher) for matcher in self.matchers)


def silence_id(matchers: Iterable[Matcher], author: str, starts_at: datetime, created_at: datetime) -> str:
    """The id of a silence."""
    facts = (*(str(one) for one in matchers), author, starts_at.isoformat(), created_at.isoformat())
    return blake2b("\n".join(facts).encode(), digest_size=6).hexdigest()


def matchers_problem(matchers: tuple[Matcher, ...]) -> str:
    """Why nothing may be silenced by these; empty where it may."""
    if not matchers:
        return "a silence needs a matcher, like service=checkout: without one it would silence everything"
    if all(matcher.fits({}) for matcher in matchers):
        return "these matchers fit everything that lacks their labels; name one that has to be there"
    return ""


def silence_problem(
    matchers: tuple[Matcher, ...], author: str, starts_at: datetime, ends_at: datetime
) -> str:
    """What is wrong with a silence that somebody asks for; empty where nothing is."""
    if problem := matchers_problem(matchers):
        return problem
    if not author.strip():
        return "a silence needs an author, so that people know whom to ask"
    if ends_at <= starts_at:
        return "a silence must end after it starts"
    if (ends_at - starts_at).total_seconds() > LONGEST_SILENCE_S:
        return "a silence lasts 366 days at most; what is never to be told belongs out of the configuration"
    return ""


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A part of a day, by the clock on the wall. One that ends before it starts ends on the next day."""

    start: time
    end: time


@dataclass(frozen=True, slots=True)
class MuteTime:
    """A time that comes back every week: on these days (Monday is 0) the ranges, which begin on that day."""

    days: frozenset[int]
    ranges: tuple[TimeRange, ...]
    zone: ZoneInfo

    def ends_at(self, now: datetime) -> datetime | None:
        """When the range that holds now ends; nothing where none does."""
        ends = [end for start, end in self._around(now) if start <= now < end]
        return max(ends, default=None)

    def _around(self, now: datetime) -> Iterable[tuple[datetime, datetime]]:
        today = now.astimezone(self.zone).date()
        for day in (today - timedelta(days=1), today):
            if day.weekday() in self.days:
                for one in self.ranges:
                    yield self._on(day, one)

    def _on(self, day: date, one: TimeRange) -> tuple[datetime, datetime]:
        last = day if one.end > one.start else day + timedelta(days=1)
        # In UTC: the wall's clock jumps twice a year, and arithmetic on it would not notice.
        start = datetime.combine(day, one.start, self.zone).astimezone(UTC)
        return start, datetime.combine(last, one.end, self.zone).astimezone(UTC)


def muted_until(
    names: Iterable[str], times: Mapping[str, MuteTime], now: datetime
) -> tuple[str, datetime] | None:
    """Which of these mute times holds now, and until when: the one that ends last."""
    held = []
    for name in names:
        until = times[name].ends_at(now) if name in times else None
        if until is not None:
            held.append((name, until))
    return max(held, key=lambda one: one[1], default=None)
