"""What an operator may expect of a frozen baseline: false pages a quarter, and how long changes stay unnoticed.

A bootstrap (Efron 1979) of the baseline's own runs. Several times they are split anew in train and other runs, and the
scores fitted on the train runs as live does. Calibration runs and later runs are then drawn, with replacement, from the
other ones, so a run that comes later was never trained on. Where runs that follow each other are alike, they are drawn
in stretches (stationary bootstrap: Politis and Romano 1994). Changes are made to the recorded answers
(:mod:`canaries.imagined`), and the ledger is the one that live bets with.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, sqrt
from statistics import median
from typing import Any

import numpy as np
from numpy.random import Generator

from alerts.evidence.assumptions import LEVEL
from alerts.evidence.autocorrelation import LAG1_MAX, WINDOW, Autocorrelation, autocorrelation
from alerts.evidence.ledger import QUARTER_S
from alerts.evidence.ranks import PAGE_CALIBRATION_MIN, rank
from canaries.baseline import REGIME, Baseline, BaselineStatus, split
from canaries.contract import Contract
from canaries.features import AnswerFeatures, RunFeatures
from canaries.imagined import Ordinary, Recorded, move_share
from canaries.labels import fit_labels
from canaries.scores import CANARY_PREFIX, FrozenScores, fit
from canaries.sensitivity import Scored
from canaries.thinning import is_thinned, samples_asked, thinned

from .. import MonitorError
from .many_ledgers import Drawable, Ints, ManyLedgers, Stake, first_pages, watched

STEADY_RUNS = 100
"""Runs without a change before each change, for the ledger to be as it usually is."""

HORIZON_S = 14 * 86_400.0
"""For how long a change may stay unnoticed before it counts as not found, in seconds."""

SLOT_S_MIN = 60.0
"""The shortest time between runs that is simulated, in seconds: a quarter has 130,000 of them."""

FITTED_RUNS_MAX, DRAWN_RUNS_MAX = 336, 672
"""On how many train runs the scores are fitted at most, and from how many other runs calibration and later ones are
drawn: a baseline of thin runs has thousands, which would take minutes. Live fits on all of them, and is a bit finer."""

CHANGED_RUNS = 32
"""How many changed runs are made for each change under each split; what comes is drawn from these."""

CANARIES_CHANGED = 4
"""Of how many canaries, under each split, one is changed alone."""

SPLITS_MIN, SPLITS_MAX, ANSWERS_FITTED = 4, 12, 80_000
"""How often the runs are split anew: as often as so many answers can be fitted, as that takes most of the time."""


@dataclass(frozen=True, slots=True)
class Change:
    """One kind of change: what people call it, and the share of the answers that it takes."""

    name: str
    share: float
    is_of_one_canary: bool = False
    is_sharpening: bool = False


CHANGES = (
    Change("5 % of all answers moved", 0.05),
    Change("10 % of all answers moved", 0.10),
    Change("20 % of all answers moved", 0.20),
    Change("50 % of all answers moved", 0.50),
    Change("70 % of one canary's answers moved", 0.70, is_of_one_canary=True),
    Change("50 % of all answers more ordinary", 0.50, is_sharpening=True),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is simulated. ``pages_per_quarter`` is the whole deployment's budget, ``share`` the target's part of it.

    ``samples`` cuts the samples of each canary in a run. ``quarters`` are watched without a change in all,
    ``repetitions`` times each change comes, and ``splits`` times the runs are split anew (by default as often as takes
    half a minute).
    """

    slot_s: float
    pages_per_quarter: float = 0.25
    share: float = 1.0
    samples: int | None = None
    quarters: int = 100
    repetitions: int = 100
    seed: int = 0
    splits: int | None = None
    changes: tuple[Change, ...] = CHANGES


@dataclass(frozen=True, slots=True)
class FalsePages:
    """Pages without a change: how many a quarter, the standard error of that, the most in any one, and the budget."""

    per_quarter: float
    standard_error: float
    most: int
    budget: float
    quarters: int


@dataclass(frozen=True, slots=True)
class Delay:
    """How many runs it takes from a change to its page; ``None`` where that share was not found in time."""

    change: str
    median_runs: float | None
    q90_runs: float | None
    found_share: float
    repetitions: int


@dataclass(frozen=True, slots=True)
class Simulation:
    """What may be expected. ``stretch_runs`` is how many runs in a row were drawn together, on average."""

    baseline: str
    target: str
    plan: Plan
    runs: int
    splits: int
    answers_a_run: int
    stretch_runs: int
    false_pages: FalsePages
    delays: tuple[Delay, ...]

    def to_plain(self) -> dict[str, Any]:
        """The simulation for machines: delays in runs, hours and answers."""
        plan, false = self.plan, self.false_pages
        return {
            "baseline": self.baseline,
            "target": self.target,
            "every_s": plan.slot_s,
            "samples": plan.samples,
            "answers_a_run": self.answers_a_run,
            "pages_per_quarter": plan.pages_per_quarter,
            "share": plan.share,
            "seed": plan.seed,
            "recorded_runs": self.runs,
            "splits": self.splits,
            "stretch_runs": self.stretch_runs,
            "false_pages": {
                "per_quarter": false.per_quarter,
                "standard_error": false.standard_error,
                "most_in_a_quarter": false.most,
                "budget_per_quarter": false.budget,
                "quarters": false.quarters,
            },
            "delays": [
                {
                    "change": one.change,
                    "median": self._delay(one.median_runs),
                    "q90": self._delay(one.q90_runs),
                    "found_share": one.found_share,
                    "within_s": HORIZON_S,
                    "repetitions": one.repetitions,
                }
                for one in self.delays
            ],
        }

    def _delay(self, runs: float | None) -> dict[str, float] | None:
        if runs is None:
            return None
        hours = runs * self.plan.slot_s / 3600
        return {"runs": runs, "hours": round(hours, 3), "answers": runs * self.answers_a_run}


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
        worlds.append(_world(baseline, runs, plan.changes, sharper, stretch, number, rng))
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


@dataclass(frozen=True, slots=True, eq=False)
class _World:
    """One split of the runs: the scores of those that were not trained on, as they are and changed in each way."""

    frozen: Baseline
    calibration_runs: int
    usual: tuple[Scored, ...]
    changed: dict[str, tuple[tuple[Scored, ...], ...]]

    def stake(self, plan: Plan, stretch: int, rng: Generator) -> Stake:
        """A ledger's stand with calibration runs of its own."""
        drawn = [self.usual[i] for i in _order(len(self.usual), self.calibration_runs, stretch, rng)]
        ties = rng.random(len(drawn)).tolist()
        calibration = {
            name: [
                (run.scores[name], tie, run.label)
                for run, tie in zip(drawn, ties, strict=True)
                if name in run.scores
            ]
            for name in self.frozen.weights()
        }
        weights = {name: plan.share * part for name, part in self.frozen.weights().items()}
        return Stake(rank(calibration, self.frozen.blocks), weights, self.frozen.tickets_only())


def _world(
    baseline: Baseline,
    runs: Sequence[RunFeatures],
    changes: Sequence[Change],
    sharper: Ordinary,
    stretch: int,
    number: int,
    rng: Generator,
) -> _World:
    ordered = _reordered(runs, stretch, rng)
    train, others = split(ordered, len(ordered))
    expected = baseline.contract.expected_samples()
    labels = fit_labels(train[-FITTED_RUNS_MAX:], len(others))
    frozen = replace(
        baseline,
        id=f"{baseline.id}/{number}",
        scores=fit(train[-FITTED_RUNS_MAX:], expected),
        labels=labels,
        calibration={REGIME: ()} if len(labels.labels) > 1 else {},
    )
    some = others[:DRAWN_RUNS_MAX]
    return _World(
        frozen=frozen,
        calibration_runs=len(others),
        usual=tuple(Scored(frozen.label(run), frozen.score(run)) for run in some),
        changed=_changed(frozen, some, changes, Recorded.of(runs), sharper, rng),
    )


def _reordered(runs: Sequence[RunFeatures], stretch: int, rng: Generator) -> list[RunFeatures]:
    """The runs in another order; where neighbours are alike, the same order from another beginning."""
    if stretch == 1:
        return [runs[i] for i in rng.permutation(len(runs)).tolist()]
    first = int(rng.integers(len(runs)))
    return [*runs[first:], *runs[:first]]


def _changed(
    frozen: Baseline,
    others: Sequence[RunFeatures],
    changes: Sequence[Change],
    recorded: Recorded,
    sharper: Ordinary,
    rng: Generator,
) -> dict[str, tuple[tuple[Scored, ...], ...]]:
    some = others[:CHANGED_RUNS]
    canaries = [canary for canary in recorded.answers if CANARY_PREFIX + canary in frozen.weights()]

    def of(change: Change) -> list[list[RunFeatures]]:
        if change.is_sharpening:
            return [sharper.sharpened(some, change.share, rng)]
        if not change.is_of_one_canary:
            return [move_share(some, change.share, recorded, rng)]
        chosen = rng.permutation(len(canaries))[:CANARIES_CHANGED].tolist()
        few = some[: CHANGED_RUNS // 2]
        return [move_share(few, change.share, recorded, rng, (canaries[i],)) for i in chosen]

    return {
        change.name: tuple(
            tuple(Scored(frozen.label(run), frozen.score(run)) for run in variant) for variant in of(change)
        )
        for change in changes
    }


def _order(length: int, count: int, stretch: int, rng: Generator) -> Ints:
    """Which of ``length`` runs come, ``count`` of them: independent, or in stretches of so many on average."""
    starts = rng.integers(length, size=count)
    if stretch == 1:
        return starts
    is_new = rng.random(count) < 1 / stretch
    is_new[:1] = True
    first = np.maximum.accumulate(np.where(is_new, np.arange(count), 0))
    return np.asarray((starts[first] + np.arange(count) - first) % length)


class _Progress:
    """Tells how many of the steps are done."""

    def __init__(self, tell: OnProgress, steps: int) -> None:
        self._tell, self._steps, self._done = tell, steps, 0

    def more(self) -> None:
        self._done += 1
        self._tell(self._done / self._steps)


def _delays(
    worlds: Sequence[_World], plan: Plan, stretch: int, rng: Generator, progress: _Progress
) -> tuple[Delay, ...]:
    own = [worlds[i % len(worlds)] for i in range(plan.repetitions)]
    stakes = [world.stake(plan, stretch, rng) for world in own]
    ledgers = ManyLedgers(stakes, plan.slot_s, plan.pages_per_quarter)
    usual = [Drawable.of(world.usual, stake.ranks) for world, stake in zip(own, stakes, strict=True)]
    steady = [(one, _order(len(one.labels), STEADY_RUNS, stretch, rng)) for one in usual]
    accounts, _ = watched(ledgers, ledgers.opened(), steady, 0.0, plan.slot_s, rng)
    most = ceil(HORIZON_S / plan.slot_s)
    delays = []
    for change in plan.changes:
        draws = []
        for i, (world, stake) in enumerate(zip(own, stakes, strict=True)):
            variants = world.changed[change.name]
            variant = variants[i // len(worlds) % len(variants)]
            draws.append((Drawable.of(variant, stake.ranks), _order(len(variant), most, stretch, rng)))
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
    worlds: Sequence[_World], plan: Plan, stretch: int, rng: Generator, progress: _Progress
) -> FalsePages:
    own = [worlds[i % len(worlds)] for i in range(plan.quarters)]
    stakes = [world.stake(plan, stretch, rng) for world in own]
    ledgers = ManyLedgers(stakes, plan.slot_s, plan.pages_per_quarter)
    usual = [Drawable.of(world.usual, stake.ranks) for world, stake in zip(own, stakes, strict=True)]
    accounts, pages = ledgers.opened(), np.zeros(len(own), dtype=np.int64)
    quarter = round(QUARTER_S / plan.slot_s)
    ends = np.linspace(0, quarter, _QUARTER_PARTS + 1).round().astype(int).tolist()
    for first, last in pairwise(ends):
        draws = [(one, _order(len(one.labels), last - first, stretch, rng)) for one in usual]
        accounts, more = watched(ledgers, accounts, draws, first * plan.slot_s, plan.slot_s, rng)
        pages += more
        progress.more()
    error = float(pages.std(ddof=1)) / sqrt(len(pages)) if len(pages) > 1 else float("nan")
    budget = plan.pages_per_quarter * plan.share
    return FalsePages(float(pages.mean()), error, int(pages.max()), budget, plan.quarters)
