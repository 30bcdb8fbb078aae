"""Incidents, pages and ledgers in the database: rows become domain values here.

Every function takes the session of the caller's transaction and never commits. The rows of the outbox and those of
rollbacks have files of their own, ``outbox_store`` and ``rollback_store``.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import (
    Row,
    and_,
    bindparam,
    delete,
    false,
    func,
    insert,
    literal_column,
    or_,
    select,
    true,
    update,
)
from sqlmodel import Session, SQLModel, col
from sqlmodel import select as select_rows

from .finding import Finding, Severity, Source
from .incident import Incident, State
from .tables import IncidentRow, LedgerRow

KEYS_AT_ONCE = 500
"""How many keys one question names."""

# Built once, as every run needs them: SQLAlchemy takes longer to build a statement than SQLite to answer it.
_INCIDENT = SQLModel.metadata.tables["incident"]
_UPDATE_INCIDENT = update(_INCIDENT).where(_INCIDENT.c.id == bindparam("this_id"))
_INSERT_INCIDENT = insert(_INCIDENT)
_ONE_INCIDENT = select(_INCIDENT).where(_INCIDENT.c.id == bindparam("this_id"))
_COUNTS = (
    select(_INCIDENT.c.key, func.count())
    .where(_INCIDENT.c.key.in_(bindparam("keys", expanding=True)))
    .group_by(_INCIDENT.c.key)
)
_LAST_ENDS = (
    select(_INCIDENT.c.key, func.max(_INCIDENT.c.resolved_at))
    .where(
        _INCIDENT.c.key.in_(bindparam("keys", expanding=True)), _INCIDENT.c.resolved_at >= bindparam("since")
    )
    .group_by(_INCIDENT.c.key)
)
_COUNT_OF_KEY = select(func.count()).select_from(_INCIDENT).where(_INCIDENT.c.key == bindparam("this_key"))
# Written out, not a bound value: only so the index of open incidents serves.
_IS_OPEN = col(IncidentRow.state) != literal_column(f"'{State.RESOLVED.value}'")
_OPEN_INCIDENTS = select(_INCIDENT).where(_IS_OPEN).order_by(col(IncidentRow.opened_at), col(IncidentRow.id))
_OPEN_OF = _OPEN_INCIDENTS.where(_INCIDENT.c.key.in_(bindparam("keys", expanding=True)))
_THIS_LEDGER = (
    col(LedgerRow.scope) == bindparam("in_scope"),
    col(LedgerRow.baseline_id) == bindparam("of_baseline"),
)
_LEDGER = select_rows(LedgerRow.state, LedgerRow.last_run_id).where(*_THIS_LEDGER)
_UPDATE_LEDGER, _INSERT_LEDGER = update(LedgerRow).where(*_THIS_LEDGER), insert(LedgerRow)


@dataclass(frozen=True, slots=True)
class LedgerState:
    """What was saved of a ledger: opaque bytes, and the last run that went into it."""

    state: bytes
    last_run_id: str


def open_incidents(session: Session) -> tuple[Incident, ...]:
    """All pending and firing incidents, the oldest first."""
    return tuple(incident_of(row) for row in session.connection().execute(_OPEN_INCIDENTS))


def latest_open(session: Session, limit: int) -> tuple[Incident, ...]:
    """The open incidents that were opened last, the oldest of them first."""
    opened_at, named = col(IncidentRow.opened_at), col(IncidentRow.id)
    query = select(_INCIDENT).where(_IS_OPEN).order_by(opened_at.desc(), named.desc()).limit(limit)
    rows = session.connection().execute(query).all()
    return tuple(incident_of(row) for row in reversed(rows))


def open_of(session: Session, keys: Collection[str]) -> tuple[Incident, ...]:
    """The open incidents of these keys: of each there is one at most."""
    wanted, found = list(keys), []
    for start in range(0, len(wanted), KEYS_AT_ONCE):
        rows = session.connection().execute(_OPEN_OF, {"keys": wanted[start : start + KEYS_AT_ONCE]})
        found += [incident_of(row) for row in rows]
    return tuple(found)


def open_below(session: Session, prefix: str) -> tuple[Incident, ...]:
    """The open incidents whose keys begin so, the oldest first."""
    query = _OPEN_INCIDENTS.where(col(IncidentRow.key).startswith(prefix, autoescape=True))
    return tuple(incident_of(row) for row in session.connection().execute(query))


def open_labelled(session: Session, alternatives: Collection[Collection[str]]) -> tuple[Incident, ...]:
    """The open incidents that have all labels of one of the alternatives, and some that only seem to; oldest first."""
    labels = col(IncidentRow.labels)
    have = [
        and_(true(), *(labels.contains(f'"{name}":', autoescape=True) for name in names))
        for names in alternatives
    ]
    rows = session.connection().execute(_OPEN_INCIDENTS.where(or_(false(), *have)))
    return tuple(incident_of(row) for row in rows)


def incidents(session: Session, limit: int = 100) -> tuple[Incident, ...]:
    """The latest incidents, open or not, the newest first."""
    rows = session.connection().execute(
        select(_INCIDENT).order_by(col(IncidentRow.opened_at).desc(), col(IncidentRow.id)).limit(limit)
    )
    return tuple(incident_of(row) for row in rows)


def ended_since(session: Session, since: datetime) -> tuple[Incident, ...]:
    """The incidents that ended at ``since`` or later, the oldest first."""
    rows = session.connection().execute(
        select(_INCIDENT)
        .where(col(IncidentRow.resolved_at) >= since.timestamp())
        .order_by(col(IncidentRow.resolved_at), col(IncidentRow.id))
    )
    return tuple(incident_of(row) for row in rows)


def incidents_of(session: Session, keys: Collection[str], since: datetime) -> tuple[Incident, ...]:
    """The incidents of these keys that were open at ``since`` or later, the oldest first."""
    ended = col(IncidentRow.resolved_at)
    query = select(_INCIDENT).where(col(IncidentRow.key).in_(keys))
    query = query.where(ended.is_(None) | (ended >= since.timestamp()))
    return tuple(
        incident_of(row) for row in session.connection().execute(query.order_by(col(IncidentRow.opened_at)))
    )


def last_ends(session: Session, keys: Collection[str], since: datetime) -> dict[str, datetime]:
    """When the last incident of each of these keys ended, where that was at ``since`` or later."""
    found = session.connection().execute(_LAST_ENDS, {"keys": list(keys), "since": since.timestamp()})
    return {name: datetime.fromtimestamp(at, UTC) for name, at in found if at is not None}


def incident(session: Session, incident_id: str) -> Incident | None:
    """The incident with this id, if there is one."""
    found = session.connection().execute(_ONE_INCIDENT, {"this_id": incident_id}).first()
    return None if found is None else incident_of(found)


def count_incidents(session: Session, key: str) -> int:
    """How many incidents of this key are on record."""
    return session.connection().execute(_COUNT_OF_KEY, {"this_key": key}).scalar_one()


def counts_of(session: Session, keys: Collection[str]) -> dict[str, int]:
    """How many incidents of each of these keys are on record."""
    wanted, found = list(keys), dict.fromkeys(keys, 0)
    for start in range(0, len(wanted), KEYS_AT_ONCE):
        rows = session.connection().execute(_COUNTS, {"keys": wanted[start : start + KEYS_AT_ONCE]})
        found |= {row[0]: row[1] for row in rows}
    return found


def latest_of(session: Session, key: str) -> Incident | None:
    """The incident of this key that was opened last, if there is one."""
    rows = session.connection().execute(
        select(_INCIDENT)
        .where(_INCIDENT.c.key == key)
        .order_by(col(IncidentRow.opened_at).desc(), col(IncidentRow.updated_at).desc())
        .limit(1)
    )
    return next((incident_of(row) for row in rows), None)


def pages_since(session: Session, since: datetime) -> tuple[Incident, ...]:
    """The incidents that became a page at ``since`` or later, the oldest first; each is one page."""
    rows = session.connection().execute(
        select(_INCIDENT)
        .where(col(IncidentRow.paged_at) >= since.timestamp())
        .order_by(col(IncidentRow.paged_at), col(IncidentRow.id))
    )
    return tuple(incident_of(row) for row in rows)


def save_incident(session: Session, incident: Incident) -> None:
    """Keep this incident, in place of what was known of it."""
    connection, values = session.connection(), _values(incident)
    if not connection.execute(_UPDATE_INCIDENT, {"this_id": incident.id} | values).rowcount:
        connection.execute(_INSERT_INCIDENT, {"id": incident.id} | values)


def _values(incident: Incident) -> dict[str, Any]:
    finding = incident.finding
    return {
        "key": incident.key,
        "state": incident.state.value,
        "severity": incident.severity.value,
        "source": finding.source.value,
        "finding_severity": finding.severity.value,
        "summary": finding.summary,
        "labels": orjson.dumps(dict(finding.labels)).decode(),
        "evidence": orjson.dumps(finding.evidence).decode(),
        "opened_at": incident.opened_at.timestamp(),
        "updated_at": incident.updated_at.timestamp(),
        "firing_at": unix(incident.firing_since),
        "steady_at": unix(incident.steady_since),
        "resolved_at": unix(incident.resolved_at),
        "paged_at": unix(incident.paged_at),
        "notices": incident.notices,
        "pending_at": unix(incident.pending_since),
        "acknowledged_at": unix(incident.acknowledged_at),
        "acknowledged_by": incident.acknowledged_by,
        "no_data_at": unix(incident.no_data_since),
        "reopened": incident.reopened,
        "note": incident.note,
        "is_true": incident.is_true,
    }


def drop_incident(session: Session, incident_id: str) -> None:
    """Forget an incident that nobody was told of."""
    session.connection().execute(delete(_INCIDENT).where(_INCIDENT.c.id == incident_id))


def load_ledger(session: Session, scope: str, baseline_id: str) -> LedgerState | None:
    """What was last saved for this scope and baseline, if anything was."""
    here = {"in_scope": scope, "of_baseline": baseline_id}
    found = session.exec(_LEDGER, params=here).one_or_none()
    return None if found is None else LedgerState(*found)


def save_ledger(session: Session, scope: str, baseline_id: str, state: bytes, last_run_id: str) -> None:
    """Keep the state of a ledger, in place of the one before."""
    connection, here = session.connection(), {"in_scope": scope, "of_baseline": baseline_id}
    values = {"state": state, "last_run_id": last_run_id}
    if not connection.execute(_UPDATE_LEDGER, here | values).rowcount:
        connection.execute(_INSERT_LEDGER, {"scope": scope, "baseline_id": baseline_id} | values)


def unix(at: datetime | None) -> float | None:
    """The moment in unix seconds."""
    return None if at is None else at.timestamp()


def moment(seconds: float | None) -> datetime | None:
    """The moment of these unix seconds, in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def incident_of(row: Row[Any]) -> Incident:
    """The incident that this row holds."""
    finding = Finding(
        severity=Severity(row.finding_severity),
        source=Source(row.source),
        summary=row.summary,
        labels=orjson.loads(row.labels),
        evidence=tuple((name, value) for name, value in orjson.loads(row.evidence)),
    )
    return Incident(
        id=row.id,
        key=row.key,
        state=State(row.state),
        severity=Severity(row.severity),
        finding=finding,
        opened_at=datetime.fromtimestamp(row.opened_at, UTC),
        updated_at=datetime.fromtimestamp(row.updated_at, UTC),
        firing_since=moment(row.firing_at),
        steady_since=moment(row.steady_at),
        resolved_at=moment(row.resolved_at),
        paged_at=moment(row.paged_at),
        notices=row.notices,
        pending_since=moment(row.pending_at),
        acknowledged_at=moment(row.acknowledged_at),
        acknowledged_by=row.acknowledged_by,
        no_data_since=moment(row.no_data_at),
        reopened=row.reopened,
        note=row.note,
        is_true=row.is_true,
    )
