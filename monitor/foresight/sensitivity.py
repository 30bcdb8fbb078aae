"""How small a change pages in time under a frozen baseline, by the ledger that live pages with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from statistics import median

import numpy as np
from sqlmodel import Session

from alerts.evidence.ranks import rank
from canaries import BaselineError
from canaries.baseline import Baseline
from canaries.features import RunFeatures
from canaries.sensitivity import PagedShare, Runs, Scored, Sensitivity, Setting, horizon_runs, measure
from canaries.store import load_features
from canaries.thinning import MARK, is_thinned

from .. import MonitorError
from .many_ledgers import Drawable, ManyLedgers, Stake, first_pages, watched

CASES = 24
"""How often each change is let loose on a ledger."""

RUNS_READ = 64
"""How many calibration runs' answers are enough to try changes on: so many are worth reading from the database."""

STEADY_RUNS = 100
"""Runs without a change before it, for the ledger to be as it usually is."""

SEED = 0


@dataclass(frozen=True, slots=True)
class _Arm:
    """Some scores of the baseline: what a ledger of them stands on, and the runs that it meets without a change."""

    stake: Stake
    usual: Drawable


def runs_to_try(baseline: Baseline) -> tuple[str, ...]:
    """Which of the baseline's runs :func:`sensitivity_of` wants to see."""
    ids = baseline.calibration_ids
    if len(ids) <= RUNS_READ:
        return ids
    return tuple(ids[i] for i in np.linspace(0, len(ids) - 1, RUNS_READ).round().astype(int).tolist())


def sensitivity_of(
    baseline: Baseline,
    runs: Sequence[RunFeatures],
    slot_s: float,
    pages_per_quarter: float,
    samples: int | None = None,
) -> Sensitivity:
    """What the frozen ``baseline`` can see at this cadence and budget, tried on some of its own ``runs``.

    ``pages_per_quarter`` is the target's part of the deployment's budget; ``samples`` is how many samples of a canary
    a run has at most, where these were cut. Takes a second. Raises BaselineError when the runs' answers are gone.
    """
    if baseline.scores is None:
        raise MonitorError(f"{baseline.id} is {baseline.status.value}: it has no scores yet")
    setting = Setting(slot_s, pages_per_quarter, samples)
    rule = _rule(baseline, setting)
    rng = np.random.default_rng(SEED)
    return measure(baseline.scores, baseline.calibration, runs, baseline.label, rule, setting, rng)


def look(
    session: Session, baseline: Baseline, slot_s: float, pages_per_quarter: float, samples: int | None = None
) -> Sensitivity | None:
    """The same, of a frozen baseline whose runs are in the database; ``None`` where their answers are gone."""
    runs = load_features(session, runs_to_try(baseline))
    try:
        return sensitivity_of(baseline, runs, slot_s, pages_per_quarter, samples)
    except BaselineError:
        return None


def usual_slot_s(runs: Sequence[RunFeatures]) -> float | None:
    """The usual time between the ``runs``, in seconds; ``None`` where they do not tell."""
    times = sorted(run.at for run in runs if run.at is not None)
    gaps = [(later - earlier) / timedelta(seconds=1) for earlier, later in pairwise(times)]
    usual = median(gaps) if gaps else 0.0
    return usual if usual > 0 else None


def _rule(baseline: Baseline, setting: Setting) -> PagedShare:
    weights = baseline.weights()
    arms: dict[tuple[str, ...], _Arm] = {}

    def arm(names: tuple[str, ...]) -> _Arm:
        if names not in arms:
            stake = _stake(baseline, names, weights)
            arms[names] = _Arm(stake, Drawable.of(_usual(baseline, names, setting.samples), stake.ranks))
        return arms[names]

    def paged_share(drifted: Mapping[str, Runs]) -> Mapping[str, float]:
        return _paged_share(drifted, arm, setting)

    return paged_share


def _stake(baseline: Baseline, names: tuple[str, ...], weights: Mapping[str, float]) -> Stake:
    # A block is a mean of full runs: where a score bets on blocks, thinned runs are left out of it.
    calibration = {
        name: [
            one for one in baseline.calibration[name] if not (name in baseline.blocks and is_thinned(one[2]))
        ]
        for name in names
    }
    return Stake(rank(calibration, baseline.blocks), weights, baseline.tickets_only())


def _usual(baseline: Baseline, names: Sequence[str], samples: int | None) -> list[Scored]:
    """The calibration runs as they were scored, with as many samples as are asked for; a tie break tells the run."""
    known = {label for name in names for _, _, label in baseline.calibration[name]}
    cut = {label for label in known if label.endswith(f"{MARK}{samples}")}
    wanted = cut or {label for label in known if not is_thinned(label)}
    found: dict[float, Scored] = {}
    for name in names:
        for value, tie, label in baseline.calibration[name]:
            if label in wanted:
                before = found.get(tie, Scored(label, {}))
                found[tie] = Scored(before.label or label, {**before.scores, name: value})
    return list(found.values())


def _paged_share(
    drifted: Mapping[str, Runs], arm: Callable[[tuple[str, ...]], _Arm], setting: Setting
) -> dict[str, float]:
    # The same chance for every share of moved answers: their figures differ by the change and not by luck.
    rng = np.random.default_rng(SEED)
    horizon = horizon_runs(setting.slot_s)
    stakes, steady, draws = [], [], []
    for runs in drifted.values():
        names = tuple(sorted({name for run in runs.scored for name in run.scores}))
        own = arm(names)
        drawable = Drawable.of(runs.scored, own.stake.ranks)
        for _ in range(CASES):
            stakes.append(own.stake)
            steady.append((own.usual, rng.integers(len(own.usual.labels), size=STEADY_RUNS)))
            draws.append((drawable, rng.choice(len(runs.scored), size=horizon, p=runs.chances)))
    if not stakes:
        return {}
    ledgers = ManyLedgers(stakes, setting.slot_s, setting.pages_per_quarter)
    accounts, _ = watched(ledgers, ledgers.opened(), steady, 0.0, setting.slot_s, rng)
    found = first_pages(ledgers, accounts, draws, STEADY_RUNS * setting.slot_s, setting.slot_s, rng)
    shares = np.isfinite(found).reshape(len(drifted), CASES).mean(axis=1)
    return dict(zip(drifted, shares.tolist(), strict=True))
