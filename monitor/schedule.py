"""When things run: the only module that knows APScheduler."""

import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from statistics import median

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

MISFIRE_GRACE_S = 60.0
"""How late a run may always start; a later one may be missed, and says so."""

MISFIRE_GRACE_SLOTS = 0.5
"""How late it may start if that is longer, in times from one start to the next: a daily run is not lost to a nap."""

STARTS_LOOKED_AT = 9
"""How many starts of a crontab line tell what the usual time between two is."""

DAY_S = 86_400.0

ONCE_MORE = "/once-more"
"""How the id of a job's extra start ends."""

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
"""The days as a crontab counts them, from 0."""

_DAY_NUMBERS = {day: number for number, day in enumerate(WEEKDAYS)} | {str(n): n for n in range(8)}
_DAYS = re.compile(r"(\*|(?P<first>\w+)(-(?P<last>\w+))?)(/(?P<step>[1-7]))?")


@dataclass(frozen=True, slots=True)
class Every:
    """A fixed interval."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Cron:
    """A crontab line of five fields, in UTC. Days of the week are 0 to 7 (0 and 7 are Sunday), or names."""

    line: str


Cadence = Every | Cron

Work = Callable[[], Awaitable[None]]
"""A coroutine function: what a job does."""

Missed = Callable[[str, str], None]
"""Told the job's id and why it did not run: ``late``, ``still running`` or ``failed``."""


def cron_problem(line: str) -> str | None:
    """What is wrong with a crontab line, or ``None``."""
    try:
        comes = starts(Cron(line), datetime(2000, 1, 1, tzinfo=UTC), 1)
    except ValueError as error:
        return str(error)
    return None if comes else "there is no such day in any year"


def starts(cadence: Cron, after: datetime, count: int) -> list[datetime]:
    """The next ``count`` starts later than ``after``; fewer where no more come."""
    trigger, found = _cron(cadence.line), [after]
    while len(found) <= count:
        following = trigger.get_next_fire_time(None, found[-1] + timedelta(microseconds=1))
        if following is None:
            break
        found.append(following)
    return found[1:]


def slot_s(cadence: Cadence, now: datetime) -> float:
    """The usual time from one start to the next, in seconds: a run that is missing drips no more than this."""
    if isinstance(cadence, Every):
        return cadence.seconds
    gaps = [later - earlier for earlier, later in pairwise(starts(cadence, now, STARTS_LOOKED_AT))]
    return median(gap.total_seconds() for gap in gaps) if gaps else DAY_S


def starts_per_day(cadence: Cadence, now: datetime) -> float:
    """How many starts a day has; with a crontab line, the busiest day of the week that comes, and one at least."""
    if isinstance(cadence, Every):
        return DAY_S / cadence.seconds
    trigger, by_day = _cron(cadence.line), Counter[date]()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    start = trigger.get_next_fire_time(None, midnight)
    while start is not None and start < midnight + timedelta(days=7):
        by_day[start.date()] += 1
        start = trigger.get_next_fire_time(None, start + timedelta(microseconds=1))
    return max(by_day.values(), default=1)


class Schedule:
    """Jobs of one event loop: one instance each, missed starts folded into one, and every miss reported."""

    def __init__(self, missed: Missed) -> None:
        """Report what did not run to ``missed``."""
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._missed = missed
        self._work: dict[str, Work] = {}
        self._busy: set[str] = set()
        self._scheduler.add_listener(
            self._report, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES | EVENT_JOB_ERROR
        )

    def add(
        self,
        job_id: str,
        cadence: Cadence,
        work: Work,
        first: datetime | None = None,
    ) -> None:
        """Run ``work``, a coroutine function, on ``cadence``; the first time at ``first``, where given."""
        options = {"next_run_time": first} if first is not None else {}
        grace_s = max(MISFIRE_GRACE_S, MISFIRE_GRACE_SLOTS * slot_s(cadence, datetime.now(UTC)))
        self._work[job_id] = self._alone(job_id, work)
        self._scheduler.add_job(
            self._work[job_id],
            _trigger(cadence),
            id=job_id,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=round(grace_s),
            **options,
        )

    def once_more(self, job_id: str, at: datetime | None) -> None:
        """Start the job one time more, at ``at``; its cadence stays as it is. A later call takes the place of this one.

        ``None`` takes an extra start back that did not come yet. When the job still runs at that time, or does so
        because of the extra start when it is due, then one start is reported and not made, as ever.
        """
        extra = job_id + ONCE_MORE
        if at is not None:
            self._scheduler.add_job(
                self._work[job_id],
                DateTrigger(at),
                id=extra,
                replace_existing=True,
                misfire_grace_time=round(MISFIRE_GRACE_S),
            )
        elif self._scheduler.get_job(extra) is not None:
            self._scheduler.remove_job(extra)

    def follow_clock(self, now: datetime) -> None:
        """Plan anew after the clock was set, so that nothing waits for a time that has become far away."""
        for job in self._scheduler.get_jobs():
            if isinstance(job.trigger, DateTrigger):
                # Whatever made it worth an extra start is known to the next one, which is never far.
                job.remove()
                continue
            if isinstance(job.trigger, IntervalTrigger):
                latest = now + job.trigger.interval
            else:
                latest = job.trigger.get_next_fire_time(None, now)
            if job.next_run_time is not None and latest is not None and latest < job.next_run_time:
                job.modify(next_run_time=latest)
        self._scheduler.wakeup()

    def start(self) -> None:
        """Begin, in the running event loop."""
        self._scheduler.start()

    def pause(self) -> None:
        """Start nothing more; what runs goes on."""
        if self._scheduler.running:
            self._scheduler.pause()

    def stop(self) -> None:
        """Start nothing more, and cancel what still runs."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def next_start(self, job_id: str) -> datetime | None:
        """When the job runs next, an extra start or not, or ``None``."""
        extra, regular = self._scheduler.get_job(job_id + ONCE_MORE), self.next_regular_start(job_id)
        return min(filter(None, (extra and extra.next_run_time, regular)), default=None)

    def next_regular_start(self, job_id: str) -> datetime | None:
        """When the job's cadence has it run next, or ``None``."""
        job = self._scheduler.get_job(job_id)
        return job.next_run_time if job is not None else None

    def _alone(self, job_id: str, work: Work) -> Work:
        """The work, not done while it is done already: an extra start is another job to the scheduler."""

        async def alone() -> None:
            if job_id in self._busy:
                self._missed(job_id, "still running")
                return
            self._busy.add(job_id)
            try:
                await work()
            finally:
                self._busy.discard(job_id)

        return alone

    def _report(self, event: JobEvent) -> None:
        why = {EVENT_JOB_MISSED: "late", EVENT_JOB_MAX_INSTANCES: "still running"}.get(event.code, "failed")
        self._missed(event.job_id.removesuffix(ONCE_MORE), why)


def _trigger(cadence: Cadence) -> BaseTrigger:
    if isinstance(cadence, Every):
        return IntervalTrigger(seconds=cadence.seconds, timezone=UTC)
    return _cron(cadence.line)


def _cron(line: str) -> CronTrigger:
    """The trigger of a crontab line. Raises ValueError, saying what is wrong."""
    fields = line.split()
    if len(fields) != 5:
        raise ValueError("it must have 5 fields: minute, hour, day, month, weekday")
    minute, hour, day, month, weekday = fields
    if day != "*" and weekday != "*":
        # Cron would start on either, APScheduler only where both hold: better none than the wrong one.
        raise ValueError("give a day of the month or a day of the week, and * for the other")
    days = weekday if weekday == "*" else ",".join(_weekdays(weekday))
    return CronTrigger(minute=minute, hour=hour, day=day, month=month, day_of_week=days, timezone=UTC)


def _weekdays(field: str) -> list[str]:
    """The days that a crontab's last field means, by name: APScheduler counts from Monday, crontab from Sunday."""
    days: list[str] = []
    for part in field.split(","):
        match = _DAYS.fullmatch(part)
        if match is None:
            raise ValueError(f'"{part}" is no day of the week: write 0 to 7, or mon to sun')
        first = _weekday(match["first"] or "sun")
        last = _weekday(match["last"] or "sat") if match["last"] or match["step"] or part == "*" else first
        past_the_week = 7 if last < first else 0
        days += [WEEKDAYS[day % 7] for day in range(first, last + past_the_week + 1, int(match["step"] or 1))]
    return list(dict.fromkeys(days))


def _weekday(day: str) -> int:
    number = _DAY_NUMBERS.get(day.lower())
    if number is None:
        raise ValueError(f'"{day}" is no day of the week: write 0 to 7, or mon to sun')
    return number
