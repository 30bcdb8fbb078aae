"""The nightly audits in the database: rows become audits here. Each function is part of its caller's transaction."""

import zlib
from datetime import datetime
from functools import cache

import orjson
from pydantic import TypeAdapter
from sqlmodel import Session, col, delete, select

from dashboards.audit.report import Audit, AuditSummary
from dashboards.audit.words import summary

from ..tables import AuditRow, SettingRow

AUDITS_MAX = 400
"""The most audits that one look gives: a year of nights."""

_LAST_NIGHT = "audit_night"


def save_audit(session: Session, audit: Audit) -> None:
    """Store the audit of its night."""
    session.add(
        AuditRow(
            night=audit.night,
            until=audit.until.timestamp(),
            summary=orjson.dumps(summary(audit)).decode(),
            document=zlib.compress(orjson.dumps(audit)),
        )
    )


def list_audits(session: Session, limit: int) -> tuple[AuditSummary, ...]:
    """The latest audits, newest first, ``AUDITS_MAX`` at most."""
    query = select(AuditRow.summary).order_by(col(AuditRow.until).desc()).limit(min(limit, AUDITS_MAX))
    return tuple(_summaries().validate_json(line) for line in session.exec(query))


def load_audit(session: Session, night: str) -> Audit | None:
    """The audit of a night, if there is one."""
    row = session.get(AuditRow, night)
    return None if row is None else _audits().validate_json(zlib.decompress(row.document))


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


# Built once, when they are needed: that takes a tenth of a second.


@cache
def _audits() -> TypeAdapter[Audit]:
    return TypeAdapter(Audit)


@cache
def _summaries() -> TypeAdapter[AuditSummary]:
    return TypeAdapter(AuditSummary)
