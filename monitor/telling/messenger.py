"""Who tells groups that are due and drains the outbox while the daemon runs, and counts what was delivered."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from alerts import group_store
from alerts.dispatch import flush_due
from alerts.incident import NoticeKind, Transition
from alerts.outbox import Delivery, Outbox, Outcome
from alerts.rolling_back import close_questions, next_closing
from canaries.clock import Clock

from ..database import Database
from ..moments import Moment, MomentKind, note
from ..self_watch import SelfWatch, why
from ..telemetry import Metrics
from ..watched import House

IDLE_OUTBOX_S = 30.0
"""How long the outbox sleeps when nothing is due; new messages wake it at once."""

TROUBLED_OUTBOX_S = 5.0
"""How long it sleeps when it could not work."""

log = structlog.get_logger()


@dataclass
class Messenger:
    """Sends what is in the outbox as soon as it is due."""

    database: Database
    clock: Clock
    metrics: Metrics
    self_watch: SelfWatch
    house: House
    on_change: Callable[[], None] = lambda: None
    """Called when something about an incident has changed."""
    _mail: asyncio.Event = field(default_factory=asyncio.Event)
    _is_closing: bool = False

    def tell(self, transitions: Iterable[Transition]) -> None:
        """Count and log what the transitions mean; their messages are in the outbox already."""
        for transition in transitions:
            incident = transition.incident
            if incident is None:
                continue
            self._mail.set()
            self.on_change()
            self.metrics.pages.inc(transition.pages)
            if transition.notifications:
                log.info("incident", key=incident.key, state=incident.state, reason=transition.reason)

    async def deliver(self, outbox: Outbox) -> None:
        """Drain the outbox whenever something is due; after ``close``, once more and to its end."""
        while True:
            self._mail.clear()
            wait_s = await self.turn(outbox)
            if self._is_closing and not self._mail.is_set():
                return
            with contextlib.suppress(TimeoutError):
                # Never without a pause: a clock that jumps must not make this loop spin.
                async with asyncio.timeout(max(wait_s, 0.05)):
                    await self._mail.wait()

    async def turn(self, outbox: Outbox) -> float:
        """Tell the groups that are due, and send; gives the seconds until there is something to do again."""
        try:
            question_due = await self._close_questions()
            group_due = await self._tell_groups()
            mail_due = await outbox.drain()
        except SQLAlchemyError as error:
            self.self_watch.problem(f"The outbox waits for the database: {why(error)}.")
            return TROUBLED_OUTBOX_S
        except Exception:
            self.self_watch.defect("the outbox")
            return TROUBLED_OUTBOX_S
        due = [at for at in (question_due, group_due, mail_due) if at is not None]
        wait_s = (min(due) - self.clock.now()).total_seconds() if due else IDLE_OUTBOX_S
        return min(wait_s, IDLE_OUTBOX_S)

    def wake(self) -> None:
        """Have ``deliver`` look at once whether somebody has to be told."""
        self._mail.set()

    def close(self) -> None:
        """Have ``deliver`` end when nothing is due any more."""
        self._is_closing = True
        self._mail.set()

    def delivered(self, delivery: Delivery) -> None:
        """Take note of one attempt to deliver."""
        row = delivery.notification
        self.metrics.notifications.labels(row.receiver, delivery.outcome.value).inc()
        if delivery.error:
            log.warning("delivery failed", receiver=row.receiver, error=delivery.error, message=row.id)
        if delivery.outcome is Outcome.FAILED:
            self.self_watch.problem(f"A message to {row.receiver} was given up: {delivery.error}")
        is_over, rollback = delivery.next_attempt_at is None, row.message.rollback
        if is_over and rollback and row.message.kind is NoticeKind.ROLLBACK:
            self.metrics.rollbacks.labels(rollback, delivery.outcome.value).inc()
        self._mail.set()

    async def _close_questions(self) -> datetime | None:
        """Take back what nobody can answer any more; gives when the next question may have to be."""
        now = self.clock.now()
        due = await self.database.aread(lambda session: next_closing(session, now))
        if due is None or due > now:
            return due
        for one in await self.database.awrite(lambda session: close_questions(session, now)):
            log.info("a rollback was not answered", rollback=one.name, reason=one.reason.value)
        return await self.database.aread(lambda session: next_closing(session, now))

    async def _tell_groups(self) -> datetime | None:
        """Put into the outbox what groups have waited to say; gives when the next of them is due."""
        now, house = self.clock.now(), self.house
        while True:
            pages, due = await self.database.awrite(lambda session: tell_groups(session, house, now))
            self.metrics.pages.inc(pages)
            if due is None or due > now:
                return due


def tell_groups(session: Session, house: House, now: datetime) -> tuple[int, datetime | None]:
    """How many pages the groups made that are due now, and when the next is due. To be called until that is later."""
    due = group_store.groups_due(session, now)
    if due:
        note(session, Moment(MomentKind.TOLD, now, " ".join(one.id for one in due)))
    return flush_due(session, house.routing, house.inhibitions, now)
