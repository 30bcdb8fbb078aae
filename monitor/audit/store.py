"""The nightly audits in the database: rows become audits here. Each function is part of its caller's transaction."""

from datetime import datetime
from functools import cache

import orjson
from pydantic import TypeAdapter
from sqlmodel import Session, col, delete, select

from dashboards.audit.report import Audit

from ..tables import AuditRow, SettingRow

AUDITS_MAX = 400
"""The most audits that one look gives: a year of nights."""

_LAST_NIGHT = "audit_night"


def save_audit(session: Session, audit: Audit) -> None:
    """Store the audit of its night."""
    document = orjson.dumps(audit).decode()
    session.add(AuditRow(night=audit.night, until=audit.until.timestamp(), document=document))


def list_audits(session: Session, limit: int) -> tuple[Audit, ...]:
    """The latest audits, newest first, ``AUDITS_MAX`` at most."""
    query = select(AuditRow.document).order_by(col(AuditRow.until).desc()).limit(min(limit, AUDITS_MAX))
    return tuple(_audit(document) for document in session.exec(query))


def load_audit(session: Session, night: str) -> Audit | None:
    """The audit of a night, if there is one."""
    row = session.get(AuditRow, night)
    return None if row is None else _audit(row.document)


def forget_audits(session: Session, before: datetime) -> int:
    """How many audits were deleted: all whose period ended before then."""
    old = delete(AuditRow).where(col(AuditRow.until) < before.timestamp())
    return session.connection().execute(old).rowcount


def last_night(session: Session) -> str | None:
    """The last night that was seen to, be it that its audit is deleted since; ``None`` before the first."""
    row = session.get(SettingRow, _LAST_NIGHT)
    return None if row is None else row.value


def note_night(session: Session, night: str) -> None:
    """Note that the night is seen to."""
    session.merge(SettingRow(name=_LAST_NIGHT, value=night))


def _audit(document: str) -> Audit:
    return _adapter().validate_json(document)


@cache
def _adapter() -> TypeAdapter[Audit]:
    # Built once, when it is needed: it takes a tenth of a second.
    return TypeAdapter(Audit)
