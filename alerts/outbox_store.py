"""The rows of the outbox: put in by whoever decides, claimed and marked by whoever sends.

Every function takes the session of the caller's transaction and never commits.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Row, bindparam, delete, func, insert, or_, update
from sqlalchemy import select as select_columns
from sqlalchemy.orm import aliased
from sqlmodel import Session, SQLModel, col, select

from .incident import NoticeKind
from .message import Message, Notification, Thread
from .store import moment
from .tables import GroupRow, MemberRow, NotificationRow

CLAIM_LEASE_S = 120.0
"""How long a claimed row stays with its sender; after that the sender counts as gone and it is sent again."""

MAX_WAIT_S = 3600.0
"""The longest wait between two attempts. A row that says later was written by a clock that ran ahead."""

MAX_ERROR_LENGTH = 500
"""How much of an error text a row keeps."""


READ_AT_ONCE = 200
"""How many messages of a storm are in memory at a time."""

FATES_EACH, FATES_MAX = 100, 5_000
"""How many of the latest messages about one incident are told of, and about all that are asked for."""

ALARMS = (NoticeKind.FIRING, NoticeKind.ESCALATED, NoticeKind.UPDATED, NoticeKind.REPEATED)
"""By what people first hear of something, and hear of it again."""

_ALARMS = tuple(kind.value for kind in ALARMS)

FORGOTTEN_AT_ONCE = 500
"""How many rows are deleted at a time, so that nobody waits long for the database."""


_NOTIFICATION = SQLModel.metadata.tables["notification"]
_IS_THERE = select(_NOTIFICATION.c.id).where(_NOTIFICATION.c.id == bindparam("this_id"))
_INSERT = insert(_NOTIFICATION)
_ANY_WAITING = (
    select(_NOTIFICATION.c.position)
    .where(
        _NOTIFICATION.c.sent_at.is_(None),
        _NOTIFICATION.c.failed_at.is_(None),
        _NOTIFICATION.c.digest_id.is_(None),
    )
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A row that is now ours to send. ``thread`` is where earlier messages of its group lie, if any do."""

    notification: Notification
    thread: Thread | None


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a message so far, without what it says."""

    receiver: str
    attempts: int
    claimed_at: datetime | None
    sent_at: datetime | None
    failed_at: datetime | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What the outbox holds now: rows that still wait, since when, and rows that were given up."""

    waiting: int
    failed: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True)
class Load:
    """What is on one receiver: rows that are due, rows that were sent of late, and its last digests."""

    waiting: int
    sent: int
    digest_id: str | None = None
    """A digest that still waits; it is due at ``digest_due_at``."""
    digest_due_at: datetime | None = None
    digest_sent_at: datetime | None = None


def enqueue(session: Session, notifications: Iterable[Notification]) -> None:
    """Put these into the outbox, in this order. One that is already there is left alone."""
    connection = session.connection()
    for notification in notifications:
        if connection.execute(_IS_THERE, {"this_id": notification.id}).first() is None:
            connection.execute(_INSERT, _new_row(notification))


def receivers_told(session: Session, group_id: str) -> tuple[str, ...]:
    """Everyone who was sent word of this group, in the order in which they first were."""
    query = (
        select(NotificationRow.receiver)
        .where(NotificationRow.group_id == group_id, col(NotificationRow.kind).in_(_ALARMS))
        .order_by(col(NotificationRow.position))
    )
    return tuple(dict.fromkeys(session.exec(query)))


def threads_of(session: Session, incident_id: str) -> dict[str, str]:
    """The receivers who were sent word of this incident, in their order, each with the group it was told in."""
    query = (
        select(NotificationRow.receiver, NotificationRow.group_id)
        .join(MemberRow, col(MemberRow.group_id) == col(NotificationRow.group_id))
        .where(
            MemberRow.incident_id == incident_id,
            col(MemberRow.told).is_not(None),
            col(NotificationRow.kind).in_(_ALARMS),
        )
        .order_by(col(NotificationRow.position))
    )
    found: dict[str, str] = {}
    for receiver, group_id in session.exec(query):
        if group_id is not None:
            found.setdefault(receiver, group_id)
    return found


def notifications(
    session: Session, incident_id: str | None = None, limit: int = 100
) -> tuple[Notification, ...]:
    """The latest messages (of one incident), the oldest of them first."""
    query = select(NotificationRow).order_by(col(NotificationRow.position).desc()).limit(limit)
    if incident_id is not None:
        groups = select(MemberRow.group_id).where(MemberRow.incident_id == incident_id)
        mine = or_(col(NotificationRow.incident_id) == incident_id, col(NotificationRow.group_id).in_(groups))
        query = query.where(mine)
    return tuple(_notification(row) for row in reversed(session.exec(query).all()))


def fates(session: Session, incident_ids: Collection[str]) -> dict[str, list[Fate]]:
    """What became of the latest messages about each of these incidents, the oldest of them first."""
    members = session.exec(
        select(MemberRow.group_id, MemberRow.incident_id).where(col(MemberRow.incident_id).in_(incident_ids))
    )
    in_group: dict[str, list[str]] = {}
    for group_id, incident_id in members:
        in_group.setdefault(group_id, []).append(incident_id)
    row = _NOTIFICATION.c
    query = (
        select_columns(_NOTIFICATION)
        .where(or_(row.incident_id.in_(incident_ids), row.group_id.in_(in_group)))
        .order_by(row.position.desc())
        .limit(FATES_MAX)
    )
    found: dict[str, list[Fate]] = {one: [] for one in incident_ids}
    for one in session.connection().execute(query):
        for incident_id in {one.incident_id, *in_group.get(one.group_id, ())} & found.keys():
            if len(found[incident_id]) < FATES_EACH:
                found[incident_id].append(_fate(one))
    return {incident_id: few[::-1] for incident_id, few in found.items()}


def notification(session: Session, notification_id: str) -> Notification | None:
    """The message with this id, if there is one."""
    row = _row(session, notification_id)
    return None if row is None else _notification(row)


def receivers_due(session: Session, now: datetime) -> tuple[str, ...]:
    """The receivers that have a message to be sent now."""
    rows = session.exec(select(NotificationRow.receiver).where(_is_head(), _is_due(now)).distinct())
    return tuple(sorted(rows))


def claim_next(session: Session, receiver: str, now: datetime, only: str | None = None) -> Claim | None:
    """The next message to this receiver, claimed for the caller, or ``None`` when none is due.

    A message waits for the earlier ones of its group to the same receiver; ``only`` asks for one by its
    id.
    """
    query = select(NotificationRow).where(NotificationRow.receiver == receiver, _is_head(), _is_due(now))
    if only is not None:
        query = query.where(NotificationRow.id == only)
    row = session.exec(query.order_by(col(NotificationRow.position)).limit(1)).first()
    if row is None:
        return None
    row.claimed_at = now.timestamp()
    row.attempts += 1
    session.add(row)
    return Claim(_notification(row), _thread_of(session, row))


def load(session: Session, receiver: str, since: datetime, now: datetime) -> Load:
    """What is on this receiver, of which ``since`` then counts as sent of late."""
    mine = col(NotificationRow.receiver) == receiver
    waiting = session.exec(
        select(func.count()).select_from(NotificationRow).where(mine, _is_waiting(), _is_due(now))
    ).one()
    is_digest = NotificationRow.kind == NoticeKind.DIGEST.value
    digests = select(NotificationRow).where(mine, is_digest).order_by(col(NotificationRow.position).desc())
    latest = session.exec(digests.limit(1)).first()
    own = mine & col(NotificationRow.digest_id).is_(None)
    sent = session.exec(
        select(func.count())
        .select_from(NotificationRow)
        .where(own, col(NotificationRow.sent_at) > since.timestamp())
    ).one()
    if latest is None:
        return Load(waiting, sent)
    if latest.sent_at is None and latest.failed_at is None:
        due_at = _due_at(latest.next_attempt_at, latest.claimed_at, now)
        return Load(waiting, sent, latest.id, due_at)
    return Load(waiting, sent, digest_sent_at=moment(latest.sent_at))


def last_waiting(session: Session, receiver: str, limit: int) -> int | None:
    """The position of the last of the rows that wait, of which there are ``limit`` at most; nothing without any."""
    rows = select(NotificationRow.position).where(*_digestible(receiver))
    first = rows.order_by(col(NotificationRow.position)).limit(limit).subquery()
    last: int | None = session.exec(select(func.max(first.c.position))).one()
    return last


def waiting_messages(session: Session, receiver: str, last: int) -> Iterator[Message]:
    """The messages that wait up to this position, read a few at a time."""
    query = select(NotificationRow.payload).where(
        *_digestible(receiver), col(NotificationRow.position) <= last
    )
    for text in session.exec(query.execution_options(yield_per=READ_AT_ONCE)):
        yield Message.from_json(text)


def put_into_digest(session: Session, receiver: str, digest_id: str, last: int) -> None:
    """Have a digest tell of everything that waits up to this position."""
    session.connection().execute(
        update(NotificationRow)
        .where(*_digestible(receiver), col(NotificationRow.position) <= last)
        .values(digest_id=digest_id)
    )


def mark_digested(session: Session, digest_id: str, now: datetime, *, error: str | None = None) -> None:
    """Record what became of the messages that a digest told of: what became of it."""
    fate = (
        {"sent_at": now.timestamp()} if error is None else {"failed_at": now.timestamp(), "last_error": error}
    )
    session.connection().execute(
        update(NotificationRow).where(col(NotificationRow.digest_id) == digest_id).values(**fate)
    )


def mark_sent(session: Session, notification_id: str, thread: Thread | None, now: datetime) -> None:
    """Record that the message arrived."""
    row = _claimed(session, notification_id)
    row.claimed_at, row.sent_at, row.last_error = None, now.timestamp(), None
    row.thread = None if thread is None else orjson.dumps(thread).decode()


def mark_retry(session: Session, notification_id: str, error: str, at: datetime) -> None:
    """Record that this attempt failed; the next one is at ``at``."""
    row = _claimed(session, notification_id)
    row.claimed_at, row.next_attempt_at, row.last_error = None, at.timestamp(), error[:MAX_ERROR_LENGTH]


def mark_failed(session: Session, notification_id: str, error: str, now: datetime) -> None:
    """Record that the message is given up; later ones of its group go on without it."""
    row = _claimed(session, notification_id)
    row.claimed_at, row.failed_at, row.last_error = None, now.timestamp(), error[:MAX_ERROR_LENGTH]


def postpone(session: Session, receiver: str, until: datetime) -> None:
    """Hold everything that waits for this receiver until then, because it asked for a pause."""
    session.connection().execute(
        update(NotificationRow)
        .where(
            col(NotificationRow.receiver) == receiver,
            _is_waiting(),
            func.coalesce(NotificationRow.next_attempt_at, 0.0) < until.timestamp(),
        )
        .values(next_attempt_at=until.timestamp())
    )


def release_claims(session: Session) -> int:
    """How many rows a sender that is gone had claimed; they are due again. For a daemon at its start."""
    claimed = session.exec(
        select(NotificationRow).where(_is_waiting(), col(NotificationRow.claimed_at).is_not(None))
    )
    rows = claimed.all()
    for row in rows:
        row.claimed_at = None
    return len(rows)


def is_any_waiting(session: Session) -> bool:
    """Whether anything still has to go out."""
    return session.connection().execute(_ANY_WAITING).first() is not None


def requeue(session: Session, notification_id: str) -> bool:
    """Whether the message had been given up; if so, it is due again from the start."""
    row = _row(session, notification_id)
    if row is None or row.failed_at is None:
        return False
    row.failed_at, row.next_attempt_at, row.attempts, row.digest_id = None, None, 0, None
    row.given_up += 1
    return True


def requeue_pages(session: Session) -> int:
    """How many alarms of groups that are not over had been given up; they are due again. For a daemon at its
    start: a receiver that refused them for good, by a wrong token, may have been mended since.
    """
    query = (
        select(NotificationRow.id)
        .join(GroupRow, col(GroupRow.id) == col(NotificationRow.group_id))
        .where(
            col(NotificationRow.failed_at).is_not(None),
            col(NotificationRow.kind).in_(_ALARMS),
            col(GroupRow.closed_at).is_(None),
        )
    )
    return sum(requeue(session, notification_id) for notification_id in session.exec(query).all())


def forget(session: Session, before: datetime, limit: int = FORGOTTEN_AT_ONCE) -> int:
    """How many messages were deleted, ``limit`` at most: those that are over (sent or given up), of groups that
    were over before then, and tests and rollback orders from before then. Incidents and rollback decisions stay.
    """
    is_old = or_(
        col(GroupRow.closed_at) < before.timestamp(),
        col(NotificationRow.group_id).is_(None) & (col(NotificationRow.created_at) < before.timestamp()),
    )
    query = (
        select(NotificationRow.position)
        .join(GroupRow, col(GroupRow.id) == col(NotificationRow.group_id), isouter=True)
        .where(~_is_waiting(), is_old)
        .order_by(col(NotificationRow.position))
        .limit(limit)
    )
    positions = session.exec(query).all()
    session.connection().execute(delete(NotificationRow).where(col(NotificationRow.position).in_(positions)))
    return len(positions)


def next_due_at(session: Session, now: datetime) -> datetime | None:
    """When the next message has to be sent (not before ``now``), or ``None`` when nothing waits."""
    heads = session.exec(
        select(NotificationRow.next_attempt_at, NotificationRow.claimed_at).where(_is_head())
    )
    return min((_due_at(wait, claim, now) for wait, claim in heads), default=None)


def oldest_by_receiver(session: Session) -> tuple[Notification, ...]:
    """The oldest message that waits for each receiver."""
    oldest = (
        select(func.min(NotificationRow.position))
        .where(_is_waiting())
        .group_by(col(NotificationRow.receiver))
    )
    rows = session.exec(select(NotificationRow).where(col(NotificationRow.position).in_(oldest)))
    return tuple(_notification(row) for row in rows)


def waiting_by_receiver(session: Session) -> dict[str, int]:
    """How many messages wait for each receiver."""
    query = select(NotificationRow.receiver, func.count()).where(_is_waiting())
    return dict(session.exec(query.group_by(col(NotificationRow.receiver))).all())


def backlog(session: Session, failed_since: datetime) -> Backlog:
    """What waits, and what was given up at ``failed_since`` or later; a test that failed told so at once."""
    waiting, oldest = session.exec(
        select(func.count(), func.min(NotificationRow.created_at)).where(_is_waiting())
    ).one()
    failed = session.exec(
        select(func.count())
        .select_from(NotificationRow)
        .where(col(NotificationRow.failed_at) >= failed_since.timestamp())
        .where(NotificationRow.kind != NoticeKind.TEST.value)
    ).one()
    return Backlog(waiting=waiting, failed=failed, oldest_at=moment(oldest))


def _fate(row: Row[Any]) -> Fate:
    return Fate(
        receiver=row.receiver,
        attempts=row.attempts,
        claimed_at=moment(row.claimed_at),
        sent_at=moment(row.sent_at),
        failed_at=moment(row.failed_at),
        last_error=row.last_error,
    )


@cache
def _is_waiting() -> ColumnElement[bool]:
    is_open = col(NotificationRow.sent_at).is_(None) & col(NotificationRow.failed_at).is_(None)
    return is_open & col(NotificationRow.digest_id).is_(None)


def _digestible(receiver: str) -> tuple[ColumnElement[bool], ...]:
    # Those too that wait for another attempt: what comes after them must not overtake them in a digest.
    # What asks a person something is nothing to be counted.
    alone = [
        kind.value
        for kind in (NoticeKind.TEST, NoticeKind.DIGEST, NoticeKind.REPORT, NoticeKind.ROLLBACK_QUESTION)
    ]
    is_kind = col(NotificationRow.kind).not_in(alone)
    # What is claimed is on its way already.
    is_free = col(NotificationRow.claimed_at).is_(None)
    return col(NotificationRow.receiver) == receiver, _is_waiting(), is_kind, is_free


@cache
def _is_head() -> ColumnElement[bool]:
    earlier = aliased(NotificationRow)
    blocked = (
        select(earlier.position)
        .where(
            col(earlier.group_id) == NotificationRow.group_id,
            col(earlier.receiver) == NotificationRow.receiver,
            col(earlier.position) < NotificationRow.position,
            col(earlier.sent_at).is_(None),
            col(earlier.failed_at).is_(None),
            col(earlier.digest_id).is_(None),
        )
        .exists()
    )
    return _is_waiting() & ~blocked


def _is_due(now: datetime) -> ColumnElement[bool]:
    at = now.timestamp()
    wait, claim = col(NotificationRow.next_attempt_at), col(NotificationRow.claimed_at)
    is_time = or_(wait.is_(None), wait <= at, wait > at + MAX_WAIT_S)
    is_free = or_(claim.is_(None), claim <= at - CLAIM_LEASE_S, claim > at + CLAIM_LEASE_S)
    return is_time & is_free


def _due_at(next_attempt_at: float | None, claimed_at: float | None, now: datetime) -> datetime:
    at = now.timestamp()
    wait_s = (next_attempt_at or at) - at
    lease_s = 0.0 if claimed_at is None else claimed_at + CLAIM_LEASE_S - at
    # The same leniency as in _is_due towards times that a clock which ran ahead has left behind.
    wait_s = 0.0 if wait_s > MAX_WAIT_S else wait_s
    lease_s = 0.0 if lease_s > 2 * CLAIM_LEASE_S else lease_s
    return now + timedelta(seconds=max(0.0, wait_s, lease_s))


def _thread_of(session: Session, row: NotificationRow) -> Thread | None:
    if row.group_id is None:
        return None
    # The latest one: a channel opens a new thread when somebody has removed the first.
    latest = session.exec(
        select(NotificationRow.thread)
        .where(
            NotificationRow.group_id == row.group_id,
            NotificationRow.receiver == row.receiver,
            col(NotificationRow.thread).is_not(None),
        )
        .order_by(col(NotificationRow.position).desc())
        .limit(1)
    ).first()
    return None if latest is None else Thread(**orjson.loads(latest))


def _row(session: Session, notification_id: str) -> NotificationRow | None:
    return session.exec(select(NotificationRow).where(NotificationRow.id == notification_id)).first()


def _claimed(session: Session, notification_id: str) -> NotificationRow:
    return session.exec(select(NotificationRow).where(NotificationRow.id == notification_id)).one()


def _new_row(notification: Notification) -> dict[str, Any]:
    message = notification.message
    return {
        "id": notification.id,
        "incident_id": message.incident_id,
        "group_id": message.group_id,
        "receiver": notification.receiver,
        "kind": message.kind.value,
        "payload": message.to_json(),
        "created_at": message.created_at.timestamp(),
        "attempts": 0,
    }


def _notification(row: NotificationRow) -> Notification:
    return Notification(
        id=row.id,
        receiver=row.receiver,
        message=Message.from_json(row.payload),
        attempts=row.attempts,
        given_up=row.given_up,
        next_attempt_at=moment(row.next_attempt_at),
        claimed_at=moment(row.claimed_at),
        sent_at=moment(row.sent_at),
        failed_at=moment(row.failed_at),
        last_error=row.last_error,
    )
