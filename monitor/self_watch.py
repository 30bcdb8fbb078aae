"""The watch over the watch: what does not go well with the daemon itself, and whether it can do its work."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy.exc import SQLAlchemyError

from canaries.clock import Clock
from dashboards.view import Readiness
from dashboards.words import span

from . import store
from .database import Database
from .problems import Problems
from .pulse import Moment, Pause
from .telemetry import Metrics
from .traffic import StoreError
from .watchman.events import Events, Trouble

PULSE_EVERY_S = 5.0
"""How often the daemon writes down that it runs, which is how it knows that it can write at all."""

PULSE_LOST_S = 30.0
"""How old its last entry may be while it still counts as able to write."""

Job = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The database takes nothing: what it said first, and since when, by both clocks."""

    why: str
    at: datetime
    since_s: float


log = structlog.get_logger()


class SelfWatch:
    """Problems and readiness of one daemon.

    ``clock_was_set`` is told when the time of day jumped, so that what was planned by it can follow.
    """

    def __init__(
        self, database: Database, clock: Clock, metrics: Metrics, clock_was_set: Callable[[datetime], None]
    ) -> None:
        """Start without problems, and ready: whoever made the tables could write."""
        self.problems = Problems()
        self.events = Events()
        self.is_stopping = False
        self._database = database
        self._clock = clock
        self._metrics = metrics
        self._clock_was_set = clock_was_set
        self.refusal: Refusal | None = None
        self._refusal = ""
        self._last_beat_s = clock.monotonic()
        metrics.database_writable.set(1)

    def problem(self, sentence: str) -> None:
        """Show the sentence on the page, and log it unless it was logged a short time ago.

        It is shown once, with how often it was said: so it must hold no changing number.
        """
        if self.is_news(sentence):
            log.warning("problem", what=sentence)

    def is_news(self, sentence: str) -> bool:
        """Show the sentence on the page; gives whether the log should have it too."""
        return self.problems.report(sentence, self._clock.now())

    def missed(self, job: str, why: str) -> None:
        """Count and show a start that did not happen."""
        if why == "failed":
            return  # a job that fails says so itself, see ``attended``; what is left was cancelled by our own stop
        self._metrics.misfires.labels(job).inc()
        self.problem(f"{job} did not start when it was due: {why}.")

    def attended(self, part: str, work: Job) -> Job:
        """The job, which cannot fail: what it raises becomes a problem, and it has its next turn."""

        async def attend() -> None:
            try:
                await work()
            except (SQLAlchemyError, StoreError) as error:
                self.problem(f"{part}: the database refuses: {why(error)}.")
            except Exception:
                self.defect(part)

        return attend

    def defect(self, part: str) -> None:
        """Count and show that a part failed by a defect of ours. To be called where the exception is caught."""
        self._metrics.failures.labels(part).inc()
        sentence = f"{part} failed by a defect; the log has the details."
        if self.is_news(sentence):
            log.exception("problem", what=sentence)

    async def pulse(self) -> None:
        """Beat for as long as the daemon lives."""
        while True:
            before = Moment.now(self._clock)
            await asyncio.sleep(PULSE_EVERY_S)
            self.heed(Pause(PULSE_EVERY_S, before, Moment.now(self._clock)))
            await self.beat()

    def heed(self, pause: Pause) -> None:
        """Say what was not as it should be with the time that went by."""
        for trouble, sentence in (
            (Trouble.ABSENCE, pause.standstill()),
            (Trouble.CLOCK, pause.clock_setting()),
        ):
            if sentence:
                self.happened(trouble, sentence)
        if pause.was_clock_set:
            self._clock_was_set(pause.after.at)

    def happened(self, trouble: Trouble, sentence: str) -> None:
        """Show what was over when it was noticed, and have people told."""
        self.problem(sentence)
        self.events.note(trouble, sentence, self._clock.now())

    async def beat(self) -> None:
        """Write down that the daemon runs, or find out that it cannot write."""
        now = self._clock.now()
        try:
            await self._database.awrite(lambda session: store.save_alive(session, now))
        except SQLAlchemyError as error:
            self._refusal = why(error)
            self.refusal = self.refusal or Refusal(self._refusal, now, self._clock.monotonic())
            self.problem(f"The database cannot be written: {self._refusal}.")
        except Exception:
            self.defect("the pulse")
        else:
            self._refusal, self.refusal = "", None
            self._last_beat_s = self._clock.monotonic()
        self._metrics.database_writable.set(not self._refusal)

    def readiness(self) -> Readiness:
        """Whether the daemon can do its work: from what it found last, so that asking costs nothing."""
        reasons = ["the daemon is stopping"] if self.is_stopping else []
        silent_s = self._clock.monotonic() - self._last_beat_s
        if self._refusal:
            reasons.append(f"the database cannot be written: {self._refusal}")
        elif silent_s > PULSE_LOST_S:
            reasons.append(f"the database has taken nothing for {span(silent_s)}")
        return Readiness(tuple(reasons))


def why(error: Exception) -> str:
    """What the database said, without the statement and its values."""
    return str(getattr(error, "orig", None) or error)
