"""Sends what the outbox holds: claim a row, send it, mark it.

Every message arrives at least once. A row is marked after it was sent, so a crash in between sends it again
when the claim has run out (or when the daemon starts again); the message has the same id then, by which
webhooks drop the second one and Slack is searched for the first. Messages about one incident reach a receiver
in their order.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, TypeVar

from sqlmodel import Session

from . import DeliveryError, outbox_store, store
from .channels import Channel
from .incident import NoticeKind
from .intake import announce_rollback
from .message import Notification, Thread, addressed, receiver_test
from .outbox_store import MAX_WAIT_S, Claim

T = TypeVar("T")

MAX_PER_DRAIN = 100
"""How many messages one receiver gets in one drain; what is left is due at once."""

DELIVERY_TIMEOUT_S = 60.0
"""How long a channel may take in all. Below the lease of a claim, so that no two senders overlap."""

FIRST_BACKOFF_S = 2.0
"""The wait after the first failed attempt; it doubles with each one."""

MAX_BACKOFF_S = 900.0
"""The longest wait that doubling leads to."""

MAX_ATTEMPTS = 200
"""How often a message is tried before it is given up."""

MAX_AGE_S = {NoticeKind.ROLLBACK: 1800.0, NoticeKind.TEST: 60.0}
"""How old a message may be at its next attempt; all other kinds have ``DEFAULT_MAX_AGE_S``.

A rollback that comes late does harm: people have acted since.
"""

DEFAULT_MAX_AGE_S = 86_400.0
"""A day. A page that could not be sent for a day is on record as failed; ``requeue`` tries it again."""


class Database(Protocol):
    """Transactions, as ``monitor.database`` gives them."""

    async def awrite(self, work: Callable[[Session], T]) -> T:
        """What ``work`` gives, after everything it changed is stored."""
        ...

    async def aread(self, work: Callable[[Session], T]) -> T:
        """What ``work`` gives, on one consistent view."""
        ...


class Outcome(StrEnum):
    """How one attempt ended."""

    SENT = "sent"
    RETRY = "retry"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to send one message. ``error`` is for people and holds no secret."""

    notification: Notification
    outcome: Outcome
    at: datetime
    error: str = ""
    next_attempt_at: datetime | None = None
    is_receiver_wide: bool = False
    """Whether the receiver asked for a pause, which then holds for everything that waits for it."""


@dataclass(frozen=True, slots=True)
class Outbox:
    """The sender of a deployment's messages.

    ``channels`` is what ``open_channels`` gives. ``on_delivery`` hears of every attempt, after it is on
    record: that is where failures become metrics and log lines.
    """

    database: Database
    channels: Mapping[str, Channel]
    now: Callable[[], datetime]
    rng: random.Random
    on_delivery: Callable[[Delivery], None] = lambda delivery: None
    delivery_timeout_s: float = DELIVERY_TIMEOUT_S

    async def drain(self) -> datetime | None:
        """When the next message is due, after what is due now has been tried; ``None``: nothing waits.

        Receivers are served side by side, so that one that hangs does not hold up the others.
        """
        due = await self.database.aread(lambda session: outbox_store.receivers_due(session, self.now()))
        results = await asyncio.gather(*(self._serve(receiver) for receiver in due), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return await self.database.aread(lambda session: outbox_store.next_due_at(session, self.now()))

    async def send_test(self, receiver: str) -> Notification:
        """What became of a test message to this receiver, which went the way of every other message."""
        row = addressed(receiver_test(receiver, self.now()), receiver, sequence=0)
        await self.database.awrite(lambda session: outbox_store.enqueue(session, [row]))
        await self._serve(receiver, only=row.id)
        after = await self.database.aread(lambda session: outbox_store.notification(session, row.id))
        return after or row

    async def _serve(self, receiver: str, only: str | None = None) -> None:
        for _ in range(MAX_PER_DRAIN):
            claim = await self.database.awrite(
                lambda session: outbox_store.claim_next(session, receiver, self.now(), only)
            )
            # After a failure the others wait for the next drain: a receiver that hangs would
            # otherwise take its time-out for every one of them.
            if claim is None or await self._attempt(claim) is Outcome.RETRY:
                return

    async def _attempt(self, claim: Claim) -> Outcome:
        thread: Thread | None = None
        try:
            thread = await self._deliver(claim)
        except DeliveryError as error:
            delivery = after_failure(claim.notification, error, self.now(), self.rng)
        else:
            delivery = Delivery(claim.notification, Outcome.SENT, self.now())
        # Marked after sending: a crash in between repeats the message, which the receiver drops
        # by its id. Marking first would lose it.
        await self.database.awrite(lambda session: _mark(session, delivery, thread))
        self.on_delivery(delivery)
        return delivery.outcome

    async def _deliver(self, claim: Claim) -> Thread | None:
        row = claim.notification
        channel = self.channels.get(row.receiver)
        if channel is None:
            raise DeliveryError(f"no receiver {row.receiver!r} in the configuration", permanent=True)
        if row.message.kind is NoticeKind.ROLLBACK and _age_s(row, self.now()) > max_age_s(row):
            raise DeliveryError("too late: a rollback is not sent when it is old", permanent=True)
        is_repeat = row.attempts > 1 or row.last_error is not None
        try:
            async with asyncio.timeout(self.delivery_timeout_s):
                return await channel.deliver(row.message, claim.thread, is_repeat=is_repeat)
        except DeliveryError:
            raise
        except TimeoutError as error:
            raise DeliveryError(f"no end after {self.delivery_timeout_s:g} s") from error
        except Exception as error:
            # A defect in one channel must not stop the others. Only its type is kept: the text may hold anything.
            raise DeliveryError(f"unexpected {type(error).__name__} in the channel") from error


def after_failure(row: Notification, error: DeliveryError, now: datetime, rng: random.Random) -> Delivery:
    """Whether and when this message is tried again. ``row.attempts`` counts the attempt that just failed."""
    wait_s = min(max(_backoff_s(row.attempts, rng), error.retry_after_s or 0.0), MAX_WAIT_S)
    is_last = row.attempts >= MAX_ATTEMPTS or _age_s(row, now) + wait_s > max_age_s(row)
    if error.permanent or is_last:
        text = str(error) if error.permanent else f"given up after {row.attempts} attempts: {error}"
        return Delivery(row, Outcome.FAILED, now, text)
    return Delivery(
        row, Outcome.RETRY, now, str(error), now + timedelta(seconds=wait_s), error.retry_after_s is not None
    )


def max_age_s(row: Notification) -> float:
    """How old this message may become before it is given up."""
    return MAX_AGE_S.get(row.message.kind, DEFAULT_MAX_AGE_S)


def _backoff_s(attempts: int, rng: random.Random) -> float:
    # Between half and all of the wait: many senders that failed together do not come back together.
    doublings = min(attempts - 1, 16)
    return min(FIRST_BACKOFF_S * 2.0**doublings, MAX_BACKOFF_S) * rng.uniform(0.5, 1.0)


def _age_s(row: Notification, now: datetime) -> float:
    return max(0.0, (now - row.message.created_at).total_seconds())


def _mark(session: Session, delivery: Delivery, thread: Thread | None) -> None:
    row = delivery.notification
    if delivery.outcome is Outcome.SENT:
        outbox_store.mark_sent(session, row.id, thread, delivery.at)
    elif delivery.next_attempt_at is None:
        outbox_store.mark_failed(session, row.id, delivery.error, delivery.at)
    else:
        outbox_store.mark_retry(session, row.id, delivery.error, delivery.next_attempt_at)
        if delivery.is_receiver_wide:
            outbox_store.postpone(session, row.receiver, delivery.next_attempt_at)
    _tell_of_rollback(session, delivery)


def _tell_of_rollback(session: Session, delivery: Delivery) -> None:
    row, message = delivery.notification, delivery.notification.message
    is_over = delivery.outcome is not Outcome.RETRY
    if (
        message.kind is not NoticeKind.ROLLBACK
        or not is_over
        or not message.incident_id
        or not message.rollback
    ):
        return
    if delivery.outcome is Outcome.SENT:
        store.mark_rollback_delivered(session, message.rollback, message.incident_id, delivery.at)
        note = f"Rollback {message.rollback!r} was delivered to the deploy system (webhook-id {row.id})."
    else:
        store.mark_rollback_failed(session, message.rollback, message.incident_id, delivery.at)
        note = f"Rollback {message.rollback!r} could not be delivered: {delivery.error}. Roll back by hand."
    announce_rollback(session, message.incident_id, message.rollback, note, delivery.at)
