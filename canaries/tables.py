"""The tables of the canary arm; rows never leave its store. Columns that end in ``_at`` are unix seconds.

What an index leaves out is said for SQLite. For PostgreSQL the migrations say it: here, every process would load the
drivers, which take 4 MB.
"""

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

_CURRENT = text("status != 'retired'")


class RunRow(SQLModel, table=True):
    """One run. ``position`` is the order in which runs started, whatever the clock said."""

    __tablename__ = "run"
    __table_args__ = (Index("ix_run_target_suite", "target", "suite", "position"),)

    position: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    target: str
    suite: str
    status: str = Field(index=True)
    started_at: float
    finished_at: float | None = None
    outcomes: str = "{}"
    retries: int = 0
    cost_usd: float | None = None
    collected_for: str | None = Field(default=None, foreign_key="baseline.id", index=True)


class CompletionRow(SQLModel, table=True):
    """One completion: what was seen, and what is scored of it.

    ``text``, ``tool_calls`` (JSON, where tools were called) and ``error`` only in the full mode.
    """

    __tablename__ = "completion"

    run_id: str = Field(primary_key=True, foreign_key="run.id")
    canary: str = Field(primary_key=True)
    sample: int = Field(primary_key=True)
    outcome: str
    text: str | None = None
    tool_calls: str | None = None
    error: str | None = None
    asked_at: float | None = None
    latency_s: float | None = None
    ttft_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    reasoning_tokens: int | None = None
    attempts: int = 1
    features: str


class BaselineRow(SQLModel, table=True):
    """One baseline, whole in ``document``; the other columns are there to find it by."""

    __tablename__ = "baseline"
    __table_args__ = (
        Index(
            "uq_baseline_current",
            "target",
            "suite",
            unique=True,
            sqlite_where=_CURRENT,
        ),
    )

    id: str = Field(primary_key=True)
    target: str = Field(index=True)
    suite: str
    number: int
    status: str
    contract_hash: str
    created_at: float
    frozen_at: float | None = None
    retired_at: float | None = None
    train_runs: int = 0
    calibration_runs: int = 0
    document: str


class BaselineEventRow(SQLModel, table=True):
    """One event in the life of a target's baselines: what, when, by whom and why. Nothing is ever deleted here."""

    __tablename__ = "baseline_event"

    position: int | None = Field(default=None, primary_key=True)
    target: str = Field(index=True)
    baseline_id: str
    at: float
    event: str
    actor: str
    why: str = ""


class ProofHistoryRow(SQLModel, table=True):
    """What judging the next run of a suite on a target needs of the runs before."""

    __tablename__ = "proof_history"

    target: str = Field(primary_key=True)
    suite: str = Field(primary_key=True)
    history: str


class ScoreRow(SQLModel, table=True):
    """One score of one run."""

    __tablename__ = "run_score"
    __table_args__ = (Index("ix_run_score_series", "baseline_id", "name", "run_id"),)

    run_id: str = Field(primary_key=True, foreign_key="run.id")
    name: str = Field(primary_key=True)
    value: float
    baseline_id: str = Field(foreign_key="baseline.id")


class SuiteVersionRow(SQLModel, table=True):
    """One version of a suite, of hashes only."""

    __tablename__ = "suite_version"

    suite: str = Field(primary_key=True)
    hash: str = Field(primary_key=True)
    first_at: float
    content: str


class SuiteUseRow(SQLModel, table=True):
    """A version of a suite in use on a target, from when to when. Nothing is ever deleted here."""

    __tablename__ = "suite_use"

    position: int | None = Field(default=None, primary_key=True)
    target: str = Field(index=True)
    suite: str
    hash: str
    since_at: float
    until_at: float | None = None
