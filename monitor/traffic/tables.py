"""The tables of production traffic. Rows never leave ``store.py``."""

from sqlmodel import Field, SQLModel, UniqueConstraint


class TrafficJournalRow(SQLModel, table=True):
    """What was settled with one commit: kept until it is in the windows, and no further report of it is waited for."""

    __tablename__ = "traffic_journal"
    # The ids of rows that were cut are never given again: "up to id" must stay unambiguous.
    __table_args__ = {"sqlite_autoincrement": True}

    id: int | None = Field(default=None, primary_key=True)
    at: float
    calls: int
    body: bytes
    """See ``entries``."""


class TrafficFoldRow(SQLModel, table=True):
    """The last entry of the journal that is in the stored windows; there is one row at most."""

    __tablename__ = "traffic_fold"

    id: int = Field(primary_key=True)
    folded_through: int


class TrafficWindowRow(SQLModel, table=True):
    """The calls of one series that ended within one minute."""

    __tablename__ = "traffic_window"
    __table_args__ = (
        UniqueConstraint(
            "minute",
            "service",
            "environment",
            "version",
            "operation",
            "provider",
            "request_model",
            "response_model",
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    minute: int
    """Start of the minute, in unix seconds."""
    service: str
    environment: str
    version: str
    operation: str
    provider: str
    request_model: str
    response_model: str
    calls: int
    body: bytes
    """Counts and histograms, see ``windows``."""


class TrafficSeenRow(SQLModel, table=True):
    """A window of a minute as looks saw it before it changed: for backtests, which are to see the same."""

    __tablename__ = "traffic_seen"

    id: int | None = Field(default=None, primary_key=True)
    minute: int = Field(index=True)
    service: str
    environment: str
    version: str
    operation: str
    provider: str
    request_model: str
    response_model: str
    looked_at: float
    """The last look that saw it like this, in unix seconds."""
    body: bytes
    """Nothing where there was no such window yet."""


class TrafficRollUpRow(SQLModel, table=True):
    """The calls of one series that ended within one hour, or one day."""

    __tablename__ = "traffic_roll_up"
    __table_args__ = (
        UniqueConstraint(
            "length_s",
            "start",
            "service",
            "environment",
            "version",
            "operation",
            "provider",
            "request_model",
            "response_model",
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    length_s: int
    """3600 or 86400."""
    start: int
    """Of the hour or day, in unix seconds."""
    service: str
    environment: str
    version: str
    operation: str
    provider: str
    request_model: str
    response_model: str
    calls: int
    body: bytes


class TrafficRolledRow(SQLModel, table=True):
    """Up to where windows of a length are rolled up: all before is, nothing from there on."""

    __tablename__ = "traffic_rolled"

    length_s: int = Field(primary_key=True)
    through: int
    """In unix seconds."""


class TrafficRequestRow(SQLModel, table=True):
    """The export requests of one commit, kept after their calls have left the journal: a sender may repeat them."""

    __tablename__ = "traffic_request"

    id: int = Field(primary_key=True)
    """Of the entry of the journal that was written with it."""
    at: float
    body: bytes
    """A JSON list for each request a line: its mark, and how it was answered."""
