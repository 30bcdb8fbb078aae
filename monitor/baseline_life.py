"""The life of a target's baseline: begun, collected, frozen, refused; each step in its caller's transaction."""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from alerts.evidence.assumptions import Assumptions, check
from canaries import BaselineError
from canaries.baseline import Baseline, BaselineStatus, freeze
from canaries.baseline_store import (
    BaselineSummary,
    collected_ids,
    current_baseline,
    ensure_baseline,
    list_baselines,
    load_baseline,
    retire_baseline,
    save_baseline,
)
from canaries.contract import describe_change
from canaries.scores import CANARY_PREFIX
from canaries.store import load_features
from canaries.thinning import is_thinned

from .watched import House, Watched


def baseline_of(session: Session, target: str, suite_name: str) -> BaselineSummary | None:
    """The baseline that the target is compared with, or that collects: a target has one suite at a time.

    A suite that was renamed, or that took the place of another, does not make a baseline fall silent.
    """
    current = current_baseline(session, target, suite_name)
    if current is not None:
        return current
    known = list_baselines(session, target)
    return next((one for one in known if one.status is not BaselineStatus.RETIRED), None)


def begin_or_current(
    session: Session, watched: Watched, contract_hash: str, now: datetime
) -> tuple[BaselineSummary, tuple[str, ...]]:
    """The target's baseline, and what is worth a word about it.

    A new one begins where there is none, or where the one that collects is outdated: nothing was compared with it
    yet, so nothing is lost but runs of another contract.
    """
    notes: tuple[str, ...] = ()
    current = baseline_of(session, watched.name, watched.suite_name)
    if current is not None:
        if current.status is BaselineStatus.FROZEN or current.contract_hash == contract_hash:
            return current, notes
        changes = describe_change(load_baseline(session, current.id).contract, watched.contract)
        notes = (f"The baseline of {watched.name} begins anew, as it was changed: {'; '.join(changes)}.",)
        retire_baseline(session, current.id, now)
    return ensure_baseline(session, watched.name, watched.suite_name, watched.contract, now), notes


def changes_of(session: Session, watched: Watched, house: House, current: BaselineSummary) -> tuple[str, ...]:
    """How the target differs from what its frozen baseline was made of, a sentence each."""
    changes = describe_change(house.frozen_baseline(session, current.id).contract, watched.contract)
    is_renamed = current.suite != watched.suite_name
    return (f"suite: '{current.suite}' -> '{watched.suite_name}'", *changes) if is_renamed else changes


@dataclass(frozen=True, slots=True)
class Freezing:
    """Whether a baseline was frozen just now, or why it could not be although it has its runs."""

    has_happened: bool = False
    problem: str = ""


def freeze_when_due(
    session: Session, watched: Watched, house: House, baseline_id: str, now: datetime
) -> Freezing:
    """Freeze a baseline that freezes by itself, once it has its runs."""
    if not watched.freezes_itself or len(collected_ids(session, baseline_id)) < watched.baseline_runs:
        return Freezing()
    try:
        freeze_baseline(session, house, baseline_id, now)
    except BaselineError as error:
        return Freezing(problem=str(error))
    return Freezing(has_happened=True)


def freeze_baseline(session: Session, house: House, baseline_id: str, now: datetime) -> Baseline:
    """The baseline, frozen on the runs it has collected. Raises BaselineError when they do not make one."""
    runs = load_features(session, collected_ids(session, baseline_id))
    frozen = freeze(load_baseline(session, baseline_id), runs, house.tie, now)
    save_baseline(session, frozen)
    return frozen


def assumptions(baseline: Baseline) -> Assumptions:
    """Whether the promise of the page budget is in force under a frozen baseline."""
    looked_at = [name for name in baseline.calibration if not name.startswith(CANARY_PREFIX)]
    covered = (baseline.frozen_at or baseline.created_at) - baseline.created_at
    values = {
        name: [value for value, _, label in baseline.calibration[name] if not is_thinned(label)]
        for name in looked_at
    }
    return check(values, covered.total_seconds())
