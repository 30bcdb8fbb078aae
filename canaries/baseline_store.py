"""Baselines and proof histories in the database. Each function is part of its caller's transaction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, bindparam, exists, func, or_
from sqlalchemy.orm import defer
from sqlmodel import Session, col, select, update

from . import BaselineError
from .baseline import Baseline, BaselineStatus, retire
from .baseline_events import Actor, BaselineEvent, Event, note_event
from .completion import Outcome, RunStatus
from .contract import Contract
from .reference import ProofHistory
from .store import IDS_AT_ONCE
from .tables import BaselineRow, CompletionRow, ProofHistoryRow, RunRow, ScoreRow

# A document is large, and a summary is wanted with every run.
_WITHOUT_DOCUMENT = defer(BaselineRow.document)  # type: ignore[arg-type]  # SQLModel gives columns their value's type

# Built once, as every run needs it: SQLAlchemy takes longer to build a statement than SQLite to answer it.
_CURRENT = (
    select(BaselineRow)
    .where(col(BaselineRow.target) == bindparam("target"), col(BaselineRow.suite) == bindparam("suite"))
    .where(col(BaselineRow.status) != BaselineStatus.RETIRED)
    .options(_WITHOUT_DOCUMENT)
)


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


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which of the runs that were compared with a baseline another one may be frozen on.

    They started between ``since`` and ``before``, in none of the ``except_periods``, asked for ``samples`` of some
    canary at least, and answered each of the ``canaries``.
    """

    since: datetime
    before: datetime
    except_periods: Sequence[tuple[datetime, datetime]] = ()
    samples: int = 1
    canaries: Sequence[str] = ()


def ensure_baseline(
    session: Session,
    target: str,
    suite: str,
    contract: Contract,
    now: datetime,
    actor: Actor = Actor.DAEMON,
) -> BaselineSummary:
    """The baseline of ``suite`` on ``target`` that is not retired; a new one that collects when there is none.

    Its contract may be another one: it is the caller who refuses to compare (see ``describe_change``).
    """
    current = current_baseline(session, target, suite)
    return current or _begin(session, target, suite, contract, now, actor)


def current_baseline(session: Session, target: str, suite: str) -> BaselineSummary | None:
    """The baseline of ``suite`` on ``target`` that is not retired."""
    row = session.exec(_CURRENT, params={"target": target, "suite": suite}).one_or_none()
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


def save_baseline(
    session: Session, baseline: Baseline, actor: Actor = Actor.DAEMON, why: str = "", event: str = ""
) -> None:
    """Store the next state of a baseline, and note who changed it and why.

    ``event`` is what to note where that is not just the new state. Raises BaselineError when what is stored is already
    in that state or beyond: a frozen baseline never changes.
    """
    row = _row(session, baseline.id)
    states = list(BaselineStatus)
    if states.index(baseline.status) <= states.index(BaselineStatus(row.status)):
        raise BaselineError(f"baseline {baseline.id} is {row.status} already")
    _fill(row, baseline)
    session.add(row)
    session.flush()
    at = baseline.retired_at or baseline.frozen_at or baseline.created_at
    note_event(
        session,
        Event(baseline.target, baseline.id, at, BaselineEvent(event or baseline.status.value), actor, why),
    )


def retire_baseline(
    session: Session,
    baseline_id: str,
    now: datetime,
    actor: Actor = Actor.DAEMON,
    why: str = "",
    event: BaselineEvent = BaselineEvent.RETIRED,
) -> None:
    """Put a baseline aside, so that the next run begins to collect a new one."""
    save_baseline(session, retire(load_baseline(session, baseline_id), now), actor, why, event)


def succeed_baseline(
    session: Session,
    old_id: str,
    make: Callable[[str], Baseline],
    event: BaselineEvent,
    why: str,
    now: datetime,
) -> Baseline:
    """The frozen baseline that ``make`` gives for an id, stored in the place of the current one, which is retired.

    What proofs know of the runs before goes on. Its runs are kept for as long as it is in use.
    """
    old = _row(session, old_id)
    new = make(_next_id(session, old.target))
    retire_baseline(session, old_id, now, why=f"{new.id} takes its place")
    _add(session, new)
    run_ids = (*new.train_ids, *new.calibration_ids)
    for start in range(0, len(run_ids), IDS_AT_ONCE):
        some = col(RunRow.id).in_(run_ids[start : start + IDS_AT_ONCE])
        session.exec(update(RunRow).where(some).values(collected_for=new.id))
    note_event(session, Event(new.target, new.id, now, event, Actor.DAEMON, why))
    return new


def add_retired(session: Session, make: Callable[[str], Baseline], target: str, why: str) -> Baseline:
    """The retired baseline that ``make`` gives for an id, stored: an anchor that had to be made anew."""
    new = make(_next_id(session, target))
    _add(session, new)
    at = new.retired_at or new.created_at
    note_event(session, Event(target, new.id, at, BaselineEvent.CANARY_REMOVED, Actor.DAEMON, why))
    return new


def adopt_contract(session: Session, baseline_id: str, contract: Contract, now: datetime, why: str) -> None:
    """Let a collecting baseline that has no runs yet collect runs of this contract.

    Raises BaselineError when it has runs, or is not collecting.
    """
    row = _row(session, baseline_id)
    if row.status != BaselineStatus.COLLECTING or collected_ids(session, baseline_id):
        raise BaselineError(f"baseline {baseline_id} is {row.status} and of another contract")
    _fill(row, replace(Baseline.from_json(row.document), contract=contract))
    session.add(row)
    session.flush()
    note_event(session, Event(row.target, row.id, now, BaselineEvent.RESTARTED, Actor.DAEMON, why))


def compared_runs(session: Session, baseline_id: str, wanted: Wanted, limit: int) -> tuple[str, ...]:
    """The latest of the ``wanted`` runs that were compared with a baseline, in order of time; ``limit`` at most.

    A run is compared when it had enough answers, and was of the contract of the baseline.
    """
    query = (
        select(RunRow.id)
        .where(*_is_wanted(session, baseline_id, wanted))
        .order_by(col(RunRow.position).desc())
        .limit(limit)
    )
    return tuple(reversed(session.exec(query).all()))


def let_go_of_last(session: Session, baseline_id: str, runs: int) -> int:
    """How many runs a collecting baseline gave back, of the last ``runs`` completed ones of its target."""
    target = _row(session, baseline_id).target
    last = (
        select(RunRow.id)
        .where(RunRow.target == target, RunRow.status == RunStatus.COMPLETED)
        .order_by(col(RunRow.position).desc())
        .limit(runs)
    )
    ids = session.exec(last).all()
    ours = set(collected_ids(session, baseline_id)) & set(ids)
    session.exec(update(RunRow).where(col(RunRow.id).in_(ours)).values(collected_for=None))
    return len(ours)


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


def _begin(
    session: Session, target: str, suite: str, contract: Contract, now: datetime, actor: Actor
) -> BaselineSummary:
    row = _add(session, Baseline(_next_id(session, target), target, suite, contract, created_at=now))
    note_event(session, Event(target, row.id, now, BaselineEvent.BEGUN, actor))
    # Another baseline knows other models; an endpoint that is down stays down.
    save_history(
        session, target, suite, ProofHistory(down_runs=load_history(session, target, suite).down_runs)
    )
    return _summary(session, row)


def _is_wanted(session: Session, baseline_id: str, wanted: Wanted) -> list[ColumnElement[bool]]:
    started, ours = col(RunRow.started_at), col(CompletionRow.run_id) == col(RunRow.id)
    # An expression, so that a run's few scores are looked up by its id: by the index on baselines, a database would
    # read all scores of the baseline for each run.
    is_scored = (
        col(ScoreRow.run_id) == col(RunRow.id),
        func.coalesce(ScoreRow.baseline_id, "") == baseline_id,
    )
    is_answered = col(CompletionRow.outcome) == Outcome.ANSWERED
    return [
        col(RunRow.target) == _row(session, baseline_id).target,
        started >= wanted.since.timestamp(),
        started < wanted.before.timestamp(),
        exists().where(*is_scored),
        exists().where(ours, col(CompletionRow.sample) >= wanted.samples - 1),
        *(
            or_(started < start.timestamp(), started > end.timestamp())
            for start, end in wanted.except_periods
        ),
        *(exists().where(ours, col(CompletionRow.canary) == one, is_answered) for one in wanted.canaries),
    ]


def _next_id(session: Session, target: str) -> str:
    return f"{target}-{_last_number(session, target) + 1}"


def _last_number(session: Session, target: str) -> int:
    numbers = select(func.max(BaselineRow.number)).where(col(BaselineRow.target) == target)
    return session.exec(numbers).one() or 0


def _add(session: Session, baseline: Baseline) -> BaselineRow:
    row = BaselineRow(
        id=baseline.id,
        target=baseline.target,
        suite=baseline.suite,
        number=_last_number(session, baseline.target) + 1,
        status="",
        contract_hash="",
        created_at=baseline.created_at.timestamp(),
        document="",
    )
    _fill(row, baseline)
    session.add(row)
    session.flush()
    return row


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
    frozen_on = row.train_runs + row.calibration_runs
    return BaselineSummary(
        id=row.id,
        target=row.target,
        suite=row.suite,
        status=BaselineStatus(row.status),
        contract_hash=row.contract_hash,
        created_at=_time(row.created_at),
        frozen_at=None if row.frozen_at is None else _time(row.frozen_at),
        retired_at=None if row.retired_at is None else _time(row.retired_at),
        collected_runs=frozen_on or _collected(session, row.id),
        train_runs=row.train_runs,
        calibration_runs=row.calibration_runs,
    )


def _collected(session: Session, baseline_id: str) -> int:
    query = select(func.count()).select_from(RunRow).where(col(RunRow.collected_for) == baseline_id)
    return session.exec(query).one()


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
