"""Groups and their members in the database: rows become domain values here.

Every function takes the session of the caller's transaction and never commits.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Row, bindparam, delete, func, insert, or_, select, update
from sqlmodel import Session, SQLModel

from .finding import Severity
from .grouping import LONGEST_WAIT_S, Group, Member
from .incident import State
from .routing import EscalationStep, Policy
from .store import incident_of, moment, unix

DUE_AT_ONCE = 100
"""How many groups are looked at in one transaction, so that nobody waits long for the database."""

FORGOTTEN_AT_ONCE = 500
"""How many groups are deleted at a time, for the same reason."""

_GROUP, _MEMBER = SQLModel.metadata.tables["alert_group"], SQLModel.metadata.tables["alert_group_member"]
_INCIDENT = SQLModel.metadata.tables["incident"]

# Built once: SQLAlchemy takes longer to build a statement than SQLite to answer it.
_UPDATE_GROUP = update(_GROUP).where(_GROUP.c.id == bindparam("this_id"))
_EARLIEST_DUE = select(func.min(_GROUP.c.due_at)).where(_GROUP.c.closed_at.is_(None))
_INSERT_GROUP, _INSERT_MEMBER = insert(_GROUP), insert(_MEMBER)
_OPEN_GROUP = select(_GROUP).where(
    _GROUP.c.route == bindparam("of_route"),
    _GROUP.c.labels == bindparam("with_labels"),
    _GROUP.c.closed_at.is_(None),
)
_GROUPS_OF = (
    select(_GROUP)
    .join(_MEMBER, _MEMBER.c.group_id == _GROUP.c.id)
    .where(_MEMBER.c.incident_id == bindparam("of_incident"))
    .order_by(_GROUP.c.opened_at, _GROUP.c.id)
)
_MEMBERS = (
    select(
        _INCIDENT,
        _MEMBER.c.joined_at,
        _MEMBER.c.told,
        _MEMBER.c.told_severity,
        _MEMBER.c.told_at,
    )
    .join(_INCIDENT, _INCIDENT.c.id == _MEMBER.c.incident_id)
    .where(_MEMBER.c.group_id == bindparam("of_group"))
    .order_by(_MEMBER.c.joined_at, _MEMBER.c.incident_id)
)
_IS_MEMBER = select(_MEMBER.c.group_id).where(
    _MEMBER.c.group_id == bindparam("of_group"), _MEMBER.c.incident_id == bindparam("of_incident")
)
_UPDATE_MEMBER = (
    update(_MEMBER)
    .where(
        _MEMBER.c.group_id == bindparam("of_group"),
        _MEMBER.c.incident_id == bindparam("of_incident"),
    )
    .values(told=bindparam("now_told"), told_severity=bindparam("severity"), told_at=bindparam("at"))
)


def open_group(session: Session, route: str, labels: Mapping[str, str]) -> Group | None:
    """The group of this route and these labels that is not over, if there is one."""
    here = {"of_route": route, "with_labels": written(labels)}
    row = session.connection().execute(_OPEN_GROUP, here).first()
    return None if row is None else _group(row)


def open_groups(session: Session) -> tuple[Group, ...]:
    """All groups that are not over, the oldest first."""
    query = select(_GROUP).where(_GROUP.c.closed_at.is_(None)).order_by(_GROUP.c.opened_at)
    return tuple(_group(row) for row in session.connection().execute(query))


def groups_of(session: Session, incident_id: str) -> tuple[Group, ...]:
    """The groups that this incident belongs to, over or not, the oldest first."""
    found = session.connection().execute(_GROUPS_OF, {"of_incident": incident_id})
    return tuple(_group(row) for row in found)


def groups_due(session: Session, now: datetime, limit: int = DUE_AT_ONCE) -> tuple[Group, ...]:
    """The groups that have to be looked at now."""
    query = select(_GROUP).where(_is_due(now)).order_by(_GROUP.c.due_at).limit(limit)
    return tuple(_group(row) for row in session.connection().execute(query))


def next_due_at(session: Session, now: datetime) -> datetime | None:
    """When the next group has to be looked at (not before ``now``), or ``None`` when none waits."""
    earliest = session.connection().execute(_EARLIEST_DUE).scalar_one()
    if earliest is None:
        return None
    is_late = earliest > now.timestamp() + LONGEST_WAIT_S
    return now if is_late else max(now, moment(earliest) or now)


def look_again(session: Session, now: datetime, incident_id: str | None = None) -> None:
    """Have every group looked at that is not over (that this incident belongs to): something has changed for it."""
    statement = update(_GROUP).where(_GROUP.c.closed_at.is_(None)).values(due_at=now.timestamp())
    if incident_id is not None:
        groups = select(_MEMBER.c.group_id).where(_MEMBER.c.incident_id == incident_id)
        statement = statement.where(_GROUP.c.id.in_(groups))
    session.connection().execute(statement)


def members(session: Session, group_id: str) -> tuple[Member, ...]:
    """The members of a group, in the order in which they joined."""
    found = session.connection().execute(_MEMBERS, {"of_group": group_id})
    return tuple(_member(row) for row in found)


def add_member(session: Session, group_id: str, incident_id: str, now: datetime) -> bool:
    """Whether the incident has joined the group now, and had not before."""
    connection = session.connection()
    if connection.execute(_IS_MEMBER, {"of_group": group_id, "of_incident": incident_id}).first():
        return False
    row = {"group_id": group_id, "incident_id": incident_id, "joined_at": now.timestamp(), "told_severity": 0}
    connection.execute(_INSERT_MEMBER, row)
    return True


def save_group(session: Session, group: Group) -> None:
    """Keep this group, in place of what was known of it."""
    connection, values = session.connection(), _values(group)
    if not connection.execute(_UPDATE_GROUP, {"this_id": group.id} | values).rowcount:
        connection.execute(_INSERT_GROUP, {"id": group.id} | values)


def _values(group: Group) -> dict[str, Any]:
    return {
        "route": group.route,
        "labels": written(group.labels),
        "policy": orjson.dumps(group.policy).decode(),
        "opened_at": group.opened_at.timestamp(),
        "waiting_at": group.waiting_since.timestamp(),
        "due_at": unix(group.due_at),
        "told_at": unix(group.told_at),
        "told_severity": int(group.told_severity or 0),
        "notices": group.notices,
        "unacknowledged_at": unix(group.unacknowledged_since),
        "steps": group.steps,
        "paged_at": unix(group.paged_at),
        "closed_at": unix(group.closed_at),
    }


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


def set_policies(session: Session, policies: Mapping[str, Policy]) -> None:
    """Have the groups that are not over follow what their routes say now. Those whose route is gone go on as before."""
    for route, policy in policies.items():
        session.connection().execute(
            update(_GROUP)
            .where(_GROUP.c.route == route, _GROUP.c.closed_at.is_(None))
            .values(policy=orjson.dumps(policy).decode())
        )


def pages_since(session: Session, since: datetime) -> int:
    """How often somebody was woken at ``since`` or later: a group counts once, however much was in it."""
    query = select(func.count()).select_from(_GROUP).where(_GROUP.c.paged_at >= since.timestamp())
    return session.connection().execute(query).scalar_one()


def forget(session: Session, before: datetime, limit: int = FORGOTTEN_AT_ONCE) -> int:
    """How many groups were deleted, ``limit`` at most: those that were over before then. Their incidents stay."""
    connection = session.connection()
    query = select(_GROUP.c.id).where(_GROUP.c.closed_at < before.timestamp()).limit(limit)
    ids = connection.execute(query).scalars().all()
    connection.execute(delete(_MEMBER).where(_MEMBER.c.group_id.in_(ids)))
    connection.execute(delete(_GROUP).where(_GROUP.c.id.in_(ids)))
    return len(ids)


def written(labels: Mapping[str, str]) -> str:
    """The labels of a group as its row has them."""
    return orjson.dumps(dict(labels), option=orjson.OPT_SORT_KEYS).decode()


def _is_due(now: datetime) -> ColumnElement[bool]:
    due, at = _GROUP.c.due_at, now.timestamp()
    # A time that lies too far ahead was written by a clock that ran ahead.
    return _GROUP.c.closed_at.is_(None) & or_(due <= at, due > at + LONGEST_WAIT_S)


def _group(row: Row[Any]) -> Group:
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


def _member(row: Row[Any]) -> Member:
    return Member(
        incident=incident_of(row),
        joined_at=_at(row.joined_at),
        told=State(row.told) if row.told else None,
        told_severity=Severity(row.told_severity) if row.told_severity else None,
        told_at=moment(row.told_at),
    )


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
