"""Which night's audit is due: decided from the clock and the last one, whatever happened in between."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from .config import AuditConfig

SETTLE_S = 120.0
"""How long after its time an audit is made: the last calls of the period have been counted then."""

CATCH_UP_S = 12 * 3_600.0
"""How late it may be made, by a daemon that was down at its time; later the next one is nearer."""


@dataclass(frozen=True, slots=True)
class Night:
    """A night by its day, where the operator is, and when its audit is due: the end of its period."""

    name: str
    until: datetime


def due(config: AuditConfig, last: str, now: datetime) -> Night | None:
    """The night whose audit is to be made now, if there is one: never one at or before the ``last``."""
    night = latest(config, now - timedelta(seconds=SETTLE_S))
    is_late = (now - night.until).total_seconds() > CATCH_UP_S + SETTLE_S
    return None if is_late or night.name <= last else night


def latest(config: AuditConfig, now: datetime) -> Night:
    """The last night whose time has come."""
    today = now.astimezone(ZoneInfo(config.timezone)).date()
    # Tomorrow as well: where the clock is put forward over the time, it comes a little early.
    nights = [_night(config, today + timedelta(days=days)) for days in (1, 0, -1)]
    return next(night for night in nights if night.until <= now)


def is_astray(last: str, now: datetime) -> bool:
    """Whether the last night lies so far ahead that a clock which was wrong must have noted it."""
    return date.fromisoformat(last) > now.date() + timedelta(days=1)


def _night(config: AuditConfig, day: date) -> Night:
    local = datetime.combine(day, config.time_of_day, ZoneInfo(config.timezone))
    return Night(day.isoformat(), local.astimezone(UTC))
