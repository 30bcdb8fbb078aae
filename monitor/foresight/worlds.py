"""A baseline's runs split anew: scores fitted on some of them, and the others as they are and as changes make them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from alerts.evidence.ranks import rank
from canaries.baseline import REGIME, Baseline, split
from canaries.features import RunFeatures
from canaries.imagined import Ordinary, Recorded, move_share
from canaries.labels import fit_labels
from canaries.scores import CANARY_PREFIX, fit
from canaries.sensitivity import Scored

from .many_ledgers import Ints, Stake
from .simulation import Change, Plan

FITTED_RUNS_MAX, DRAWN_RUNS_MAX = 336, 672
"""On how many train runs the scores are fitted at most, and from how many other runs calibration and later ones are
drawn: a baseline of thin runs has thousands, which would take minutes. Live fits on all of them, and is a bit finer."""

CHANGED_RUNS = 32
"""How many changed runs are made for each change under each split; what comes is drawn from these."""

CANARIES_CHANGED = 4
"""Of how many canaries, under each split, one is changed alone."""


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """One split of the runs: the scores of those that were not trained on, as they are and changed in each way."""

    frozen: Baseline
    calibration_runs: int
    usual: tuple[Scored, ...]
    changed: dict[str, tuple[tuple[Scored, ...], ...]]

    def stake(self, plan: Plan, stretch: int, rng: Generator) -> Stake:
        """A ledger's stand with calibration runs of its own."""
        drawn = [self.usual[i] for i in order(len(self.usual), self.calibration_runs, stretch, rng)]
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


def world_of(
    baseline: Baseline,
    runs: Sequence[RunFeatures],
    changes: Sequence[Change],
    sharper: Ordinary,
    stretch: int,
    number: int,
    rng: Generator,
) -> World:
    """One more split of the runs of a baseline, fitted as live does; its number is in the name of what is frozen."""
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
    return World(
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


def order(length: int, count: int, stretch: int, rng: Generator) -> Ints:
    """Which of ``length`` runs come, ``count`` of them: independent, or in stretches of so many on average."""
    starts = rng.integers(length, size=count)
    if stretch == 1:
        return starts
    is_new = rng.random(count) < 1 / stretch
    is_new[:1] = True
    first = np.maximum.accumulate(np.where(is_new, np.arange(count), 0))
    return np.asarray((starts[first] + np.arange(count) - first) % length)
