"""Groups and their members in the database: rows become domain values here.

Every function takes the session of the caller's transaction and never commits.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import bindparam, delete, func, or_, update
from sqlmodel import Session, col, select

from .finding import Severity
from .grouping import LONGEST_WAIT_S, Group, Member
from .incident import State
from .routing import EscalationStep, Policy
from .store import incident_of, moment, unix
from .tables import GroupRow, IncidentRow, MemberRow

DUE_AT_ONCE = 100
"""How many groups are looked at in one transaction, so that nobody waits long for the database."""

FORGOTTEN_AT_ONCE = 500
"""How many groups are deleted at a time, for the same reason."""

_UPDATE_MEMBER = (
    update(MemberRow)
    .where(
        col(MemberRow.group_id) == bindparam("of_group"),
        col(MemberRow.incident_id) == bindparam("of_incident"),
    )
    .values(told=bindparam("now_told"), told_severity=bindparam("severity"), told_at=bindparam("at"))
)


def group(session: Session, group_id: str) -> Group | None:
    """The group with this id, if there is one."""
    row = session.get(GroupRow, group_id)
    return None if row is None else _group(row)


def open_group(session: Session, route: str, labels: Mapping[str, str]) -> Group | None:
    """The group of this route and these labels that is not over, if there is one."""
    query = select(GroupRow).where(
        GroupRow.route == route, GroupRow.labels == written(labels), col(GroupRow.closed_at).is_(None)
    )
    row = session.exec(query).first()
    return None if row is None else _group(row)


def open_groups(session: Session) -> tuple[Group, ...]:
    """All groups that are not over, the oldest first."""
    query = select(GroupRow).where(col(GroupRow.closed_at).is_(None)).order_by(col(GroupRow.opened_at))
    return tuple(_group(row) for row in session.exec(query))


def groups_of(session: Session, incident_id: str) -> tuple[Group, ...]:
    """The groups that this incident belongs to, over or not, the oldest first."""
    query = (
        select(GroupRow)
        .join(MemberRow, col(MemberRow.group_id) == col(GroupRow.id))
        .where(MemberRow.incident_id == incident_id)
        .order_by(col(GroupRow.opened_at), col(GroupRow.id))
    )
    return tuple(_group(row) for row in session.exec(query))


def groups_due(session: Session, now: datetime, limit: int = DUE_AT_ONCE) -> tuple[Group, ...]:
    """The groups that have to be looked at now."""
    query = select(GroupRow).where(_is_due(now)).order_by(col(GroupRow.due_at)).limit(limit)
    return tuple(_group(row) for row in session.exec(query))


def next_due_at(session: Session, now: datetime) -> datetime | None:
    """When the next group has to be looked at (not before ``now``), or ``None`` when none waits."""
    earliest = session.exec(select(func.min(GroupRow.due_at)).where(col(GroupRow.closed_at).is_(None))).one()
    if earliest is None:
        return None
    is_late = earliest > now.timestamp() + LONGEST_WAIT_S
    return now if is_late else max(now, moment(earliest) or now)


def look_again(session: Session, now: datetime, incident_id: str | None = None) -> None:
    """Have every group looked at that is not over (that this incident belongs to): something has changed for it."""
    statement = update(GroupRow).where(col(GroupRow.closed_at).is_(None)).values(due_at=now.timestamp())
    if incident_id is not None:
        groups = select(MemberRow.group_id).where(MemberRow.incident_id == incident_id)
        statement = statement.where(col(GroupRow.id).in_(groups))
    session.connection().execute(statement)


def members(session: Session, group_id: str) -> tuple[Member, ...]:
    """The members of a group, in the order in which they joined."""
    query = (
        select(MemberRow, IncidentRow)
        .join(IncidentRow, col(IncidentRow.id) == col(MemberRow.incident_id))
        .where(MemberRow.group_id == group_id)
        .order_by(col(MemberRow.joined_at), col(MemberRow.incident_id))
    )
    return tuple(_member(row, incident) for row, incident in session.exec(query))


def is_member(session: Session, group_id: str, incident_id: str) -> bool:
    """Whether the incident belongs to the group."""
    return session.get(MemberRow, (group_id, incident_id)) is not None


def add_member(session: Session, group_id: str, incident_id: str, now: datetime) -> None:
    """Have the incident join the group, unless it already has."""
    if not is_member(session, group_id, incident_id):
        session.add(MemberRow(group_id=group_id, incident_id=incident_id, joined_at=now.timestamp()))
        session.flush()


def save_group(session: Session, group: Group) -> None:
    """Keep this group, in place of what was known of it."""
    session.merge(
        GroupRow(
            id=group.id,
            route=group.route,
            labels=written(group.labels),
            policy=orjson.dumps(asdict(group.policy)).decode(),
            opened_at=group.opened_at.timestamp(),
            waiting_at=group.waiting_since.timestamp(),
            due_at=unix(group.due_at),
            told_at=unix(group.told_at),
            told_severity=int(group.told_severity or 0),
            notices=group.notices,
            unacknowledged_at=unix(group.unacknowledged_since),
            steps=group.steps,
            paged_at=unix(group.paged_at),
            closed_at=unix(group.closed_at),
        )
    )
    session.flush()


def save_told(session: Session, group_id: str, told: Iterable[Member]) -> None:
    """Keep what people have been told of these members."""
    values = [
        {
            "of_group": group_id,
            "of_incident": one.incident.id,
            "now_told": one.told.value if one.told else None,
            "severity": int(one.told_severity or 0),
            "at": unix(one.told_at),
        }
        for one in told
    ]
    if values:
        session.connection().execute(_UPDATE_MEMBER, values)
        # The statement goes past the session, which may hold the rows as they were.
        session.expire_all()


def set_policies(session: Session, policies: Mapping[str, Policy]) -> None:
    """Have the groups that are not over follow what their routes say now. Those whose route is gone go on as before."""
    for route, policy in policies.items():
        session.connection().execute(
            update(GroupRow)
            .where(col(GroupRow.route) == route, col(GroupRow.closed_at).is_(None))
            .values(policy=orjson.dumps(asdict(policy)).decode())
        )


def pages_since(session: Session, since: datetime) -> int:
    """How often somebody was woken at ``since`` or later: a group counts once, however much was in it."""
    query = select(func.count()).select_from(GroupRow).where(col(GroupRow.paged_at) >= since.timestamp())
    return session.exec(query).one()


def forget(session: Session, before: datetime, limit: int = FORGOTTEN_AT_ONCE) -> int:
    """How many groups were deleted, ``limit`` at most: those that were over before then. Their incidents stay."""
    query = select(GroupRow.id).where(col(GroupRow.closed_at) < before.timestamp()).limit(limit)
    ids = session.exec(query).all()
    connection = session.connection()
    connection.execute(delete(MemberRow).where(col(MemberRow.group_id).in_(ids)))
    connection.execute(delete(GroupRow).where(col(GroupRow.id).in_(ids)))
    return len(ids)


def written(labels: Mapping[str, str]) -> str:
    """The labels of a group as its row has them."""
    return orjson.dumps(dict(labels), option=orjson.OPT_SORT_KEYS).decode()


def _is_due(now: datetime) -> Any:
    due, at = col(GroupRow.due_at), now.timestamp()
    # A time that lies too far ahead was written by a clock that ran ahead.
    return col(GroupRow.closed_at).is_(None) & or_(due <= at, due > at + LONGEST_WAIT_S)


def _group(row: GroupRow) -> Group:
    return Group(
        id=row.id,
        route=row.route,
        labels=orjson.loads(row.labels),
        policy=_policy(row.policy),
        opened_at=_at(row.opened_at),
        waiting_since=_at(row.waiting_at),
        due_at=moment(row.due_at),
        told_at=moment(row.told_at),
        told_severity=Severity(row.told_severity) if row.told_severity else None,
        notices=row.notices,
        unacknowledged_since=moment(row.unacknowledged_at),
        steps=row.steps,
        paged_at=moment(row.paged_at),
        closed_at=moment(row.closed_at),
    )


def _policy(text: str) -> Policy:
    fields = orjson.loads(text)
    steps = tuple(
        EscalationStep(one["after_s"], tuple(one["receivers"])) for one in fields.pop("escalation", ())
    )
    receivers, muted = tuple(fields.pop("receivers", ())), tuple(fields.pop("mute_times", ()))
    return Policy(receivers=receivers, mute_times=muted, escalation=steps, **fields)


def _member(row: MemberRow, incident: IncidentRow) -> Member:
    return Member(
        incident=incident_of(incident),
        joined_at=_at(row.joined_at),
        told=State(row.told) if row.told else None,
        told_severity=Severity(row.told_severity) if row.told_severity else None,
        told_at=moment(row.told_at),
    )


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
