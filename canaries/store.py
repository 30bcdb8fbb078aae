"""Runs and their scores in the database. Each function is part of its caller's transaction."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import bindparam, case, delete, func, insert, or_, update
from sqlmodel import Session, col, select

from .baseline import BaselineStatus
from .completion import Completion, Outcome, Run, RunStatus
from .features import AnswerFeatures, RunFeatures
from .prompt import ToolCall, calls_in, calls_text
from .tables import BaselineRow, CompletionRow, RunRow, ScoreRow

ROWS_MAX = 1_000
"""The most runs or points that one look gives."""

IDS_AT_ONCE = 500
"""The most run ids in one query: databases have a limit for the values of a statement."""


FORGOTTEN_AT_ONCE = 20
"""How many runs are deleted at a time, so that nobody waits long for the database: some megabytes."""

# Built once, as every run needs them: SQLAlchemy takes longer to build a statement than SQLite to answer it.
_STATUS = select(RunRow.status).where(col(RunRow.id) == bindparam("run_id"))
_INSERT_RUN, _UPDATE_RUN = insert(RunRow), update(RunRow).where(col(RunRow.id) == bindparam("run_id"))
_DELETE_SCORES = delete(ScoreRow).where(col(ScoreRow.run_id) == bindparam("run_id"))
_INSERT_SCORES, _INSERT_COMPLETIONS = insert(ScoreRow), insert(CompletionRow)


class Content(StrEnum):
    """What is stored of prompts and answers: everything, or hashes and counts only."""

    FULL = "full"
    HASHES = "hashes"


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One stored run, without its completions."""

    id: str
    target: str
    suite: str
    status: RunStatus
    started_at: datetime
    finished_at: datetime | None
    outcomes: Mapping[str, int]
    retries: int
    collected_for: str | None

    @property
    def answered_share(self) -> float:
        """The share of requests that got an answer, 0 to 1; 0 for a run without requests."""
        requests = sum(self.outcomes.values())
        return self.outcomes.get(Outcome.ANSWERED.value, 0) / requests if requests else 0.0


@dataclass(frozen=True, slots=True)
class ScorePoint:
    """One value of a score, for a chart."""

    run_id: str
    at: datetime
    value: float


@dataclass(frozen=True, slots=True)
class TokenMeans:
    """How many tokens one question to a canary, and one answer of it, had on average, where that was told."""

    input: float | None
    output: float | None


def start_run(
    session: Session,
    run_id: str,
    target: str,
    suite: str,
    now: datetime,
    estimate_usd: float | None = None,
) -> None:
    """Note that a run begins, and what it is expected to cost; nothing happens when it is known already.

    The estimate stands until ``note_cost``: of a run that is interrupted nobody learns what it did cost.
    """
    if _run_row(session, run_id) is None:
        row = RunRow(
            id=run_id,
            target=target,
            suite=suite,
            status=RunStatus.RUNNING,
            started_at=now.timestamp(),
            cost_usd=estimate_usd,
        )
        session.add(row)
        session.flush()


def note_cost(session: Session, run_id: str, cost_usd: float | None) -> None:
    """Note what a run did cost; ``None`` where that cannot be told."""
    row = _run_row(session, run_id)
    if row is not None:
        row.cost_usd = cost_usd
        session.add(row)
        session.flush()


def spent_usd(session: Session, target: str, since: datetime) -> float:
    """What the target's runs that started after ``since`` did cost, as far as that is known."""
    query = select(func.sum(RunRow.cost_usd)).where(
        RunRow.target == target, col(RunRow.started_at) > since.timestamp()
    )
    return session.exec(query).one() or 0.0


def token_means(session: Session, target: str, runs: int) -> Mapping[str, TokenMeans]:
    """The means of each canary over the answers in the target's last ``runs`` completed runs."""
    ids = [run.id for run in recent_completed(session, target, runs)]
    query = (
        select(
            CompletionRow.canary, func.avg(CompletionRow.input_tokens), func.avg(CompletionRow.output_tokens)
        )
        .where(col(CompletionRow.run_id).in_(ids), CompletionRow.outcome == Outcome.ANSWERED.value)
        .group_by(col(CompletionRow.canary))
    )
    return {canary: TokenMeans(_float(asked), _float(given)) for canary, asked, given in session.exec(query)}


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


def has_ended(session: Session, run_id: str) -> bool:
    """Whether a run is stored with its end, be it that it was interrupted."""
    return _status(session, run_id) not in (None, RunStatus.RUNNING)


def save_run(
    session: Session, run: Run, features: RunFeatures, content: Content, collected_for: str | None = None
) -> bool:
    """Store a run that ended; ``False``, and nothing is changed, when it is stored already.

    ``collected_for`` is the collecting baseline that the run may become a part of.
    """
    status, connection = _status(session, run.id), session.connection()
    if status not in (None, RunStatus.RUNNING):
        return False
    values = {
        "status": run.status,
        "started_at": run.at.timestamp(),
        "finished_at": run.finished_at.timestamp() if run.finished_at else None,
        "outcomes": json.dumps(Counter(completion.outcome.value for completion in run.completions)),
        "retries": sum(completion.attempts - 1 for completion in run.completions),
        "collected_for": collected_for,
    }
    if status is None:
        connection.execute(_INSERT_RUN, {"id": run.id, "target": run.target, "suite": run.suite} | values)
    else:
        connection.execute(_UPDATE_RUN, {"run_id": run.id} | values)
    by_place = {(answer.canary, answer.sample): answer for answer in features.answers}
    rows = [_completion_row(run.id, c, by_place[c.canary, c.sample], content) for c in run.completions]
    if rows:
        connection.execute(_INSERT_COMPLETIONS, rows)
    return True


def interrupt_run(session: Session, run_id: str, now: datetime) -> None:
    """Note that a run was given up before its end; a run that ended stays as it is."""
    row = _run_row(session, run_id)
    if row is not None and row.status == RunStatus.RUNNING:
        row.status, row.finished_at = RunStatus.INTERRUPTED, now.timestamp()
        session.add(row)
        session.flush()


def mark_interrupted(session: Session, now: datetime) -> tuple[str, ...]:
    """The runs that a killed daemon left behind, now noted as interrupted. For start-up."""
    left = session.exec(select(RunRow.id).where(col(RunRow.status) == RunStatus.RUNNING)).all()
    for run_id in left:
        interrupt_run(session, run_id, now)
    return tuple(left)


def load_features(session: Session, run_ids: Sequence[str]) -> tuple[RunFeatures, ...]:
    """What is scored of the runs, in the order of ``run_ids``."""
    answers: dict[str, list[AnswerFeatures]] = {run_id: [] for run_id in run_ids}
    starts: dict[str, datetime] = {}
    for start in range(0, len(run_ids), IDS_AT_ONCE):
        ids = run_ids[start : start + IDS_AT_ONCE]
        for run_id, at in session.exec(select(RunRow.id, RunRow.started_at).where(col(RunRow.id).in_(ids))):
            starts[run_id] = _time(at)
        order = (col(CompletionRow.run_id), col(CompletionRow.canary), col(CompletionRow.sample))
        some = col(CompletionRow.run_id).in_(ids)
        query = select(CompletionRow.run_id, CompletionRow.features).where(some).order_by(*order)
        for run_id, features in session.exec(query):
            answers[run_id].append(AnswerFeatures.from_json(features))
    return tuple(RunFeatures(run_id, tuple(found), starts.get(run_id)) for run_id, found in answers.items())


def load_runs(session: Session, run_ids: Sequence[str]) -> tuple[Run, ...]:
    """The runs with their answers, in the order of ``run_ids``; ids that are not stored are left out.

    Answers whose text was not stored have none, though they are answered.
    """
    runs: dict[str, Run] = {}
    for start in range(0, len(run_ids), IDS_AT_ONCE):
        ids = run_ids[start : start + IDS_AT_ONCE]
        completions: dict[str, list[Completion]] = {run_id: [] for run_id in ids}
        order = (col(CompletionRow.run_id), col(CompletionRow.canary), col(CompletionRow.sample))
        some = select(CompletionRow).where(col(CompletionRow.run_id).in_(ids)).order_by(*order)
        for row in session.exec(some):
            completions[row.run_id].append(_completion(row))
        for run in session.exec(select(RunRow).where(col(RunRow.id).in_(ids))):
            answers = tuple(completions[run.id])
            runs[run.id] = Run(run.id, run.target, run.suite, _time(run.started_at), answers)
    return tuple(runs[run_id] for run_id in run_ids if run_id in runs)


def _completion(row: CompletionRow) -> Completion:
    """The completion, but for the log-probabilities, of which only hashes and means are stored."""
    features = AnswerFeatures.from_json(row.features)
    return Completion(
        canary=row.canary,
        sample=row.sample,
        outcome=Outcome(row.outcome),
        text=row.text,
        finish_reason=features.finish_reason,
        served_model=features.served_model,
        system_fingerprint=features.system_fingerprint,
        latency_s=row.latency_s,
        ttft_s=row.ttft_s,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cached_input_tokens=row.cached_input_tokens,
        cache_write_input_tokens=row.cache_write_input_tokens,
        reasoning_tokens=row.reasoning_tokens,
        tool_calls=_tool_calls(row, features.finish_reason),
        attempts=row.attempts,
        error=row.error,
        at=None if row.asked_at is None else _time(row.asked_at),
    )


def _tool_calls(row: CompletionRow, finish_reason: str | None) -> tuple[ToolCall, ...]:
    if row.tool_calls is not None:
        return calls_in(row.tool_calls)
    # Before calls were stored, the text alone told them: of an answer that ended with calls it holds nothing else.
    return calls_in(row.text) if row.text and finish_reason == "tool_calls" else ()


def recent_runs(session: Session, target: str | None = None, limit: int = 50) -> tuple[RunSummary, ...]:
    """The last runs, newest first, at most ``ROWS_MAX``."""
    query = select(RunRow).order_by(col(RunRow.position).desc()).limit(min(limit, ROWS_MAX))
    if target is not None:
        query = query.where(col(RunRow.target) == target)
    return tuple(_summary(row) for row in session.exec(query))


def recent_completed(session: Session, target: str, limit: int) -> tuple[RunSummary, ...]:
    """The last runs of a target that were asked to their end, newest first."""
    query = select(RunRow).where(RunRow.target == target, RunRow.status == RunStatus.COMPLETED)
    return tuple(
        _summary(row) for row in session.exec(query.order_by(col(RunRow.position).desc()).limit(limit))
    )


def completed_runs(session: Session) -> tuple[RunSummary, ...]:
    """All runs that were asked to their end, in the order in which they started."""
    query = select(RunRow).where(RunRow.status == RunStatus.COMPLETED).order_by(col(RunRow.position))
    return tuple(_summary(row) for row in session.exec(query))


def costs(session: Session, run_ids: Sequence[str]) -> dict[str, float | None]:
    """What these runs did cost, as far as that is known; ``IDS_AT_ONCE`` at most."""
    query = select(RunRow.id, RunRow.cost_usd).where(col(RunRow.id).in_(run_ids))
    return dict(session.exec(query).all())


def silent_canaries(session: Session, run_ids: Sequence[str]) -> tuple[str, ...]:
    """The canaries without any answer in these runs, by name."""
    answered = func.sum(case((col(CompletionRow.outcome) == Outcome.ANSWERED.value, 1), else_=0))
    query = (
        select(CompletionRow.canary)
        .where(col(CompletionRow.run_id).in_(run_ids))
        .group_by(col(CompletionRow.canary))
        .having(answered == 0)
        .order_by(col(CompletionRow.canary))
    )
    return tuple(session.exec(query))


def save_scores(session: Session, run_id: str, baseline_id: str, scores: Mapping[str, float]) -> None:
    """Store the scores of a run, in place of those that it has already."""
    connection = session.connection()
    connection.execute(_DELETE_SCORES, {"run_id": run_id})
    rows = [
        {"run_id": run_id, "name": name, "value": value, "baseline_id": baseline_id}
        for name, value in scores.items()
    ]
    if rows:
        connection.execute(_INSERT_SCORES, rows)


def score_series(session: Session, baseline_id: str, name: str, limit: int = 200) -> tuple[ScorePoint, ...]:
    """The last values of one score against one baseline, oldest first, at most ``ROWS_MAX``."""
    query = (
        select(RunRow.id, RunRow.started_at, ScoreRow.value)
        .join(ScoreRow, col(ScoreRow.run_id) == col(RunRow.id))
        .where(col(ScoreRow.baseline_id) == baseline_id, col(ScoreRow.name) == name)
        .order_by(col(RunRow.position).desc())
        .limit(min(limit, ROWS_MAX))
    )
    points = [ScorePoint(run_id, _time(at), value) for run_id, at, value in session.exec(query)]
    return tuple(reversed(points))


def forget_runs(session: Session, before: datetime, limit: int = FORGOTTEN_AT_ONCE) -> int:
    """How many runs were deleted, with their completions and scores; the oldest ones first, ``limit`` at most.

    Runs that started at ``before`` or later stay, and those that were collected for a baseline in use.
    """
    retired = select(BaselineRow.id).where(col(BaselineRow.status) == BaselineStatus.RETIRED)
    is_free = or_(col(RunRow.collected_for).is_(None), col(RunRow.collected_for).in_(retired))
    is_old = col(RunRow.started_at) < before.timestamp()
    has_ended = col(RunRow.status) != RunStatus.RUNNING
    query = select(RunRow.id).where(is_old, has_ended, is_free).order_by(col(RunRow.position)).limit(limit)
    run_ids = session.exec(query).all()
    connection = session.connection()
    connection.execute(delete(CompletionRow).where(col(CompletionRow.run_id).in_(run_ids)))
    connection.execute(delete(ScoreRow).where(col(ScoreRow.run_id).in_(run_ids)))
    connection.execute(delete(RunRow).where(col(RunRow.id).in_(run_ids)))
    return len(run_ids)


def _status(session: Session, run_id: str) -> str | None:
    return session.exec(_STATUS, params={"run_id": run_id}).one_or_none()


def _run_row(session: Session, run_id: str) -> RunRow | None:
    return session.exec(select(RunRow).where(col(RunRow.id) == run_id)).one_or_none()


def _completion_row(
    run_id: str, completion: Completion, features: AnswerFeatures, content: Content
) -> dict[str, Any]:
    """The columns of a ``CompletionRow``: plain values are stored several times as fast as objects."""
    is_full = content is Content.FULL
    return {
        "run_id": run_id,
        "canary": completion.canary,
        "sample": completion.sample,
        "outcome": completion.outcome,
        "text": completion.text if is_full else None,
        "tool_calls": calls_text(completion.tool_calls) if is_full and completion.tool_calls else None,
        # Providers like to quote the request in their errors.
        "error": completion.error if is_full else None,
        "asked_at": completion.at.timestamp() if completion.at else None,
        "latency_s": completion.latency_s,
        "ttft_s": completion.ttft_s,
        "input_tokens": completion.input_tokens,
        "output_tokens": completion.output_tokens,
        "cached_input_tokens": completion.cached_input_tokens,
        "cache_write_input_tokens": completion.cache_write_input_tokens,
        "reasoning_tokens": completion.reasoning_tokens,
        "attempts": completion.attempts,
        "features": features.to_json(),
    }


def _summary(row: RunRow) -> RunSummary:
    return RunSummary(
        id=row.id,
        target=row.target,
        suite=row.suite,
        status=RunStatus(row.status),
        started_at=_time(row.started_at),
        finished_at=None if row.finished_at is None else _time(row.finished_at),
        outcomes=json.loads(row.outcomes),
        retries=row.retries,
        collected_for=row.collected_for,
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
