"""Baselines and proof histories in the database. Each function is part of its caller's transaction."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func
from sqlalchemy.orm import defer
from sqlmodel import Session, col, select, update

from . import BaselineError
from .baseline import Baseline, BaselineStatus, retire
from .contract import Contract
from .reference import ProofHistory
from .tables import BaselineRow, ProofHistoryRow, RunRow

# A document is large, and a summary is wanted with every run.
_WITHOUT_DOCUMENT = defer(BaselineRow.document)  # type: ignore[arg-type]  # SQLModel gives columns their value's type


@dataclass(frozen=True, slots=True)
class BaselineSummary:
    """One stored baseline, without its scores. ``collected_runs`` are those that it is or can be frozen on."""

    id: str
    target: str
    suite: str
    status: BaselineStatus
    contract_hash: str
    created_at: datetime
    frozen_at: datetime | None
    retired_at: datetime | None
    collected_runs: int
    train_runs: int
    calibration_runs: int


def ensure_baseline(
    session: Session, target: str, suite: str, contract: Contract, now: datetime
) -> BaselineSummary:
    """The baseline of ``suite`` on ``target`` that is not retired; a new one that collects when there is none.

    Its contract may be another one: it is the caller who refuses to compare (see ``describe_change``).
    """
    current = current_baseline(session, target, suite)
    return current or _begin(session, target, suite, contract, now)


def current_baseline(session: Session, target: str, suite: str) -> BaselineSummary | None:
    """The baseline of ``suite`` on ``target`` that is not retired."""
    here = (col(BaselineRow.target) == target, col(BaselineRow.suite) == suite)
    is_current = col(BaselineRow.status) != BaselineStatus.RETIRED
    query = select(BaselineRow).where(*here, is_current).options(_WITHOUT_DOCUMENT)
    row = session.exec(query).one_or_none()
    return _summary(session, row) if row else None


def list_baselines(session: Session, target: str | None = None) -> tuple[BaselineSummary, ...]:
    """All baselines, or those of ``target``, newest first."""
    newest_first = (col(BaselineRow.created_at).desc(), col(BaselineRow.number).desc())
    query = select(BaselineRow).order_by(*newest_first).options(_WITHOUT_DOCUMENT)
    if target is not None:
        query = query.where(col(BaselineRow.target) == target)
    return tuple(_summary(session, row) for row in session.exec(query))


def load_baseline(session: Session, baseline_id: str) -> Baseline:
    """The whole baseline. Raises BaselineError when there is none of this id."""
    return Baseline.from_json(_row(session, baseline_id).document)


def save_baseline(session: Session, baseline: Baseline) -> None:
    """Store the next state of a baseline.

    Raises BaselineError when what is stored is already in that state or beyond: a frozen baseline never changes.
    """
    row = _row(session, baseline.id)
    states = list(BaselineStatus)
    if states.index(baseline.status) <= states.index(BaselineStatus(row.status)):
        raise BaselineError(f"baseline {baseline.id} is {row.status} already")
    _fill(row, baseline)
    session.add(row)
    session.flush()


def retire_baseline(session: Session, baseline_id: str, now: datetime) -> None:
    """Put a baseline aside, so that the next run begins to collect a new one."""
    save_baseline(session, retire(load_baseline(session, baseline_id), now))


def collected_ids(session: Session, baseline_id: str) -> tuple[str, ...]:
    """The runs that were collected for a baseline, in the order in which they started."""
    runs = select(RunRow.id).where(col(RunRow.collected_for) == baseline_id).order_by(col(RunRow.position))
    return tuple(session.exec(runs))


def restart_collection(session: Session, baseline_id: str) -> int:
    """Let a collecting baseline begin anew; gives the number of runs that it lets go.

    Raises BaselineError when it is not collecting.
    """
    row = _row(session, baseline_id)
    if row.status != BaselineStatus.COLLECTING:
        raise BaselineError(f"baseline {baseline_id} is {row.status}: only one that collects can begin anew")
    dropped = len(collected_ids(session, baseline_id))
    session.exec(update(RunRow).where(col(RunRow.collected_for) == baseline_id).values(collected_for=None))
    return dropped


def load_history(session: Session, target: str, suite: str) -> ProofHistory:
    """What judging the next run needs of the runs before; an empty history at first."""
    row = session.get(ProofHistoryRow, (target, suite))
    return ProofHistory.from_json(row.history) if row else ProofHistory()


def save_history(session: Session, target: str, suite: str, history: ProofHistory) -> None:
    """Store the history that the next run is judged with."""
    session.merge(ProofHistoryRow(target=target, suite=suite, history=history.to_json()))
    session.flush()


def _begin(session: Session, target: str, suite: str, contract: Contract, now: datetime) -> BaselineSummary:
    last = session.exec(select(func.max(BaselineRow.number)).where(col(BaselineRow.target) == target)).one()
    number = (last or 0) + 1
    baseline = Baseline(f"{target}-{number}", target, suite, contract, created_at=now)
    row = BaselineRow(
        id=baseline.id,
        target=target,
        suite=suite,
        number=number,
        status="",
        contract_hash="",
        created_at=now.timestamp(),
        document="",
    )
    _fill(row, baseline)
    session.add(row)
    # Another baseline knows other models; an endpoint that is down stays down.
    save_history(
        session, target, suite, ProofHistory(down_runs=load_history(session, target, suite).down_runs)
    )
    return _summary(session, row)


def _fill(row: BaselineRow, baseline: Baseline) -> None:
    row.status = baseline.status
    row.contract_hash = baseline.contract.hash
    row.frozen_at = baseline.frozen_at.timestamp() if baseline.frozen_at else None
    row.retired_at = baseline.retired_at.timestamp() if baseline.retired_at else None
    row.train_runs = len(baseline.train_ids)
    row.calibration_runs = len(baseline.calibration_ids)
    row.document = baseline.to_json()


def _row(session: Session, baseline_id: str) -> BaselineRow:
    row = session.get(BaselineRow, baseline_id)
    if row is None:
        known = ", ".join(sorted(session.exec(select(BaselineRow.id)))) or "none yet"
        raise BaselineError(f"there is no baseline {baseline_id!r}; there are: {known}")
    return row


def _summary(session: Session, row: BaselineRow) -> BaselineSummary:
    collected = select(func.count()).select_from(RunRow).where(col(RunRow.collected_for) == row.id)
    return BaselineSummary(
        id=row.id,
        target=row.target,
        suite=row.suite,
        status=BaselineStatus(row.status),
        contract_hash=row.contract_hash,
        created_at=_time(row.created_at),
        frozen_at=None if row.frozen_at is None else _time(row.frozen_at),
        retired_at=None if row.retired_at is None else _time(row.retired_at),
        collected_runs=session.exec(collected).one(),
        train_runs=row.train_runs,
        calibration_runs=row.calibration_runs,
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
