"""The daemon's own tables. Rows never leave ``store.py``."""

from sqlmodel import Field, SQLModel


class SettingRow(SQLModel, table=True):
    """One fact about this deployment, such as its secret."""

    __tablename__ = "setting"

    name: str = Field(primary_key=True)
    value: str


class CanaryWatchRow(SQLModel, table=True):
    """What the canary flow remembers of a target between runs, beside its baseline and its ledger."""

    __tablename__ = "canary_watch"

    target: str = Field(primary_key=True)
    baseline_id: str
    state_json: str


class AuditRow(SQLModel, table=True):
    """One nightly audit, whole in ``document``, as compressed JSON, and in a line in ``summary``."""

    __tablename__ = "audit"

    night: str = Field(primary_key=True)
    """The day on which it was due, where the operator is: ``2026-03-02``."""
    until: float = Field(index=True)
    """When its period ended, in unix seconds."""
    summary: str
    document: bytes


class TailRow(SQLModel, table=True):
    """What a watch over the tails of traffic compares with: its frozen baseline, or what is collected for one."""

    __tablename__ = "tail"

    watch: str = Field(primary_key=True)
    baseline_id: str
    document: str


class MomentRow(SQLModel, table=True):
    """One moment at which the daemon decided something; ``position`` is their order, whatever the clock said."""

    __tablename__ = "moment"

    position: int | None = Field(default=None, primary_key=True)
    at: float = Field(index=True)
    """In unix seconds."""
    kind: str
    subject: str = ""
    facts: str = ""
    """JSON, or nothing."""
