"""A recorded stream through the whole canary arm: the pages and tickets that live would have sent."""

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median

import orjson
from sqlmodel import Session

from alerts.evidence.assumptions import Assumptions
from alerts.evidence.ledger import Budgets
from alerts.finding import Severity
from alerts.incident import NoticeKind, Transition
from canaries import BaselineError
from canaries.baseline import CALIBRATION_RUNS_GOOD, RUNS_MIN, BaselineStatus
from canaries.baseline_store import current_baseline
from canaries.completion import Run
from canaries.config import BaselineConfig
from canaries.contract import Contract
from canaries.features import extract

from . import MonitorError
from .canary_flow.baseline_succession import anchor_of
from .canary_flow.explanation import Explanation, explain
from .canary_flow.guarantee import known_assumptions
from .canary_flow.watch_canaries import Settled, settle
from .config import DATABASE_FILE
from .database import Database
from .drift import subject
from .watched import House, Watched

SECRET = bytes(32)
"""Keys the hashes and tie-breaks of every backtest: the same stream gives the same pages."""

UNNAMED = "stream"
"""What a target is called where the stream has no name for it."""

DEFAULT_SLOT_S = 3600.0
"""Time between two runs where the stream does not say when they were."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A page or a ticket of the backtest, at the run that raised it. ``score`` is what it was about."""

    run: str
    target: str
    score: str
    summary: str


@dataclass(frozen=True, slots=True)
class Backtest:
    """What a recorded stream would have done."""

    runs: int
    pages: tuple[Notice, ...]
    tickets: tuple[Notice, ...]
    assumptions: dict[str, Assumptions] = field(default_factory=dict)
    explanations: tuple[Explanation, ...] = ()


OnProgress = Callable[[int, int], None]
"""Told how many runs are settled, and of how many."""


def backtest(
    runs: Sequence[Run],
    baseline_runs: int | None,
    budgets: Budgets,
    on_progress: OnProgress = lambda done, total: None,
    explained: str | None = None,
) -> Backtest:
    """Settle ``runs`` in their order, as the daemon would have; targets share the budget equally.

    Without ``baseline_runs`` each target's baseline is a week of its runs, or half of what there is of them. The run
    called ``explained`` is explained, score by score. Raises BaselineError when the runs make no baseline, and
    MonitorError when their times do not go forward, or no run is called so.
    """
    if explained is not None and all(run.id != explained for run in runs):
        raise MonitorError(
            f"no run is called {explained!r}: the stream goes from {runs[0].id!r} to {runs[-1].id!r}"
        )
    runs = [replace(run, target=run.target or UNNAMED) for run in runs]
    targets = dict.fromkeys(run.target for run in runs)
    watched = {
        name: _watched([run for run in runs if run.target == name], baseline_runs, 1 / len(targets))
        for name in targets
    }
    house = House(SECRET, budgets)
    with tempfile.TemporaryDirectory(prefix="anchorwatch-backtest-") as folder:
        database = Database(Path(folder) / DATABASE_FILE)
        try:
            database.migrate()
            # One transaction for all: there is no crash to survive here.
            return database.write(
                lambda session: _settle_all(session, runs, watched, house, on_progress, explained)
            )
        finally:
            database.close()


def default_baseline_runs(runs: int, slot_s: float) -> int:
    """How many of so many recorded runs make the baseline, where nobody said: a week as in live, or half of them."""
    week = BaselineConfig().runs_needed(slot_s)
    return week if runs >= week + CALIBRATION_RUNS_GOOD else max(RUNS_MIN, runs // 2)


def _watched(runs: Sequence[Run], baseline_runs: int | None, share: float) -> Watched:
    slot_s = _slot_s(runs)
    needed = baseline_runs or default_baseline_runs(len(runs), slot_s)
    samples = _expected_samples(runs[:needed])
    return Watched(
        name=runs[0].target,
        suite_name=runs[0].suite,
        suite=None,
        contract=Contract({"stream": True}, {canary: {"samples": n} for canary, n in samples.items()}),
        slot_s=slot_s,
        share=share,
        baseline_runs=needed,
        refresh_after_s=BaselineConfig().refresh_after_s,
    )


def _expected_samples(runs: Sequence[Run]) -> dict[str, int]:
    """The samples of each canary in a full run: as many as most of the ``runs`` have that have any."""
    counts: dict[str, Counter[int]] = {}
    for run in runs:
        for canary, samples in Counter(completion.canary for completion in run.completions).items():
            counts.setdefault(canary, Counter())[samples] += 1
    return {canary: max(found, key=lambda n: (found[n], n)) for canary, found in sorted(counts.items())}


def _slot_s(runs: Sequence[Run]) -> float:
    """The usual time between two runs. Without time that passes, no budget comes in and nothing could ever page."""
    gaps = [(later.at - earlier.at) / timedelta(seconds=1) for earlier, later in pairwise(runs)]
    slot_s = median(gaps) if gaps else DEFAULT_SLOT_S
    if slot_s <= 0:
        raise MonitorError(
            f"the runs of {runs[0].target} do not go forward in time: usually {slot_s:g} s pass from one to the next. "
            f"Put the oldest first; or leave out `at`, and give their distance by --every{_hint(runs)}"
        )
    return slot_s


def _settle_all(
    session: Session,
    runs: Sequence[Run],
    watched: Mapping[str, Watched],
    house: House,
    on_progress: OnProgress,
    explained: str | None,
) -> Backtest:
    pages: list[Notice] = []
    tickets: list[Notice] = []
    explanations: list[Explanation] = []
    for done, run in enumerate(runs, start=1):
        features = extract(run, None, house.secret)
        settled = settle(session, watched[run.target], house, run, features, run.finished_at or run.at)
        if settled.freezing_problem:
            raise BaselineError(f"{run.target}: {_hint(runs).removeprefix('. ') or settled.freezing_problem}")
        for transition in settled.transitions:
            notice = _notice(run, transition)
            if notice is not None:
                (pages if transition.is_page else tickets).append(notice)
        if run.id == explained:
            explanations.append(_explanation(session, watched[run.target], house, run, settled))
        session.expunge_all()  # what is flushed need not be carried along
        on_progress(done, len(runs))
    found = _assumptions(session, watched, house)
    return Backtest(len(runs), tuple(pages), tuple(tickets), found, tuple(explanations))


def _explanation(session: Session, watched: Watched, house: House, run: Run, settled: Settled) -> Explanation:
    current = current_baseline(session, watched.name, watched.suite_name)
    # The run that completes a baseline is part of it, and not compared with it.
    is_compared = current is not None and current.status is BaselineStatus.FROZEN and not settled.has_frozen
    baseline = house.frozen_baseline(session, current.id) if current is not None and is_compared else None
    anchor = anchor_of(session, house, baseline) if baseline is not None else None
    return explain(watched.name, run.id, baseline, anchor, watched.share, settled.weighed)


def _notice(run: Run, transition: Transition) -> Notice | None:
    incident = transition.incident
    told = {NoticeKind.FIRING, NoticeKind.ESCALATED} & set(transition.notifications)
    if incident is None or not told or incident.severity is Severity.INFO:
        return None
    return Notice(run.id, run.target, subject(incident.finding), incident.finding.summary)


def _assumptions(session: Session, watched: Mapping[str, Watched], house: House) -> dict[str, Assumptions]:
    current = {name: current_baseline(session, name, target.suite_name) for name, target in watched.items()}
    missing = {
        name: f"no baseline: {one.collected_runs if one else 0} of the {watched[name].baseline_runs} runs it takes "
        "were there, with enough answers"
        for name, one in current.items()
        if one is None or one.status is not BaselineStatus.FROZEN
    }
    if len(missing) == len(watched):
        reasons = "; ".join(f"{name} has {reason}" for name, reason in missing.items())
        raise BaselineError(f"{reasons}. Ask for fewer with --baseline-runs, or give a longer stream")
    return {
        name: Assumptions(0, {}, is_in_force=False, reasons=(missing[name],))
        if one is None or name in missing
        else known_assumptions(house, house.frozen_baseline(session, one.id))
        for name, one in current.items()
    }


def _hint(runs: Sequence[Run]) -> str:
    if all(len(run.completions) == 1 for run in runs):
        return ". Every run of this stream is a single answer: rows of one run must share their `run`"
    return ""


def to_json(result: Backtest) -> str:
    """The result for machines: ``{"runs", "pages": [{"run", "score", ...}], "tickets", "assumptions"}``.

    With ``explanations`` when a run was to be explained.
    """
    plain = {part.name: getattr(result, part.name) for part in fields(result)}
    if not result.explanations:
        del plain["explanations"]
    return orjson.dumps(plain, option=orjson.OPT_SERIALIZE_NUMPY).decode()
