"""Sends what the outbox holds: claim a row, send it, mark it.

Every message arrives at least once. A row is marked after it was sent, so a crash in between sends it again
when the claim has run out (or when the daemon starts again); the message has the same id then, by which
webhooks drop the second one and Slack is searched for the first. Messages about one incident reach a receiver
in their order.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, TypeVar

from sqlmodel import Session

from . import DeliveryError, outbox_store, receiver_store, rollback_store, store
from .channels import Channel
from .decisions import begun_with, record
from .digest import WINDOW_S, allowance, gather
from .incident import NoticeKind
from .message import Notification, Thread, Why, addressed, receiver_test
from .outbox_store import ALARMS, MAX_WAIT_S, Claim
from .rollback import Lock
from .rolling_back import BY_HAND, tell_people

T = TypeVar("T")

LockOn = Callable[[Session, Notification], Lock | None]
"""What keeps this order to roll back from going out."""

MAX_PER_DRAIN = 100
"""How many messages one receiver gets in one drain; what is left is due at once."""

DELIVERY_TIMEOUT_S = 60.0
"""How long a channel may take in all. Below the lease of a claim, so that no two senders overlap."""

FIRST_BACKOFF_S = 2.0
"""The wait after the first failed attempt; it doubles with each one."""

MAX_BACKOFF_S = 900.0
"""The longest wait that doubling leads to."""

FALLBACK_AFTER_S = 300.0
"""After how long a message that still fails goes to somebody else as well; it is tried on all the same."""

MAX_ATTEMPTS = 200
"""How often a message is tried before it is given up."""

MAX_AGE_S = {NoticeKind.ROLLBACK: 1800.0, NoticeKind.TEST: 60.0}
"""How old a message may be at its next attempt; all other kinds have ``DEFAULT_MAX_AGE_S``.

A rollback that comes late does harm: people have acted since.
"""

DEFAULT_MAX_AGE_S = 86_400.0
"""A day. A page that could not be sent for a day is on record as failed; ``requeue`` tries it again."""


_FALL_BACK = (*ALARMS, NoticeKind.DIGEST)
"""What somebody has to hear."""

_FALLBACK_OF = "fallback of "
_TOLD_TO, _INSTEAD = "told to ", " instead"
"""How a decision says for whom somebody stands in, and who does."""


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
    opened: Thread | None = None
    """The thread that this message began, where it began one."""


@dataclass(frozen=True, slots=True)
class Outbox:
    """The sender of a deployment's messages.

    ``channels`` is what ``open_channels`` gives. ``on_delivery`` hears of every attempt, after it is on
    record: that is where failures become metrics and log lines. ``limits`` says how many messages a receiver gets in
    a minute before the rest becomes a digest, ``fallbacks`` who hears what a receiver could not be told, and
    ``fingerprints`` how each is set up: of those it is kept whether anything ever arrived. ``lock_on`` is asked about
    each order to roll back before it goes out.
    """

    database: Database
    channels: Mapping[str, Channel]
    now: Callable[[], datetime]
    rng: random.Random
    on_delivery: Callable[[Delivery], None] = lambda delivery: None
    limits: Mapping[str, int] = field(default_factory=dict)
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    delivery_timeout_s: float = DELIVERY_TIMEOUT_S
    lock_on: LockOn = lambda session, order: rollback_store.lock_on(session, order.message.rollback or "")

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
        allowed = MAX_PER_DRAIN
        if only is None and receiver in self.limits:
            allowed, only = await self._allowed(receiver)
        for _ in range(allowed):
            claim = await self.database.awrite(
                lambda session: outbox_store.claim_next(session, receiver, self.now(), only)
            )
            # After a failure the others wait for the next drain: a receiver that hangs would
            # otherwise take its time-out for every one of them.
            if claim is None or await self._attempt(claim) is Outcome.RETRY:
                return

    async def _allowed(self, receiver: str) -> tuple[int, str | None]:
        """How many messages may go to this receiver now, and the only one that may, where there is a storm."""
        now = self.now()
        since = now - timedelta(seconds=WINDOW_S)
        load = await self.database.aread(lambda session: outbox_store.load(session, receiver, since, now))
        found = allowance(load, self.limits[receiver], now)
        if found.is_storm:
            digest = await self.database.awrite(lambda session: gather(session, receiver, now))
            return (1, digest.id) if digest else (0, None)
        until = found.until
        if until is not None and until > now:
            # Without this the others would count as due while nothing may go out, and be looked at without a pause.
            await self.database.awrite(lambda session: outbox_store.postpone(session, receiver, until))
            return 0, None
        return min(found.messages, MAX_PER_DRAIN) if found.digest_id is None else 1, found.digest_id

    async def _attempt(self, claim: Claim) -> Outcome:
        thread: Thread | None = None
        try:
            thread = await self._deliver(claim)
        except DeliveryError as error:
            delivery = after_failure(claim.notification, error, self.now(), self.rng)
        else:
            opened = None if thread == claim.thread else thread
            delivery = Delivery(claim.notification, Outcome.SENT, self.now(), opened=opened)
        # Marked after sending: a crash in between repeats the message, which the receiver drops
        # by its id. Marking first would lose it.
        await self.database.awrite(lambda session: self._mark(session, delivery, thread))
        self.on_delivery(delivery)
        return delivery.outcome

    async def _deliver(self, claim: Claim) -> Thread | None:
        row = claim.notification
        channel = self.channels.get(row.receiver)
        if channel is None:
            raise DeliveryError(f"no receiver {row.receiver!r} in the configuration", permanent=True)
        if row.message.kind is NoticeKind.ROLLBACK:
            await self._check_order(row)
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

    async def _check_order(self, row: Notification) -> None:
        """Raises DeliveryError when an order that has waited must not go out any more."""
        if _age_s(row, self.now()) > max_age_s(row):
            raise DeliveryError("too late: a rollback is not sent when it is old", permanent=True)
        # Somebody may have locked it since the order was written; a lock that comes later than this comes too late.
        if lock := await self.database.aread(lambda session: self.lock_on(session, row)):
            raise DeliveryError(f"it is {lock.said}", permanent=True)

    def _mark(self, session: Session, delivery: Delivery, thread: Thread | None) -> None:
        _mark(session, delivery, thread)
        self._note(session, delivery)
        row, message = delivery.notification, delivery.notification.message
        is_late = _age_s(row, delivery.at) > FALLBACK_AFTER_S
        is_lost = delivery.outcome is Outcome.FAILED or (delivery.outcome is Outcome.RETRY and is_late)
        if is_lost and message.kind in _FALL_BACK:
            self._fall_back(session, delivery)

    def _note(self, session: Session, delivery: Delivery) -> None:
        """Keep whether the receiver works: what arrived or was given up is the proof."""
        receiver = delivery.notification.receiver
        fingerprint = self.fingerprints.get(receiver)
        if fingerprint is None:
            return
        if delivery.outcome is Outcome.SENT:
            receiver_store.note_arrival(session, receiver, fingerprint, delivery.at)
        elif delivery.outcome is Outcome.FAILED:
            receiver_store.note_failure(session, receiver, fingerprint, delivery.error, delivery.at)

    def _fall_back(self, session: Session, delivery: Delivery) -> None:
        """Tell somebody else what this receiver could not be told: the first of its fallbacks who does not know."""
        row, message = delivery.notification, delivery.notification.message
        knows = outbox_store.receivers_told(session, message.group_id) if message.group_id else ()
        fallbacks = self.fallbacks.get(row.receiver, ())
        if delivery.outcome is Outcome.RETRY and any(one in knows for one in fallbacks):
            return
        spare = (one for one in fallbacks if one not in (*message.tried, *knows))
        receiver = next(spare, None)
        what = f"{_FALLBACK_OF}{row.receiver}"
        if receiver is None:
            why = "it could not be reached, and there is nobody else who does not know"
            record(session, delivery.at, what, why, group_id=message.group_id)
            return
        news = replace(
            message,
            kind=NoticeKind.FIRING if message.kind in ALARMS else message.kind,
            why=Why.FALLBACK,
            tried=(*message.tried, row.receiver),
            note=f"{row.receiver} was to have this and could not be reached.",
        )
        outbox_store.enqueue(session, [addressed(news, receiver, len(news.tried))])
        record(session, delivery.at, what, f"{_TOLD_TO}{receiver}{_INSTEAD}", group_id=message.group_id)


def stood_in_at(session: Session) -> dict[tuple[str, str, str], datetime]:
    """When it was decided that somebody stands in, by group, the receiver that was not reached, and who stood in."""
    return {
        (one.group_id, one.what.removeprefix(_FALLBACK_OF), receiver): one.first_at
        for one in begun_with(session, _FALLBACK_OF)
        if one.group_id and (receiver := one.why.removeprefix(_TOLD_TO).removesuffix(_INSTEAD)) != one.why
    }


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
    if row.message.kind is NoticeKind.DIGEST and delivery.outcome is not Outcome.RETRY:
        error = delivery.error or None
        outbox_store.mark_digested(session, row.id, delivery.at, error=error)
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
        rollback_store.mark_delivered(session, message.rollback, message.incident_id, delivery.at)
        note = f"Rollback {message.rollback!r} was delivered to the deploy system (webhook-id {row.id})."
    else:
        rollback_store.mark_failed(session, message.rollback, message.incident_id, delivery.at)
        note = f"Rollback {message.rollback!r} could not be delivered: {delivery.error}. {BY_HAND}"
    if incident := store.incident(session, message.incident_id):
        tell_people(session, incident, message.rollback, note, delivery.at)
