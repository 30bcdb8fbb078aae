"""What runs came to in counts and sums, without their answers: for reports over many of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson
from sqlmodel import Session, col, select

from .completion import Outcome, RunStatus
from .store import IDS_AT_ONCE
from .tables import CompletionRow, RunRow


@dataclass(slots=True)
class ModelCounts:
    """How many answers a model gave, how many of them had expectations, and how many broke one."""

    answers: int = 0
    checked: int = 0
    broken: int = 0


@dataclass(slots=True)
class RunCounts:
    """One run: its requests, the times of its answers in seconds, and what these used and broke.

    ``failed_checks`` counts by ``canary/check``. ``cost_usd`` is ``None`` where nobody knows it.
    """

    id: str
    at: datetime
    cost_usd: float | None = None
    requests: int = 0
    answered: int = 0
    latencies_s: list[float] = field(default_factory=list)
    ttfts_s: list[float] = field(default_factory=list)
    input_tokens: list[int] = field(default_factory=list)
    output_tokens: list[int] = field(default_factory=list)
    checked: int = 0
    broken: int = 0
    finished: int = 0
    truncated: int = 0
    failed_checks: Counter[str] = field(default_factory=Counter)
    by_canary: dict[str, int] = field(default_factory=dict)
    """The answers of each canary that was asked."""
    models: dict[str, ModelCounts] = field(default_factory=dict)


def runs_between(session: Session, target: str, since: datetime, until: datetime) -> tuple[str, ...]:
    """The runs of a target that started in this time and were asked to their end, in their order."""
    query = select(RunRow.id).where(
        RunRow.target == target,
        RunRow.status == RunStatus.COMPLETED,
        col(RunRow.started_at) >= since.timestamp(),
        col(RunRow.started_at) < until.timestamp(),
    )
    return tuple(session.exec(query.order_by(col(RunRow.position))))


def count_runs(session: Session, run_ids: Sequence[str]) -> tuple[RunCounts, ...]:
    """What each of these runs came to, in their order; without those that are not stored any more."""
    found: dict[str, RunCounts] = {}
    for start in range(0, len(run_ids), IDS_AT_ONCE):
        ids = run_ids[start : start + IDS_AT_ONCE]
        runs = select(RunRow.id, RunRow.started_at, RunRow.cost_usd).where(col(RunRow.id).in_(ids))
        for run_id, at, cost_usd in session.exec(runs):
            found[run_id] = RunCounts(run_id, datetime.fromtimestamp(at, UTC), cost_usd)
        _count_answers(session, ids, found)
    return tuple(found[run_id] for run_id in run_ids if run_id in found)


def _count_answers(session: Session, ids: Sequence[str], found: Mapping[str, RunCounts]) -> None:
    # The table's own columns, so that no object is made of each of many thousand rows.
    columns = CompletionRow.__table__.c  # type: ignore[attr-defined]  # SQLModel adds it to tables
    names = (
        "run_id",
        "canary",
        "outcome",
        "latency_s",
        "ttft_s",
        "input_tokens",
        "output_tokens",
        "features",
    )
    query = select(*(columns[name] for name in names)).where(columns.run_id.in_(ids))
    for run_id, canary, outcome, latency_s, ttft_s, asked, given, features in session.connection().execute(
        query
    ):
        run = found[run_id]
        run.requests += 1
        run.by_canary.setdefault(canary, 0)
        if asked is not None:
            run.input_tokens.append(asked)
        if outcome != Outcome.ANSWERED.value:
            continue
        run.answered += 1
        run.by_canary[canary] += 1
        if given is not None:
            run.output_tokens.append(given)
        if latency_s is not None:
            run.latencies_s.append(latency_s)
        if ttft_s is not None:
            run.ttfts_s.append(ttft_s)
        _count_features(run, canary, orjson.loads(features))


def _count_features(run: RunCounts, canary: str, features: Mapping[str, object]) -> None:
    checks = features.get("checks")
    failed = [name for name, passed in checks.items() if not passed] if isinstance(checks, dict) else []
    run.checked += bool(checks)
    run.broken += bool(failed)
    run.failed_checks.update(f"{canary}/{name}" for name in failed)
    if reason := features.get("finish_reason"):
        run.finished += 1
        run.truncated += reason == "length"
    model = run.models.setdefault(str(features.get("served_model") or ""), ModelCounts())
    model.answers += 1
    model.checked += bool(checks)
    model.broken += bool(failed)
