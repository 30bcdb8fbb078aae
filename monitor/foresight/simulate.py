"""What an operator may expect of a frozen baseline: false pages a quarter, and how long changes stay unnoticed.

A bootstrap (Efron 1979) of the baseline's own runs. Several times they are split anew in train and other runs, and the
scores fitted on the train runs as live does. Calibration runs and later runs are then drawn, with replacement, from the
other ones, so a run that comes later was never trained on. Where runs that follow each other are alike, they are drawn
in stretches (stationary bootstrap: Politis and Romano 1994). Changes are made to the recorded answers
(:mod:`canaries.imagined`), and the ledger is the one that live bets with.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from math import ceil, sqrt
from statistics import median

import numpy as np
from numpy.random import Generator

from alerts.evidence.assumptions import LEVEL
from alerts.evidence.autocorrelation import LAG1_MAX, WINDOW, Autocorrelation, autocorrelation
from alerts.evidence.ledger import QUARTER_S
from alerts.evidence.ranks import PAGE_CALIBRATION_MIN
from canaries.baseline import Baseline, BaselineStatus, split
from canaries.contract import Contract
from canaries.features import AnswerFeatures, RunFeatures
from canaries.imagined import Ordinary, Recorded
from canaries.scores import CANARY_PREFIX, FrozenScores
from canaries.thinning import is_thinned, samples_asked, thinned

from .. import MonitorError
from .many_ledgers import Drawable, ManyLedgers, first_pages, watched
from .simulation import HORIZON_S, Delay, FalsePages, Plan, Simulation
from .worlds import DRAWN_RUNS_MAX, FITTED_RUNS_MAX, World, order, world_of

STEADY_RUNS = 100
"""Runs without a change before each change, for the ledger to be as it usually is."""

SLOT_S_MIN = 60.0
"""The shortest time between runs that is simulated, in seconds: a quarter has 130,000 of them."""

SPLITS_MIN, SPLITS_MAX, ANSWERS_FITTED = 4, 12, 80_000
"""How often the runs are split anew: as often as so many answers can be fitted, as that takes most of the time."""


OnProgress = Callable[[float], None]
"""Told which part of the work is done, from 0 to 1."""


def simulate(
    baseline: Baseline, runs: Sequence[RunFeatures], plan: Plan, on_progress: OnProgress = lambda part: None
) -> Simulation:
    """Simulate the frozen ``baseline``, of which ``runs`` are all train and calibration runs in order of time.

    Raises MonitorError when it is not frozen, its answers are gone, or they are too few to page.
    """
    runs = _usable(baseline, runs, plan)
    baseline = replace(baseline, contract=_cut(baseline.contract, plan.samples))
    rng = np.random.default_rng(plan.seed)
    stretch = stretch_runs(baseline)
    splits = plan.splits or _splits(runs)
    progress = _Progress(on_progress, splits + len(plan.changes) + _QUARTER_PARTS)
    sharper = Ordinary.of(Recorded.of(runs), _surprise(baseline.scores))
    worlds = []
    for number in range(splits):
        worlds.append(world_of(baseline, runs, plan.changes, sharper, stretch, number, rng))
        progress.more()
    delays = _delays(worlds, plan, stretch, rng, progress)
    false_pages = _false_pages(worlds, plan, stretch, rng, progress)
    return Simulation(
        baseline=baseline.id,
        target=baseline.target,
        plan=plan,
        runs=len(runs),
        splits=splits,
        answers_a_run=round(float(np.mean([len(run.answers) for run in runs]))),
        stretch_runs=stretch,
        false_pages=false_pages,
        delays=delays,
    )


def stretch_runs(baseline: Baseline) -> int:
    """How many runs in a row must be drawn together to be as alike as the calibration runs: 1 for independent ones.

    Twice the lag from which on the correlation is small, so that most neighbours stay neighbours.
    """
    known = {
        name: [value for value, _, label in found if not is_thinned(label)]
        for name, found in baseline.calibration.items()
        if not name.startswith(CANARY_PREFIX)
    }
    found = {name: autocorrelation(values) for name, values in known.items()}
    level = LEVEL / (2 * max(1, len(found)))
    alike = [_memory_runs(one) for one in found.values() if one.is_alike(level)]
    return min(2 * max(alike), max(1, len(baseline.calibration_ids) // 6)) if alike else 1


def _memory_runs(found: Autocorrelation) -> int:
    """The first lag at which runs are hardly alike; of what only wanders slowly, the window in which that shows."""
    lags = enumerate(found.lags, start=1)
    if found.lag1 <= LAG1_MAX:
        return WINDOW
    return next((lag for lag, correlation in lags if correlation <= LAG1_MAX), WINDOW)


def _usable(baseline: Baseline, runs: Sequence[RunFeatures], plan: Plan) -> list[RunFeatures]:
    if baseline.scores is None or baseline.status is BaselineStatus.COLLECTING:
        raise MonitorError(
            f"{baseline.id} is {baseline.status.value}, with {len(runs)} runs: only a frozen baseline can be simulated"
        )
    if plan.slot_s < SLOT_S_MIN:
        raise MonitorError(
            f"a quarter of runs {plan.slot_s:g} s apart takes too long to simulate: say --every {SLOT_S_MIN:g}s or more"
        )
    known = [run for run in runs if run.answers]
    if len(known) < (frozen_on := len(baseline.train_ids) + len(baseline.calibration_ids)):
        raise MonitorError(
            f"{baseline.id} was frozen on {frozen_on} runs, and the answers of {len(known)} are still stored: those of "
            "a retired baseline are forgotten with time"
        )
    calibration = len(split(known, len(known))[1])
    if calibration < PAGE_CALIBRATION_MIN:
        raise MonitorError(
            f"{baseline.id} has {calibration} calibration runs: it opens tickets only. Pages need "
            f"{PAGE_CALIBRATION_MIN}, so let more runs be collected"
        )
    most = max(samples_asked(run, baseline.contract.expected_samples()) for run in known)
    if plan.samples is not None and plan.samples > most:
        raise MonitorError(
            f"the runs of {baseline.id} have {most} sample{'s' if most > 1 else ''} of each canary: {plan.samples} "
            "cannot be made of them. Collect a baseline with more, or ask for fewer"
        )
    return known if plan.samples is None else [thinned(run, plan.samples) for run in known]


def _cut(contract: Contract, samples: int | None) -> Contract:
    """The contract of a suite that asks for so many samples, as if the baseline had been collected with it."""
    if samples is None:
        return contract
    cut = {canary: min(samples, n) for canary, n in contract.expected_samples().items()}
    return Contract({"stream": True}, {canary: {"samples": n} for canary, n in cut.items()})


def _splits(runs: Sequence[RunFeatures]) -> int:
    used = min(len(runs), FITTED_RUNS_MAX + DRAWN_RUNS_MAX)
    answers = used * sum(len(run.answers) for run in runs) // len(runs)
    return max(SPLITS_MIN, min(SPLITS_MAX, ANSWERS_FITTED // max(1, answers)))


def _surprise(scores: FrozenScores | None) -> Callable[[AnswerFeatures], float]:
    def surprise(answer: AnswerFeatures) -> float:
        found = scores.score(RunFeatures("", (answer,))) if scores else {}
        return found.get(CANARY_PREFIX + answer.canary, 0.0)

    return surprise


class _Progress:
    """Tells how many of the steps are done."""

    def __init__(self, tell: OnProgress, steps: int) -> None:
        self._tell, self._steps, self._done = tell, steps, 0

    def more(self) -> None:
        self._done += 1
        self._tell(self._done / self._steps)


def _delays(
    worlds: Sequence[World], plan: Plan, stretch: int, rng: Generator, progress: _Progress
) -> tuple[Delay, ...]:
    own = [worlds[i % len(worlds)] for i in range(plan.repetitions)]
    stakes = [world.stake(plan, stretch, rng) for world in own]
    ledgers = ManyLedgers(stakes, plan.slot_s, plan.pages_per_quarter)
    usual = [Drawable.of(world.usual, stake.ranks) for world, stake in zip(own, stakes, strict=True)]
    steady = [(one, order(len(one.labels), STEADY_RUNS, stretch, rng)) for one in usual]
    accounts, _ = watched(ledgers, ledgers.opened(), steady, 0.0, plan.slot_s, rng)
    most = ceil(HORIZON_S / plan.slot_s)
    delays = []
    for change in plan.changes:
        draws = []
        for i, (world, stake) in enumerate(zip(own, stakes, strict=True)):
            variants = world.changed[change.name]
            variant = variants[i // len(worlds) % len(variants)]
            draws.append((Drawable.of(variant, stake.ranks), order(len(variant), most, stretch, rng)))
        at = STEADY_RUNS * plan.slot_s
        found = sorted(first_pages(ledgers, accounts, draws, at, plan.slot_s, rng).tolist())
        q90 = found[ceil(0.9 * len(found)) - 1]
        share = float(np.isfinite(found).mean())
        delays.append(Delay(change.name, _known(median(found)), _known(q90), share, len(found)))
        progress.more()
    return tuple(delays)


def _known(runs: float) -> float | None:
    return runs if np.isfinite(runs) else None


_QUARTER_PARTS = 20


def _false_pages(
    worlds: Sequence[World], plan: Plan, stretch: int, rng: Generator, progress: _Progress
) -> FalsePages:
    own = [worlds[i % len(worlds)] for i in range(plan.quarters)]
    stakes = [world.stake(plan, stretch, rng) for world in own]
    ledgers = ManyLedgers(stakes, plan.slot_s, plan.pages_per_quarter)
    usual = [Drawable.of(world.usual, stake.ranks) for world, stake in zip(own, stakes, strict=True)]
    accounts, pages = ledgers.opened(), np.zeros(len(own), dtype=np.int64)
    quarter = round(QUARTER_S / plan.slot_s)
    ends = np.linspace(0, quarter, _QUARTER_PARTS + 1).round().astype(int).tolist()
    for first, last in pairwise(ends):
        draws = [(one, order(len(one.labels), last - first, stretch, rng)) for one in usual]
        accounts, more = watched(ledgers, accounts, draws, first * plan.slot_s, plan.slot_s, rng)
        pages += more
        progress.more()
    error = float(pages.std(ddof=1)) / sqrt(len(pages)) if len(pages) > 1 else float("nan")
    budget = plan.pages_per_quarter * plan.share
    return FalsePages(float(pages.mean()), error, int(pages.max()), budget, plan.quarters)
