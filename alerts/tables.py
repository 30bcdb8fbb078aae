"""The tables of the alert arm; rows never leave its stores. Columns that end in ``_at`` are unix seconds.

What an index leaves out is said for SQLite. For PostgreSQL the migrations say it: here, every process would load the
drivers, which take 4 MB.
"""

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

_OPEN = text("state != 'resolved'")
_UNCLOSED = text("closed_at IS NULL")
_HELD = text("unlocked_at IS NULL")
_WAITING = text("sent_at IS NULL AND failed_at IS NULL")


class IncidentRow(SQLModel, table=True):
    """The life of one finding; the database itself refuses a second open one of the same key."""

    __tablename__ = "incident"
    __table_args__ = (Index("uq_incident_open_key", "key", unique=True, sqlite_where=_OPEN),)

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
    pending_at: float | None = None
    acknowledged_at: float | None = None
    acknowledged_by: str = ""
    no_data_at: float | None = None
    reopened: int = 0
    note: str = ""
    is_true: bool | None = None


class NotificationRow(SQLModel, table=True):
    """One message to one receiver: the outbox before it is sent, the record of it afterwards."""

    __tablename__ = "notification"
    __table_args__ = (
        Index(
            "ix_notification_waiting",
            "receiver",
            "position",
            sqlite_where=_WAITING,
        ),
        # Tells whether an earlier message of the group still waits: by the index above that would be a look through all
        # that waits for the receiver.
        Index(
            "ix_notification_group_waiting",
            "group_id",
            "receiver",
            "position",
            sqlite_where=_WAITING,
        ),
    )

    position: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    incident_id: str | None = Field(default=None, foreign_key="incident.id", index=True)
    group_id: str | None = Field(default=None, index=True)
    receiver: str
    kind: str
    payload: str
    created_at: float
    attempts: int = 0
    given_up: int = 0
    next_attempt_at: float | None = None
    claimed_at: float | None = None
    sent_at: float | None = None
    failed_at: float | None = None
    last_error: str | None = None
    thread: str | None = None
    digest_id: str | None = Field(default=None, index=True)


class GroupRow(SQLModel, table=True):
    """Incidents that people hear of together, from the first one to the end of the last."""

    __tablename__ = "alert_group"
    __table_args__ = (
        Index(
            "uq_alert_group_open",
            "route",
            "labels",
            unique=True,
            sqlite_where=_UNCLOSED,
        ),
    )

    id: str = Field(primary_key=True)
    route: str
    labels: str
    policy: str
    opened_at: float
    waiting_at: float
    due_at: float | None = Field(default=None, index=True)
    told_at: float | None = None
    told_severity: int = 0
    notices: int = 0
    unacknowledged_at: float | None = None
    steps: int = 0
    paged_at: float | None = Field(default=None, index=True)
    closed_at: float | None = Field(default=None, index=True)


class MemberRow(SQLModel, table=True):
    """That an incident belongs to a group, and what people were last told of it there."""

    __tablename__ = "alert_group_member"

    group_id: str = Field(primary_key=True, foreign_key="alert_group.id")
    incident_id: str = Field(primary_key=True, foreign_key="incident.id", index=True)
    joined_at: float
    told: str | None = None
    told_severity: int = 0
    told_at: float | None = None


class SilenceRow(SQLModel, table=True):
    """A time in which nobody wants to hear of what its matchers fit."""

    __tablename__ = "silence"

    id: str = Field(primary_key=True)
    matchers: str
    author: str
    comment: str
    starts_at: float
    ends_at: float = Field(index=True)
    created_at: float
    ended_by: str = ""


class DecisionRow(SQLModel, table=True):
    """Why something was done or left: one row for as long as the answer stays the same."""

    __tablename__ = "alert_decision"

    position: int | None = Field(default=None, primary_key=True)
    key: str = Field(index=True)
    incident_id: str | None = Field(default=None, index=True)
    group_id: str | None = Field(default=None, index=True)
    what: str
    why: str
    first_at: float
    last_at: float = Field(index=True)
    times: int = 1


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
    answer_by: float | None = None
    answered_at: float | None = None
    answered_by: str = ""


class RollbackLockRow(SQLModel, table=True):
    """That a rollback (or each of them) must not act, or must not have, until somebody unlocked it."""

    __tablename__ = "rollback_lock"
    __table_args__ = (Index("uq_rollback_lock_held", "name", unique=True, sqlite_where=_HELD),)

    position: int | None = Field(default=None, primary_key=True)
    name: str
    locked_by: str
    locked_at: float
    comment: str = ""
    unlocked_at: float | None = Field(default=None, index=True)
    unlocked_by: str = ""


class LedgerRow(SQLModel, table=True):
    """The evidence state of one scope against one baseline, as the evidence code wrote it."""

    __tablename__ = "ledger"

    scope: str = Field(primary_key=True)
    baseline_id: str = Field(primary_key=True)
    state: bytes
    last_run_id: str


class ReceiverRow(SQLModel, table=True):
    """What is known of a receiver as it is set up: ``fingerprint`` names how, and tells nothing of it."""

    __tablename__ = "receiver"

    name: str = Field(primary_key=True)
    fingerprint: str
    configured_at: float
    confirmed_at: float | None = None
    failed_at: float | None = None
    error: str = ""
    tested_at: float | None = None
