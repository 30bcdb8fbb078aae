"""The tables of the alert arm; rows never leave its stores. Columns that end in ``_at`` are unix seconds."""

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

_OPEN = text("state != 'resolved'")
_WAITING = text("sent_at IS NULL AND failed_at IS NULL")


class IncidentRow(SQLModel, table=True):
    """The life of one finding; the database itself refuses a second open one of the same key."""

    __tablename__ = "incident"
    __table_args__ = (
        Index("uq_incident_open_key", "key", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
    )

    id: str = Field(primary_key=True)
    key: str = Field(index=True)
    state: str
    severity: int
    source: str
    finding_severity: int
    summary: str
    labels: str
    evidence: str
    opened_at: float = Field(index=True)
    updated_at: float
    firing_at: float | None = None
    steady_at: float | None = None
    resolved_at: float | None = None
    paged_at: float | None = Field(default=None, index=True)
    notices: int = 0


class NotificationRow(SQLModel, table=True):
    """One message to one receiver: the outbox before it is sent, the record of it afterwards."""

    __tablename__ = "notification"
    __table_args__ = (
        Index(
            "ix_notification_waiting",
            "receiver",
            "position",
            sqlite_where=_WAITING,
            postgresql_where=_WAITING,
        ),
    )

    position: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    incident_id: str | None = Field(default=None, foreign_key="incident.id", index=True)
    receiver: str
    kind: str
    payload: str
    created_at: float
    attempts: int = 0
    next_attempt_at: float | None = None
    claimed_at: float | None = None
    sent_at: float | None = None
    failed_at: float | None = None
    last_error: str | None = None
    thread: str | None = None


class RollbackRow(SQLModel, table=True):
    """One decision of the rollback guard: at most one for each incident and rollback."""

    __tablename__ = "rollback"

    name: str = Field(primary_key=True)
    incident_id: str = Field(primary_key=True, foreign_key="incident.id")
    decided_at: float = Field(index=True)
    action: str
    reason: str
    delivered_at: float | None = None
    failed_at: float | None = None


class LedgerRow(SQLModel, table=True):
    """The evidence state of one scope against one baseline, as the evidence code wrote it."""

    __tablename__ = "ledger"

    scope: str = Field(primary_key=True)
    baseline_id: str = Field(primary_key=True)
    state: bytes
    last_run_id: str
