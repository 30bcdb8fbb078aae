"""What a person asks about a baseline: where it is in its life, what it waits for, and what it compares."""

from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any

from sqlmodel import Session

from alerts.evidence.ledger import Budgets
from canaries.baseline import Baseline, BaselineStatus
from canaries.baseline_events import BaselineEvent, latest_event
from canaries.baseline_store import BaselineSummary
from canaries.config import BaselineConfig
from canaries.sensitivity import Sensitivity
from canaries.store import recent_runs

from ..config import Deployment, cadence_of
from ..deployment import budgets_of, watched_of
from ..foresight.sensitivity import look
from ..schedule import slot_s
from ..watched import House, Watched
from .baseline_succession import anchor_of, outlook
from .guarantee import assumptions

REFUSED = "refused"
"""The state of a frozen baseline that its target does not match any more."""

RUNS_LOOKED_AT = 50
"""From how many of the last runs the cadence is taken, where no configuration tells it."""

Facts = dict[str, Any]
"""By name what there is to say of a baseline: plain values, times, and what a key's section shows in its own way."""


def state_of(session: Session, summary: BaselineSummary) -> str:
    """Where a baseline is in its life, in a word: a state of its own, or ``refused``."""
    if summary.status is BaselineStatus.FROZEN:
        latest = latest_event(session, summary.target, summary.id)
        if latest is not None and latest.event is BaselineEvent.REFUSED:
            return REFUSED
    return summary.status.value


def facts_of(
    session: Session,
    summary: BaselineSummary,
    baseline: Baseline,
    deployment: Deployment | None,
    now: datetime,
) -> Facts:
    """All there is to say of a baseline. What it waits for is judged by the deployment, or else by the defaults."""
    house, state = House(b""), state_of(session, summary)
    watched = _watched(session, baseline, deployment, now)
    anchor = anchor_of(session, house, baseline)
    refresh = outlook(session, watched, house, summary, now) if state == BaselineStatus.FROZEN else None
    return {
        "id": baseline.id,
        "target": baseline.target,
        "suite": baseline.suite,
        "state": state,
        "collected_runs": summary.collected_runs,
        "train_runs": len(baseline.train_ids),
        "calibration_runs": len(baseline.calibration_ids),
        "created_at": baseline.created_at,
        "frozen_at": baseline.frozen_at,
        "retired_at": baseline.retired_at,
        "collecting": _collecting(summary, watched, now),
        "changes": _last_why(session, summary, BaselineEvent.REFUSED),
        "growing": _last_why(session, summary, BaselineEvent.CANARY_ADDED),
        "anchor": {"id": anchor.id, "frozen_at": anchor.frozen_at} if anchor else None,
        "next_refresh": asdict(refresh) if refresh else None,
        "served_models": baseline.known_models,
        "fingerprints": baseline.known_fingerprints,
        "checks_that_never_failed": baseline.never_failed,
        "scores": baseline.weights() if baseline.scores else {},
        "assumptions": assumptions(baseline) if baseline.scores else None,
        "sensitivity": _sensitivity(session, baseline, watched, deployment),
    }


def _sensitivity(
    session: Session, baseline: Baseline, watched: Watched, deployment: Deployment | None
) -> Sensitivity | None:
    """How small a change the baseline sees; nothing where it has no scores, or the answers of its runs are gone."""
    if baseline.scores is None:
        return None
    budgets = budgets_of(deployment.config.budget) if deployment is not None else Budgets()
    return look(session, baseline, watched.slot_s or 3600.0, budgets.pages_per_quarter * watched.share)


def _collecting(summary: BaselineSummary, watched: Watched, now: datetime) -> Facts | None:
    if summary.status is not BaselineStatus.COLLECTING:
        return None
    missing = max(0, watched.baseline_runs - summary.collected_runs)
    complete_at = now + timedelta(seconds=missing * watched.slot_s) if watched.slot_s else None
    return {"runs_needed": watched.baseline_runs, "missing_runs": missing, "complete_at": complete_at}


def _last_why(session: Session, summary: BaselineSummary, event: BaselineEvent) -> tuple[str, ...]:
    """The reasons of what happened to the baseline last, where that was ``event``."""
    latest = latest_event(session, summary.target, summary.id)
    return tuple(latest.why.split("; ")) if latest is not None and latest.event is event else ()


def _watched(session: Session, baseline: Baseline, deployment: Deployment | None, now: datetime) -> Watched:
    name = baseline.target
    if deployment is not None and name in deployment.config.targets:
        return watched_of(deployment, name, slot_s(cadence_of(deployment.config.targets[name]), now))
    config, every_s = BaselineConfig(), _usual_gap_s(session, name)
    return Watched(
        name=name,
        suite_name=baseline.suite,
        suite=None,
        contract=baseline.contract,
        slot_s=every_s,
        baseline_runs=config.runs_needed(every_s or 3600.0),
        refresh_after_s=config.refresh_after_s,
    )


def _usual_gap_s(session: Session, target: str) -> float:
    """The usual time between two runs, by the last ones; 0 where there are too few to tell."""
    starts = [run.started_at for run in recent_runs(session, target, RUNS_LOOKED_AT)]
    gaps = [(later - earlier).total_seconds() for later, earlier in pairwise(starts)]
    return max(0.0, median(gaps)) if gaps else 0.0
