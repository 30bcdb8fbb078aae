"""What becomes of a storm: when too much waits for one receiver, all of it goes out as one message that counts it.

Nothing is lost by it: the messages stay on record, each with the digest that told of it, and arrive when it does.
Every function takes the session of the caller's transaction and never commits.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import nsmallest

from sqlmodel import Session

from . import outbox_store
from .finding import Severity
from .incident import NoticeKind, State
from .message import MEMBERS_SHOWN, MemberLine, Message, Notification, Why, addressed

WINDOW_S = 60.0
"""The time in which a receiver's messages are counted."""

DIGESTED_AT_ONCE = 50_000
"""How many messages one digest tells of at most; the next one has the others."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may go to a receiver now: this many single messages, or one digest, or nothing ``until`` then."""

    messages: int = 0
    is_storm: bool = False
    until: datetime | None = None
    digest_id: str | None = None
    """A digest that is on its way: nothing overtakes it."""


def allowance(load: outbox_store.Load, max_per_minute: int, now: datetime) -> Allowance:
    """What may go to a receiver on which there is this load. Pure."""
    if load.digest_id is not None:
        return Allowance(digest_id=load.digest_id, until=load.digest_due_at)
    left = max(0, max_per_minute - load.sent)
    if load.waiting <= left:
        return Allowance(messages=left)
    if load.digest_sent_at is None or load.digest_sent_at > now:
        return Allowance(is_storm=True)
    again = load.digest_sent_at + timedelta(seconds=WINDOW_S)
    return Allowance(is_storm=True) if again <= now else Allowance(until=again)


def gather(session: Session, receiver: str, now: datetime) -> Notification | None:
    """The digest of all that waits for this receiver now, which is in the outbox in its place."""
    last = outbox_store.last_waiting(session, receiver, DIGESTED_AT_ONCE)
    if last is None:
        return None
    counts: Counter[tuple[Severity, NoticeKind]] = Counter()
    first = nsmallest(MEMBERS_SHOWN, _counted(session, receiver, last, counts), key=_urgency)
    row = addressed(_message(first, counts, now), receiver, last)
    outbox_store.enqueue(session, [row])
    outbox_store.put_into_digest(session, receiver, row.id, last)
    return row


def _counted(
    session: Session, receiver: str, last: int, counts: Counter[tuple[Severity, NoticeKind]]
) -> Iterable[Message]:
    """The messages one by one, so that a storm is never in memory as a whole."""
    for message in outbox_store.waiting_messages(session, receiver, last):
        counts[message.severity, message.kind] += 1
        yield message


def _urgency(message: Message) -> tuple[bool, int, datetime]:
    return message.kind is NoticeKind.RESOLVED, -message.severity, message.created_at


def _message(first: list[Message], counts: Counter[tuple[Severity, NoticeKind]], now: datetime) -> Message:
    total = counts.total()
    by_weight = sorted(counts.items(), key=lambda item: (-item[0][0], item[0][1]))
    alarms = [severity for (severity, kind) in counts if kind is not NoticeKind.RESOLVED]
    said = tuple((f"{severity.name} {kind.value}", str(n)) for (severity, kind), n in by_weight)
    return Message(
        id="",
        kind=NoticeKind.DIGEST,
        summary=f"{total} messages at a time: {', '.join(f'{n} {name}' for name, n in said)}",
        created_at=now,
        key=f"{total} messages",
        severity=max(alarms, default=Severity.INFO),
        evidence=said,
        note="They are told in this one message so that none of them is lost. `anchorwatch alerts list` has them all.",
        why=Why.DIGEST,
        members=tuple(_line(message) for message in first),
        members_more=total - len(first),
    )


def _line(message: Message) -> MemberLine:
    # A message about news of a rollback has a state too; one without an incident fires as far as people are concerned.
    state = message.state or State.FIRING
    return MemberLine(message.incident_id or "", message.key, message.severity, state, message.summary)
