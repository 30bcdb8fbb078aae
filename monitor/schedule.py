"""When things run: the only module that knows APScheduler."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

MISFIRE_GRACE_S = 60.0
"""How late a run may start; a later one is missed, and says so."""


@dataclass(frozen=True, slots=True)
class Every:
    """A fixed interval; every start is moved by up to ``jitter_s``, either way."""

    seconds: float
    jitter_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Cron:
    """A crontab line of five fields, in UTC; every start is moved by up to ``jitter_s``, either way."""

    line: str
    jitter_s: float = 0.0


Cadence = Every | Cron

Missed = Callable[[str, str], None]
"""Told the job's id and why it did not run: ``late``, ``still running`` or ``failed``."""


def cron_problem(line: str) -> str | None:
    """What is wrong with a crontab line, or ``None``."""
    try:
        CronTrigger.from_crontab(line, timezone=UTC)
    except ValueError as error:
        return str(error)
    return None


def slot_s(cadence: Cadence, now: datetime) -> float:
    """The usual time from one start to the next, in seconds: a run that is missing drips no more than this."""
    if isinstance(cadence, Every):
        return cadence.seconds
    trigger = CronTrigger.from_crontab(cadence.line, timezone=UTC)
    starts: list[datetime] = []
    while len(starts) < 9:
        previous = starts[-1] if starts else None
        following = trigger.get_next_fire_time(
            previous, previous + timedelta(microseconds=1) if previous else now
        )
        if following is None:
            break
        starts.append(following)
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(starts)]
    return median(gaps) if gaps else 86_400.0


class Schedule:
    """Jobs of one event loop: one instance each, missed starts folded into one, and every miss reported."""

    def __init__(self, missed: Missed) -> None:
        """Report what did not run to ``missed``."""
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._missed = missed
        self._scheduler.add_listener(
            self._report, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES | EVENT_JOB_ERROR
        )

    def add(
        self,
        job_id: str,
        cadence: Cadence,
        work: Callable[[], Awaitable[None]],
        first: datetime | None = None,
    ) -> None:
        """Run ``work``, a coroutine function, on ``cadence``; the first time at ``first``, where given."""
        options = {"next_run_time": first} if first is not None else {}
        self._scheduler.add_job(
            work,
            _trigger(cadence),
            id=job_id,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=max(1, round(MISFIRE_GRACE_S)),
            **options,
        )

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
        """When the job runs next, or ``None``."""
        job = self._scheduler.get_job(job_id)
        return job.next_run_time if job is not None else None

    def _report(self, event: JobEvent) -> None:
        why = {EVENT_JOB_MISSED: "late", EVENT_JOB_MAX_INSTANCES: "still running"}.get(event.code, "failed")
        self._missed(event.job_id, why)


def _trigger(cadence: Cadence) -> BaseTrigger:
    jitter = cadence.jitter_s or None
    if isinstance(cadence, Every):
        return IntervalTrigger(seconds=cadence.seconds, jitter=jitter, timezone=UTC)
    trigger = CronTrigger.from_crontab(cadence.line, timezone=UTC)
    trigger.jitter = jitter
    return trigger
